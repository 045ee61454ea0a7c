# SPDX-License-Identifier: Apache-2.0
"""Scratch in files that have no name and no disk: memory of the kernel's, `memfd`.

No path leads to them, no other user can open them, and when the process ends, killed
or not, nothing is left of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.errors import ExhaustedError, Reason
from strongroom_server.ports import ReadBuffer, Scratch, ScratchFile

#: As much as a file holds at a time.
ROOM_BYTES: Final = 64 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024


class MemoryFile:
    """See `ScratchFile`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = 0

    def append(self, data: ReadBuffer) -> None:
        """See `ScratchFile`."""
        left = memoryview(data).cast("B")
        try:
            while left:
                written = os.pwrite(self._descriptor, left, self._size_bytes)
                self._size_bytes += written
                left = left[written:]
        except OSError as error:
            raise _full(error) from error

    def take(self) -> Iterator[bytes]:
        """See `ScratchFile`."""
        for start in range(0, self._size_bytes, _PIECE_BYTES):
            length = min(_PIECE_BYTES, self._size_bytes - start)
            yield os.pread(self._descriptor, length, start)
        self._size_bytes = 0
        os.ftruncate(self._descriptor, 0)


class MemoryFiles:
    """See `Scratch`."""

    @property
    def room_bytes(self) -> int:
        """See `Scratch`."""
        return ROOM_BYTES

    @contextmanager
    def file(self) -> Iterator[MemoryFile]:
        """See `Scratch`."""
        try:
            descriptor = os.memfd_create("strongroom-scratch", os.MFD_CLOEXEC)
        except OSError as error:
            raise _full(error) from error
        try:
            yield MemoryFile(descriptor)
        finally:
            os.close(descriptor)


def _full(error: OSError) -> ExhaustedError:
    return ExhaustedError(
        f"there is no memory for a scratch file: {error.strerror}",
        reason=Reason.DISK_FULL,
        hint="Give the server more memory, or lower drill.sample_bytes.",
    )


_scratch: type[Scratch] = MemoryFiles
_scratch_file: type[ScratchFile] = MemoryFile
