# SPDX-License-Identifier: Apache-2.0
"""Tensors out of safetensors files: all of a file, one, or a slice; needs torch.

Only the bytes that are asked for are moved, and each of them has been authenticated
by the server before it comes.
"""

import ctypes
import itertools
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from math import prod
from types import TracebackType
from typing import Final, Protocol, Self

import torch

from strongroom._transfer.remote_file import StrongroomFile
from strongroom.client.tensor_spans import (
    TensorSpan,
    neighbours_of,
    read_tensor_spans,
)
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import parse_uri

#: The file meant where a URI names only a version.
DEFAULT_PATH: Final = "model.safetensors"
#: What says where tensors are if they are in several files.
INDEX_PATH: Final = "model.safetensors.index.json"
#: An index of a million tensors is smaller.
_MAX_INDEX_BYTES: Final = 256 << 20
#: Gaps up to this size are read over: a call of its own would cost more.
_SKIPPED_BYTES: Final = 1 << 20
#: Two of these, locked in memory, feed a device.
_STAGED_BYTES: Final = 32 << 20

DTYPES: Final = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F64": torch.float64,
    "C64": torch.complex64,
}

#: Where stretches of bytes are: offset and length of each.
_Runs = list[tuple[int, int]]
#: What stands in the brackets of `tensor[…]`: numbers, and slices without a step.
Index = tuple[int | slice, ...]
_Open = Callable[[str], StrongroomFile]


class _Destination(Protocol):
    """Where bytes of tensors go."""

    def read(self, file: StrongroomFile, runs: _Runs, size_bytes: int) -> torch.Tensor:
        """Return the bytes of all runs, one after another, as one flat tensor."""
        ...


class _Memory:
    """The memory of the processor."""

    def read(self, file: StrongroomFile, runs: _Runs, size_bytes: int) -> torch.Tensor:
        # Its pages are touched once, by what is read: nothing clears them before.
        target = torch.empty(size_bytes, dtype=torch.uint8, device="cpu")
        position = 0
        with _bytes_of(target, size_bytes) as view:
            for offset, length in runs:
                file.seek(offset)
                file.readinto(view[position : position + length])
                position += length
        return target


def _bytes_of(tensor: torch.Tensor, count: int) -> memoryview:
    """Return the first bytes of a tensor's memory, good for as long as it is."""
    return memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())).cast("B")


