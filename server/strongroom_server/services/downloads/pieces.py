# SPDX-License-Identifier: Apache-2.0
"""Pieces of a download: ranges of chunks, fetched one by one or as a run."""

from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.repository.chunks import are_neighbours
from strongroom_server.services.downloads.fetches import Fetches, Filled, Found, Range
from strongroom_server.services.downloads.hedging import Fetch

#: Whole chunks that lie side by side are fetched together, up to so many bytes.
RUN_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of one chunk that the reader wants."""

    wanted: Range
    file_offset_bytes: int

    @property
    def length_bytes(self) -> int:
        """How long it is."""
        return self.wanted.length_bytes

    def split(self, length_bytes: int) -> "tuple[Piece, Piece | None]":
        """Return the piece's first bytes, and the rest if there is one."""
        wanted = self.wanted
        if wanted.length_bytes <= length_bytes:
            return self, None
        rest = Range(
            wanted.ref,
            wanted.offset_bytes + length_bytes,
            wanted.length_bytes - length_bytes,
        )
        first = replace(wanted, length_bytes=length_bytes)
        return (
            replace(self, wanted=first),
            Piece(rest, self.file_offset_bytes + length_bytes),
        )

    def is_beside(self, other: "Piece") -> bool:
        """Tell whether one request can fetch both, this one first."""
        return (
            self.wanted.is_whole
            and other.wanted.is_whole
            and are_neighbours(self.wanted.ref, other.wanted.ref)
        )


@dataclass(slots=True, eq=False)
class Run:
    """Pieces on their way together, and how much of the budget they hold."""

    fetches: Fetches
    fetch: Fetch[Found]
    taken_bytes: int
    left_count: int
    is_waited_for: bool = False
    _found: Found | None = None

    def result(self, index: int) -> memoryview | Filled:
        """Return what became of a piece.

        Raises:
            StrongroomError: It cannot be read.
        """
        self.is_waited_for = True
        if self._found is None:
            self._found = self.fetch.result()
        found = self._found[index]
        if isinstance(found, StrongroomError):
            raise found
        return found
