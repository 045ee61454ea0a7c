# SPDX-License-Identifier: Apache-2.0
"""The port of scratch: room for plaintext that never comes to a disk."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from strongroom_server.ports.blobs import ReadBuffer


class ScratchFile(Protocol):
    """One file in scratch. Used by one thread."""

    def append(self, data: ReadBuffer) -> None:
        """Write behind what is there.

        Raises:
            ExhaustedError: There is no room (DISK_FULL).
        """
        ...

    def take(self) -> Iterator[bytes]:
        """Yield what was written, from its start, in pieces; then it is empty again."""
        ...


class Scratch(Protocol):
    """Makes files that nobody else sees. Safe to use from many threads."""

    @property
    def room_bytes(self) -> int:
        """How much one file is to hold at a time."""
        ...

    def file(self) -> AbstractContextManager[ScratchFile]:
        """Make a file; when the context ends, it is gone, however that comes.

        Raises:
            ExhaustedError: There is no room (DISK_FULL).
        """
        ...
