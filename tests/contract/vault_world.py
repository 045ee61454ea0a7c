# SPDX-License-Identifier: Apache-2.0
"""What tests of the Vault adapter need beside a running OpenBao."""

import json
import os
import secrets
import select
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.vault import AppRoleLogin, VaultSession, VaultSettings
from tests.support.stack import BaoForTests


@dataclass
class ShiftedClock(SystemClock):
    """The machine's clock, which a test may put forward."""

    ahead_s: float = field(default=0.0)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


def vault_settings(bao: BaoForTests) -> VaultSettings:
    """Return settings with the server's own AppRole, and little patience."""
    return VaultSettings(
        address=bao.address,
        ca_file=bao.ca_file,
        login=AppRoleLogin(bao.role_id_file, bao.secret_id_file),
        read_timeout_s=2.0,
        deadline_s=4.0,
    )


class OwnRole:
    """A role of the test's own, with the server's policy and odd tokens."""

    def __init__(self, bao: BaoForTests, folder: Path, **properties: object) -> None:
        self.name = f"test-{secrets.token_hex(4)}"
        self._root = bao.client()
        self._path = f"auth/approle/role/{self.name}"
        policies = {"token_policies": ["strongroom-server"]}
        self._root.write(self._path, {**policies, **properties})
        self.role_id_file = folder / "role_id"
        self.secret_id_file = folder / "secret_id"
        role_id = (self._root.read(f"{self._path}/role-id") or {})["role_id"]
        self.role_id_file.write_text(f"{role_id}\n")
        self.renew_secret_id()

    def renew_secret_id(self) -> None:
        data = self._root.write_for_data(f"{self._path}/secret-id")
        self.secret_id_file.write_text(f"{data['secret_id']}\n")

    def destroy_secret_id(self) -> None:
        body = {"secret_id": self.secret_id_file.read_text().strip()}
        self._root.write(f"{self._path}/secret-id/destroy", body)

    def settings(self, settings: VaultSettings) -> VaultSettings:
        login = AppRoleLogin(self.role_id_file, self.secret_id_file)
        return replace(settings, login=login)


def kill_and_wait(pid: int) -> None:
    """Kill a process and wait until its last thread has let go of its port."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(10_000)
    finally:
        os.close(descriptor)


def token_of(vault: VaultSession) -> str:
    token = vault._client._token
    assert token is not None
    return token.value


def requests_to(bao: BaoForTests, path: str) -> int:
    """Count the requests to a path in OpenBao's own audit log."""
    lines = bao.audit_file.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return sum(
        entry["type"] == "request" and entry["request"]["path"] == path
        for entry in entries
    )
