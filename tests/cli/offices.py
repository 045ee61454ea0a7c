# SPDX-License-Identifier: Apache-2.0
"""Two people at two desks, and the server that keeps a rule of the site's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from strongroom._login.logins import Login, save_login
from strongroom.config import ClientSettings, load_settings
from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.credentials_file import CredentialsFile
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.dev.security_keys import RELYING_PARTY, provide_keys
from strongroom_server.services.approving import SecurityKeys
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
