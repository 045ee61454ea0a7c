# SPDX-License-Identifier: Apache-2.0
"""Sealed memory: written here, and by nobody else; and the budget that bounds it.

A segment serves one lane and dies with it: whoever was handed it once may keep it
mapped for ever, so another reader's bytes must never come into it.
"""

import fcntl
import mmap
import os
import threading
from dataclasses import dataclass, field
from typing import Final

#: linux/fcntl.h: mappings that exist may write, and no other ever (Linux 5.1).
_F_SEAL_FUTURE_WRITE: Final = 0x10
_SIZE_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
SEGMENT_SEALS: Final = _SIZE_SEALS | _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
MAPPING_SEALS: Final = _SIZE_SEALS | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL

#: A segment has room for the largest chunk.
SEGMENT_BYTES: Final = 16 * 1024 * 1024
#: Large pieces start at a page, small ones at a cache line.
_PAGE_BYTES: Final = 4096
_LINE_BYTES: Final = 64


class MemoryPool:
    """How much memory is shared with all readers together. For many threads."""

    def __init__(self, size_bytes: int) -> None:
        self._lock = threading.Lock()
        self._size_bytes = size_bytes
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """How much is taken."""
        return self._used_bytes

    @property
    def free_bytes(self) -> int:
        """How much is not."""
        return self._size_bytes - self._used_bytes

    def try_take(self, size_bytes: int) -> bool:
        """Take bytes if they are there; return whether they were taken."""
        with self._lock:
            if self._used_bytes + size_bytes > self._size_bytes:
                return False
            self._used_bytes += size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._used_bytes -= size_bytes


def create_memory(name: str, size_bytes: int) -> tuple[int, mmap.mmap]:
    """Make memory with a descriptor, and map it for writing, its pages in place.

    Raises:
        OSError: There is no memory, or no descriptor is left.
    """
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size_bytes)
        # Touched here once: a fault in the middle of decrypting costs ten times more.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        memory = mmap.mmap(descriptor, size_bytes, flags=flags)
        memory.madvise(mmap.MADV_DONTDUMP)
    except (OSError, ValueError):
        os.close(descriptor)
        raise
    return descriptor, memory


def seal(descriptor: int, seals: int) -> None:
    """Forbid for ever what the seals say.

    Raises:
        OSError: The kernel knows no such seal, or somebody has it mapped to write.
    """
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def check_sealing() -> None:
    """Check that the kernel has the seals that readers' safety rests on.

    Raises:
        OSError: It has not.
    """
    descriptor = os.memfd_create("strongroom-check", os.MFD_ALLOW_SEALING)
    try:
        seal(descriptor, SEGMENT_SEALS)
    finally:
        os.close(descriptor)


@dataclass(slots=True, eq=False)
class Room:
    """A part of a segment; see `ports.Lease`."""

    segment: int
    offset_bytes: int
    buffer: memoryview


@dataclass(slots=True, eq=False)
class Segment:
    """Memory of one lane, given out from its start; free again once all is back.

    Readers are done in the order in which they were told, so that a segment seldom
    waits for long; there is nothing to be fragmented. Its lane locks it.
    """

    number: int
    memory: mmap.mmap
    view: memoryview
    #: Where the next room starts.
    position_bytes: int = 0
    rooms: set[Room] = field(default_factory=set)

    def take(self, size_bytes: int) -> Room | None:
        """Return room, if there is so much behind what is taken."""
        align = _PAGE_BYTES if size_bytes >= _PAGE_BYTES else _LINE_BYTES
        start = -(-self.position_bytes // align) * align
        end = start + size_bytes
        if end > len(self.view):
            return None
        room = Room(self.number, start, self.view[start:end])
        self.position_bytes = end
        self.rooms.add(room)
        return room

    def give_back(self, room: Room) -> None:
        """Take room back; twice changes nothing."""
        if room not in self.rooms:
            return
        self.rooms.remove(room)
        if not self.rooms:
            self.position_bytes = 0
