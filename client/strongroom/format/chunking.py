# SPDX-License-Identifier: Apache-2.0
"""Where chunks end: at tensor boundaries in safetensors files, else every 16 MiB.

An unchanged tensor keeps its chunks wherever it moves in the file, because big
tensors are cut from their own start and small neighbours are joined.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from strongroom.format.safetensors import (
    MAX_HEADER_BYTES,
    PREFIX_BYTES,
    TensorInfo,
    parse_header_size,
    parse_tensors,
)

CHUNK_BYTES: Final = 16 * 1024 * 1024
#: Neighbouring tensors smaller than this share a chunk.
JOIN_BYTES: Final = 1024 * 1024
SUFFIX: Final = ".safetensors"


class Cutter:
    """Says where the next chunk of one file ends, as its bytes come in.

    The answer depends on the file's bytes and size only, never on how they are
    sliced on the way.
    """

    def __init__(self, path: str, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._ends: Iterator[int] | None = None
        self._header_bytes = 0
        if not path.endswith(SUFFIX) or size_bytes <= PREFIX_BYTES:
            self._ends = _fixed_ends(0, size_bytes)

    def next_end(self, first_bytes: bytes | bytearray | memoryview) -> int | None:
        """Return where the next chunk ends, or None while too little is known.

        Args:
            first_bytes: Until the first answer: the file's bytes so far, from its
                start. Ignored after it.

        Returns:
            An offset in the file; each one greater than the one before, the last
            one the file's size. None asks for more of the file.
        """
        if self._ends is None:
            self._ends = self._plan(first_bytes)
        return None if self._ends is None else next(self._ends)

    def _plan(
        self, first_bytes: bytes | bytearray | memoryview
    ) -> Iterator[int] | None:
        known = len(first_bytes)
        try:
            if known < PREFIX_BYTES:
                return None
            if not self._header_bytes:
                self._header_bytes = parse_header_size(
                    bytes(first_bytes[:PREFIX_BYTES]), self._size_bytes
                )
            if known < self._header_bytes:
                return None
            header = bytes(first_bytes[: self._header_bytes])
            tensors = parse_tensors(header, self._size_bytes)
        except ValueError:
            # Not a safetensors file after all; it is stored like any other.
            return _fixed_ends(0, self._size_bytes)
        return iter(tensor_ends(self._header_bytes, tensors))


#: `Cutter` may ask for this much of a file before it gives its first answer.
MAX_LOOK_AHEAD_BYTES: Final = PREFIX_BYTES + MAX_HEADER_BYTES


def tensor_ends(header_bytes: int, tensors: Sequence[TensorInfo]) -> list[int]:
    """Return where the chunks of a safetensors file end, in order."""
    ends = [header_bytes]
    joined = 0
    for tensor in tensors:
        if tensor.size_bytes >= JOIN_BYTES:
            if joined:
                ends.append(tensor.start)
            ends.extend(_fixed_ends(tensor.start, tensor.end))
            joined = 0
            continue
        joined += tensor.size_bytes
        if joined >= JOIN_BYTES:
            ends.append(tensor.end)
            joined = 0
    if joined:
        ends.append(tensors[-1].end)
    return ends


def _fixed_ends(start: int, end: int) -> Iterator[int]:
    yield from range(start + CHUNK_BYTES, end, CHUNK_BYTES)
    if end > start:
        yield end
