# SPDX-License-Identifier: Apache-2.0
"""Headers of safetensors files: read strictly, refused otherwise."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from strongroom.client.tensor_spans import (
    TensorSpan,
    neighbours_of,
    read_tensor_spans,
)
from strongroom.errors import IntegrityError, Reason


def read(content: bytes) -> tuple[str, ...]:
    spans = read_tensor_spans(io.BytesIO(content), len(content))
    return tuple(span.name for span in spans)


def with_header(header: Any, body: bytes = b"") -> bytes:  # noqa: ANN401 - any JSON
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def entry(
    begin: int,
    end: int,
    *,
    dtype: object = "U8",
    shape: object = None,
) -> dict[str, Any]:
    size = [end - begin] if shape is None else shape
    return {"dtype": dtype, "shape": size, "data_offsets": [begin, end]}


def test_what_safetensors_writes_is_read() -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3),
        "i": np.arange(4, dtype=np.int64),
        "empty": np.zeros((0, 3), np.float16),
        "scalar": np.array(1.5, np.float64),
    }
    content = save(arrays, {"format": "pt"})

    spans = read_tensor_spans(io.BytesIO(content), len(content))

    found = {span.name: span for span in spans}
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        span = found[name]
        assert span.shape == array.shape
        assert span.size_bytes == array.nbytes
        data = content[span.offset_bytes : span.offset_bytes + span.size_bytes]
        assert data == array.tobytes()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (None, [["a", "b", "c"], ["d"]]),
        ({"a", "c", "d"}, [["a"], ["c"], ["d"]]),
        ({"d", "c", "b"}, [["b", "c"], ["d"]]),
        (set[str](), []),
    ],
)
def test_what_lies_side_by_side_is_read_together(
    names: set[str] | None, found: list[list[str]]
) -> None:
    places = {"a": (8, 4), "b": (12, 1), "c": (13, 5), "d": (20, 1)}
    spans = [
        TensorSpan(name, "U8", (size,), offset, size)
        for name, (offset, size) in places.items()
    ]

    together = neighbours_of(spans, names)

    assert [[span.name for span in group] for group in together] == found


def test_tensors_come_in_order_of_their_bytes() -> None:
    assert read(with_header({"b": entry(0, 2), "a": entry(2, 3)}, b"123")) == ("b", "a")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        (0).to_bytes(8, "little"),
        (1 << 40).to_bytes(8, "little") + b"{}",
        with_header(b"{"),
        with_header(b"\xff\xfe"),
        with_header([1]),
        with_header({"a": 1}),
        with_header({"a": {"dtype": "U8"}}),
        with_header({"a": entry(0, 1, dtype="X9")}, b"1"),
        with_header({"a": entry(0, 1, dtype=["U8"])}, b"1"),
        with_header({"a": entry(0, 1, shape="1")}, b"1"),
        with_header({"a": entry(0, 1, shape=[-1])}, b"1"),
        with_header({"a": entry(0, 1, shape=[True])}, b"1"),
        with_header({"a": entry(0, 1, shape=[1.0])}, b"1"),
        with_header({"a": entry(0, 1, shape=[2])}, b"1"),
        with_header({"a": {**entry(0, 1), "data_offsets": [0]}}, b"1"),
        with_header(b'{"a": ' + b"[" * 100_000),
        # Multiplied, these would keep a processor busy for hours.
        with_header({"a": entry(0, 1, shape=[10**4000] * 20)}, b"1"),
        with_header({"a": entry(0, 1, shape=[2**63])}, b"1"),
        with_header({"a": entry(0, 1, shape=[1] * 65)}, b"1"),
        with_header({"a": {**entry(0, 1), "data_offsets": [1, 0]}}, b"1"),
        with_header({"a": entry(0, 2)}, b"1"),
        with_header({"a": entry(0, 1)}, b"12"),
        with_header({"a": entry(0, 2), "b": entry(1, 3)}, b"123"),
        with_header({"a": entry(0, 1), "b": entry(2, 3)}, b"123"),
    ],
)
def test_what_is_not_safetensors_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        read(content)

    assert caught.value.reason is Reason.RECORD_CORRUPT


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        read(content)
    except IntegrityError:
        return
    assert len(content) > 8
