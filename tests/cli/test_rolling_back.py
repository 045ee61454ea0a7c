# SPDX-License-Identifier: Apache-2.0
"""`strongroom rollback` and `ref log`: what is shown, asked, done, and taken back."""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Result
from tests.cli.offices import Desk, Office, approve, manned_desk, opened_office
from tests.client.engine import Engine
from tests.client.trees import write_tree
from tests.rpc.authority import DEVELOPER


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self) -> bool:
        return True


def commit(
    strongroom: Command, folder: Path, name: str, *files: dict[str, bytes]
) -> None:
    for number, content in enumerate(files, start=1):
        tree = write_tree(folder / f"{name}-{number}", content)
        strongroom("push", str(tree), f"demo/{name}", "-m", f"number {number}")
        moved = strongroom("ref", "move", f"demo/{name}", "prod", str(number))
        assert moved.code == 0, moved


def version_of(strongroom: Command, name: str) -> int:
    (line,) = strongroom("ref", "ls", name, "--json").lines
    version: int = line["version"]
    return version


def test_what_would_change_is_shown_before_it_does(
    strongroom: Command, tmp_path: Path
) -> None:
    commit(strongroom, tmp_path, "shown", {"a": b"1", "b": b"b"}, {"a": b"2"})

    shown = strongroom("rollback", "demo/shown@prod", "--dry-run")

    assert shown.code == 0, shown
    assert "demo/shown@prod: version 2 -> 1" in shown.err
    assert shown.out.splitlines()[:2] == ["* a  1 B -> 1 B", "+ b  1 B"]
    assert "1 added, 0 removed, 1 modified, 0 unchanged" in shown.out
    for said in ("number 1", "number 2", DEVELOPER, "signed with", "nobody reads it"):
        assert said in shown.err
    assert shown.err.endswith("nothing was changed\n")
    assert version_of(strongroom, "demo/shown") == 2


def test_it_ends_with_the_command_that_takes_it_back(
    strongroom: Command, tmp_path: Path
) -> None:
    commit(strongroom, tmp_path, "back", {"a": b"1"}, {"a": b"2"})

    done = strongroom("rollback", "demo/back@prod", "--reason", "worse")
    (undo,) = [line for line in done.err.splitlines() if "take it back" in line]
    undone = strongroom(*undo.partition(": strongroom ")[2].split())

    assert done.out == "demo/back@prod is version 1\n"
    assert "* a  1 B -> 1 B" in done.err
    assert undone.code == 0, undone
    assert version_of(strongroom, "demo/back") == 2


def test_a_yes_reads_no_file_and_still_says_which_versions(
    strongroom: Command, tmp_path: Path
) -> None:
    commit(strongroom, tmp_path, "quick", {"a": b"1"}, {"a": b"2"})

    done = strongroom("rollback", "demo/quick", "prod", "--yes")

    assert done.out == "demo/quick@prod is version 1\n"
    assert "version 2 -> 1" in done.err
    assert version_of(strongroom, "demo/quick") == 1


@pytest.mark.parametrize(("answer", "version"), [("y\n", 1), ("n\n", 2), ("", 2)])
def test_at_a_terminal_it_asks(
    strongroom: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    version: int,
) -> None:
    name = f"asked-{len(answer)}{version}"
    commit(strongroom, tmp_path, name, {"a": b"1"}, {"a": b"2"})
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    done = strongroom("rollback", f"demo/{name}@prod")

    assert "Roll back?" in done.err
    assert (done.code == 0) == (version == 1)
    assert version_of(strongroom, f"demo/{name}") == version


