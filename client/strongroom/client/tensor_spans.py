# SPDX-License-Identifier: Apache-2.0
"""Where the tensors of a safetensors file lie; knows no framework.

Source:
    github.com/huggingface/safetensors, section "Format".
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Final, Protocol

from strongroom.errors import IntegrityError, Reason

_LENGTH_BYTES: Final = 8
#: The reference implementation's own bound.
_MAX_HEADER_BYTES: Final = 100_000_000
#: No file is larger, and no tensor of any framework has more dimensions.
_MAX_SIZE: Final = (1 << 63) - 1
_MAX_DIMENSIONS: Final = 64
_NOT_A_HEADER: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)
#: Bits, because newer types have fewer than 8.
DTYPE_BITS: Final = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}


@dataclass(frozen=True, slots=True)
class TensorSpan:
    """One tensor: its type, its shape, and where its bytes are in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset_bytes: int
    size_bytes: int


class Readable(Protocol):
    """Whatever bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        ...


def neighbours_of(
    spans: Iterable[TensorSpan], names: Collection[str] | None
) -> Iterator[list[TensorSpan]]:
    """Yield the spans of such names, those together that lie side by side."""
    found: list[TensorSpan] = []
    for span in spans:
        if names is not None and span.name not in names:
            continue
        if found and found[-1].offset_bytes + found[-1].size_bytes != span.offset_bytes:
            yield found
            found = []
        found.append(span)
    if found:
        yield found


def read_tensor_spans(file: Readable, size_bytes: int) -> tuple[TensorSpan, ...]:
    """Read the header, and return the tensors in order of their bytes.

    Args:
        file: At its start.
        size_bytes: The size of the whole file.

    Raises:
        IntegrityError: It is no safetensors file, or tensors overlap, leave gaps,
            or reach past the end (RECORD_CORRUPT).
    """
    header_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    start = _LENGTH_BYTES + header_bytes
    if not 0 < header_bytes <= _MAX_HEADER_BYTES or start > size_bytes:
        raise _malformed(f"a header of {header_bytes} bytes")
    try:
        header = json.loads(file.read(header_bytes))
        spans = sorted(
            (
                _parse(name, entry, start)
                for name, entry in header.items()
                if name != "__metadata__"
            ),
            key=lambda span: (span.offset_bytes, span.size_bytes),
        )
    except _NOT_A_HEADER as error:
        raise _malformed("a header that does not parse") from error
    ends = [start, *(span.offset_bytes + span.size_bytes for span in spans)]
    starts = [*(span.offset_bytes for span in spans), size_bytes]
    if ends != starts:
        raise _malformed("tensors that overlap, leave gaps or pass the end")
    return tuple(spans)


def _parse(name: str, entry: dict[str, object], start: int) -> TensorSpan:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _malformed(f"the type {dtype!r}")
    if not isinstance(shape, list) or not isinstance(offsets, list):
        raise _malformed(f"no shape or offsets of {name!r}")
    sizes = [*shape, *offsets]
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise _malformed(f"odd numbers at {name!r}")
    begin, end = offsets
    # Before they are multiplied: a header of 100 MB can hold numbers whose product
    # takes hours.
    if len(shape) > _MAX_DIMENSIONS or any(size > _MAX_SIZE for size in sizes):
        raise _malformed(f"a size of {name!r} that no file has")
    if (end - begin) * 8 != prod(shape) * DTYPE_BITS[dtype]:
        raise _malformed(f"{end - begin} bytes for {name!r}, which its shape denies")
    return TensorSpan(name, dtype, tuple(shape), start + begin, end - begin)


def _malformed(problem: str) -> IntegrityError:
    message = f"not a safetensors file: it has {problem}"
    return IntegrityError(
        message,
        reason=Reason.RECORD_CORRUPT,
        hint="Push the file again as safetensors wrote it.",
    )
