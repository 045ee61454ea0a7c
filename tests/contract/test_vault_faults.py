# SPDX-License-Identifier: Apache-2.0
"""What the Vault adapter does when Vault, its token or its credentials go away."""

import json
import logging
import os
import secrets
import select
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from strongroom.errors import (
    InternalError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import VaultSession, VaultSettings, open_vault
from tests.contract.key_service_suite import CONTEXT, fresh_kek
from tests.support.stack import BaoForTests, running_bao

pytestmark = pytest.mark.e2e


@dataclass
class ShiftedClock(SystemClock):
    """The machine's clock, which a test may put forward."""

    ahead_s: float = field(default=0.0)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s

    def now(self) -> datetime:
        return super().now()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture
def settings(bao: BaoForTests) -> VaultSettings:
    return VaultSettings(
        address=bao.address,
        ca_file=bao.ca_file,
        role_id_file=bao.role_id_file,
        secret_id_file=bao.secret_id_file,
        read_timeout_s=2.0,
        deadline_s=4.0,
    )


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def vault(settings: VaultSettings, clock: ShiftedClock) -> Iterator[VaultSession]:
    with open_vault(settings, clock=clock, entropy=SystemEntropy()) as session:
        yield session


@pytest.fixture
def kek(vault: VaultSession) -> str:
    name = fresh_kek()
    vault.keys.create_kek(name)
    return name


class TestRole:
    """A role of the test's own, with the server's policy and odd tokens."""

    __test__ = False

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
        return replace(
            settings,
            role_id_file=self.role_id_file,
            secret_id_file=self.secret_id_file,
        )


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


def reason_of(error: pytest.ExceptionInfo[StrongroomError]) -> Reason:
    return error.value.reason


def test_a_vault_sealed_in_mid_use_is_told_apart_and_comes_back(
    bao: BaoForTests, vault: VaultSession, kek: str
) -> None:
    made = vault.keys.generate(kek, CONTEXT)
    bao.seal()

    try:
        for call in (
            vault.keys.check_ready,
            lambda: vault.keys.create_kek(fresh_kek()),
            lambda: vault.keys.generate(kek, CONTEXT),
            lambda: vault.keys.unwrap(kek, CONTEXT, made.wrapped),
            lambda: vault.signer.sign(b"entry"),
            vault.signer.public_keys,
        ):
            with pytest.raises(UnavailableError) as caught:
                call()
            assert reason_of(caught) is Reason.KEY_SERVICE_SEALED
            assert "bao operator unseal" in caught.value.hint
    finally:
        bao.unseal()

    assert vault.keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext


def test_a_vault_sealed_before_the_first_login_is_told_apart(
    bao: BaoForTests, settings: VaultSettings
) -> None:
    bao.seal()

    try:
        with (
            open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as vault,
            pytest.raises(UnavailableError) as caught,
        ):
            vault.keys.check_ready()
    finally:
        bao.unseal()

    assert reason_of(caught) is Reason.KEY_SERVICE_SEALED


def test_a_vault_that_was_stopped_is_unavailable_until_it_is_back(
    bao: BaoForTests, vault: VaultSession, kek: str
) -> None:
    made = vault.keys.generate(kek, CONTEXT)
    bao.stop()

    with pytest.raises(UnavailableError) as caught:
        vault.keys.unwrap(kek, CONTEXT, made.wrapped)
    bao.start()

    assert reason_of(caught) is Reason.KEY_SERVICE_UNAVAILABLE
    assert vault.keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext


def test_a_vault_killed_between_two_requests_costs_no_error(
    bao: BaoForTests, vault: VaultSession, kek: str
) -> None:
    made = vault.keys.generate(kek, CONTEXT)
    assert bao.pid is not None
    kill_and_wait(bao.pid)
    bao.start()

    # The pooled connection is dead by now, and the first try finds that out.
    assert vault.keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext


def test_a_vault_that_hangs_is_given_up_in_time(
    bao: BaoForTests, vault: VaultSession, kek: str, settings: VaultSettings
) -> None:
    clock = SystemClock()
    assert bao.pid is not None
    os.kill(bao.pid, signal.SIGSTOP)

    try:
        start = clock.monotonic()
        with pytest.raises(UnavailableError) as caught:
            vault.keys.generate(kek, CONTEXT)
        took_s = clock.monotonic() - start
    finally:
        os.kill(bao.pid, signal.SIGCONT)

    assert reason_of(caught) is Reason.KEY_SERVICE_UNAVAILABLE
    assert took_s < settings.deadline_s + 1.0
    vault.keys.generate(kek, CONTEXT)


def test_a_revoked_token_is_replaced_within_the_call(
    bao: BaoForTests, vault: VaultSession, kek: str
) -> None:
    made = vault.keys.generate(kek, CONTEXT)
    before = token_of(vault)
    bao.client().write("auth/token/revoke", {"token": before})

    assert vault.keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext
    assert token_of(vault) != before


def test_threads_that_share_a_revoked_token_log_in_once(
    bao: BaoForTests, vault: VaultSession, kek: str
) -> None:
    bao.client().write("auth/token/revoke", {"token": token_of(vault)})
    logins = requests_to(bao, "auth/approle/login")

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: vault.keys.generate(kek, CONTEXT), range(8)))

    assert len(made) == 8
    assert requests_to(bao, "auth/approle/login") == logins + 1


