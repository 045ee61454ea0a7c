# SPDX-License-Identifier: Apache-2.0
"""Codecs: how a chunk's plaintext is encoded before it is encrypted."""

from enum import IntEnum

from backports import zstd


class Codec(IntEnum):
    """The codec byte of a chunk; further numbers are reserved."""

    RAW = 0
    ZSTD = 1


class CodecError(ValueError):
    """The encoded bytes do not decode to the promised length."""


def encode(codec: Codec, plaintext: bytes) -> bytes:
    """Return the encoded form of a chunk."""
    match codec:
        case Codec.RAW:
            return plaintext
        case Codec.ZSTD:
            return zstd.compress(plaintext, level=3)


def decode(codec: int, encoded: bytes, size_bytes: int) -> bytes:
    """Return a chunk's plaintext; never more than `size_bytes` of memory.

    Raises:
        CodecError: The codec is unknown, or the length is not `size_bytes`.
    """
    match codec:
        case Codec.RAW:
            plaintext = encoded
        case Codec.ZSTD:
            plaintext = _decompress(encoded, size_bytes)
        case _:
            message = f"codec {codec} is unknown"
            raise CodecError(message)
    if len(plaintext) != size_bytes:
        message = f"{len(plaintext)} bytes came of a chunk of {size_bytes}"
        raise CodecError(message)
    return plaintext


def _decompress(encoded: bytes, size_bytes: int) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    try:
        plaintext = decompressor.decompress(encoded, max_length=size_bytes + 1)
    except zstd.ZstdError as error:
        message = "the chunk does not decompress"
        raise CodecError(message) from error
    if not decompressor.eof or decompressor.unused_data:
        message = "the chunk is longer than promised"
        raise CodecError(message)
    return plaintext
