# SPDX-License-Identifier: Apache-2.0
"""Where chunks end: at tensors and archive members, else every 16 MiB.

An unchanged tensor keeps its chunks wherever it moves in the file, because big
tensors are cut from their own start and small neighbours are joined.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from strongroom.format import gguf, npy, safetensors, zipfiles
from strongroom.format.parts import (
    CHUNK_BYTES,
    HEADER_LABEL,
    JOIN_BYTES,
    Buffer,
    Cut,
    ElementKind,
    Part,
    cut_fixed,
    cut_parts,
)
from strongroom.format.safetensors import TensorInfo
from strongroom.format.window import MAX_WINDOW_BYTES, Window

__all__ = [
    "CHUNK_BYTES",
    "JOIN_BYTES",
    "MAX_LOOK_AHEAD_BYTES",
    "MAX_WINDOW_BYTES",
    "Cut",
    "Cutter",
    "ElementKind",
    "Rest",
    "cut_rest",
    "replay",
    "tensor_ends",
]

SUFFIX: Final = ".safetensors"
#: The longest header that a cutter asks for before it gives its first answer.
MAX_LOOK_AHEAD_BYTES: Final = safetensors.PREFIX_BYTES + safetensors.MAX_HEADER_BYTES
#: So many bytes tell what a file is.
_MAGIC_BYTES: Final = 10
_FORMATS: Final[dict[bytes, Callable[[Window], Iterator[Cut | None]]]] = {
    npy.MAGIC: npy.cut_npy,
    gguf.MAGIC: gguf.cut_gguf,
    zipfiles.MAGIC: zipfiles.cut_zip,
}
_ELEMENTS: Final = {
    **dict.fromkeys(["BOOL", "U8", "I8"], ElementKind(1, is_float=False)),
    **dict.fromkeys(["F8_E5M2", "F8_E4M3"], ElementKind(1, is_float=True)),
    **dict.fromkeys(["I16", "U16"], ElementKind(2, is_float=False)),
    **dict.fromkeys(["F16", "BF16"], ElementKind(2, is_float=True)),
    **dict.fromkeys(["I32", "U32"], ElementKind(4, is_float=False)),
    **dict.fromkeys(["F32", "C64"], ElementKind(4, is_float=True)),
    **dict.fromkeys(["I64", "U64"], ElementKind(8, is_float=False)),
    "F64": ElementKind(8, is_float=True),
}


#: Cuts a window's file from `window.start` to its end; yields None for more bytes.
Rest = Callable[[Window], Iterator[Cut | None]]


def cut_rest(window: Window) -> Iterator[Cut]:
    """Cut what no format tells every 16 MiB."""
    yield from cut_fixed(window.start, window.size_bytes)


class Cutter:
    """Says where the next chunk of one file ends, as its bytes come in.

    The answer depends on the file's bytes and size only, never on how they are
    sliced on the way; of its path, only on whether it ends in `.safetensors`.

    Args:
        path: The file's path.
        size_bytes: Its size.
        rest: Cuts what no format tells.
        by_format: Whether formats are looked at; else all is the rest.
    """

    def __init__(
        self,
        path: str,
        size_bytes: int,
        *,
        rest: Rest = cut_rest,
        by_format: bool = True,
    ) -> None:
        self._window = Window(size_bytes)
        by_suffix = path.endswith(SUFFIX)
        if by_format:
            self._steps = _find_cuts(self._window, rest, by_suffix=by_suffix)
        else:
            self._steps = rest(self._window)
        #: The last answer; before there is one, the file's start.
        self.last_cut = Cut(0, "")

    @property
    def label(self) -> str:
        """What the chunk of the last answer is; see `Cut.label`."""
        return self.last_cut.label

    @property
    def element(self) -> ElementKind | None:
        """What the chunk of the last answer is an array of, if that is known."""
        return self.last_cut.element

    def next_end(self, data: Buffer) -> int | None:
        """Return where the next chunk ends, or None while too little is known.

        Args:
            data: The file's bytes from the last answer on (from its start at first),
                as many as are here. They are not kept.

        Returns:
            An offset in the file; each one greater than the one before, the last
            one the file's size. None asks for more: at most `MAX_WINDOW_BYTES`, and
            never once the rest of the file is here. It may look behind the chunk's
            end. Behind the last answer there is None.
        """
        self._window.start = self.last_cut.end
        if self._window.start == self._window.size_bytes:
            return None
        self._window.data = data
        cut = next(self._steps)
        self._window.data = b""
        if cut is None:
            return None
        self.last_cut = cut
        return cut.end


def replay(
    make: Callable[[], Cutter],
    sizes: Sequence[int],
    read: Callable[[int], bytes | None],
) -> tuple[Cutter, list[Cut]]:
    """Cut a file, or its beginning, once more, of which the chunks are known.

    Used for the labels of a stored file, of which only headers need to be read, and
    to go on with a file of which only the beginning is there.

    Args:
        make: Returns a new cutter of the file.
        sizes: How long the chunks are, in order.
        read: Returns the bytes of the chunk with this position in `sizes`, or None
            if they are not worth it: then the replay ends. It is asked for what the
            cuts depend on only: the header; in an archive what is joined, and the
            data of members whose size is not in their header (`torch.save`).

    Returns:
        The cutter, behind the last chunk that it could tell, and the cuts so far:
        fewer than `sizes` if `read` ended it, if the next one depends on bytes
        behind the last chunk, or if these chunks were cut by another rule.
    """
    cutter = make()
    cuts: list[Cut] = []
    start = 0
    for position, size in enumerate(sizes):
        end = _ask(cutter, position, len(sizes), read)
        if end is None:
            break
        if end != start + size:
            return replay(make, sizes[:position], read)
        cuts.append(cutter.last_cut)
        start = end
    return cutter, cuts


def _ask(
    cutter: Cutter, first: int, count: int, read: Callable[[int], bytes | None]
) -> int | None:
    """Return the cutter's next answer, given no more chunks than it needs."""
    end = cutter.next_end(b"")
    data = bytearray()
    for position in range(first, count):
        if end is not None or len(data) >= MAX_WINDOW_BYTES:
            break
        chunk = read(position)
        if chunk is None:
            break
        data += chunk
        end = cutter.next_end(data)
    return end


