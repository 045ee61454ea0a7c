# SPDX-License-Identifier: Apache-2.0
"""What a server notes of a sweep record, so that it need not be read again.

Of a sweep that is done with, nothing else matters; the records of the others are
kept beside their notes. Notes lie in the local index and nowhere else.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_server.core.sweep import (
    GENESIS,
    Condemned,
    Decided,
    OpenSweep,
    Removed,
    SweepAct,
    SweepKind,
    SweepLog,
    SweepRecord,
    sweep_error,
)

#: format, kind, the CONDEMN record's number, digest, time, length of version id
_NOTE: Final = struct.Struct(">BBQ32sdH")
_FORMAT: Final = 1
_NUMBERS: Final[Mapping[SweepKind, int]] = {
    SweepKind.CONDEMN: 1,
    SweepKind.DECIDE: 2,
    SweepKind.REMOVED: 3,
}
#: What of a sweep comes right before.
_BEFORE: Final[Mapping[SweepKind, SweepKind | None]] = {
    SweepKind.CONDEMN: None,
    SweepKind.DECIDE: SweepKind.CONDEMN,
    SweepKind.REMOVED: SweepKind.DECIDE,
}
_KINDS: Final = {number: kind for kind, number in _NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class SweepNote:
    """What matters of a record whatever became of its sweep.

    Attributes:
        kind: What it says.
        of: The number of the CONDEMN record that it is about, or is.
        digest: SHA-256 of it as it was taken in.
        modified_s: When it was stored, by the store's clock.
        version_id: Of the object that was listed for it.
        request_id: The request that made it.
    """

    kind: SweepKind
    of: int
    digest: bytes
    modified_s: float
    version_id: str
    request_id: str


def make_note(
    number: int,
    record: SweepRecord,
    *,
    digest: bytes,
    modified_s: float,
    version_id: str,
) -> SweepNote:
    """Return the note of a record."""
    kind, of = _sweep_of(number, record.act)
    return SweepNote(kind, of, digest, modified_s, version_id, record.info.request_id)


def open_numbers(notes: Sequence[SweepNote]) -> list[int]:
    """Return the numbers of the records of sweeps that are not done with.

    Args:
        notes: Of all records from the first on.

    Raises:
        IntegrityError: They are of no records that may follow each other
            (RECORD_CORRUPT).
    """
    last: dict[int, SweepKind] = {}
    for number, note in enumerate(notes):
        if note.kind is SweepKind.CONDEMN and note.of != number:
            raise sweep_error()
        if last.get(note.of) is not _BEFORE[note.kind]:
            raise sweep_error()
        last[note.of] = note.kind
    done = {of for of, kind in last.items() if kind is SweepKind.REMOVED}
    return [number for number, note in enumerate(notes) if note.of not in done]


def recall(notes: Sequence[SweepNote], acts: Mapping[int, SweepAct]) -> SweepLog:
    """Return what records add up to that were taken in, one by one, before.

    Args:
        notes: Of all records from the first on.
        acts: What those say that `open_numbers` names.
    """
    found: dict[int, OpenSweep] = {}
    for number, act in sorted(acts.items()):
        match act:
            case Condemned():
                time_s = notes[number].modified_s
                found[number] = OpenSweep(number, act, None, time_s)
            case Decided(of=of, rescued=rescued):
                item = found[of]
                found[of] = OpenSweep(
                    of, item.condemned, frozenset(rescued), item.modified_s
                )
            case Removed():
                continue  # Its sweep is done with.
    closed = (note.of for note in notes if note.kind is SweepKind.REMOVED)
    return SweepLog(
        len(notes),
        notes[-1].digest if notes else GENESIS,
        found,
        frozenset(note.request_id for note in notes),
        max(closed, default=-1),
    )


def format_note(note: SweepNote) -> bytes:
    """Return a note as the local index keeps it."""
    version_id = note.version_id.encode()
    head = _NOTE.pack(
        _FORMAT,
        _NUMBERS[note.kind],
        note.of,
        note.digest,
        note.modified_s,
        len(version_id),
    )
    return head + version_id + note.request_id.encode()


def parse_note(data: bytes) -> SweepNote | None:
    """Return what `format_note` wrote; None if it is of another release."""
    if len(data) < _NOTE.size or data[0] != _FORMAT:
        return None
    _, kind, of, digest, modified_s, length = _NOTE.unpack_from(data)
    rest = data[_NOTE.size :]
    if kind not in _KINDS or length > len(rest):
        return None
    try:
        version_id, request_id = rest[:length].decode(), rest[length:].decode()
    except UnicodeDecodeError:
        return None
    return SweepNote(_KINDS[kind], of, digest, modified_s, version_id, request_id)


def _sweep_of(number: int, act: SweepAct) -> tuple[SweepKind, int]:
    match act:
        case Condemned():
            return SweepKind.CONDEMN, number
        case Decided(of=of):
            return SweepKind.DECIDE, of
        case Removed(of=of):
            return SweepKind.REMOVED, of
