# SPDX-License-Identifier: Apache-2.0
"""Chunk cuts: they cover the file, and do not depend on how it is sliced."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.format.chunking import (
    CHUNK_BYTES,
    JOIN_BYTES,
    MAX_LOOK_AHEAD_BYTES,
    Cutter,
)
from tests.support.properties import QUICK
from tests.support.weights import safetensors_header

MIB = 1024 * 1024


def header_of(sizes: Sequence[int]) -> bytes:
    """The first bytes of a safetensors file with tensors of these sizes."""
    return safetensors_header({f"t{number}": size for number, size in enumerate(sizes)})


def cuts(path: str, first: bytes, size_bytes: int, steps: Sequence[int]) -> list[int]:
    """Where a file is cut whose first bytes come in these steps, then all the rest."""
    cutter = Cutter(path, size_bytes)
    ends: list[int] = []
    arrived = itertools.chain(itertools.accumulate(steps), [len(first)])
    for known in arrived:
        while not ends or ends[-1] < size_bytes:
            end = cutter.next_end(first[: min(known, len(first))])
            if end is None:
                break
            ends.append(end)
    return ends


TENSORS = st.lists(
    st.sampled_from([0, 1, 1000, JOIN_BYTES - 1, JOIN_BYTES, JOIN_BYTES + 1, 16 * MIB])
    | st.sampled_from([16 * MIB + 1, 40 * MIB]),
    min_size=1,
    max_size=8,
)
STEPS = st.lists(st.integers(1, 200), max_size=5)


@QUICK
@given(TENSORS, STEPS)
def test_cuts_of_tensors_cover_the_file_whatever_the_slices(
    sizes: list[int], steps: list[int]
) -> None:
    header = header_of(sizes)
    total = len(header) + sum(sizes)

    ends = cuts("m.safetensors", header, total, steps)

    assert ends == cuts("m.safetensors", header, total, [])
    assert ends[-1] == total
    assert all(left < right for left, right in itertools.pairwise([0, *ends]))
    assert max(b - a for a, b in itertools.pairwise([0, *ends])) <= CHUNK_BYTES


@QUICK
@given(st.integers(1, 200 * MIB), st.sampled_from(["a.bin", "a.safetensors"]))
def test_any_other_file_is_cut_every_16_mib(size_bytes: int, path: str) -> None:
    first = bytes(min(size_bytes, 100))

    ends = cuts(path, first, size_bytes, [])

    assert ends == [*range(CHUNK_BYTES, size_bytes, CHUNK_BYTES), size_bytes]


def test_a_big_tensor_is_cut_from_its_own_start_wherever_it_lies() -> None:
    alone, moved = header_of([40 * MIB]), header_of([1000, 40 * MIB, 7])

    first = cuts("m.safetensors", alone, len(alone) + 40 * MIB, [])
    second = cuts("m.safetensors", moved, len(moved) + 40 * MIB + 1007, [])

    sizes = [b - a for a, b in itertools.pairwise(first)]
    assert sizes == [16 * MIB, 16 * MIB, 8 * MIB]
    assert [b - a for a, b in itertools.pairwise(second)] == [1000, *sizes, 7]


def test_small_neighbours_share_a_chunk() -> None:
    header = header_of([400_000] * 7)

    ends = cuts("m.safetensors", header, len(header) + 2_800_000, [])

    assert [b - a for a, b in itertools.pairwise(ends)] == [
        1_200_000,
        1_200_000,
        400_000,
    ]


def test_the_header_is_a_chunk_by_itself() -> None:
    header = header_of([10])

    assert cuts("m.safetensors", header, len(header) + 10, [])[0] == len(header)


@pytest.mark.parametrize("missing", [1, 5])
def test_no_cut_is_told_before_the_header_is_there(missing: int) -> None:
    header = header_of([10])
    cutter = Cutter("m.safetensors", len(header) + 10)

    assert cutter.next_end(header[:7]) is None
    assert cutter.next_end(header[:-missing]) is None
    assert cutter.next_end(header) == len(header)


def test_no_look_ahead_is_longer_than_a_chunk() -> None:
    assert MAX_LOOK_AHEAD_BYTES < CHUNK_BYTES
