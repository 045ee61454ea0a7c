# SPDX-License-Identifier: Apache-2.0
"""What this server knows of sweep records, in its local index.

Of each record a note; of sweeps that are not done with, the records too, as they
are stored. All of it may be lost at any time: then the records are read again.
"""

from collections.abc import Iterable
from typing import Final

from strongroom_server.core.sweep import SweepKind
from strongroom_server.core.sweep_note import SweepNote, format_note, parse_note
from strongroom_server.ports import Index

_NOTES: Final = b"w"
_RECORDS: Final = b"W"


class SweepNotes:
    """Notes by the numbers of their records. Safe to use from many threads."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def load(self) -> list[SweepNote]:
        """Return the notes of the first records, up to the first one that is lost.

        Raises:
            UnavailableError: The index cannot be read.
        """
        found: list[SweepNote] = []
        for key, data in self._index.scan(_NOTES):
            note = parse_note(data)
            if note is None or key != _key(_NOTES, len(found)):
                break
            found.append(note)
        return found

    def record(self, number: int) -> bytes:
        """Return a record as it is stored, b"" if it is not known; unchecked."""
        return self._index.get(_key(_RECORDS, number)) or b""

    def add(
        self, number: int, note: SweepNote, data: bytes, *, ended: Iterable[int] = ()
    ) -> None:
        """Note a record that was taken in.

        Args:
            number: Its number.
            note: What matters of it.
            data: As it is stored.
            ended: The records of the sweep that it says is done with: they are
                forgotten, at once with that.

        Raises:
            UnavailableError: The index cannot be written.
        """
        items = {_key(_RECORDS, other): b"" for other in ended}
        items[_key(_NOTES, number)] = format_note(note)
        if note.kind is not SweepKind.REMOVED:
            items[_key(_RECORDS, number)] = data
        self._index.put_many(items)


def _key(prefix: bytes, number: int) -> bytes:
    return prefix + number.to_bytes(8, "big")
