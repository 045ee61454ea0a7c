# SPDX-License-Identifier: Apache-2.0
"""Cuts of GGUF files, made by hand from the specification."""

import struct
from typing import Any

import numpy as np
import pytest

from strongroom.format.chunking import CHUNK_BYTES, ElementKind
from strongroom.format.gguf import MAX_HEADER_BYTES
from tests.support.archives import (
    BF16,
    F16,
    F32,
    Q4_0,
    gguf_array,
    gguf_file,
    gguf_string,
    gguf_value,
)
from tests.support.cutting import cut_file, labelled

MIB = 1024 * 1024
RNG = np.random.default_rng(7)
KEPT = RNG.bytes(20 * MIB)


def values(order: str = "<") -> list[bytes]:
    """One value of each type, and arrays of numbers and of strings."""
    numbers = "BbHhIif?xxQqd"
    plain = [
        gguf_value(f"k{kind}", kind, struct.pack(order + code, 1), order)
        for kind, code in enumerate(numbers)
        if code != "x"
    ]
    tokens = [gguf_string("t" * (number % 9), order) for number in range(5000)]
    return [
        *plain,
        gguf_value("general.name", 8, gguf_string("demo", order), order),
        gguf_array("scores", 6, [struct.pack(order + "f", 1.5)] * 5000, order),
        gguf_array("tokens", 8, tokens, order),
    ]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_is_cut_at_its_tensors(version: int, order: str) -> None:
    tensors = {
        "embd": (BF16, KEPT),
        "norm": (F32, RNG.bytes(400)),
        "bias": (F32, RNG.bytes(36)),
        "q": (Q4_0, RNG.bytes(2 * MIB + 18)),
        "h": (F16, RNG.bytes(2 * MIB)),
    }
    data = gguf_file(tensors, values(order), version=version, order=order)

    cuts = cut_file("m.gguf", data)

    found = labelled(data, cuts)
    assert list(found) == [
        "\0header", "embd\x000", f"embd\0{CHUNK_BYTES}", "norm\0+", "q\x000", "h\x000"
    ]  # fmt: skip
    assert found["embd\x000"] == KEPT[:CHUNK_BYTES]
    assert found["h\x000"] == tensors["h"][1]
    assert found["q\x000"] == tensors["q"][1] + bytes(14)
    assert [cut.element for cut in cuts] == [
        None,
        ElementKind(2, is_float=True),
        ElementKind(2, is_float=True),
        ElementKind(4, is_float=True),
        None,
        ElementKind(2, is_float=True),
    ]


def test_cuts_do_not_depend_on_slices() -> None:
    data = gguf_file({"a": (F16, KEPT[: 3 * MIB])}, values())

    cuts = cut_file("m.gguf", data, [1, 7, 5000, 8])

    assert cuts == cut_file("m.gguf", data, [len(data)])


def test_a_tensor_keeps_its_chunks_when_the_header_changes() -> None:
    before = gguf_file({"a": (F16, RNG.bytes(100)), "kept": (F16, KEPT)}, values())
    value = gguf_value("general.author", 8, gguf_string("x" * 1000))
    after = gguf_file(
        {"a": (F16, RNG.bytes(2 * MIB)), "b": (F32, b"0123"), "kept": (F16, KEPT)},
        [*values(), value],
    )

    old = labelled(before, cut_file("m.gguf", before))
    new = labelled(after, cut_file("m.gguf", after))

    for label in ("kept\x000", f"kept\0{CHUNK_BYTES}"):
        assert old[label] == new[label]


def test_another_alignment_is_followed() -> None:
    alignment = gguf_value("general.alignment", 4, struct.pack("<I", 4096))
    data = gguf_file({"a": (F16, KEPT)}, [alignment], alignment=4096)

    cuts = cut_file("m.gguf", data)

    assert cuts[0].end % 4096 == 0
    assert labelled(data, cuts)["a\x000"] == KEPT[:CHUNK_BYTES]


def test_a_type_that_nobody_knows_yet_is_cut_like_others() -> None:
    data = gguf_file({"a": (999, KEPT[: 2 * MIB]), "b": (F16, KEPT[: 2 * MIB])})

    cuts = cut_file("m.gguf", data)

    assert [cut.label for cut in cuts] == ["\0header", "a\x000", "b\x000"]
    assert cuts[1].element is None


def refused() -> dict[str, bytes]:
    body = bytes(2 * MIB)
    good: dict[str, Any] = {"a": (F16, body)}
    nested = struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 0, 1) + b"\0"
    long = gguf_value("long", 8, gguf_string("x" * MAX_HEADER_BYTES))
    return {
        "version 1": gguf_file(good, version=1),
        "version 4": gguf_file(good, version=4),
        "nested arrays": gguf_file(good, [gguf_value("n", 9, nested)]),
        "an unknown type of value": gguf_file(good, [gguf_value("n", 13, b"\0" * 8)]),
        "an alignment of zero": gguf_file(
            good, [gguf_value("general.alignment", 4, bytes(4))]
        ),
        "a header that is too long": gguf_file(good, [long]),
        "a string beyond the file": gguf_file(
            good, [gguf_value("n", 8, b"\xff" * 8)]
        ),
        "five dimensions": gguf_file(good).replace(
            b"a" + struct.pack("<I", 2), b"a" + struct.pack("<I", 5)
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(refused()))
def test_what_is_no_gguf_file_is_cut_every_16_mib(name: str) -> None:
    data = refused()[name]

    cuts = cut_file("m.gguf", data)

    assert [cut.end for cut in cuts] == [
        *range(CHUNK_BYTES, len(data), CHUNK_BYTES),
        len(data),
    ]


def crowded(tensors: int, values: int) -> bytes:
    """A file with so many tensors and values, and 2 MiB of data."""
    infos = [
        gguf_string("t") + struct.pack("<IQIQ", 1, 0, F16, 0) for _ in range(tensors)
    ]
    return b"".join(
        [
            b"GGUF",
            struct.pack("<IQQ", 3, tensors, values),
            *[gguf_value("v", 0, b"\0")] * values,
            *infos,
            bytes(2 * MIB),
        ]
    )


@pytest.mark.parametrize(
    ("tensors", "values", "fits"),
    [(100_000, 1, True), (100_001, 1, False), (1, 10_000, True), (1, 10_001, False)],
)
def test_so_many_tensors_and_values_are_read(
    tensors: int, values: int, fits: bool
) -> None:
    cuts = cut_file("m.gguf", crowded(tensors, values))

    assert (cuts[0].label == "\0header") == fits


def test_tensors_may_be_told_in_any_order() -> None:
    def info(name: str, offset: int) -> bytes:
        return gguf_string(name) + struct.pack("<IQIQ", 1, 2 * MIB, F16, offset)

    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + info("b", 2 * MIB) + info("a", 0)
    head += bytes(-len(head) % 32)
    data = head + KEPT[: 4 * MIB]

    found = labelled(data, cut_file("m.gguf", data))

    assert list(found) == ["\0header", "a\x000", "b\x000"]
    assert found["a\x000"] == KEPT[: 2 * MIB]


def test_tensors_behind_the_file_leave_fixed_cuts_behind_the_header() -> None:
    data = gguf_file({"a": (F16, bytes(2 * MIB)), "b": (F16, bytes(2 * MIB))})
    header = len(data) - 4 * MIB

    cuts = cut_file("m.gguf", data[: header + MIB])

    assert [(cut.end, cut.label) for cut in cuts] == [
        (header, "\0header"),
        (header + MIB, f"@{header}"),
    ]
