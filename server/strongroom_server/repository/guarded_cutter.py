# SPDX-License-Identifier: Apache-2.0
"""Cutting one file at a time, since its header may need much memory."""

from threading import Lock

from strongroom.format.chunking import Cutter
from strongroom.format.parts import Buffer


class GuardedCutter(Cutter):
    """A cutter that thinks while no other one does.

    A header of 15 MiB becomes 240 MiB of objects: one at a time.
    """

    def __init__(self, lock: Lock, path: str, size_bytes: int) -> None:
        super().__init__(path, size_bytes)
        self._lock = lock

    def next_end(self, data: Buffer) -> int | None:
        """Return where the next chunk ends; see `Cutter.next_end`."""
        with self._lock:
            return super().next_end(data)