def test_json_tells_all_and_asks_nobody(
    strongroom: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(strongroom, tmp_path, "json", {"a": b"1"}, {"a": b"2"})
    monkeypatch.setattr(sys, "stdin", Terminal(""))

    lines = strongroom("rollback", "demo/json@prod", "--json").lines

    kinds = [line["message_type"] for line in lines]
    assert kinds == ["preview", "file", "summary", "ref", "undo"]
    assert lines[0]["base"]["number"] == 2
    assert lines[0]["readers"]["readers"] == []
    assert lines[-1]["command"] == "strongroom rollback demo/json@prod --to 2"


def test_a_time_is_where_the_ref_pointed_then(
    strongroom: Command, engine: Engine, tmp_path: Path
) -> None:
    commit(strongroom, tmp_path, "timed", {"a": b"1"})
    then = datetime.now(UTC).isoformat()
    commit(strongroom, tmp_path / "more", "timed", {"a": b"1"}, {"a": b"2"})
    assert version_of(strongroom, "demo/timed") == 2

    early = strongroom("rollback", "demo/timed@prod", "--to", "@{2020-01-01T00:00Z}")
    done = strongroom("rollback", "demo/timed@prod", "--to", f"@{{{then}}}", "--yes")

    assert early.code == 10
    assert done.code == 0, done
    assert version_of(strongroom, "demo/timed") == 1


@pytest.mark.parametrize("to", ["1", "prod~1", "@1"])
def test_it_goes_where_it_is_told(strongroom: Command, tmp_path: Path, to: str) -> None:
    name = f"to{to.strip('@').replace('~', '')}{len(to)}"
    commit(strongroom, tmp_path, name, {"a": b"1"}, {"a": b"2"})

    assert strongroom("rollback", f"demo/{name}@prod", "--to", to, "--yes").code == 0
    assert version_of(strongroom, f"demo/{name}") == 1


def test_where_it_points_already_nothing_is_moved(
    strongroom: Command, tmp_path: Path
) -> None:
    commit(strongroom, tmp_path, "same", {"a": b"1"}, {"a": b"2"})
    before = strongroom("log", "demo/same", "--json").lines

    same = strongroom("rollback", "demo/same@prod", "--to", "2", "--yes")

    assert same.out == "demo/same@prod is version 2 already\n"
    assert strongroom("log", "demo/same", "--json").lines == before


@pytest.mark.parametrize(
    "name",
    [
        ("demo/named@prod", "prod"),
        ("demo/named",),
        ("demo/named@3",),
        ("demo/named@prod~1",),
        ("demo/named@prod/file",),
    ],
)
def test_what_names_no_ref_is_refused(
    strongroom: Command, name: tuple[str, ...]
) -> None:
    for command in (("rollback",), ("ref", "log")):
        assert strongroom(*command, *name).code == 2


def test_the_log_of_a_ref_has_its_moves_alone(
    strongroom: Command, tmp_path: Path
) -> None:
    commit(strongroom, tmp_path, "logged", {"a": b"1"}, {"a": b"2"})
    strongroom("ref", "move", "demo/logged", "other", "1")
    strongroom("rollback", "demo/logged@prod", "--yes", "--reason", "said \x1b[31m")

    told = strongroom("ref", "log", "demo/logged@prod")
    lines = strongroom("ref", "log", "demo/logged", "prod", "--json").lines
    latest = strongroom("ref", "log", "demo/logged@latest", "--json").lines
    none = strongroom("ref", "log", "demo/logged@absent")

    moves = [(line["previous_version"], line["version"]) for line in lines]
    assert moves == [(2, 1), (1, 2), (0, 1)]
    assert [line["version"] for line in latest] == [2, 1]
    assert "2 -> 1" in told.out
    assert "new -> 1" in told.out
    assert "\x1b" not in told.out
    assert DEVELOPER.partition("://")[2].partition("/")[2] in told.out
    assert none.code == 0
    assert "never moved" in none.err


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with opened_office(tmp_path_factory.mktemp("office")) as office:
        yield office


@pytest.fixture
def desk(office: Office, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    with manned_desk(office, capsys) as desk:
        yield desk


def move(desk: Desk, *args: str) -> Result:
    """Have alice ask, bob approve, and alice run it."""
    refused = desk("alice", *args, "--json")
    assert refused.code == 13, refused
    name = refused.error["metadata"]["approval"]
    assert approve(desk, name).code == 0
    done = desk("alice", "approvals", "run", name)
    assert done.code == 0, done
    return refused


def test_a_protected_ref_goes_back_once_another_person_approves(desk: Desk) -> None:
    move(desk, "ref", "move", "demo/minilm", "prod", "2", "--reason", "first")

    looked = desk("alice", "rollback", "demo/minilm@prod", "--to", "1", "--dry-run")
    refused = desk("alice", "rollback", "demo/minilm@prod", "--to", "1", "--json")
    name = refused.error["metadata"]["approval"]
    shown = desk("bob", "approvals", "show", name)
    assert looked.code == 13, looked
    assert "* a  1 B -> 1 B" in looked.out
    assert "no tensors" in looked.err, "operators read no content"
    assert refused.code == 13, refused
    assert "demo/minilm@prod: version 2 -> 1" in shown.out
    assert approve(desk, name).code == 0
    done = desk("alice", "approvals", "run", name)
    assert done.code == 0, done

    lines = desk("bob", "ref", "log", "demo/minilm@prod", "--json").lines
    told = desk("bob", "ref", "log", "demo/minilm@prod").out
    assert [line["version"] for line in lines] == [1, 2]
    assert lines[0]["approval"] == name
    assert lines[0]["approvers"] == ["operator:bob"]
    assert "operator:bob" in told