class _Device:
    """A GPU's memory, by two locked buffers: one is filled while one is copied."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._buffers = [
            torch.empty(_STAGED_BYTES, dtype=torch.uint8, pin_memory=True)
            for _ in range(2)
        ]
        self._copied = [torch.cuda.Event() for _ in self._buffers]
        self._turns = itertools.cycle(range(len(self._buffers)))

    def read(self, file: StrongroomFile, runs: _Runs, size_bytes: int) -> torch.Tensor:
        target = torch.empty(size_bytes, dtype=torch.uint8, device=self._device)
        # The memory may be in use by what was queued before it was free.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        position = 0
        for offset, length in runs:
            file.seek(offset)
            for start in range(0, length, _STAGED_BYTES):
                count = min(_STAGED_BYTES, length - start)
                self._copy(file, target[position : position + count])
                position += count
        target.record_stream(self._stream)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return target

    def _copy(self, file: StrongroomFile, target: torch.Tensor) -> None:
        turn = next(self._turns)
        buffer, copied = self._buffers[turn], self._copied[turn]
        copied.synchronize()  # or what is still on its way would be overwritten
        count = target.numel()
        with _bytes_of(buffer, count) as view:
            file.readinto(view)
        with torch.cuda.stream(self._stream):
            target.copy_(buffer[:count], non_blocking=True)
            copied.record(self._stream)


class TensorFile:
    """A safetensors file whose tensors are read one by one; a context manager.

    Not safe for several threads at once; open it once for each.
    """

    def __init__(
        self, file: StrongroomFile, *, device: "str | torch.device" = "cpu"
    ) -> None:
        """Read the header.

        Args:
            file: At its start; closed with the reader.
            device: Where the tensors go.

        Raises:
            IntegrityError: It is no safetensors file (RECORD_CORRUPT).
        """
        self.file = file
        self._device = torch.device(device)
        self._destination: _Destination = (
            _Device(self._device) if self._device.type == "cuda" else _Memory()
        )
        #: Each tensor's type, shape and place, by name, in the order of their bytes.
        self.spans = {span.name: span for span in read_tensor_spans(file, file.size)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()

    def read(self, name: str, index: Index = ()) -> torch.Tensor:
        """Return a tensor, or what `tensor[index]` would be of it.

        Args:
            name: The tensor's name.
            index: Numbers and slices without a step, one for each leading dimension;
                gaps of at most 1 MiB between what is wanted are read over.

        Raises:
            IndexError: A number is outside of its dimension, or there are too many.
            IntegrityError: Stored bytes are damaged.
            KeyError: The file has no such tensor.
            ValueError: A slice has a step; or the index is no tuple of numbers and
                slices (InvalidArgumentError).
        """
        _check_index(index)
        span = self.spans.get(name)
        if span is None:
            message = f"{self.file.name} has no tensor {name!r}"
            raise KeyError(message)
        ranges = _ranges(span.shape, index)
        kept = [stop - start for start, stop in ranges]
        depth = _depth(span, ranges)
        found = [*kept[: depth + 1], *span.shape[depth + 1 :]]
        tensor = self._read(span, _runs(span, ranges, depth), found)
        for dimension in range(depth + 1, len(ranges)):
            tensor = tensor.narrow(dimension, ranges[dimension][0], kept[dimension])
        singles = [number for number, item in enumerate(index) if isinstance(item, int)]
        for dimension in reversed(singles):
            tensor = tensor.squeeze(dimension)
        return tensor

    def expect(self, names: Collection[str] | None) -> Iterator[str]:
        """Yield the names of tensors to be read, which are fetched ahead.

        Args:
            names: Those to be read; all if None. Others are left out.
        """
        for neighbours in neighbours_of(self.spans.values(), names):
            self.file.expect(neighbours[-1].offset_bytes + neighbours[-1].size_bytes)
            yield from (span.name for span in neighbours)

    def _read(self, span: TensorSpan, runs: _Runs, shape: list[int]) -> torch.Tensor:
        dtype = DTYPES[span.dtype]
        size_bytes = sum(length for _, length in runs)
        if not size_bytes:
            # Nothing to read, and torch refuses empty buffers.
            return torch.empty(shape, dtype=dtype, device=self._device)
        flat = self._destination.read(self.file, runs, size_bytes)
        tensor: torch.Tensor = flat.view(dtype).reshape(shape)
        return tensor if self._device == tensor.device else tensor.to(self._device)


def iter_tensors(
    open_file: _Open,
    uri: str,
    names: Collection[str] | None,
    device: "str | torch.device",
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors of a model in the order of their bytes, file by file.

    Args:
        open_file: Opens what a URI names.
        uri: A file, or a version or directory that has `model.safetensors`, or
            several files and their index.
        names: Only these; the bytes of others are not moved.
        device: Where they go.

    Raises:
        IntegrityError: Stored bytes are damaged, or it is no safetensors file.
        KeyError: `names` has one that the model does not have.
        NotFoundError: There is no such artifact, version or path.
    """
    left = None if names is None else set(names)
    for file in _files(open_file, uri):
        with TensorFile(file, device=device) as tensors:
            for name in tensors.expect(left):
                yield name, tensors.read(name)
            if left is not None:
                left -= set(tensors.spans)
                if not left:
                    return
    if left:
        message = f"{uri} has no tensor {min(left)!r}"
        raise KeyError(message)


def read_tensor(
    open_file: _Open,
    uri: str,
    name: str,
    index: Index,
    device: "str | torch.device",
) -> torch.Tensor:
    """Return one tensor, or a slice of it; arguments and errors as `iter_tensors`."""
    for file in _files(open_file, uri):
        with TensorFile(file, device=device) as tensors:
            if name in tensors.spans:
                return tensors.read(name, index)
    message = f"{uri} has no tensor {name!r}"
    raise KeyError(message)


