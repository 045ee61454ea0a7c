# SPDX-License-Identifier: Apache-2.0
"""Who may do what, cell by cell, and what the cells may never say."""

import csv

import pytest

from strongroom_server.rpc.methods import METHODS
from tests.rpc.access_table import (
    ABSENT,
    CALLERS,
    DENIED,
    FOREIGN,
    FRESH,
    MISSING,
    NOBODY,
    NONE,
    OLD,
    OWN,
    PLACES,
    REFUSED,
    ROLES,
    RPCS,
    TABLE,
    Answer,
    Place,
    Row,
    collect,
    render,
)

#: What is asked of it here lifts a hold: for programs nothing, for people not alone.
LIFTING = {"BackupService/SetBackupHold"}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(collect())


@pytest.fixture(scope="module")
def reviewed() -> list[dict[str, str]]:
    return list(csv.DictReader(TABLE.read_text().splitlines()))


def test_no_cell_differs_from_the_reviewed_table(rows: list[Row]) -> None:
    asked = set(render(iter(rows)).splitlines())
    expected = set(TABLE.read_text().splitlines())

    # If this is what was meant: python -m tests.rpc.access_table, and review.
    assert sorted(asked ^ expected) == []
    assert len(rows) == len(RPCS) * len(CALLERS)
    assert set(RPCS) == set(METHODS)


def told(answer: Answer | None, place: Place) -> tuple[str, str, str]:
    """Return an answer without the names that the caller itself gave."""
    assert answer is not None
    message = answer.message.replace(place.artifact, "@").replace(place.project, "#")
    return answer.code, answer.reason, message


def test_who_is_denied_cannot_tell_what_exists(rows: list[Row]) -> None:
    for row in rows:
        answers = dict(zip(PLACES, row.answers, strict=True))
        if answers[MISSING] is None:
            continue
        assert told(answers[FOREIGN], FOREIGN) == told(answers[ABSENT], ABSENT)
        if row.cells[3] in REFUSED and not row.rpc.endswith("/CreateProject"):
            assert told(answers[OWN], OWN) == told(answers[MISSING], MISSING)


def test_a_role_ends_where_it_is_assigned(reviewed: list[dict[str, str]]) -> None:
    for row in reviewed:
        assert row["foreign"] == DENIED
        assert row["absent"] in {DENIED, NONE}


def test_nobody_may_do_nothing(reviewed: list[dict[str, str]]) -> None:
    cells = {row["own"] for row in reviewed if row["role"] == NOBODY}

    assert cells == {DENIED}


@pytest.mark.parametrize("role", [*ROLES])
def test_every_role_may_do_something(reviewed: list[dict[str, str]], role: str) -> None:
    cells = {row["own"] for row in reviewed if row["role"] == role}

    assert cells > {DENIED}


def test_content_is_for_readers_and_writers_alone(
    reviewed: list[dict[str, str]],
) -> None:
    content = {"version.read", "version.diff", "version.write"}

    given = {
        row["role"]
        for row in reviewed
        if row["action"] in content and row["own"] != DENIED
    }

    assert given == {"reader", "writer"}


def test_every_right_is_some_roles(reviewed: list[dict[str, str]]) -> None:
    given = {row["action"] for row in reviewed if row["own"] != DENIED}

    assert given == {method.action for method in METHODS.values()}


def test_people_who_have_just_signed_in_may_what_programs_of_their_role_may(
    reviewed: list[dict[str, str]],
) -> None:
    cells = {(row["rpc"], row["role"]): row["own"] for row in reviewed}
    fresh = {key: cell for key, cell in cells.items() if key[1].endswith(FRESH)}

    differing = {
        (rpc, role): cell
        for (rpc, role), cell in fresh.items()
        if (cell in REFUSED) != (cells[rpc, role.removesuffix(FRESH)] in REFUSED)
    }

    # What only people may, whatever their role gives to programs.
    only = {rpc.rpartition("/")[2] for rpc, _ in differing if rpc not in LIFTING}
    assert only == {"DecideApproval"}
    assert "sign in" not in fresh.values()
    assert {rpc for (rpc, _), cell in fresh.items() if cell == "approval"} == {
        *LIFTING,
        "KeyService/ShredArtifact",
        "KeyService/ShredProject",
    }


def test_after_an_old_login_people_look_and_change_nothing(
    reviewed: list[dict[str, str]],
) -> None:
    cells = {(row["rpc"], row["role"]): row["own"] for row in reviewed}
    old = {key: cell for key, cell in cells.items() if key[1].endswith(OLD)}

    for (rpc, role), cell in old.items():
        fresh = cells[rpc, role.removesuffix(OLD) + FRESH]
        assert cell == fresh or (cell == "sign in" and fresh != DENIED)
    assert "sign in" in old.values()
