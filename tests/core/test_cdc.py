# SPDX-License-Identifier: Apache-2.0
"""Content-defined cuts: deterministic, keyed, and only moved near an edit."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from strongroom_server.core.cdc import CdcCutter, CdcParams, _CutPoints
from strongroom_server.core.derivation import expand
from tests.support.cutting import chunks_of, cut_all
from tests.support.properties import COSTLY

KEY = bytes(range(32))
SMALL = CdcParams(min_bytes=256, average_bytes=1024, max_bytes=4096, window_bytes=64)
PRIME = 2**31 - 1
RANDOM = np.random.default_rng(5).bytes(300_000)


def ends_of(
    data: bytes,
    steps: Sequence[int] = (1000,),
    key: bytes = KEY,
    params: CdcParams = SMALL,
) -> list[int]:
    cuts = cut_all(CdcCutter(key, len(data), params), data, steps)
    assert {(cut.label, cut.element) for cut in cuts} <= {("", None)}
    return [cut.end for cut in cuts]


def slow_ends(data: bytes, key: bytes, params: CdcParams) -> list[int]:
    """The same cuts by the words of the format page, byte by byte."""
    material = expand(key, b"strongroom.v1/cdc-points\0", 32)
    points = [
        2 + int.from_bytes(material[start : start + 8], "little") % (PRIME - 3)
        for start in (16, 24)
    ]
    cipher = Cipher(AES128(material[:16]), ECB()).encryptor()  # noqa: S305
    gap = params.average_bytes - params.min_bytes

    def may_cut(end: int) -> bool:
        window = data[end - params.window_bytes : end]
        block = b""
        for point in points:
            total = sum(byte * pow(point, k, PRIME) for k, byte in enumerate(window))
            block += (total % PRIME).to_bytes(8, "little")
        return int.from_bytes(cipher.update(block)[:8], "little") < 2**64 // gap

    ends = [0]
    while ends[-1] < len(data):
        limit = min(ends[-1] + params.max_bytes, len(data))
        first = ends[-1] + params.min_bytes
        ends.append(next(filter(may_cut, range(first, limit)), limit))
    return ends[1:]


def test_cuts_are_those_of_the_definition() -> None:
    data = RANDOM[:20_000] + bytes(5000) + b"\xff" * 5000

    assert ends_of(data) == slow_ends(data, KEY, SMALL)


@COSTLY
@given(
    st.integers(0, 40_000),
    st.lists(st.integers(1, 5000), min_size=1, max_size=4),
)
def test_cuts_do_not_depend_on_slices(size: int, steps: list[int]) -> None:
    data = RANDOM[:size]

    ends = ends_of(data, steps)

    assert ends == ends_of(data, [max(size, 1)])
    if size:
        assert ends[-1] == size
        sizes = [b - a for a, b in itertools.pairwise([0, *ends])]
        assert all(SMALL.min_bytes <= length for length in sizes[:-1])
        assert max(sizes) <= SMALL.max_bytes


def test_a_hash_of_zero_modulo_the_prime_is_zero() -> None:
    points = _CutPoints(KEY, SMALL)
    powers, inverses = points._powers[0]
    # Two halves of a window, of which many are tried until their sums cancel.
    tries = np.random.default_rng(2).integers(0, 256, (1 << 17, 64), np.uint8)
    low = (tries[:, :32] * powers[:32]).sum(axis=1) % PRIME
    high = (tries[:, 32:] * powers[32:64]).sum(axis=1) % PRIME
    _, first, second = np.intersect1d(low, PRIME - high, return_indices=True)
    window = np.concatenate([tries[first[0], :32], tries[second[0], 32:]])

    assert points._hash(window, powers, inverses).tolist() == [0]


def test_lengths_are_about_the_average() -> None:
    ends = ends_of(RANDOM)

    assert 700 < len(RANDOM) / len(ends) < 1400
    assert len({b - a for a, b in itertools.pairwise(ends)}) > len(ends) // 2


@pytest.mark.parametrize("place", [0, 150_000, 299_999])
def test_an_inserted_byte_moves_only_the_cuts_near_it(place: int) -> None:
    changed = RANDOM[:place] + b"!" + RANDOM[place:]

    old = chunks(RANDOM)
    new = chunks(changed)

    assert len(set(new) - set(old)) <= 4
    assert len(set(old) & set(new)) > len(old) - 6


def chunks(data: bytes) -> list[bytes]:
    return chunks_of(data, cut_all(CdcCutter(KEY, len(data), SMALL), data))


def test_another_key_gives_other_cuts() -> None:
    ours, theirs = set(ends_of(RANDOM)), set(ends_of(RANDOM, key=bytes(32)))

    assert len(ours & theirs) < len(ours) // 10


def test_each_point_and_the_cipher_decide() -> None:
    # A window that differs in one byte, wherever in it, is another one.
    data = bytearray(RANDOM[:4000])
    first = ends_of(bytes(data))[0]
    moved = 0
    for place in range(first - 64, first):
        data[place] ^= 1
        moved += ends_of(bytes(data))[0] != first
        data[place] ^= 1
    assert moved == 64
    data[first - 65] ^= 1
    assert ends_of(bytes(data))[0] == first


@pytest.mark.parametrize("fill", [b"\0", b"a"])
def test_bytes_that_repeat_are_cut_at_one_length(fill: bytes) -> None:
    ends = ends_of(fill * 50_000)

    assert len({b - a for a, b in itertools.pairwise(ends[:-1])}) == 1


def test_a_short_file_is_one_chunk() -> None:
    assert ends_of(RANDOM[:200]) == [200]
    assert ends_of(RANDOM[:256]) == [256]
    assert CdcCutter(KEY, 0, SMALL).next_end(b"") is None


def test_chunks_are_told_without_bytes_behind_them() -> None:
    cutter = CdcCutter(KEY, len(RANDOM), SMALL)
    start = 0
    for end in ends_of(RANDOM):
        assert cutter.next_end(RANDOM[start : end - 1]) is None
        assert cutter.next_end(RANDOM[start:end]) == end
        start = end


def test_the_default_lengths_fit_a_chunk() -> None:
    data = np.random.default_rng(1).bytes(40 * 1024 * 1024)

    sizes = np.diff([0, *ends_of(data, [1024 * 1024], params=CdcParams())])

    assert max(sizes) <= 16 * 1024 * 1024
    assert min(sizes[:-1]) >= 4 * 1024 * 1024


@pytest.mark.parametrize(
    "lengths", [(0, 8, 16, 0), (63, 100, 200, 64), (8, 8, 16, 4), (8, 16, 16, 4)]
)
def test_lengths_that_cannot_be_are_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        CdcParams(*lengths)
