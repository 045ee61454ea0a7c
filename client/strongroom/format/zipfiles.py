# SPDX-License-Identifier: Apache-2.0
"""Zip archives (.npz, .zip, what `torch.save` writes): cuts at the members' data.

Read from front to back by the local headers, since the central directory comes
last. Nothing is decompressed: a compressed or encrypted member is cut like others.
Where the archive goes beyond what is understood, fixed cuts go on.
"""

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.format.parts import (
    CHUNK_BYTES,
    JOIN_BYTES,
    Cut,
    Part,
    cut_part,
    joined_label,
    part_label,
)
from strongroom.format.window import Window

MAGIC: Final = b"PK\x03\x04"
#: Signature, version, flags, method, time, date, CRC-32, compressed size, size,
#: length of the name, length of the extra field.
_HEADER: Final = struct.Struct("<4s5H3I2H")
_DESCRIPTOR: Final = b"PK\x07\x08"
#: A descriptor's two sizes, behind signature and CRC-32: 32 or 64 bits each.
_SHORT_SIZES: Final = struct.Struct("<2I")
_LONG_SIZES: Final = struct.Struct("<2Q")
_DESCRIPTOR_BYTES: Final = 8 + _LONG_SIZES.size
_STREAMED, _MASKED = 1 << 3, 1 << 13
_STORED: Final = 0
_ZIP64_TAG: Final = 1
_IN_ZIP64: Final = 0xFFFF_FFFF
#: What is read of one archive before fixed cuts go on, so that hostile ones cost
#: little: members, and marks inside of members that look like the end of one.
_MAX_MEMBERS: Final = 200_000
_MAX_MARKS: Final = 50_000

_Steps = Generator[Cut | None, None, None]


@dataclass(frozen=True, slots=True)
class _Member:
    """A member's local header: its name, and where its data lies.

    Attributes:
        end: Where the data ends; None if only a descriptor behind it will tell.
    """

    name: str
    start: int
    end: int | None
    is_stored: bool


def cut_zip(window: Window) -> Iterator[Cut | None]:
    """Cut by members.

    Data of `JOIN_BYTES` or more is cut from its own start; headers and small
    members are joined until they reach `JOIN_BYTES`.

    Raises:
        ValueError: The archive's members end here, or are not understood.
    """
    yield from _Archive(window).cut()


class _Archive:
    def __init__(self, window: Window) -> None:
        self._window = window
        #: Where the next header lies.
        self._position = 0
        #: The label of the chunk under way; "" if nothing is in it.
        self._label = ""
        self._marks = 0

    def cut(self) -> _Steps:
        for _ in range(_MAX_MEMBERS):
            member = yield from self._member()
            self._label = self._label or joined_label(member.name)
            if member.end is None:
                yield from self._cut_streamed(member)
            elif member.end - member.start >= JOIN_BYTES:
                yield from self._end_at(member.start)
                yield from cut_part(Part(member.name, member.start, member.end))
                self._position = member.end
            else:
                self._position = member.end
                yield from self._end_if_full()
        message = "the archive has too many members"
        raise ValueError(message)

    def _member(self) -> Generator[None, None, _Member]:
        names = self._position + _HEADER.size
        yield from self._window.wait(names)
        fields = _HEADER.unpack(self._window.read(self._position, names))
        magic, _, flags, method, _, _, _, packed, size, name_bytes, extra_bytes = fields
        if magic != MAGIC or flags & _MASKED:
            message = f"there is no header at {self._position}"
            raise ValueError(message)
        extra = names + name_bytes
        start = extra + extra_bytes
        yield from self._window.wait(start)
        name = self._window.read(names, extra).decode("utf-8", "replace")
        if flags & _STREAMED:
            return _Member(name, start, None, method == _STORED)
        if packed == _IN_ZIP64:
            sizes = _find_extra(self._window.read(extra, start), _ZIP64_TAG)
            skipped = 8 if size == _IN_ZIP64 else 0
            packed = int.from_bytes(sizes[skipped : skipped + 8], "little")
        if start + packed > self._window.size_bytes:
            message = f"member {name[:100]!r} ends behind the file"
            raise ValueError(message)
        return _Member(name, start, start + packed, method == _STORED)

    def _cut_streamed(self, member: _Member) -> _Steps:
        """Cut a member whose end is not told, at the descriptor behind it."""
        known = min(member.start + JOIN_BYTES, self._window.size_bytes)
        found = yield from self._find(member, member.start, known)
        if found is not None and found[0] - member.start < JOIN_BYTES:
            self._position = found[1]
            yield from self._end_if_full()
            return
        yield from self._end_at(member.start)
        window = self._window
        while found is None:
            boundary = min(window.start + CHUNK_BYTES, window.size_bytes)
            found = yield from self._find(member, known, boundary)
            known = boundary
            if found is None:
                label = part_label(member.name, window.start - member.start)
                yield Cut(boundary, label)
        # The descriptor ends the chunk, or starts the next if it has no room.
        self._position = found[1]
        end = found[1] if found[1] - window.start <= CHUNK_BYTES else found[0]
        yield Cut(end, part_label(member.name, window.start - member.start))

    def _find(
        self, member: _Member, start: int, end: int
    ) -> Generator[None, None, tuple[int, int] | None]:
        """Look for a member's descriptor that starts between `start` and `end`.

        Both count. Returns where it starts and ends, or None.
        """
        while True:
            need = min(end + len(_DESCRIPTOR), self._window.size_bytes)
            here = min(need, self._window.end)
            data = self._window.read(start, here)
            place = data.find(_DESCRIPTOR)
            while place >= 0:
                found = yield from self._check(member, start + place)
                if found is not None:
                    return found
                place = data.find(_DESCRIPTOR, place + len(_DESCRIPTOR))
            if here >= need:
                return None
            start = max(start, here - len(_DESCRIPTOR) + 1)
            yield None

    def _check(
        self, member: _Member, start: int
    ) -> Generator[None, None, tuple[int, int] | None]:
        """Return where the member's descriptor at `start` lies, if it is one."""
        stop = min(start + _DESCRIPTOR_BYTES, self._window.size_bytes)
        yield from self._window.wait(stop)
        data = self._window.read(start, stop)
        size = _descriptor_size(data, start - member.start, member)
        if size:
            return start, start + size
        self._marks += 1
        if self._marks > _MAX_MARKS:
            message = "too many marks look like the end of a member"
            raise ValueError(message)
        return None

    def _end_if_full(self) -> _Steps:
        if self._position - self._window.start >= JOIN_BYTES:
            yield from self._end_at(self._position)

    def _end_at(self, end: int) -> _Steps:
        """End the chunk of joined headers and small members, if there is one."""
        label, self._label = self._label, ""
        if end > self._window.start:
            yield Cut(end, label)


def _descriptor_size(data: bytes, size_bytes: int, member: _Member) -> int:
    """Return how long the descriptor of so much data is; 0 if there is none."""
    for sizes in (_LONG_SIZES, _SHORT_SIZES):
        if len(data) >= 8 + sizes.size:
            packed, size = sizes.unpack_from(data, 8)
            if packed == size_bytes and (size == size_bytes or not member.is_stored):
                return 8 + sizes.size
    return 0


def _find_extra(extra: bytes, wanted: int) -> bytes:
    """Return a field of an extra field; empty bytes if it is not there."""
    position = 0
    while position + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, position)
        if tag == wanted:
            return extra[position + 4 : position + 4 + size]
        position += 4 + size
    return b""
