# SPDX-License-Identifier: Apache-2.0
"""Ways in which stored bytes go bad, by enumeration."""

import random
from collections.abc import Iterator


def each_bit_flipped(data: bytes) -> Iterator[bytes]:
    """Yield the bytes once for each bit, with that bit flipped."""
    for place in range(len(data) * 8):
        yield one_bit_flipped(data, place)


def some_bits_flipped(data: bytes, count: int) -> Iterator[bytes]:
    """Yield the bytes `count` times, each with another bit flipped."""
    places = random.Random(len(data)).sample(range(len(data) * 8), count)
    for place in sorted(places):
        yield one_bit_flipped(data, place)


def one_bit_flipped(data: bytes, place: int) -> bytes:
    """Return the bytes with one bit flipped."""
    flipped = bytearray(data)
    flipped[place // 8] ^= 1 << place % 8
    return bytes(flipped)


def one_byte_changed(data: bytes, at: int = -1) -> bytes:
    """Return the bytes with the one at an index changed, whatever it was.

    A constant in its place would leave one random byte in 256 as it is.
    """
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def each_cut_and_extension(data: bytes) -> Iterator[bytes]:
    """Yield the bytes cut short at each length, and with a byte too many."""
    for size in range(len(data)):
        yield data[:size]
    yield data + b"\0"
