# SPDX-License-Identifier: Apache-2.0
"""Cutting a file of bytes as a writer does, whatever slices it comes in."""

from collections.abc import Sequence
from typing import Protocol

from strongroom.format.chunking import MAX_WINDOW_BYTES, Cut, Cutter
from strongroom.format.parts import Buffer


class AnyCutter(Protocol):
    """Both cutters: by format, and by content."""

    last_cut: Cut

    def next_end(self, data: Buffer) -> int | None: ...


def cut_all(
    cutter: AnyCutter, data: bytes, steps: Sequence[int] = (1024 * 1024,)
) -> list[Cut]:
    """Return a file's cuts, its bytes coming in these steps, over and over."""
    cuts: list[Cut] = []
    start = here = turn = 0
    while start < len(data):
        end = cutter.next_end(memoryview(data)[start:here])
        if end is None:
            assert here < len(data), "asked for more than there is"
            assert here - start < MAX_WINDOW_BYTES, "asked for too much"
            here = min(here + steps[turn % len(steps)], len(data))
            turn += 1
            continue
        assert start < end <= len(data)
        cuts.append(cutter.last_cut)
        start, here = end, max(here, end)
    assert cutter.next_end(b"") is None
    return cuts


def cut_file(
    path: str, data: bytes, steps: Sequence[int] = (1024 * 1024,)
) -> list[Cut]:
    """Return the cuts of a file by its format."""
    return cut_all(Cutter(path, len(data)), data, steps)


def chunks_of(data: bytes, cuts: Sequence[Cut]) -> list[bytes]:
    """Return the chunks that the cuts make."""
    starts = [0, *(cut.end for cut in cuts[:-1])]
    return [data[start : cut.end] for start, cut in zip(starts, cuts, strict=True)]


def labelled(data: bytes, cuts: Sequence[Cut]) -> dict[str, bytes]:
    """Return the chunks by their labels, each of which occurs once."""
    chunks = chunks_of(data, cuts)
    found = dict(zip((cut.label for cut in cuts), chunks, strict=True))
    assert len(found) == len(cuts)
    return found
