# SPDX-License-Identifier: Apache-2.0
"""Every RPC by every role, on what is its own, missing, foreign and neither.

The table of `tests/rpc/access_table.csv` is what was reviewed; here each cell of it
that denies is an attack, over real mTLS.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from strongroom.errors import Reason
from tests.rpc.access_table import (
    CALLERS,
    DENIED,
    HEADING,
    PLACES,
    REFUSED,
    TABLE,
    Answer,
    Place,
    Row,
    collect,
)
from tests.security.attacks import Attack, Family, RefusedError, reasons

#: A cell that is what people have read and approved.
AS_REVIEWED: Final = "AS_REVIEWED"
#: What is there and what is not look the same.
SAME_ANSWER: Final = "SAME_ANSWER"
_COLUMNS: Final = HEADING[3:]


def _denied(answer: Answer | None) -> None:
    assert answer is not None
    if answer.cell == DENIED:
        raise RefusedError(answer.reason)


def _as_reviewed(cell: str, reviewed: str) -> None:
    if cell == reviewed:
        raise RefusedError(AS_REVIEWED)


def _told(answer: Answer, place: Place) -> tuple[str, str, str]:
    """Return an answer without the names that the caller itself gave."""
    message = answer.message.replace(place.artifact, "@").replace(place.project, "#")
    return answer.code, answer.reason, message


def _alike(row: Row, one: int, other: int) -> None:
    first, second = row.answers[one], row.answers[other]
    assert first is not None
    assert second is not None
    if _told(first, PLACES[one]) == _told(second, PLACES[other]):
        raise RefusedError(SAME_ANSWER)


def _attacks(rows: Sequence[Row]) -> Iterator[Attack]:
    lines = [line.split(",") for line in TABLE.read_text().splitlines()[1:]]
    reviewed = {(line[0], line[2]): line[3:] for line in lines}

    def honest() -> None:
        assert any(row.cells[3] == "OK" for row in rows), "nobody may do anything"

    yield Attack(
        "a cell that differs from the reviewed table",
        reasons(AS_REVIEWED),
        honest,
        [
            partial(_as_reviewed, cell, wanted)
            for row in rows
            for cell, wanted in zip(
                row.cells[3:], reviewed[row.cells[0], row.role], strict=True
            )
        ],
    )
    for role in CALLERS:
        for place, column in enumerate(_COLUMNS):
            denied = [
                partial(_denied, row.answers[place])
                for row in rows
                if row.role == role and reviewed[row.cells[0], role][place] == DENIED
            ]
            if denied:
                name = f"{role}: calls that it may not make, resource: {column}"
                by = reasons(Reason.ACTION_NOT_ALLOWED)
                yield Attack(name, by, honest, denied)
    placed = [row for row in rows if row.answers[1] is not None]
    yield Attack(
        "who may not see it asks whether a foreign resource exists",
        reasons(SAME_ANSWER),
        honest,
        [partial(_alike, row, 2, 3) for row in placed],
    )
    yield Attack(
        "who may not do it asks whether a resource of its own exists",
        reasons(SAME_ANSWER),
        honest,
        [
            partial(_alike, row, 0, 1)
            for row in placed
            # A project that exists is what this call is refused for.
            if row.cells[3] in REFUSED and not row.rpc.endswith("/CreateProject")
        ],
    )


@contextmanager
def _opened(thorough: bool) -> Iterator[Sequence[Attack]]:
    yield list(_attacks(list(collect())))


FAMILY: Final = Family("access", _opened)
