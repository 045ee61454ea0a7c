# SPDX-License-Identifier: Apache-2.0
"""Tiles and entry bundles of a transparency log, as C2SP's tlog-tiles has them.

A tile holds 256 hashes of one height, a bundle 256 entries; the last of a level
may hold fewer and says so in its name. https://c2sp.org/tlog-tiles
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.merkle import Tree

#: Hashes in a full tile, entries in a full bundle.
TILE_WIDTH: Final = 256
_TILE_HEIGHT: Final = 8
CHECKPOINT: Final = "checkpoint"
#: What the length of an entry can say.
MAX_ENTRY_BYTES: Final = 65_535
_LENGTH: Final = struct.Struct(">H")


def tile_path(level: int, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile of hashes."""
    return f"tile/{level}/{_place(number, width)}"


def bundle_path(number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a bundle of entries."""
    return f"tile/entries/{_place(number, width)}"


def tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield level, number and width of every tile of a tree of `size` leaves."""
    level = 0
    while size:
        full, rest = divmod(size, TILE_WIDTH)
        yield from ((level, number, TILE_WIDTH) for number in range(full))
        if rest:
            yield level, full, rest
        level, size = level + 1, full


def bundles(size: int) -> Iterator[tuple[int, int]]:
    """Yield number and width of every bundle of a log of `size` entries."""
    return ((number, width) for level, number, width in tiles(size) if level == 0)


def tile_bytes(tree: Tree, level: int, number: int, width: int) -> bytes:
    """Return the hashes of a tile."""
    first = number * TILE_WIDTH
    return b"".join(
        tree.subtree(level * _TILE_HEIGHT, first + item) for item in range(width)
    )


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of a bundle."""
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)


def decode_bundle(data: bytes, *, first: int, count: int) -> Iterator[bytes]:
    """Yield the `count` entries of a bundle whose first has the index `first`.

    Raises:
        IntegrityError: An entry is cut off or missing, or there are more
            (AUDIT_CORRUPT); names the first of which that is so.
    """
    offset = 0
    for index in range(first, first + count):
        start = offset + _LENGTH.size
        end = start + int.from_bytes(data[offset:start], "big")
        if end > len(data) or start > len(data):
            raise _wrong_bundle(index)
        yield data[start:end]
        offset = end
    if offset != len(data):
        raise _wrong_bundle(first + count)


def _wrong_bundle(index: int) -> IntegrityError:
    message = f"audit entry {index} is damaged, missing or out of order"
    return IntegrityError(message, reason=Reason.AUDIT_CORRUPT, number=index)


def _place(number: int, width: int) -> str:
    """Spell a number so that files and folders never meet: `x001/x234/067`."""
    text = f"{number % 1000:03d}"
    while number := number // 1000:
        text = f"x{number % 1000:03d}/{text}"
    return text if width == TILE_WIDTH else f"{text}.p/{width}"
