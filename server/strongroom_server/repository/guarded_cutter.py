# SPDX-License-Identifier: Apache-2.0
"""Cutting files as a policy says, reading one header at a time."""

from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock

from strongroom.format.chunking import Cutter, Rest, cut_rest
from strongroom.format.parts import Buffer, Cut
from strongroom.format.window import Window
from strongroom_server.core.cdc import cut_by_content
from strongroom_server.core.policy import Cuts

#: Makes the cutter of a file from its path and size.
MakeCutter = Callable[[str, int], Cutter]


class GuardedCutter(Cutter):
    """A cutter that looks at formats while no other one does.

    A header of 15 MiB becomes 240 MiB of objects: one at a time. What no format
    tells needs no memory, and is cut beside other files.
    """

    def __init__(
        self, lock: Lock, path: str, size_bytes: int, *, rest: Rest = cut_rest
    ) -> None:
        super().__init__(path, size_bytes, rest=self._cut_rest)
        self._lock = lock
        self._rest = rest
        self._is_rest = False

    def next_end(self, data: Buffer) -> int | None:
        """Return where the next chunk ends; see `Cutter.next_end`."""
        if self._is_rest:
            return super().next_end(data)
        with self._lock:
            return super().next_end(data)

    def _cut_rest(self, window: Window) -> Iterator[Cut | None]:
        self._is_rest = True
        yield from self._rest(window)


def cutters(lock: Lock, cut_key: Callable[[], bytes], cuts: Cuts) -> MakeCutter:
    """Return what makes the cutters of files.

    Args:
        lock: Held while a format is looked at.
        cut_key: Returns the key that decides, if it goes by content.
        cuts: What the policy says.
    """
    if cuts is Cuts.FIXED:
        return partial(Cutter, by_format=False)
    if cuts is Cuts.CONTENT:
        rest = partial(cut_by_content, cut_key())
        return partial(GuardedCutter, lock, rest=rest)
    return partial(GuardedCutter, lock)
