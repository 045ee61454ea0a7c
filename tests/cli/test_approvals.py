# SPDX-License-Identifier: Apache-2.0
"""`strongroom approvals`: two people at two desks, on a real server in memory."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.cli.program import run
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.credentials_file import CredentialsFile
from tests.cli.offices import (
    Desk,
    Office,
    approve,
    manned_desk,
    opened_office,
    refused_move,
    seen,
)
from tests.support.world import ARTIFACT


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with opened_office(tmp_path_factory.mktemp("office")) as office:
        yield office


@pytest.fixture
def desk(office: Office, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    with manned_desk(office, capsys) as desk:
        yield desk


def test_what_bob_approves_alice_runs_once(desk: Desk, office: Office) -> None:
    name = refused_move(desk)

    listed = desk("bob", "approvals", "ls")
    shown = desk("bob", "approvals", "show", name)
    approved = approve(desk, name)
    done = desk("alice", "approvals", "run", name)
    again = desk("alice", "approvals", "run", name, "--json")

    assert listed.code == 0, listed
    assert f"{name}  pending  14 min  ref.move" in listed.out
    assert "requester  operator:alice" in shown.out
    fields = {
        "request.name": "projects/demo/artifacts/minilm/refs/prod",
        "request.version": "1",
        "reason": "it is bad",
    }
    for key, value in fields.items():
        assert re.search(rf'^{key} +\| "{value}"$', shown.out, re.MULTILINE), key
    store = office.engine.world.repository.keyring.store.hex()
    assert f"store      {store}\n" in shown.out
    assert f"digest     {seen(desk, name)}\n" in shown.out
    assert "ref.move" not in shown.out, "that is the server's word"
    assert approved.code == 0, approved
    assert approved.out.endswith(f"{name}: approved by operator:bob\n")
    assert "SOFTWARE" in approved.err
    assert done.code == 0, done
    assert "ref.move done" in done.err
    refs = office.engine.world.artifacts.get_artifact(ARTIFACT).refs
    assert [ref.version for ref in refs if ref.name.ref == "prod"] == [1]
    assert again.code == 12
    assert again.error["reason"] == "APPROVAL_USED"


def test_alice_cannot_approve_what_she_asked_for(desk: Desk) -> None:
    name = refused_move(desk)

    digest = seen(desk, name, who="alice")
    result = desk("alice", "approvals", "approve", name, "--yes", digest, "--json")

    assert (result.code, result.error["reason"]) == (12, "APPROVAL_INVALID")
    assert "another person" in result.error["message"]


def test_nothing_runs_before_it_is_approved(desk: Desk) -> None:
    name = refused_move(desk)

    result = desk("alice", "approvals", "run", name, "--json")

    assert (result.code, result.error["reason"]) == (13, "APPROVAL_REQUIRED")
    assert result.error["metadata"]["approval"] == name


def test_bob_cannot_run_what_alice_asked_for(desk: Desk) -> None:
    name = refused_move(desk)
    approve(desk, name)

    result = desk("bob", "approvals", "run", name, "--json")

    assert (result.code, result.error["reason"]) == (12, "ACTION_NOT_ALLOWED")


def test_what_is_denied_stays_denied(desk: Desk) -> None:
    name = refused_move(desk)

    denied = desk("bob", "approvals", "deny", name, "--reason", "not on a Friday")
    result = desk("alice", "approvals", "run", name, "--json")
    shown = desk("alice", "approvals", "show", name)

    assert denied.out == f"{name}: denied by operator:bob\n"
    assert (result.code, result.error["reason"]) == (12, "APPROVAL_DENIED")
    assert "denied     operator:bob\n" in shown.out
    assert re.search(r'^denied-because +\| "not on a Friday"$', shown.out, re.MULTILINE)


def test_who_may_not_look_sees_nothing(desk: Desk) -> None:
    name = refused_move(desk)

    yes = ["approve", name, "--yes", "0" * 64]
    for words in (["ls"], ["show", name], ["deny", name], yes):
        result = desk("carol", "approvals", *words, "--json")
        assert (result.code, result.error["reason"]) == (12, "ACTION_NOT_ALLOWED")


def test_nothing_is_approved_without_a_yes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = refused_move(desk)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)

    result = desk("bob", "approvals", "approve", name)

    assert result.code == 2
    assert "nothing was approved" in result.err
    assert desk("alice", "approvals", "run", name).code == 13


def test_a_dry_run_asks_for_nothing(desk: Desk) -> None:
    result = desk(
        "alice", "ref", "move", "demo/minilm", "prod", "1", "--dry-run", "--json"
    )

    assert result.code == 13
    assert "approval" not in result.error["metadata"]
    assert result.error["hint"] == "Without --dry-run, it is asked for."


def test_a_method_with_many_answers_can_be_approved(desk: Desk) -> None:
    refused = desk("alice", "keys", "rewrap", "--json")
    assert refused.code == 13, refused
    name = refused.error["metadata"]["approval"]

    approve(desk, name)
    done = desk("alice", "approvals", "run", name, "--json")

    assert done.code == 0, done
    assert done.lines[-1]["report"]["slot_count"] == "2"


def test_a_security_key_of_somebody_else_does_not_sign(
    desk: Desk, office: Office
) -> None:
    name = refused_move(desk)
    config = office.settings("bob")
    stolen = config.with_name("stolen.toml")
    alices = json.dumps(str(office.folder / "alice" / "key.json"))
    stolen.write_text(config.read_text().replace('"key.json"', alices))

    said = ["approvals", "approve", name, "--yes", seen(desk, name)]
    code = run(["--config", str(stolen), *said])

    assert code == 16


@pytest.mark.parametrize("version", ["latest", "prod"])
def test_what_is_asked_for_is_a_number(
    desk: Desk, office: Office, version: str
) -> None:
    """What moves meanwhile is not what bob has seen."""
    world = office.engine.world
    world.move("prod", "1")
    wanted = world.versions()[0] if version == "latest" else 1
    name = refused_move(desk, version)

    approve(desk, name)
    world.push({"a": b"poison"})
    world.move("prod", "latest")
    done = desk("alice", "approvals", "run", name)

    assert done.code == 0, done
    refs = world.artifacts.get_artifact(ARTIFACT).refs
    assert [ref.version for ref in refs if ref.name.ref == "prod"] == [wanted]


def test_a_yes_is_to_what_was_shown(desk: Desk) -> None:
    name, other = refused_move(desk), refused_move(desk, why="it is worse")

    for digest in ("0" * 64, seen(desk, other), seen(desk, name)[:32], "yes"):
        result = desk("bob", "approvals", "approve", name, "--yes", digest, "--json")
        assert result.code == 2, result
        assert "is not the digest" in result.error["message"]
    blind = desk("bob", "approvals", "approve", name, "--json")

    assert blind.code == 2
    assert "nobody is asked" in blind.error["message"]
    assert desk("alice", "approvals", "run", name).code == 13


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("store_id", "0" * 32, "DIGEST_MISMATCH"),
        ("relying_party", "other.test", "DIGEST_MISMATCH"),
        ("store_id", "", "SETTING_INVALID"),
        ("relying_party", "", "SETTING_INVALID"),
    ],
)
def test_nobody_signs_for_another_store(
    desk: Desk, office: Office, setting: str, value: str, reason: str
) -> None:
    name = refused_move(desk)
    digest = seen(desk, name)
    config = office.settings("bob")
    known = config.read_text()
    lines = [
        f"{setting} = {json.dumps(value)}" if line.startswith(setting) else line
        for line in known.splitlines()
    ]
    config.write_text("\n".join(lines) + "\n")
    try:
        result = desk("bob", "approvals", "approve", name, "--yes", digest, "--json")
    finally:
        config.write_text(known)

    assert result.code != 0
    assert result.error["reason"] == reason
    assert desk("alice", "approvals", "run", name).code == 13


def test_a_server_that_answers_with_another_approval_is_not_believed(
    desk: Desk, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, other = refused_move(desk), refused_move(desk, why="it is worse")
    approving = office.engine.world.approving
    answer = approving.get(other)
    monkeypatch.setattr(approving, "get", lambda _: answer)

    for words in (["show", name], ["approve", name, "--yes", "0" * 64], ["run", name]):
        result = desk("bob", "approvals", *words, "--json")
        assert result.error["reason"] == "DIGEST_MISMATCH", result
        assert name in result.error["message"]


def test_a_reason_cannot_look_like_the_screen(desk: Desk) -> None:
    """Padded with blanks, it would wrap into lines of its own."""
    forged = "cleanup".ljust(69) + 'request.version  | "9"'.ljust(80) + "\u3164\u200b"
    name = refused_move(desk, why=forged)

    shown = desk("bob", "approvals", "show", name).out

    for line in shown.splitlines():
        assert len(line) <= 79
        assert not line.startswith("request.version") or line.endswith('| "1"')
    assert "cleanup \\u{20}\\u{20}" in shown
    assert "\u3164" not in shown
    lines = desk("bob", "approvals", "ls").out.splitlines()
    (row,) = [line for line in lines if name in line]
    assert row.endswith("…")
    assert "request.version" not in row


def test_a_key_is_enrolled_by_what_a_reviewer_adds(
    desk: Desk, office: Office, tmp_path: Path
) -> None:
    path = tmp_path / "new.json"

    made = desk("bob", "approvals", "enroll", "bob-new", "--software", str(path))
    twice = desk("bob", "approvals", "enroll", "bob-new", "--software", str(path))

    assert made.code == 0, made
    (entry,) = tomllib.loads(made.out)["credentials"]
    assert (entry["name"], entry["operator"]) == ("bob-new", "operator:bob")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in made.out
    assert twice.code == 16
    bad = office.folder / "credentials.toml"
    known = bad.read_text()
    bad.write_text(known + made.out)
    try:
        found = CredentialsFile(bad, clock=SystemClock()).current()
    finally:
        bad.write_text(known)
    assert [item.name for item in found.values()] == [
        "alice-software", "bob-software", "bob-new",
    ]  # fmt: skip