def tensor_ends(header_bytes: int, tensors: Sequence[TensorInfo]) -> list[int]:
    """Return where the chunks of a safetensors file end, in order."""
    return [cut.end for cut in _cut_tensors(header_bytes, tensors)]


def _find_cuts(window: Window, rest: Rest, *, by_suffix: bool) -> Iterator[Cut | None]:
    """Yield the file's cuts, and None wherever more bytes are needed."""
    try:
        yield from _cut_by_format(window, by_suffix=by_suffix)
    except ValueError:
        # Not such a file, or only so far; it is stored like any other.
        yield from rest(window)


def _cut_by_format(window: Window, *, by_suffix: bool) -> Iterator[Cut | None]:
    if by_suffix:
        yield from _cut_safetensors(window)
        return
    if window.size_bytes <= JOIN_BYTES:
        message = "a small file is one chunk"
        raise ValueError(message)
    yield from window.wait(_MAGIC_BYTES)
    first = window.read(0, _MAGIC_BYTES)
    for magic, cut_format in _FORMATS.items():
        if first.startswith(magic):
            yield from cut_format(window)
            return
    yield from _cut_safetensors(window)


def _cut_safetensors(window: Window) -> Iterator[Cut | None]:
    yield from window.wait(safetensors.PREFIX_BYTES + 1)
    prefix = window.read(0, safetensors.PREFIX_BYTES + 1)
    header_bytes = safetensors.parse_header_size(prefix, window.size_bytes)
    if not prefix.endswith(b"{"):
        message = "the header is no JSON object"
        raise ValueError(message)
    yield from window.wait(header_bytes)
    header = window.read(0, header_bytes)
    tensors = safetensors.parse_tensors(header, window.size_bytes)
    yield from _cut_tensors(header_bytes, tensors)


def _cut_tensors(header_bytes: int, tensors: Sequence[TensorInfo]) -> Iterator[Cut]:
    yield Cut(header_bytes, HEADER_LABEL)
    yield from cut_parts(
        Part(item.name, item.start, item.end, _ELEMENTS.get(item.dtype))
        for item in tensors
    )
