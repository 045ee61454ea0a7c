# SPDX-License-Identifier: Apache-2.0
"""Chunk cuts: they cover the file, and do not depend on how it is sliced."""

import itertools
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from strongroom.format.chunking import (
    CHUNK_BYTES,
    JOIN_BYTES,
    MAX_LOOK_AHEAD_BYTES,
    Cutter,
    ElementKind,
    replay,
)
from strongroom.format.parts import part_label
from tests.support.archives import F16, gguf_file, torch_file
from tests.support.cutting import chunks_of, cut_file, labelled
from tests.support.properties import COSTLY, QUICK
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
            end = cutter.next_end(first[ends[-1] if ends else 0 : known])
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


def test_safetensors_are_known_without_their_suffix() -> None:
    data = save({"a": np.zeros((2, MIB), np.float32), "b": np.ones(3, np.int64)})

    cuts = cut_file("blobs/5e884898da28", data)

    assert cuts == cut_file("model.safetensors", data)
    assert {cut.label for cut in cuts} == {"\0header", "b\0+", "a\x000"}
    elements = {cut.label[0]: cut.element for cut in cuts}
    assert elements["a"] == ElementKind(4, is_float=True)
    assert elements["b"] == ElementKind(8, is_float=False)
    assert elements["\0"] is None


def test_labels_name_tensors_and_offsets_in_them() -> None:
    header = header_of([40 * MIB, 1000, 10])
    cutter = Cutter("m.safetensors", len(header) + 40 * MIB + 1010)

    labels = []
    data = header
    while (end := cutter.next_end(data)) is not None:
        labels.append((cutter.label, cutter.last_cut.end == end))
        data = b""

    assert [label for label, _ in labels] == [
        "\0header",
        "t0\x000",
        f"t0\0{16 * MIB}",
        f"t0\0{32 * MIB}",
        "t1\0+",
    ]
    assert all(same for _, same in labels)


def test_joined_tensors_of_two_kinds_have_none() -> None:
    header = header_of([10, 10]).replace(b'"U8", "shape": [10]', b'"F16","shape": [5] ')
    alike, mixed = header_of([10, 10]), header.replace(b'"F16"', b'"U8" ', 1)
    mixed = mixed.replace(b"[5] ", b"[10]", 1)

    assert [cut.element for cut in cut_file("m.safetensors", alike + bytes(20))] == [
        None,
        ElementKind(1, is_float=False),
    ]
    assert [cut.element for cut in cut_file("m.safetensors", header + bytes(20))] == [
        None,
        ElementKind(2, is_float=True),
    ]
    assert [cut.element for cut in cut_file("m.safetensors", mixed + bytes(20))] == [
        None,
        None,
    ]


def test_labels_stay_small_however_long_names_are() -> None:
    assert len(part_label("n" * 1_000_000, 2**42)) < 100
    assert part_label("n" * 1000, 0) != part_label("n" * 1001, 0)
    assert part_label("n" * 200, 0) == "n" * 200 + "\x000"


def test_fixed_cuts_are_labelled_by_their_place() -> None:
    cutter = Cutter("a.bin", 33 * MIB)

    ends = [cutter.next_end(bytes(100))]
    labels = [cutter.label]
    while (end := cutter.next_end(b"")) is not None:
        ends.append(end)
        labels.append(cutter.label)

    assert ends == [16 * MIB, 32 * MIB, 33 * MIB]
    assert labels == ["@0", f"@{16 * MIB}", f"@{32 * MIB}"]
    assert cutter.element is None


def test_an_empty_file_has_no_end() -> None:
    assert Cutter("a.bin", 0).next_end(b"") is None
    assert Cutter("m.safetensors", 0).next_end(b"") is None


@QUICK
@given(
    st.sampled_from([b"PK\3\4", b"GGUF", b"GGUF\3\0\0\0", b"\x93NUMPY\1\0", b""]),
    st.binary(max_size=300),
    st.sampled_from(["a.bin", "a.safetensors"]),
    st.lists(st.integers(1, 300), min_size=1, max_size=3),
)
def test_whatever_the_bytes_the_cuts_cover_the_file(
    magic: bytes, data: bytes, path: str, steps: list[int]
) -> None:
    filled = (magic + data).ljust(JOIN_BYTES + 100, b"\0")

    cuts = cut_file(path, filled, [*steps, MIB])

    assert cuts == cut_file(path, filled, [len(filled)])
    assert cuts[-1].end == len(filled)