def _files(open_file: _Open, uri: str) -> Iterator[StrongroomFile]:
    """Open the files of a model, one after the other."""
    parsed = parse_uri(uri)
    if parsed.path and not parsed.path.endswith("/"):
        yield open_file(str(parsed))
        return
    try:
        single = open_file(str(replace(parsed, path=parsed.path + DEFAULT_PATH)))
    except NotFoundError as error:
        if error.reason is not Reason.PATH_NOT_FOUND:
            raise
        try:
            index = open_file(str(replace(parsed, path=parsed.path + INDEX_PATH)))
        except NotFoundError:
            raise error from None  # it says best what was looked for
    else:
        yield single
        return
    with index:
        shards = _shards(index)
        # Of the version that the index is of, even if the ref moves meanwhile.
        pinned = replace(parsed, selector=str(index.version.number))
    for shard in shards:
        yield open_file(str(replace(pinned, path=parsed.path + shard)))


def _shards(index: StrongroomFile) -> list[str]:
    try:
        # What is longer is cut off, and parses no more.
        text = index.read(_MAX_INDEX_BYTES)
        shards = set(json.loads(text)["weight_map"].values())
        return sorted(str(shard) for shard in shards)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        message = f"{index.name} is no index of safetensors files"
        raise IntegrityError(
            message,
            reason=Reason.RECORD_CORRUPT,
            hint="Push the model again as it was saved.",
            path=index.file.path,
        ) from error


def _check_index(index: object) -> None:
    for item in index if isinstance(index, tuple) else [None]:
        if not isinstance(item, int | slice):
            message = f"{index!r} is no tuple of numbers and slices"
            raise InvalidArgumentError(message, hint="Give such as (slice(0, 3), 1).")


def _ranges(shape: tuple[int, ...], index: Index) -> list[tuple[int, int]]:
    """Return start and stop in each dimension."""
    if len(index) > len(shape):
        message = f"{len(index)} indices for {len(shape)} dimensions"
        raise IndexError(message)
    ranges: list[tuple[int, int]] = []
    for size, item in itertools.zip_longest(shape, index, fillvalue=slice(None)):
        length = int(size) if not isinstance(size, slice) else 0
        if isinstance(item, slice):
            start, stop, step = item.indices(length)
            if step != 1:
                message = f"a slice has the step {step}; only 1 is read"
                raise ValueError(message)
            ranges.append((start, max(start, stop)))
        else:
            number = item + length if item < 0 else item
            if not 0 <= number < length:
                message = f"index {item} is outside of a dimension of {length}"
                raise IndexError(message)
            ranges.append((number, number + 1))
    return ranges


def _depth(span: TensorSpan, ranges: list[tuple[int, int]]) -> int:
    """Return the innermost dimension that is worth single reads.

    Below it, everything is wanted, or what is not is small enough to be read over.
    """
    block_bytes = span.size_bytes
    for depth, size in enumerate(span.shape):
        inner = zip(ranges[depth + 1 :], span.shape[depth + 1 :], strict=True)
        whole = all(range_ == (0, length) for range_, length in inner)
        block_bytes //= max(1, size)
        if whole or block_bytes <= _SKIPPED_BYTES:
            return depth
    return 0


def _runs(span: TensorSpan, ranges: list[tuple[int, int]], depth: int) -> _Runs:
    """Return where what is wanted lies, in the order of its bytes."""
    if not span.shape:
        return [(span.offset_bytes, span.size_bytes)]
    if not span.size_bytes:
        return []
    item_bytes = span.size_bytes // prod(span.shape)
    strides = [
        item_bytes * prod(span.shape[dimension + 1 :]) for dimension in range(depth + 1)
    ]
    start, stop = ranges[depth]
    length = (stop - start) * strides[depth]
    runs = []
    for place in itertools.product(*(range(*ranges[outer]) for outer in range(depth))):
        outside = sum(at * stride for at, stride in zip(place, strides, strict=False))
        offset = span.offset_bytes + outside + start * strides[depth]
        runs.append((offset, length))
    return [run for run in runs if run[1]]
