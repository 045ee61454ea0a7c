# SPDX-License-Identifier: Apache-2.0
"""Tensors laid out as a safetensors file, and copied to their places.

Takes torch's tensors, numpy's arrays and plain buffers; imports neither library.

Source:
    github.com/huggingface/safetensors, section "Format".
"""

import ctypes
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.client.tensor_spans import DTYPE_BITS
from strongroom.errors import InvalidArgumentError

#: The header's length stands before it; the first tensor starts at such a place.
_LENGTH_BYTES: Final = 8
_ALIGN_BYTES: Final = 64
#: What it says in the place of tensors; so many readers take files of torch's only.
_METADATA: Final = "__metadata__"
_TORCH_METADATA: Final = {"format": "pt"}

#: Element types as numpy spells them, and formats of buffers.
_NUMPY: Final = {
    "|b1": "BOOL", "|u1": "U8", "|i1": "I8", "<i2": "I16", "<u2": "U16", "<f2": "F16",
    "<i4": "I32", "<u4": "U32", "<f4": "F32", "<i8": "I64", "<u8": "U64",
    "<f8": "F64", "<c8": "C64",
}  # fmt: skip
_FORMATS: Final = {
    "?": "BOOL", "B": "U8", "b": "I8", "c": "U8", "h": "I16", "H": "U16", "e": "F16",
    "i": "I32", "I": "U32", "f": "F32", "q": "I64", "Q": "U64", "l": "I64",
    "L": "U64", "d": "F64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Item:
    """One tensor: its type and shape, and what copies its bytes to a buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    copy: Callable[[memoryview], None]


class TensorLayout:
    """Where each tensor lies in a file of so many bytes.

    Args:
        tensors: Tensors by name.

    Raises:
        InvalidArgumentError: One is no tensor, or of a type that safetensors does not
            have (ARGUMENT_INVALID).
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        _check_mapping(tensors)
        items = [_item_of(name, tensor) for name, tensor in tensors.items()]
        # As the reference does, so that every tensor is aligned to its elements.
        items.sort(key=lambda item: (-DTYPE_BITS[item.dtype], item.name))
        self._items = items
        self._header = _header_of(items, is_torch=any(map(_is_torch, tensors.values())))
        #: The size of the file.
        self.size_bytes = len(self._header) + sum(item.size_bytes for item in items)

    def write(self, buffer: memoryview) -> None:
        """Fill a buffer of `size_bytes` with the file."""
        position = len(self._header)
        buffer[:position] = self._header
        for item in self._items:
            end = position + item.size_bytes
            if item.size_bytes:
                item.copy(buffer[position:end])
            position = end


def _check_mapping(tensors: object) -> None:
    if not isinstance(tensors, Mapping):
        message = f"{type(tensors).__name__} is no mapping of names to tensors"
        raise InvalidArgumentError(message, hint="Give model.state_dict().")


def _header_of(items: list[_Item], *, is_torch: bool) -> bytes:
    header: dict[str, object] = {_METADATA: _TORCH_METADATA} if is_torch else {}
    position = 0
    for item in items:
        end = position + item.size_bytes
        header[item.name] = {
            "dtype": item.dtype,
            "shape": item.shape,
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(_LENGTH_BYTES + len(text)) % _ALIGN_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _item_of(name: object, tensor: Any) -> _Item:  # noqa: ANN401 - of whatever library
    if not isinstance(name, str) or name == _METADATA:
        message = f"{name!r} is no name of a tensor"
        raise InvalidArgumentError(message)
    if _is_torch(tensor):
        return _torch_item(name, tensor)
    if hasattr(tensor, "__array_interface__"):
        return _numpy_item(name, tensor)
    return _buffer_item(name, tensor)


def _is_torch(tensor: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(tensor, torch.Tensor)


def _torch_item(name: str, tensor: Any) -> _Item:  # noqa: ANN401 - a torch.Tensor
    import torch  # noqa: PLC0415 - an extra

    from strongroom.client.tensors import DTYPES  # noqa: PLC0415 - an extra

    found = next((name for name, dtype in DTYPES.items() if dtype == tensor.dtype), "")
    if not found or tensor.layout != torch.strided:
        raise _unknown(name, f"{tensor.dtype}, {tensor.layout}")

    size_bytes = tensor.numel() * tensor.element_size()
    # Of others, what is in memory need not be what they are worth.
    is_plain = (
        type(tensor) in {torch.Tensor, torch.nn.Parameter}
        and tensor.device.type == "cpu"
        and tensor.is_contiguous()
        and not (tensor.is_conj() or tensor.is_neg())
    )

    def copy(buffer: memoryview) -> None:
        if is_plain:
            # One thread: torch's would wait for each other at every tensor.
            place = (ctypes.c_char * size_bytes).from_buffer(buffer)
            ctypes.memmove(place, tensor.data_ptr(), size_bytes)
            return
        target = torch.frombuffer(buffer, dtype=tensor.dtype).view(tensor.shape)
        target.copy_(tensor.detach())

    return _Item(name, found, tuple(tensor.shape), size_bytes, copy)


def _numpy_item(name: str, array: Any) -> _Item:  # noqa: ANN401 - a numpy.ndarray
    import numpy as np  # noqa: PLC0415 - an extra

    source = np.asarray(array)
    found = _NUMPY.get(source.dtype.str)
    if found is None:
        raise _unknown(name, source.dtype.str)

    def copy(buffer: memoryview) -> None:
        target = np.frombuffer(buffer, dtype=source.dtype).reshape(source.shape)
        np.copyto(target, source)

    return _Item(name, found, source.shape, source.nbytes, copy)


def _buffer_item(name: str, buffer: Any) -> _Item:  # noqa: ANN401 - a buffer
    try:
        view = memoryview(buffer)
    except TypeError:
        raise _unknown(name, type(buffer).__name__) from None
    found = _FORMATS.get(view.format.lstrip("@"))
    if found is None or DTYPE_BITS[found] != 8 * view.itemsize or not view.c_contiguous:
        raise _unknown(name, f"a buffer of {view.format!r}")

    def copy(target: memoryview) -> None:
        target[:] = view.cast("B")

    return _Item(name, found, view.shape or (), view.nbytes, copy)


def _unknown(name: str, kind: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"tensor {name!r} is of a kind that safetensors does not have: {kind}",
        hint="Give torch's tensors, numpy's arrays, or buffers of numbers.",
        tensor=name,
    )
