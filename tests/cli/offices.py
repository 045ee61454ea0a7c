# SPDX-License-Identifier: Apache-2.0
"""Two people at two desks, and the server that keeps a rule of the site's own."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from strongroom_server.core.approval_log import ApprovalState
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.dev.security_keys import RELYING_PARTY, provide_keys
from strongroom_server.services.approving import SecurityKeys
from tests.cli.conftest import Result
from tests.client.engine import Engine, write_config
from tests.rpc.authority import DEVELOPER
from tests.rpc.engine import serving_world
from tests.rpc.people import WORKSTATION

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
                "store_id": self.engine.world.repository.keyring.store.hex(),
                "relying_party": RELYING_PARTY,
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


@contextmanager
def opened_office(folder: Path) -> Iterator[Office]:
    """Serve two people, whose keys and settings lie below a folder."""
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


Desk = Callable[..., Result]


@contextmanager
def manned_desk(office: Office, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """Yield what runs a command as a person; what is open at the end is denied."""

    def command(name: str, *args: str) -> Result:
        config = office.settings(name)
        capsys.readouterr()
        code = run(["--config", str(config), *args])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    yield command
    approving = office.engine.world.approving
    for item in approving.alive().approvals:
        if approving.state(item) in {ApprovalState.PENDING, ApprovalState.APPROVED}:
            name = item.request.approval_id
            approving.deny(name, "over", principal="operator:bob", audit_id="log-1")


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


def seen(desk: Desk, name: str, *, who: str = "bob") -> str:
    """Have somebody look at an approval; return the digest of what they saw."""
    shown = desk(who, "approvals", "show", name, "--json")
    assert shown.code == 0, shown
    digest: str = shown.lines[-1]["digest"]
    return digest


def approve(desk: Desk, name: str) -> Result:
    """Have bob approve what he has looked at."""
    return desk("bob", "approvals", "approve", name, "--yes", seen(desk, name))
