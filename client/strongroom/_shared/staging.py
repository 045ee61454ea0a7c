# SPDX-License-Identifier: Apache-2.0
"""Memory with a descriptor, whose pages are in place: filled again and again."""

import mmap
import os
from typing import Final

from strongroom.errors import ExhaustedError, Reason

#: Sizes that differ a little from save to save use the same memory.
_STEP_BYTES: Final = 2 * 1024 * 1024


class StagingMemory:
    """Memory that this process writes, and whoever gets its descriptor reads.

    Touching fresh memory takes ten times as long as filling it, so it is kept. For
    one thread at a time.
    """

    def __init__(self) -> None:
        #: Negative until there is memory.
        self.descriptor = -1
        self._view = memoryview(b"")

    @property
    def size_bytes(self) -> int:
        """How much there is."""
        return len(self._view)

    def reserve(self, size_bytes: int) -> memoryview:
        """Return so many bytes of it, to be filled; it grows if it must.

        Raises:
            ExhaustedError: There is not so much memory (TOO_LARGE).
        """
        if size_bytes > len(self._view):
            self._grow(-(-size_bytes // _STEP_BYTES) * _STEP_BYTES)
        return self._view[:size_bytes]

    def filled(self) -> None:
        """Say that the content is another one: what reads it goes by the time."""
        os.utime(self.descriptor)

    def close(self) -> None:
        """Give the memory back, once nobody looks at it any more."""
        descriptor, self.descriptor = self.descriptor, -1
        self._view = memoryview(b"")
        if descriptor >= 0:
            os.close(descriptor)

    def _grow(self, size_bytes: int) -> None:
        self._view = memoryview(b"")
        try:
            if self.descriptor < 0:
                self.descriptor = os.memfd_create("strongroom-staging", os.MFD_CLOEXEC)
            # A page that cannot be had is an error here, and a signal later.
            os.posix_fallocate(self.descriptor, 0, size_bytes)
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            memory = mmap.mmap(self.descriptor, size_bytes, flags=flags)
        except (OSError, ValueError) as error:
            message = f"there is no memory for {size_bytes} bytes to be staged: {error}"
            raise ExhaustedError(
                message,
                reason=Reason.TOO_LARGE,
                hint="Save fewer tensors, or give the process more memory.",
            ) from error
        memory.madvise(mmap.MADV_DONTDUMP)
        self._view = memoryview(memory)
