# SPDX-License-Identifier: Apache-2.0
"""Closes what came along lanes, where nobody waits for it.

The last `close` of what somebody else opened may take for ever: that of a file asks
its file system, and a process may be one (FUSE); that of a socket may wait until its
peer has everything (SO_LINGER), also when it was never taken out of a lane.
"""

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

#: With so many that are not closed yet, no more are taken from lanes.
MAX_UNCLOSED: Final = 64


class Closing:
    """Closes descriptors, one after the other. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._unclosed_count = 0
        #: Runs only while there is something to close.
        self._is_running = False

    @property
    def is_stuck(self) -> bool:
        """Whether so many are not closed yet that no more may be taken."""
        return self._unclosed_count >= MAX_UNCLOSED

    def close(self, descriptor: int, after: Callable[[], None] = lambda: None) -> None:
        """Have a descriptor closed soon, and `after` called then."""
        with self._lock:
            self._waiting.append((descriptor, after))
            self._unclosed_count += 1
            if self._is_running:
                return
            # No thread to be had: the next one that comes is closed with this.
            with suppress(RuntimeError):
                threading.Thread(target=self._run, name="closing", daemon=True).start()
                self._is_running = True

    def hang_up(self, connection: socket.socket) -> None:
        """End a connection now, and have it closed soon with what is still in it."""
        with suppress(OSError):  # The other end did, too.
            connection.shutdown(socket.SHUT_RDWR)
        self.close(connection.detach())

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return
                descriptor, after = self._waiting.popleft()
            with suppress(OSError):  # It is closed all the same.
                os.close(descriptor)
            with self._lock:
                self._unclosed_count -= 1
            after()
