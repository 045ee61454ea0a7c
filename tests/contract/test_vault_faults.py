# SPDX-License-Identifier: Apache-2.0
"""What the Vault adapter does when Vault goes away or is set up wrongly."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import (
    InternalError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import VaultSession, VaultSettings, open_vault
from tests.contract.key_service_suite import CONTEXT, fresh_kek
from tests.contract.vault_world import (
    OwnRole,
    kill_and_wait,
    token_of,
    vault_settings,
)
from tests.support.stack import BaoForTests, running_bao

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture
def settings(bao: BaoForTests) -> VaultSettings:
    return vault_settings(bao)


@pytest.fixture
def vault(settings: VaultSettings) -> Iterator[VaultSession]:
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as session:
        yield session


@pytest.fixture
def kek(vault: VaultSession) -> str:
    name = fresh_kek()
    vault.keys.create_kek(name)
    return name


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
            assert caught.value.reason is Reason.KEY_SERVICE_SEALED
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

    assert caught.value.reason is Reason.KEY_SERVICE_SEALED


def test_a_vault_that_was_stopped_is_unavailable_until_it_is_back(
    bao: BaoForTests, vault: VaultSession, kek: str
) -> None:
    made = vault.keys.generate(kek, CONTEXT)
    bao.stop()

    with pytest.raises(UnavailableError) as caught:
        vault.keys.unwrap(kek, CONTEXT, made.wrapped)
    bao.start()

    assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
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


@pytest.mark.alone
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

    assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
    assert took_s < settings.deadline_s + 1.0
    vault.keys.generate(kek, CONTEXT)


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

    assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
    assert "not trusted" in caught.value.message


def test_a_handshake_that_breaks_off_is_no_certificate_without_trust(
    settings: VaultSettings,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_hang_up, args=(listener,), daemon=True)
        accepting.start()
        away = f"https://127.0.0.1:{listener.getsockname()[1]}"
        opened = open_vault(
            replace(settings, address=away),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )

        with opened as vault, pytest.raises(UnavailableError) as caught:
            vault.keys.check_ready()

    assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
    assert caught.value.message == "Vault cannot be reached"


def test_a_transit_mount_that_is_not_there_is_denied(settings: VaultSettings) -> None:
    opened = open_vault(
        replace(settings, transit_mount="elsewhere"),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )

    with opened as vault, pytest.raises(PreconditionError) as caught:
        vault.keys.generate("sr.store", CONTEXT)

    assert caught.value.reason is Reason.KEK_ACCESS_DENIED


def test_missing_signing_keys_are_told(
    bao: BaoForTests, settings: VaultSettings, tmp_path: Path
) -> None:
    root = bao.client()
    root.write("sys/mounts/bare", {"type": "transit"})
    policy = 'path "bare/*" { capabilities = ["create", "read", "update"] }'
    root.write("sys/policies/acl/bare", {"policy": policy})
    role = OwnRole(bao, tmp_path, token_policies=["bare"])
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
        assert caught.value.reason is Reason.KEK_MISSING
        assert "sr.sign.version" in caught.value.message


def test_no_secret_reaches_logs_or_reprs(
    bao: BaoForTests,
    vault: VaultSession,
    kek: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    made = vault.keys.generate(kek, CONTEXT)
    vault.keys.unwrap(kek, CONTEXT, made.wrapped)
    shown = caplog.text + repr(vars(vault)) + repr(vars(vault._client)) + repr(made)

    secret_id = bao.secret_id_file.read_text().strip()
    for secret in (token_of(vault), secret_id, made.wrapped, made.plaintext.hex()):
        assert secret not in shown


def test_a_closed_session_serves_nothing(settings: VaultSettings) -> None:
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        vault.keys.check_ready()

    with pytest.raises(InternalError, match="closed"):
        vault.keys.check_ready()


def _hang_up(listener: socket.socket) -> None:
    """End each connection in the middle of its handshake."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(16)
                # Reading on until the client gives up would be a timeout, not an end.
                connection.shutdown(socket.SHUT_RDWR)
