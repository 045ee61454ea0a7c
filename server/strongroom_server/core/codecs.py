# SPDX-License-Identifier: Apache-2.0
"""Codecs: how a chunk's plaintext is encoded before it is encrypted."""

from enum import IntEnum
from typing import Final

from backports import zstd

from strongroom_server.core import grouped

Buffer = bytes | bytearray | memoryview

_LEVEL: Final = 3
#: No chunk has more than 16 MiB, so no frame of ours asks for more memory.
_LIMITS: Final[dict[int, int]] = {zstd.DecompressionParameter.window_log_max: 24}


class Codec(IntEnum):
    """The codec byte of a chunk; further numbers are reserved."""

    RAW = 0
    ZSTD = 1
    #: Numbers by byte planes: `core.grouped`.
    GROUPED = 2
    #: The difference to another chunk of the same length, grouped.
    DELTA = 3


#: Codecs that the first format of tables knows.
FIRST_CODECS: Final = frozenset({Codec.RAW, Codec.ZSTD})


class CodecError(ValueError):
    """The encoded bytes do not decode to the promised length."""


def encode(
    codec: Codec, plaintext: Buffer, *, width: int = 1, base: Buffer | None = None
) -> Buffer:
    """Return the encoded form of a chunk.

    Args:
        codec: How.
        plaintext: The chunk.
        width: For GROUPED and DELTA: bytes of a number (1, 2, 4 or 8).
        base: For DELTA: the base's plaintext, of the same length.
    """
    match codec:
        case Codec.RAW:
            return plaintext
        case Codec.ZSTD:
            return zstd.compress(plaintext, level=_LEVEL)
        case Codec.GROUPED | Codec.DELTA:
            return grouped.encode(plaintext, width, base)


def decode(
    codec: int, encoded: Buffer, size_bytes: int, base: Buffer | None = None
) -> memoryview:
    """Return a chunk's plaintext; never more than `size_bytes` of memory.

    Raises:
        CodecError: The codec is unknown, the bytes are malformed, or the length is
            not `size_bytes`.
    """
    if (base is not None) != (codec == Codec.DELTA):
        message = "a delta has a base, and nothing else has"
        raise CodecError(message)
    match codec:
        case Codec.RAW:
            plaintext: Buffer = encoded
        case Codec.ZSTD:
            plaintext = _decompress(encoded, size_bytes)
        case Codec.GROUPED | Codec.DELTA:
            plaintext = _ungroup(encoded, size_bytes, base)
        case _:
            message = f"codec {codec} is unknown"
            raise CodecError(message)
    if len(plaintext) != size_bytes:
        message = f"{len(plaintext)} bytes came of a chunk of {size_bytes}"
        raise CodecError(message)
    return memoryview(plaintext).toreadonly()


def _ungroup(encoded: Buffer, size_bytes: int, base: Buffer | None) -> bytearray:
    if size_bytes < 0:
        message = "a length is not negative"
        raise CodecError(message)
    try:
        return grouped.decode(encoded, size_bytes, base)
    except grouped.GroupedError as error:
        message = "the chunk is no grouped form of its length"
        raise CodecError(message) from error


def _decompress(encoded: Buffer, size_bytes: int) -> bytes:
    decompressor = zstd.ZstdDecompressor(options=_LIMITS)
    try:
        plaintext = decompressor.decompress(encoded, max_length=size_bytes + 1)
    except zstd.ZstdError as error:
        message = "the chunk does not decompress"
        raise CodecError(message) from error
    if not decompressor.eof or decompressor.unused_data:
        message = "the chunk is longer than promised"
        raise CodecError(message)
    return plaintext
