# SPDX-License-Identifier: Apache-2.0
"""What is asked for at the command line, and what whoever approves it is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.cli.program import run
from tests.cli.offices import (
    Desk,
    Office,
    approve,
    manned_desk,
    opened_office,
    refused_move,
    seen,
)
from tests.rpc.people import WORKSTATION


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with opened_office(tmp_path_factory.mktemp("office")) as office:
        yield office


@pytest.fixture
def desk(office: Office, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    with manned_desk(office, capsys) as desk:
        yield desk


def test_who_asks_for_the_same_again_is_told_of_the_first(desk: Desk) -> None:
    name = refused_move(desk)

    assert refused_move(desk) == name
    approve(desk, name)
    again = desk(
        "alice", "ref", "move", "demo/minilm", "prod", "1", "--reason", "it is bad"
    )

    assert again.code == 13
    assert f"Approved as {name}: strongroom approvals run {name}" in again.err


def test_who_asked_takes_it_back(desk: Desk) -> None:
    name = refused_move(desk)

    other = desk("bob", "approvals", "withdraw", name, "--json")
    taken = desk("alice", "approvals", "withdraw", name, "--reason", "typing error")
    shown = desk("bob", "approvals", "show", name)
    late = desk("bob", "approvals", "approve", name, "--yes", seen(desk, name))

    assert (other.code, other.error["reason"]) == (10, "APPROVAL_NOT_FOUND")
    assert (taken.code, taken.out) == (0, f"{name}: withdrawn\n")
    assert f"approval   {name}: withdrawn" in shown.out
    assert '"typing error"' in shown.out
    assert late.code == 12
    assert "withdrawn by who asked" in late.err


def test_who_looks_is_told_how_many_have_to_approve(desk: Desk) -> None:
    name = refused_move(desk)

    before = desk("bob", "approvals", "show", name)
    approve(desk, name)
    after = desk("bob", "approvals", "show", name, "--json")

    needs = "needs      1 person, of whom 0 approved, as the server says"
    assert needs in before.out.splitlines()
    assert after.lines[-1]["needed_count"] == 1


def test_who_approves_a_shredding_sees_what_would_die(desk: Desk) -> None:
    asked = desk("alice", "shred", "demo", "--reason", "the contract ended", "--json")
    name = asked.error["metadata"]["approval"]

    shown = desk("bob", "approvals", "show", name)
    told = desk("bob", "approvals", "show", name, "--json").lines[-1]["foreseen"]

    assert asked.code == 13, asked
    assert told.startswith("demo: 1 artifact, 2 versions, 1 ref and ")
    assert told.endswith("artifacts: minilm")
    lines = shown.out.splitlines()
    place = lines.index("the-server-foresees")
    assert lines[place + 1].startswith('| "demo: 1 artifact, ')
    (reason,) = (line for line in lines if line.startswith("reason "))
    assert place > lines.index(reason)


def test_a_name_that_would_spoil_the_servers_file_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    for name in ("Bob Desk", 'x"', "x\ny", "", "-x", "\U0001f511", "x" * 64):
        key = str(tmp_path / "key.json")
        made = desk("bob", "approvals", "enroll", "--software", key, "--", name)
        assert made.code == 2, made
        assert "is no name of a security key" in made.err
        assert not (tmp_path / "key.json").exists()


def test_who_has_no_role_is_told_who_they_are(desk: Desk) -> None:
    told = desk("dave", "whoami")
    record = desk("dave", "whoami", "--json").lines[-1]

    assert told.code == 0, told
    assert told.out.startswith("operator:dave\n  roles        none that lets you ask")
    assert (record["principal"], record["roles"]) == ("operator:dave", [])
    assert "Ask an operator for a role" in told.err


def test_a_workstation_without_a_role_is_told_to_sign_in(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(office.settings("erin"))
    assert run(["--config", config, "logout"]) == 0
    capsys.readouterr()

    assert run(["--config", config, "whoami"]) == 0

    told = capsys.readouterr()
    assert told.out.startswith(f"{WORKSTATION}\n")
    assert told.err == "Nobody is signed in here: strongroom login\n"