@COSTLY
@given(st.data())
def test_a_damaged_model_is_cut_like_any_file(data: st.DataObject) -> None:
    tensors = {"a": bytes(MIB + 5), "b": b"b" * 100, "c": b"c" * 2 * MIB}
    whole = bytearray(
        data.draw(
            st.sampled_from(
                [
                    gguf_file({name: (F16, part) for name, part in tensors.items()}),
                    torch_file(tensors),
                ]
            )
        )
    )
    place = data.draw(st.integers(0, 400) | st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    steps = data.draw(st.lists(st.integers(1, 3 * MIB), min_size=1, max_size=3))

    cuts = cut_file("m", bytes(whole), [*steps, MIB])

    assert cuts == cut_file("m", bytes(whole), [len(whole)])
    assert max(len(chunk) for chunk in chunks_of(bytes(whole), cuts)) <= CHUNK_BYTES


def sizes_of(data: bytes, path: str) -> tuple[list[int], list[bytes]]:
    chunks = chunks_of(data, cut_file(path, data))
    return [len(chunk) for chunk in chunks], chunks


def test_a_replay_labels_a_stored_file_and_reads_its_header_only() -> None:
    data = header_of([3 * MIB, 10]) + bytes(3 * MIB + 10)
    sizes, chunks = sizes_of(data, "m.safetensors")
    asked: list[int] = []

    def read(position: int) -> bytes:
        asked.append(position)
        return chunks[position]

    cutter, cuts = replay(lambda: Cutter("m.safetensors", len(data)), sizes, read)

    assert cuts == cut_file("m.safetensors", data)
    assert asked == [0]
    assert cutter.next_end(b"") is None


def test_a_replay_of_a_beginning_goes_on_as_the_whole_would() -> None:
    data = torch_file({"data/0": b"a" * 2 * MIB, "data/1": b"b" * 2 * MIB})
    cuts = cut_file("m.pt", data)
    sizes, chunks = sizes_of(data, "m.pt")

    for count in range(len(sizes)):
        cutter, known = replay(
            lambda: Cutter("m.pt", len(data)), sizes[:count], chunks.__getitem__
        )

        assert known == cuts[: len(known)]
        # The cut before a big member is told by the megabyte behind it.
        assert len(known) >= count - 1
        start = known[-1].end if known else 0
        rest = []
        while (end := cutter.next_end(data[start:])) is not None:
            rest.append(cutter.last_cut)
            start = end
        assert known + rest == cuts


def test_a_replay_ends_where_its_reader_will_not_read() -> None:
    data = torch_file({"data/0": b"a" * 2 * MIB})
    sizes, chunks = sizes_of(data, "m.pt")

    _, cuts = replay(
        lambda: Cutter("m.pt", len(data)),
        sizes,
        lambda position: chunks[position] if sizes[position] < MIB else None,
    )

    assert cuts == []


def test_a_replay_of_chunks_cut_otherwise_ends_before_them() -> None:
    data = header_of([3 * MIB, 10]) + bytes(3 * MIB + 10)
    sizes, _ = sizes_of(data, "m.safetensors")
    other = [sizes[0], MIB, 2 * MIB, 10]

    cutter, cuts = replay(
        lambda: Cutter("m.safetensors", len(data)), other, lambda _: data[: sizes[0]]
    )

    assert [cut.label for cut in cuts] == ["\0header"]
    assert cutter.next_end(b"") == sizes[0] + 3 * MIB


@pytest.mark.parametrize(
    "data",
    [
        # As many headers, marks, strings and tensors as the bytes can hold.
        (b"PK\3\4" + bytes(26)) * 600_000,
        b"PK\3\4\0\0\x08\0" + bytes(22) + b"PK\7\x08" * 4_000_000,
        b"PK\3\4\0\0\x08\0" + bytes(2 * MIB) + b"PK\7\x08" * 4_000_000,
        b"GGUF" + b"\3\0\0\0" + bytes(8) + (1).to_bytes(8, "little")
        + bytes(8) + b"\x09\0\0\0" + b"\x08\0\0\0" + b"\xff" * 8 + bytes(15 * MIB),
        b"GGUF" + b"\3\0\0\0" + (100_000).to_bytes(8, "little") + bytes(15 * MIB),
        b"GGUF" + b"\3\0\0\0" + b"\xff" * 16 + bytes(15 * MIB),
    ],
    ids=["members", "marks", "late marks", "strings", "tensors", "counts"],
)  # fmt: skip
def test_a_hostile_file_is_cut_in_seconds(data: bytes) -> None:
    started = time.process_time()

    cuts = cut_file("m", data, [CHUNK_BYTES])

    assert cuts[-1].end == len(data)
    assert time.process_time() - started < 3


def test_an_unchanged_tensor_keeps_its_chunks_when_others_grow() -> None:
    rng = np.random.default_rng(1)
    kept = rng.integers(0, 9, 20 * MIB, np.uint8)
    before = save({"a": np.zeros(2 * MIB, np.uint8), "kept": kept})
    after = save({"a": np.zeros(5 * MIB, np.uint8), "b" * 999: kept[:7], "kept": kept})

    old = labelled(before, cut_file("m.safetensors", before))
    new = labelled(after, cut_file("m.safetensors", after))

    for label in ("kept\x000", f"kept\0{CHUNK_BYTES}"):
        assert old[label] == new[label]