def test_threads_that_start_together_log_in_once(
    bao: BaoForTests, vault: VaultSession
) -> None:
    logins = requests_to(bao, "auth/approle/login")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: vault.keys.check_ready(), range(8)))

    assert requests_to(bao, "auth/approle/login") == logins + 1


def test_a_token_past_half_its_life_is_renewed_and_kept(
    bao: BaoForTests, vault: VaultSession, clock: ShiftedClock
) -> None:
    vault.keys.check_ready()
    before = token_of(vault)
    renewals = requests_to(bao, "auth/token/renew-self")

    clock.ahead_s += 460.0
    vault.keys.check_ready()
    vault.keys.check_ready()

    assert token_of(vault) == before
    assert requests_to(bao, "auth/token/renew-self") == renewals + 1


def test_a_token_that_has_run_out_is_replaced(
    vault: VaultSession, clock: ShiftedClock
) -> None:
    vault.keys.check_ready()
    before = token_of(vault)

    clock.ahead_s += 1000.0
    vault.keys.check_ready()

    assert token_of(vault) != before


def test_a_token_near_its_maximal_life_is_replaced(
    bao: BaoForTests, settings: VaultSettings, clock: ShiftedClock, tmp_path: Path
) -> None:
    role = TestRole(bao, tmp_path, token_ttl="60s", token_max_ttl="60s")
    opened = open_vault(role.settings(settings), clock=clock, entropy=SystemEntropy())
    with opened as vault:
        vault.keys.check_ready()
        before = token_of(vault)
        # Shorten what is left of it, as the passing of time would.
        tune = {"token_ttl": "20s", "token_max_ttl": "20s"}
        bao.client().write(f"auth/approle/role/{role.name}", tune)

        clock.ahead_s += 40.0
        vault.keys.check_ready()

        assert token_of(vault) != before


def test_a_token_that_cannot_be_renewed_is_replaced(
    bao: BaoForTests, settings: VaultSettings, clock: ShiftedClock, tmp_path: Path
) -> None:
    role = TestRole(bao, tmp_path, token_type="batch", token_ttl="15m")
    opened = open_vault(role.settings(settings), clock=clock, entropy=SystemEntropy())
    with opened as vault:
        vault.keys.generate("sr.store", CONTEXT)
        before = token_of(vault)

        clock.ahead_s += 460.0
        vault.keys.generate("sr.store", CONTEXT)

        assert token_of(vault) != before


def test_a_secret_id_that_is_gone_is_told_and_a_new_one_is_taken_up(
    bao: BaoForTests, settings: VaultSettings, tmp_path: Path
) -> None:
    role = TestRole(bao, tmp_path)
    role.destroy_secret_id()
    opened = open_vault(
        role.settings(settings), clock=SystemClock(), entropy=SystemEntropy()
    )
    with opened as vault:
        with pytest.raises(PreconditionError) as caught:
            vault.keys.check_ready()
        assert reason_of(caught) is Reason.KEK_ACCESS_DENIED
        assert "secret id" in caught.value.message

        role.renew_secret_id()

        vault.keys.check_ready()


