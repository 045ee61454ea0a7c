# SPDX-License-Identifier: Apache-2.0
"""Small files written by threads of their own: making a file waits for the disk.

Two threads, a few files at a time: one alone is what a pull of many files waits for,
and more wait for each other in the file system (measured on ext4).
"""

import queue
import threading
from collections.abc import Callable
from typing import Final

from strongroom._files.folder import Folder

#: How many bytes a small file has at most.
SMALL_BYTES: Final = 128 << 10
_THREADS: Final = 2
#: How many files a thread takes at once: waking it costs as much as a small file.
_BATCH: Final = 16
#: How many batches wait to be written at most.
_WAITING: Final = 6

#: Path, whether who may read it may execute it, and content.
_Item = tuple[str, bool, bytes]
Write = Callable[[Folder, str, bool, bytes], None]


class SmallFiles:
    """Writes files. Used by one thread; its own ones begin with the first files.

    Args:
        open_folder: Opens the directory that the files go below.
        write: Writes one file; raises StrongroomError. Called by several threads.
    """

    def __init__(self, open_folder: Callable[[], Folder], write: Write) -> None:
        self._open_folder = open_folder
        self._write = write
        self._queue: queue.Queue[list[_Item] | None] = queue.Queue(_WAITING)
        self._gathered: list[_Item] = []
        self._threads: list[threading.Thread] = []
        self._error: Exception | None = None
        self._is_given_up = False

    def put(self, path: str, *, executable: bool, content: bytes) -> None:
        """Have a file written, sooner or later.

        Raises:
            StrongroomError: This one, or one before it, could not be written.
        """
        self._gathered.append((path, executable, content))
        if len(self._gathered) == _BATCH:
            self._hand_over()
        self._check()

    def flush(self) -> None:
        """Wait until all files are written; errors as `put`."""
        self._hand_over()
        self._end()
        self._check()

    def close(self, *, keep: bool = False) -> None:
        """End the threads; with `keep`, write what waits first, else give it up."""
        if keep:
            self._hand_over()
        else:
            self._is_given_up = True
            self._gathered = []
        self._end()

    def _hand_over(self) -> None:
        if not self._gathered:
            return
        if not self._threads:
            self._is_given_up = False
            for _ in range(_THREADS):
                thread = threading.Thread(
                    target=self._run, name="strongroom-files", daemon=True
                )
                thread.start()
                self._threads.append(thread)
        batch, self._gathered = self._gathered, []
        self._queue.put(batch)

    def _end(self) -> None:
        """Let the threads come to their end; the next files begin others."""
        # Known until they have ended: an interrupt here lets `close` wait for them.
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        folder: Folder | None = None
        # After an error nothing more is written, and who puts is told. The thread goes
        # on: who puts would wait for a dead one for ever.
        while (batch := self._queue.get()) is not None:
            for item in batch:
                if self._error is not None or self._is_given_up:
                    break
                try:
                    folder = folder or self._open_folder()
                    self._write(folder, *item)
                except Exception as error:  # noqa: BLE001 - raised where it is asked for
                    self._error = error
        if folder is not None:
            folder.close()
