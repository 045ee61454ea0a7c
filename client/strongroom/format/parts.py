# SPDX-License-Identifier: Apache-2.0
"""Parts of a file, such as tensors, and how they become chunks.

A part of `JOIN_BYTES` or more starts a chunk and is cut from its own start, so it
keeps its chunks wherever it moves; smaller neighbours share one.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

CHUNK_BYTES: Final = 16 * 1024 * 1024
#: Neighbouring parts smaller than this share a chunk.
JOIN_BYTES: Final = 1024 * 1024
#: The label of a file's header.
HEADER_LABEL: Final = "\0header"
#: Longer names are labelled by their digest, so that labels stay small.
_MAX_NAME_CHARS: Final = 200

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class ElementKind:
    """What a part is an array of.

    Attributes:
        width: Bytes of one element: 1, 2, 4 or 8. A complex number is two.
        is_float: Whether it is a floating-point number.
    """

    width: int
    is_float: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file: its name, and its bytes' place in the file."""

    name: str
    start: int
    end: int
    element: ElementKind | None = None

    @property
    def size_bytes(self) -> int:
        """How many bytes the part has."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a chunk ends, and what it is.

    Attributes:
        end: An offset in the file.
        label: Names what the chunk holds, the same in each version of the file:
            a part's name, a zero character and the offset in the part, or `+` if
            it is the first of small ones; `@<offset in the file>` where nothing
            better is known. Labels may repeat.
        element: What all of the chunk is an array of; None if that is not known.
    """

    end: int
    label: str
    element: ElementKind | None = None


def part_label(name: str, offset_bytes: int) -> str:
    """Return the label of a chunk that starts at this offset of a part."""
    return f"{_short(name)}\0{offset_bytes}"


def joined_label(name: str) -> str:
    """Return the label of a chunk of small parts, of which this is the first."""
    return f"{_short(name)}\0+"


def cut_fixed(start: int, end: int) -> Iterator[Cut]:
    """Cut bytes of which nothing is known every 16 MiB from their start."""
    for offset in range(start, end, CHUNK_BYTES):
        yield Cut(min(offset + CHUNK_BYTES, end), f"@{offset}")


def cut_part(part: Part) -> Iterator[Cut]:
    """Cut one part every 16 MiB from its own start."""
    for offset in range(part.start, part.end, CHUNK_BYTES):
        label = part_label(part.name, offset - part.start)
        yield Cut(min(offset + CHUNK_BYTES, part.end), label, part.element)


def cut_parts(parts: Iterable[Part]) -> Iterator[Cut]:
    """Cut parts that lie one behind the other.

    Each part of `JOIN_BYTES` or more is cut from its own start; smaller neighbours
    are joined until they reach `JOIN_BYTES`.
    """
    small: list[Part] = []
    for part in parts:
        if part.size_bytes >= JOIN_BYTES:
            yield from _join(small)
            small = []
            yield from cut_part(part)
        elif part.size_bytes:
            small.append(part)
            if part.end - small[0].start >= JOIN_BYTES:
                yield from _join(small)
                small = []
    yield from _join(small)


def _join(parts: list[Part]) -> Iterator[Cut]:
    if parts:
        kinds = {part.element for part in parts}
        element = kinds.pop() if len(kinds) == 1 else None
        yield Cut(parts[-1].end, joined_label(parts[0].name), element)


def _short(name: str) -> str:
    if len(name) <= _MAX_NAME_CHARS:
        return name
    return hashlib.sha256(name.encode()).hexdigest()
