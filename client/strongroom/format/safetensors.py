# SPDX-License-Identifier: Apache-2.0
"""Safetensors headers: where each tensor of a file lies.

Stricter than the reference parser, which lets duplicate keys and odd names pass.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

#: The length of the header's length.
PREFIX_BYTES: Final = 8
#: Headers of the largest published models are below 20 MiB; ours must fit a chunk.
MAX_HEADER_BYTES: Final = 15 * 1024 * 1024
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64,
    "U64": 64,
}  # fmt: skip
_FIELDS: Final = {"dtype", "shape", "data_offsets"}
#: Sizes in bits stay below 2**64, where the reference parser stops counting.
_MAX_ELEMENTS: Final = 2**57
#: Longer numbers are no sizes, and multiplying many of them would take hours.
_MAX_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: name, element type, shape, and its bytes' place in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """How many bytes the tensor has."""
        return self.end - self.start


def parse_header_size(prefix: bytes, file_bytes: int) -> int:
    """Return how long prefix and header are together, in bytes.

    Raises:
        ValueError: The first 8 bytes do not start a safetensors file of this size.
    """
    if len(prefix) < PREFIX_BYTES:
        message = "the file is too short"
        raise ValueError(message)
    size = int.from_bytes(prefix[:PREFIX_BYTES], "little")
    if not 2 <= size <= MAX_HEADER_BYTES or PREFIX_BYTES + size > file_bytes:  # noqa: PLR2004 -- "{}"
        message = f"a header of {size} bytes does not fit"
        raise ValueError(message)
    return PREFIX_BYTES + size


def parse_tensors(header: bytes, file_bytes: int) -> tuple[TensorInfo, ...]:
    """Return a file's tensors in the order of their bytes.

    Args:
        header: The file's first `parse_header_size` bytes.
        file_bytes: The file's size.

    Raises:
        ValueError: The header is malformed, or its tensors do not tile the file.
    """
    text = header[PREFIX_BYTES:]
    if not text.startswith(b"{"):
        message = "the header is no JSON object"
        raise ValueError(message)
    try:
        # Decoded first, since `json` would guess UTF-16 where the bytes look so.
        items = json.loads(
            text.decode(), object_pairs_hook=_unique, parse_int=_parse_natural
        )
    except RecursionError as error:
        message = "the header is nested too deeply"
        raise ValueError(message) from error
    _check_metadata(items.pop("__metadata__", {}))
    tensors = [_parse_tensor(name, item, len(header)) for name, item in items.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    position = len(header)
    for tensor in tensors:
        if tensor.start != position:
            message = f"tensor {tensor.name[:100]!r} leaves a gap or overlaps"
            raise ValueError(message)
        position = tensor.end
    if position != file_bytes:
        message = "the tensors do not end where the file ends"
        raise ValueError(message)
    return tuple(tensors)


def _parse_tensor(name: str, item: object, base: int) -> TensorInfo:
    name.encode()  # JSON can spell surrogates, which are no text
    if not isinstance(item, dict) or set(item) != _FIELDS:
        message = f"tensor {name[:100]!r} is malformed"
        raise ValueError(message)
    dtype, shape, offsets = item["dtype"], item["shape"], item["data_offsets"]
    lists = isinstance(shape, list) and isinstance(offsets, list)
    if (
        not isinstance(dtype, str)
        or dtype not in _BITS
        or not lists
        or len(offsets) != 2  # noqa: PLR2004 -- begin and end
        or not all(type(number) is int for number in [*shape, *offsets])
    ):
        message = f"tensor {name[:100]!r} is malformed"
        raise ValueError(message)
    start, end = offsets
    if (end - start) * 8 != _count_elements(name, shape) * _BITS[dtype]:
        message = f"tensor {name[:100]!r} has another size than its shape says"
        raise ValueError(message)
    return TensorInfo(name, dtype, tuple(shape), base + start, base + end)


def _count_elements(name: str, shape: Sequence[int]) -> int:
    # Zeros are left out, so that no dimension may be absurd beside one; and checked
    # at each step, so that no product grows beyond what can be a size.
    count = 1
    for size in shape:
        count *= size or 1
        if count > _MAX_ELEMENTS:
            message = f"tensor {name[:100]!r} has too many elements"
            raise ValueError(message)
    return 0 if 0 in shape else count


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        message = "__metadata__ is no map of strings"
        raise ValueError(message)
    for key, value in metadata.items():
        (key + value).encode()


def _parse_natural(text: str) -> int:
    if text.startswith("-") or len(text) > _MAX_DIGITS:
        raise ValueError(text[:100])
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        message = "a key comes twice"
        raise ValueError(message)
    return result
