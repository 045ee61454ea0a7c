# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of a file beside everything else that is done with its chunks."""

import hashlib
import threading
from collections import deque
from typing import Final

from strongroom_server.core.codecs import Buffer

#: Smaller chunks are hashed at once, unless others wait: a thread costs more.
INLINE_BYTES: Final = 1024 * 1024
#: Without a chunk for that long, the thread ends until the next one comes.
IDLE_S: Final = 1.0
#: Chunks that may wait, each of which stays in memory.
MAX_WAITING: Final = 2


class OrderedHash:
    """Hashes the chunks of one file, in order. Used by one thread.

    Large ones are hashed by a thread of its own, which ends with the digest, with
    `close`, or when nothing comes any more.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._changed = threading.Condition()
        self._waiting: deque[Buffer] = deque()
        self._is_over = False
        #: Runs only while there is something to do, or there was a moment ago.
        self._thread: threading.Thread | None = None

    def update(self, chunk: Buffer) -> None:
        """Hash a chunk, which must not change any more."""
        with self._changed:
            if self._thread is None and len(chunk) < INLINE_BYTES:
                self._hash.update(chunk)
                return
            self._changed.wait_for(lambda: len(self._waiting) < MAX_WAITING)
            self._waiting.append(chunk)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="sha256", daemon=True)
                # First: one that does not start is not waited for.
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    def digest(self) -> bytes:
        """Return the digest of all chunks; none may come behind them."""
        self._end()
        return self._hash.digest()

    def close(self) -> None:
        """End the thread; what waits is not hashed."""
        with self._changed:
            self._waiting.clear()
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_over, IDLE_S)
                if not self._waiting:
                    self._thread = None
                    return
                chunk = self._waiting.popleft()
                self._changed.notify_all()
            self._hash.update(chunk)
