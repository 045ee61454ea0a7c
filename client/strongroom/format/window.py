# SPDX-License-Identifier: Apache-2.0
"""The bytes of a file that a cutter sees: from the last cut on, as many as are here.

Parsers are generators: they yield None where they need more bytes, and go on when
there are some. What they decide depends on the file's bytes and size only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.format.parts import CHUNK_BYTES, Buffer

#: A cut is told at the latest when this many bytes behind the last one are here.
MAX_WINDOW_BYTES: Final = CHUNK_BYTES + 64


@dataclass(slots=True)
class Window:
    """A file's bytes from `start` on, as many as are here."""

    size_bytes: int
    start: int = 0
    data: Buffer = b""

    @property
    def end(self) -> int:
        """The offset behind the last byte that is here."""
        return self.start + len(self.data)

    def read(self, start: int, end: int) -> bytes:
        """Return bytes that are here."""
        return bytes(self.data[start - self.start : end - self.start])

    def wait(self, end: int) -> Iterator[None]:
        """Ask for bytes until those before `end` are here.

        Raises:
            ValueError: The file ends before, or so much is not held.
        """
        if end > self.size_bytes or end - self.start > MAX_WINDOW_BYTES:
            message = f"offset {end} is out of reach"
            raise ValueError(message)
        while self.end < end:
            yield None
