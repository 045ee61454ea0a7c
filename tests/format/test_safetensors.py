# SPDX-License-Identifier: Apache-2.0
"""Safetensors headers: what ours accepts, the reference library accepts too."""

import json
from collections.abc import Callable
from math import prod
from time import process_time
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from strongroom.format.safetensors import (
    MAX_HEADER_BYTES,
    TensorInfo,
    parse_header_size,
    parse_tensors,
)
from tests.support.properties import QUICK

#: The reference library has no types.
reference: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize
BITS = {"BOOL": 8, "U8": 8, "F16": 16, "BF16": 16, "F32": 32, "I64": 64, "C64": 64,
        "F8_E4M3": 8, "F4": 4, "F6_E2M3": 6}  # fmt: skip


def file_of(header: bytes, data_bytes: int) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(data_bytes)


def ours(data: bytes) -> tuple[TensorInfo, ...]:
    size = parse_header_size(data[:8], len(data))
    return parse_tensors(data[:size], len(data))


def tensor(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@st.composite
def good_files(draw: st.DrawFn) -> bytes:
    """A file that tiles; its tensors are listed in any order."""
    items: list[tuple[str, Any]] = []
    position = 0
    for name in draw(st.lists(st.text(max_size=5), max_size=6, unique=True)):
        dtype = draw(st.sampled_from(sorted(BITS)))
        shape = draw(st.lists(st.integers(0, 5), max_size=3))
        bits = prod(shape) * BITS[dtype]
        if bits % 8 == 0 and name != "__metadata__":
            items.append((name, tensor(dtype, shape, position, position + bits // 8)))
            position += bits // 8
    if draw(st.booleans()):
        values = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)
        items.append(("__metadata__", draw(values)))
    ordered = dict(draw(st.permutations(items)))
    text = json.dumps(ordered, ensure_ascii=draw(st.booleans()))
    return file_of(text.encode() + b" " * draw(st.integers(0, 3)), position)


@QUICK
@given(good_files())
def test_a_well_formed_file_is_read_as_the_reference_reads_it(data: bytes) -> None:
    found = ours(data)

    expected = {name: (item["dtype"], item["shape"], len(item["data"]))
                for name, item in reference(data)}  # fmt: skip
    assert expected == {
        item.name: (item.dtype, list(item.shape), item.size_bytes) for item in found
    }
    assert [item.start for item in found] == sorted(item.start for item in found)


@QUICK
@given(good_files(), st.data())
def test_what_ours_accepts_the_reference_accepts(
    data: bytes, draw: st.DataObject
) -> None:
    mutable = bytearray(data)
    for _ in range(draw.draw(st.integers(0, 2))):
        place = draw.draw(st.integers(0, len(mutable) - 1))
        mutable[place : place + draw.draw(st.integers(0, 2))] = draw.draw(
            st.binary(max_size=2)
            | st.sampled_from(
                [b"0", b"9", b"-", b"null", b'"a"', b"\\ud800", b"{", b"["]
            )
        )
    mutated = bytes(mutable)

    try:
        ours(mutated)
    except ValueError:
        event("refused")
        return
    event("accepted")
    reference(mutated)


ONE_BYTE = tensor("U8", [1], 0, 1)
REFUSED = {
    "metadata is no map": {"__metadata__": 5, "a": ONE_BYTE},
    "metadata of numbers": {"__metadata__": {"a": 5}, "a": ONE_BYTE},
    "an unknown dtype": {"a": tensor("U9", [1], 0, 1)},
    "a gap": {"a": tensor("U8", [1], 0, 1), "b": tensor("U8", [1], 2, 3)},
    "an overlap": {"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [1], 1, 2)},
    "a size that the shape denies": {"a": tensor("U16", [1], 0, 1)},
    "an end before the start": {"a": tensor("U8", [1], 1, 0)},
    "half a byte": {"a": tensor("F4", [1], 0, 1)},
    "absurd dimensions beside a zero": {"a": tensor("U8", [2**40, 2**40, 0], 0, 0)},
    "an absurd dimension": {"a": tensor("U8", [2**70, 0], 0, 0)},
    "a fraction": {"a": {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]}},
    "a truth value": {"a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}},
    "a missing field": {"a": {"dtype": "U8", "shape": [1]}},
    "a field too many": {"a": {**ONE_BYTE, "x": 1}},
    "three offsets": {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 1]}},
    "no list": {"a": {"dtype": "U8", "shape": "1", "data_offsets": [0, 1]}},
    "a tensor that is none": {"a": [1]},
    "bytes that no tensor has": {},
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_header_is_refused_for(why: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ours(file_of(json.dumps(REFUSED[why]).encode(), 1))


TEXT = json.dumps({"a": ONE_BYTE})


@pytest.mark.parametrize(
    "header",
    [
        TEXT.encode("utf-16-le"),
        TEXT.encode().replace(b"a", b"\xff", 1),
        TEXT.encode().replace(b'"a"', b'"\\ud800"', 1),
        TEXT.encode().replace(b"[1]", b"[-0]", 1).replace(b"0, 1", b"0, 0"),
        TEXT.encode().replace(b"}", b', "dtype": "U8"}', 1),
        TEXT.encode().replace(b'{"a"', b'{"a": 1, "a"', 1),
        b" " + TEXT.encode(),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        TEXT.encode() + b"x",
        b"null",
    ],
)
def test_a_header_that_is_no_clean_json_object_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ours(file_of(header, 1))


@pytest.mark.parametrize("size", [0, 1, MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_a_header_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        parse_header_size(size.to_bytes(8, "little"), 2**62)


@pytest.mark.parametrize("dimensions", [b"9" * 4000, b"9" * 20, b"2"])
def test_a_shape_whose_product_would_take_hours_is_refused_at_once(
    dimensions: bytes,
) -> None:
    shape = b",".join([dimensions] * (MAX_HEADER_BYTES // 2 // len(dimensions)))
    header = b'{"a":{"dtype":"U8","shape":[%b],"data_offsets":[0,1]}}' % shape
    began_s = process_time()

    with pytest.raises(ValueError, match=r"."):
        ours(file_of(header, 1))

    assert process_time() - began_s < 5


def test_a_file_shorter_than_its_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        parse_header_size(b"1234567", 7)


def test_the_reference_refuses_what_ours_refuses_for_surrogates() -> None:
    data = file_of(TEXT.encode().replace(b'"a"', b'"\\ud800"', 1), 1)

    with pytest.raises(SafetensorError):
        reference(data)
