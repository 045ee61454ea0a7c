# SPDX-License-Identifier: Apache-2.0
"""The port of a folder that a backup is restored to, as plain files."""

from contextlib import AbstractContextManager
from typing import Protocol

from strongroom_server.ports.blobs import ReadBuffer


class FileSink(Protocol):
    """A file that is being written."""

    def write(self, data: ReadBuffer) -> None:
        """Write the next bytes."""
        ...


class RestoreFolder(Protocol):
    """A folder that belongs to one restore; nothing in it is ever overwritten.

    Raises, from every method: `UnavailableError` (STORE_UNAVAILABLE) if the disk
    fails, `ExhaustedError` (DISK_FULL) if it is full.
    """

    def begin(self, mark: bytes) -> None:
        """Take an empty folder, or one that the same restore has begun to fill.

        Args:
            mark: What tells one restore from another.

        Raises:
            AlreadyExistsError: Something else is in it (TARGET_EXISTS).
        """
        ...

    def has(self, path: str, *, size_bytes: int, executable: bool, digest: str) -> bool:
        """Return whether a file is there with this size, mode and `sha256:…`.

        It is read for that.
        """
        ...

    def create(
        self, path: str, *, executable: bool
    ) -> AbstractContextManager[FileSink]:
        """Write a new file, which is there whole once the context ends well.

        Raises:
            AlreadyExistsError: There is something of this name (TARGET_EXISTS).
        """
        ...

    def finish(self, receipt: bytes) -> None:
        """Make all files durable, and leave a receipt beside them."""
        ...
