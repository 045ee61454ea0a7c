# SPDX-License-Identifier: Apache-2.0
"""Byte-grouped encoding of numbers: alike bytes together, each plane by Huffman.

Weights share few exponents, and their mantissas are noise. So each number is
rotated left by one bit, which makes sign and mantissa neighbours and the exponent
a byte of its own (bfloat16, float32); byte `j` of all numbers of a piece becomes
plane `j`, and each plane is compressed by itself with Zstandard's entropy coder
alone, or stored as it is. A delta is the same over the XOR with a base.

    version (1) || width (1) || pieces || last bytes that are no whole number
    piece = plane lengths (4 each) || planes

Measured on 1 core (EPYC, numpy 2.4, zstd 1.5): random normal bfloat16 becomes
0.663 of its size at 0.7 GB/s, and comes back at 1.4 GB/s.
"""

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from backports import zstd
from numpy.typing import NDArray

VERSION: Final = 1
#: Bytes of a number: one is not rotated, and makes one plane.
WIDTHS: Final = (1, 2, 4, 8)
#: Plaintext of one piece: it, its planes and the base's part fit a core's cache.
PIECE_BYTES: Final = 1024 * 1024
HEADER: Final = struct.Struct(">BB")

_DTYPES: Final = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
_PARAMETER: Final = zstd.CompressionParameter
#: Matches are hardly looked for, so that literals are all there is to encode. A
#: `target_length` above 0, or a level below, would switch their Huffman code off.
_OPTIONS: Final[dict[int, int]] = {
    _PARAMETER.strategy: zstd.Strategy.fast,
    _PARAMETER.min_match: 7,
    _PARAMETER.hash_log: 6,
    _PARAMETER.target_length: 0,
    _PARAMETER.checksum_flag: 0,
}

#: A frame that asks for more memory than a plane has is not one of ours.
_LIMITS: Final[dict[int, int]] = {zstd.DecompressionParameter.window_log_max: 20}

Buffer = bytes | bytearray | memoryview
_Numbers = NDArray[np.unsignedinteger]
_Bytes = NDArray[np.uint8]


class GroupedError(ValueError):
    """The encoded bytes are not a grouped form of the promised length."""


def encode(plaintext: Buffer, width: int, base: Buffer | None = None) -> bytes:
    """Return the grouped form of a chunk, or of its difference to a base.

    Args:
        plaintext: The chunk.
        width: Bytes of a number; any of `WIDTHS` gives the chunk back.
        base: A chunk of the same length, from which only the difference is kept.
    """
    source = memoryview(plaintext)
    other = None if base is None else memoryview(base)
    whole = len(source) - len(source) % width
    parts: list[bytes | memoryview] = [HEADER.pack(VERSION, width)]
    for start in range(0, whole, PIECE_BYTES):
        end = min(start + PIECE_BYTES, whole)
        numbers = np.frombuffer(source[start:end], _DTYPES[width])
        if other is not None:
            numbers = numbers ^ np.frombuffer(other[start:end], _DTYPES[width])
        planes = [_compress(plane) for plane in _split(numbers, width)]
        parts.append(struct.pack(f">{width}I", *map(len, planes)))
        parts.extend(planes)
    tail = np.frombuffer(source[whole:], np.uint8)
    if other is not None:
        tail = tail ^ np.frombuffer(other[whole:], np.uint8)
    parts.append(tail.tobytes())
    return b"".join(parts)


def decode(encoded: Buffer, size_bytes: int, base: Buffer | None = None) -> bytearray:
    """Return the chunk that `encode` was given.

    Args:
        encoded: What `encode` returned, from anywhere.
        size_bytes: The length of the chunk; no more memory is taken than that, and
            a piece's planes.
        base: What `encode` got, of `size_bytes`.

    Raises:
        GroupedError: They are malformed, or of another length.
    """
    source = memoryview(encoded)
    if len(source) < HEADER.size:
        raise GroupedError
    version, width = HEADER.unpack_from(source)
    if version != VERSION or width not in WIDTHS:
        raise GroupedError
    plaintext = bytearray(size_bytes)
    target = memoryview(plaintext)
    whole = size_bytes - size_bytes % width
    position = HEADER.size
    for start in range(0, whole, PIECE_BYTES):
        piece = target[start : min(start + PIECE_BYTES, whole)]
        position = _read_piece(source, position, piece, width)
    if len(source) - position != size_bytes - whole:
        raise GroupedError
    target[whole:] = source[position:]
    if base is not None:
        _apply(target, memoryview(base))
    return plaintext


def _read_piece(
    source: memoryview, position: int, target: memoryview, width: int
) -> int:
    """Decode the piece that starts at `position`; return where it ends."""
    count = len(target) // width
    planes_start = position + 4 * width
    if planes_start > len(source):
        raise GroupedError
    sizes = struct.unpack_from(f">{width}I", source, position)
    position = planes_start
    planes = []
    for size in sizes:
        if size > count or position + size > len(source):
            raise GroupedError
        planes.append(_expand(source[position : position + size], count))
        position += size
    _join(planes, np.frombuffer(target, _DTYPES[width]), width)
    return position


def _split(numbers: _Numbers, width: int) -> list[_Bytes]:
    if width == 1:
        return [numbers.view(np.uint8)]
    rotated = (numbers << 1) | (numbers >> (8 * width - 1))
    if width == 2:  # noqa: PLR2004 -- measured: twice as fast as taking every second
        return [rotated.astype(np.uint8), (rotated >> 8).astype(np.uint8)]
    table = rotated.view(np.uint8).reshape(-1, width)
    return [np.ascontiguousarray(table[:, place]) for place in range(width)]


def _join(planes: Sequence[_Bytes], numbers: _Numbers, width: int) -> None:
    if width == 1:
        numbers[:] = planes[0]
        return
    if width == 2:  # noqa: PLR2004 -- measured: twice as fast as the general way
        low, high = planes
        numbers[:] = high
        numbers <<= 7
        numbers |= low >> 1
        numbers |= (low & 1).astype(np.uint16) << 15
        return
    table = numbers.view(np.uint8).reshape(-1, width)
    for place, plane in enumerate(planes):
        table[:, place] = plane
    highest = numbers << (8 * width - 1)
    numbers >>= 1
    numbers |= highest


def _compress(plane: _Bytes) -> bytes | memoryview:
    packed = zstd.compress(plane.data, options=_OPTIONS)
    return packed if len(packed) < len(plane) else plane.data


def _expand(packed: memoryview, count: int) -> _Bytes:
    if len(packed) == count:
        return np.frombuffer(packed, np.uint8)
    decompressor = zstd.ZstdDecompressor(options=_LIMITS)
    try:
        plane = decompressor.decompress(packed, max_length=count + 1)
    except zstd.ZstdError as error:
        raise GroupedError from error
    if len(plane) != count or not decompressor.eof or decompressor.unused_data:
        raise GroupedError
    return np.frombuffer(plane, np.uint8)


def _apply(target: memoryview, base: memoryview) -> None:
    if len(base) != len(target):
        raise GroupedError
    for start in range(0, len(target), PIECE_BYTES):
        part = np.frombuffer(target[start : start + PIECE_BYTES], np.uint8)
        part ^= np.frombuffer(base[start : start + PIECE_BYTES], np.uint8)
