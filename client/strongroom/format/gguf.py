# SPDX-License-Identifier: Apache-2.0
"""GGUF files (versions 2 and 3, either byte order): where each tensor lies.

A tensor reaches from its offset to the next one's, which takes in the zeros that
align it. So nothing depends on the sizes of quantized types, and tensors of types
that are not invented yet are cut like all others.
"""

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.format.parts import HEADER_LABEL, Cut, ElementKind, Part, cut_parts
from strongroom.format.window import Window

MAGIC: Final = b"GGUF"
#: Headers hold the tokenizer; those of the largest vocabularies are below 14 MiB.
MAX_HEADER_BYTES: Final = 15 * 1024 * 1024
_VERSIONS: Final = {2, 3}
#: Published files have dozens of values and thousands of tensors.
_MAX_VALUES: Final = 10_000
_MAX_TENSORS: Final = 100_000
_MAX_DIMENSIONS: Final = 4
_ALIGNMENT_KEY: Final = b"general.alignment"
_ALIGNMENT_BYTES: Final = 32
_UINT32, _STRING, _ARRAY = 4, 8, 9
#: Of the length of a string.
_LENGTH_BYTES: Final = 8
#: Bytes of a value of each type that has a fixed size.
_VALUE_BYTES: Final = {
    0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8,
}  # fmt: skip
#: The types of tensors that are plain numbers.
_ELEMENTS: Final = {
    0: ElementKind(4, is_float=True),  # F32
    1: ElementKind(2, is_float=True),  # F16
    24: ElementKind(1, is_float=False),  # I8
    25: ElementKind(2, is_float=False),  # I16
    26: ElementKind(4, is_float=False),  # I32
    27: ElementKind(8, is_float=False),  # I64
    28: ElementKind(8, is_float=True),  # F64
    30: ElementKind(2, is_float=True),  # BF16
}


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    offset: int
    element: ElementKind | None


def cut_gguf(window: Window) -> Iterator[Cut | None]:
    """Cut behind the header, then by tensors.

    Raises:
        ValueError: The file is malformed or of another version.
    """
    header = _Header(window)
    yield from header.parse()
    yield Cut(header.end, HEADER_LABEL)
    yield from cut_parts(_tile(header.tensors, header.end, window.size_bytes))


class _Header:
    """Reads a header from front to back, waiting for bytes where it must."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._order = "<"
        self._alignment = _ALIGNMENT_BYTES
        self.end = 0
        self.tensors: list[_Tensor] = []

    def parse(self) -> Iterator[None]:
        self.end = len(MAGIC)
        (version,) = yield from self._take("I")
        if version not in _VERSIONS:
            self._order, self.end = ">", len(MAGIC)
            (version,) = yield from self._take("I")
        tensors, values = yield from self._take("QQ")
        if version not in _VERSIONS or tensors > _MAX_TENSORS or values > _MAX_VALUES:
            raise _malformed(f"version {version}, {tensors} tensors, {values} values")
        for _ in range(values):
            yield from self._value()
        for _ in range(tensors):
            yield from self._tensor()
        self.end += -self.end % self._alignment
        yield from self._reach(self.end)

    def _value(self) -> Iterator[None]:
        key = yield from self._string()
        (kind,) = yield from self._take("I")
        if key == _ALIGNMENT_KEY and kind == _UINT32:
            (self._alignment,) = yield from self._take("I")
            if not 0 < self._alignment <= MAX_HEADER_BYTES:
                raise _malformed(f"an alignment of {self._alignment}")
            return
        count = 1
        if kind == _ARRAY:
            kind, count = yield from self._take("IQ")
        if kind == _STRING:
            yield from self._skip_strings(count)
        elif kind in _VALUE_BYTES:
            yield from self._reach(self.end + count * _VALUE_BYTES[kind])
            self.end += count * _VALUE_BYTES[kind]
        else:
            raise _malformed(f"a value of type {kind}")

    def _skip_strings(self, count: int) -> Iterator[None]:
        while count:
            yield from self._reach(self.end + _LENGTH_BYTES)
            count -= self._skip_strings_here(count)
        yield from self._reach(self.end)

    def _skip_strings_here(self, count: int) -> int:
        # A vocabulary has hundreds of thousands: no step of a generator for each.
        length = struct.Struct(self._order + "Q")
        data, position, left = self._window.data, self.end, count
        last = min(len(data), MAX_HEADER_BYTES) - _LENGTH_BYTES
        while left and position <= last:
            position += _LENGTH_BYTES + length.unpack_from(data, position)[0]
            left -= 1
        self.end = position
        return count - left

    def _tensor(self) -> Iterator[None]:
        name = yield from self._string()
        (dimensions,) = yield from self._take("I")
        if dimensions > _MAX_DIMENSIONS:
            raise _malformed(f"a tensor of {dimensions} dimensions")
        *_, kind, offset = yield from self._take(f"{dimensions}QIQ")
        self.tensors.append(
            _Tensor(name.decode("utf-8", "replace"), offset, _ELEMENTS.get(kind))
        )

    def _string(self) -> Generator[None, None, bytes]:
        (length,) = yield from self._take("Q")
        yield from self._reach(self.end + length)
        start, self.end = self.end, self.end + length
        return self._window.read(start, self.end)

    def _take(self, fields: str) -> Generator[None, None, tuple[int, ...]]:
        layout = struct.Struct(self._order + fields)
        yield from self._reach(self.end + layout.size)
        values = layout.unpack_from(self._window.data, self.end)
        self.end += layout.size
        return values

    def _reach(self, end: int) -> Iterator[None]:
        if end > MAX_HEADER_BYTES:
            raise _malformed("the header is too long")
        yield from self._window.wait(end)


def _tile(tensors: list[_Tensor], start: int, end: int) -> Iterator[Part]:
    """Return the parts from `start` to `end`: each tensor up to the next one."""
    tensors.sort(key=lambda tensor: tensor.offset)
    starts = [start + tensor.offset for tensor in tensors]
    if not starts or starts[-1] > end:
        raise _malformed("the tensors lie outside of the file")
    yield Part("\0gap", start, starts[0])
    for tensor, first, last in zip(tensors, starts, [*starts[1:], end], strict=True):
        yield Part(tensor.name, first, last, tensor.element)


def _malformed(what: str) -> ValueError:
    return ValueError(f"no GGUF header: {what}")