def test_what_the_policy_denies_stays_denied_after_one_more_login(
    bao: BaoForTests, settings: VaultSettings
) -> None:
    foreign = replace(
        settings,
        role_id_file=bao.client_role_id_file,
        secret_id_file=bao.client_secret_id_file,
    )
    logins = requests_to(bao, "auth/approle/login")
    opened = open_vault(foreign, clock=SystemClock(), entropy=SystemEntropy())
    with opened as vault, pytest.raises(PreconditionError) as caught:
        vault.keys.generate("sr.store", CONTEXT)

    assert reason_of(caught) is Reason.KEK_ACCESS_DENIED
    assert requests_to(bao, "auth/approle/login") == logins + 2


def test_a_ca_that_did_not_sign_the_listener_is_refused(
    bao: BaoForTests, settings: VaultSettings, tmp_path: Path
) -> None:
    pem = (bao.client().read("pki/cert/ca") or {})["certificate"]
    foreign = tmp_path / "ca.pem"
    foreign.write_text(str(pem))
    opened = open_vault(
        replace(settings, ca_file=foreign), clock=SystemClock(), entropy=SystemEntropy()
    )

    with opened as vault, pytest.raises(UnavailableError) as caught:
        vault.keys.check_ready()

    assert reason_of(caught) is Reason.KEY_SERVICE_UNAVAILABLE
    assert "not trusted" in caught.value.message


def test_a_transit_mount_that_is_not_there_is_denied(settings: VaultSettings) -> None:
    opened = open_vault(
        replace(settings, transit_mount="elsewhere"),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )

    with opened as vault, pytest.raises(PreconditionError) as caught:
        vault.keys.generate("sr.store", CONTEXT)

    assert reason_of(caught) is Reason.KEK_ACCESS_DENIED


def test_missing_signing_keys_are_told(
    bao: BaoForTests, settings: VaultSettings
) -> None:
    root = bao.client()
    root.write("sys/mounts/bare", {"type": "transit"})
    policy = 'path "bare/*" { capabilities = ["create", "read", "update"] }'
    root.write("sys/policies/acl/bare", {"policy": policy})
    role = TestRole(bao, settings_folder(bao), token_policies=["bare"])
    bare = replace(role.settings(settings), transit_mount="bare")
    with open_vault(bare, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        with pytest.raises(PreconditionError) as of_sign:
            vault.signer.sign(b"entry")
        with pytest.raises(PreconditionError) as of_keys:
            vault.signer.public_keys()
        root.write("bare/keys/sr.sign.version", {"type": "ed25519"})
        with pytest.raises(PreconditionError) as of_type:
            vault.signer.public_keys()

    for caught in (of_sign, of_keys, of_type):
        assert reason_of(caught) is Reason.KEK_MISSING
        assert "sr.sign.version" in caught.value.message


def settings_folder(bao: BaoForTests) -> Path:
    """Return a new folder next to OpenBao's own."""
    folder = bao.ca_file.parents[2] / secrets.token_hex(4)
    folder.mkdir()
    return folder


def test_no_secret_reaches_logs_or_reprs(
    vault: VaultSession,
    kek: str,
    settings: VaultSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    made = vault.keys.generate(kek, CONTEXT)
    vault.keys.unwrap(kek, CONTEXT, made.wrapped)
    shown = caplog.text + repr(vars(vault)) + repr(vars(vault._client)) + repr(made)

    secret_id = settings.secret_id_file.read_text().strip()
    for secret in (token_of(vault), secret_id, made.wrapped, made.plaintext.hex()):
        assert secret not in shown


def test_a_closed_session_serves_nothing(settings: VaultSettings) -> None:
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        vault.keys.check_ready()

    with pytest.raises(InternalError, match="closed"):
        vault.keys.check_ready()
