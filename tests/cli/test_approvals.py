# SPDX-License-Identifier: Apache-2.0
"""`strongroom approvals`: two people at two desks, on a real server in memory."""

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom._login.logins import Login, save_login
from strongroom.cli.program import run
from strongroom.config import ClientSettings, load_settings
from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.credentials_file import CredentialsFile
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.dev.security_keys import RELYING_PARTY, provide_keys
from strongroom_server.services.approving import SecurityKeys
from tests.cli.conftest import Result
from tests.client.engine import Engine, write_config
from tests.rpc.authority import DEVELOPER
from tests.rpc.engine import serving_world
from tests.rpc.people import WORKSTATION
from tests.support.world import ARTIFACT

ORIGIN = f"https://{RELYING_PARTY}"
PROTECTED = """
@id("protected-prod")
forbid (
  principal,
  action in [Action::"ref.move", Action::"key.rewrap"],
  resource
)
unless { context.approvals >= 1 };
"""
ISSUER = "https://login.test.strongroom.internal"

Desk = Callable[..., Result]


def _given(principal: str, *roles: str) -> dict[str, object]:
    resources = ["projects/*", "server"]
    return {"principal": principal, "roles": list(roles), "resources": resources}


ASSIGNMENTS = [
    _given("operator:alice", "operator", "approver"),
    _given("operator:bob", "approver", "security-officer"),
    _given("operator:carol", "reader"),
    _given(DEVELOPER, "writer", "operator"),
]


@dataclass
class Office:
    """A server, and where its people keep their things."""

    engine: Engine
    folder: Path

    def settings(self, name: str) -> Path:
        """Return the client.toml of a person, who has just signed in."""
        folder = self.folder / name
        path = folder / "client.toml"
        if not path.exists():
            certificate = self.engine.server.authority.issue(WORKSTATION)
            settings = self.engine.settings(folder, certificate=certificate)
            write_config(replace(settings, spans_file=None), path)
            more = {
                "login_issuer": ISSUER,
                "login_client_id": "strongroom",
                "login_folder": "logins",
                "security_key_file": "key.json",
            }
            with path.open("a") as file:
                file.writelines(f"{key} = {json.dumps(more[key])}\n" for key in more)
        self._sign_in(load_settings(config_file=path, environ={}), name)
        return path

    def _sign_in(self, settings: ClientSettings, name: str) -> None:
        now = datetime.now(UTC)
        token = self.engine.server.logins.sign_in(name)
        ending = now + timedelta(hours=1)
        login = Login(
            settings.endpoint, ISSUER, name, now, ending, ("pwd", "otp", "mfa"), token
        )
        save_login(settings, login)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    people = {name: folder / name / "key.json" for name in ("alice", "bob")}
    provide_keys(people, folder / "credentials.toml")
    keys = SecurityKeys(
        RELYING_PARTY,
        ORIGIN,
        CredentialsFile(folder / "credentials.toml", clock=SystemClock()),
        WebAuthnVerifier(relying_party=RELYING_PARTY, origin=ORIGIN),
    )
    authorizer = CedarAuthorizer(
        {**shipped_policies(), "own.cedar": PROTECTED},
        parse_assignments({"assignments": ASSIGNMENTS}),
    )
    with serving_world(authorizer, keys=keys) as (world, server):
        world.push({"a": b"1"})
        world.push({"a": b"2"})
        yield Office(Engine(world, server), folder)


@pytest.fixture
def desk(office: Office, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Run a command as a person."""

    def command(name: str, *args: str) -> Result:
        config = office.settings(name)
        capsys.readouterr()
        code = run(["--config", str(config), *args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return command


def refused_move(desk: Desk, version: str = "1", *, why: str = "it is bad") -> str:
    """Have alice move `prod`, be refused, and return what was asked for."""
    moved = desk(
        "alice", "ref", "move", "demo/minilm", "prod", version, "--reason", why,
        "--json",
    )  # fmt: skip
    assert moved.code == 13, moved
    assert moved.error["reason"] == "APPROVAL_REQUIRED"
    name: str = moved.error["metadata"]["approval"]
    assert f"strongroom approvals approve {name}" in moved.error["hint"]
    return name


def test_what_bob_approves_alice_runs_once(desk: Desk, office: Office) -> None:
    name = refused_move(desk)

    listed = desk("bob", "approvals", "ls")
    shown = desk("bob", "approvals", "show", name)
    approved = desk("bob", "approvals", "approve", name, "--yes")
    done = desk("alice", "approvals", "run", name)
    again = desk("alice", "approvals", "run", name, "--json")

    assert listed.code == 0, listed
    assert f"{name}  pending  14 min  ref.move" in listed.out
    assert "requester  operator:alice" in shown.out
    assert "reason     it is bad" in shown.out
    assert "about      ref.move on projects/demo/artifacts/minilm/refs/prod" in (
        shown.out
    )
    assert "  version " in shown.out
    assert approved.code == 0, approved
    assert approved.out.endswith(f"{name}: approved by operator:bob\n")
    assert "SOFTWARE" in approved.err
    assert done.code == 0, done
    assert "ref.move done" in done.err
    assert "  version " in shown.out
    refs = office.engine.world.artifacts.get_artifact(ARTIFACT).refs
    assert [ref.version for ref in refs if ref.name.ref == "prod"] == [1]
    assert again.code == 12
    assert again.error["reason"] == "APPROVAL_USED"


def test_alice_cannot_approve_what_she_asked_for(desk: Desk) -> None:
    name = refused_move(desk)

    result = desk("alice", "approvals", "approve", name, "--yes", "--json")

    assert (result.code, result.error["reason"]) == (12, "APPROVAL_INVALID")
    assert "another person" in result.error["message"]


def test_nothing_runs_before_it_is_approved(desk: Desk) -> None:
    name = refused_move(desk)

    result = desk("alice", "approvals", "run", name, "--json")

    assert (result.code, result.error["reason"]) == (13, "APPROVAL_REQUIRED")
    assert result.error["metadata"]["approval"] == name


def test_bob_cannot_run_what_alice_asked_for(desk: Desk) -> None:
    name = refused_move(desk)
    desk("bob", "approvals", "approve", name, "--yes")

    result = desk("bob", "approvals", "run", name, "--json")

    assert (result.code, result.error["reason"]) == (12, "APPROVAL_INVALID")


def test_what_is_denied_stays_denied(desk: Desk) -> None:
    name = refused_move(desk)

    denied = desk("bob", "approvals", "deny", name, "--reason", "not on a Friday")
    result = desk("alice", "approvals", "run", name, "--json")
    shown = desk("alice", "approvals", "show", name)

    assert denied.out == f"{name}: denied by operator:bob\n"
    assert (result.code, result.error["reason"]) == (12, "APPROVAL_DENIED")
    assert "denied     operator:bob: not on a Friday" in shown.out


def test_who_may_not_look_sees_nothing(desk: Desk) -> None:
    name = refused_move(desk)

    for words in (["ls"], ["show", name], ["deny", name], ["approve", name, "--yes"]):
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

    desk("bob", "approvals", "approve", name, "--yes")
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

    code = run(["--config", str(stolen), "approvals", "approve", name, "--yes"])

    assert code == 16


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
