# SPDX-License-Identifier: Apache-2.0
"""Notes of sweep records: what they say, and what no records can have said."""

from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError
from strongroom_server.core.sweep import (
    Decided,
    Removed,
    SweepAct,
    SweepKind,
    SweepLog,
    SweepRecord,
)
from strongroom_server.core.sweep_note import (
    SweepNote,
    format_note,
    make_note,
    open_numbers,
    parse_note,
    recall,
)
from tests.support.samples import filled
from tests.support.sweep_records import INFO, condemned

ACTS: list[SweepAct] = [
    condemned(1, 2),
    condemned(3),
    Decided(0, (0,)),
    Decided(1, ()),
    Removed(1),
    condemned(4),
]
NOTES = [
    make_note(
        number,
        SweepRecord(replace(INFO, request_id=f"plan/{number}"), act),
        digest=filled(f"{number}", 32),
        modified_s=1_800_000_000.25 + number,
        version_id=f"v{number}",
    )
    for number, act in enumerate(ACTS)
]


def test_notes_add_up_to_what_their_records_do() -> None:
    log = SweepLog()
    for number, act in enumerate(ACTS):
        record = SweepRecord(replace(INFO, request_id=f"plan/{number}"), act)
        log = log.add(record, filled(f"{number}", 32), 1_800_000_000.25 + number)

    numbers = open_numbers(NOTES)

    assert numbers == [0, 2, 5]
    assert recall(NOTES, {number: ACTS[number] for number in numbers}) == log
    assert recall([], {}) == SweepLog()


@pytest.mark.parametrize("note", NOTES)
def test_a_note_comes_back_as_it_was(note: SweepNote) -> None:
    assert parse_note(format_note(note)) == note


@pytest.mark.parametrize(
    "data",
    [
        b"",
        format_note(NOTES[0])[:53],
        b"\2" + format_note(NOTES[0])[1:],
        format_note(NOTES[0])[:1] + b"\4" + format_note(NOTES[0])[2:],
        format_note(NOTES[0])[:50] + b"\xff\xff" + format_note(NOTES[0])[52:],
        format_note(NOTES[0])[:-1] + b"\xff",
    ],
)
def test_what_is_no_note_is_none(data: bytes) -> None:
    assert parse_note(data) is None


@pytest.mark.parametrize(
    ("number", "kind", "of"),
    [
        (0, SweepKind.REMOVED, 0),
        (0, SweepKind.CONDEMN, 1),
        (2, SweepKind.REMOVED, 0),
        (2, SweepKind.DECIDE, 1),
        (3, SweepKind.DECIDE, 0),
        (3, SweepKind.REMOVED, 1),
        (4, SweepKind.REMOVED, 5),
        (4, SweepKind.CONDEMN, 1),
        (5, SweepKind.CONDEMN, 3),
        (5, SweepKind.REMOVED, 1),
    ],
)
def test_notes_that_no_records_can_have_are_told(
    number: int, kind: SweepKind, of: int
) -> None:
    notes = list(NOTES)
    notes[number] = replace(notes[number], kind=kind, of=of)

    with pytest.raises(IntegrityError):
        open_numbers(notes)
