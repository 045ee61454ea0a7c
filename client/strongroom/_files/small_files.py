# SPDX-License-Identifier: Apache-2.0
"""Small files written by a thread of their own: making a file waits for the disk.

By one thread: several wait for each other in the file system, and burn processor time
while they do (measured on ext4).
"""

import queue
import threading
from collections.abc import Callable
from typing import Final

from strongroom._files.folder import Folder

#: How many bytes a small file has at most.
SMALL_BYTES: Final = 128 << 10
#: How many of them wait to be written at most.
_WAITING: Final = 128

#: Path, whether who may read it may execute it, and content.
_Item = tuple[str, bool, bytes]
Write = Callable[[Folder, str, bool, bytes], None]


class SmallFiles:
    """Writes files. Used by one thread; its own one begins with the first file.

    Args:
        open_folder: Opens the directory that the files go below.
        write: Writes one file; raises StrongroomError.
    """

    def __init__(self, open_folder: Callable[[], Folder], write: Write) -> None:
        self._open_folder = open_folder
        self._write = write
        self._queue: queue.Queue[_Item | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._is_given_up = False

    def put(self, path: str, *, executable: bool, content: bytes) -> None:
        """Have a file written, sooner or later.

        Raises:
            StrongroomError: This one, or one before it, could not be written.
        """
        if self._thread is None:
            self._is_given_up = False
            self._thread = threading.Thread(
                target=self._run, name="strongroom-files", daemon=True
            )
            self._thread.start()
        self._queue.put((path, executable, content))
        self._check()

    def flush(self) -> None:
        """Wait until all files are written; errors as `put`."""
        self._end()
        self._check()

    def close(self) -> None:
        """Give up what was not written, and end the thread."""
        self._is_given_up = True
        self._end()

    def _end(self) -> None:
        """Let the thread come to its end; the next file begins another."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        folder: Folder | None = None
        # After an error nothing more is written, and who puts is told. The thread goes
        # on: who puts would wait for a dead one for ever.
        while (item := self._queue.get()) is not None:
            if self._error is None and not self._is_given_up:
                try:
                    folder = folder or self._open_folder()
                    self._write(folder, *item)
                except Exception as error:  # noqa: BLE001 - raised where it is asked for
                    self._error = error
        if folder is not None:
            folder.close()
