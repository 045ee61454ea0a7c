# SPDX-License-Identifier: Apache-2.0
"""Keys and engines that an operator pauses, loses or replaces, at a real OpenBao.

Each is told by a class, a reason and a next step of its own; nothing is made in
place of what is gone; and what was lost opens again, without a restart, once the
operator has done what the hint says.
"""

import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator

import pytest

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import VaultSession, open_vault
from strongroom_server.dev.vault_client import VaultClient
from strongroom_server.ports import DataKey
from tests.contract.key_service_suite import CONTEXT, fresh_kek
from tests.contract.vault_world import vault_settings
from tests.support.stack import BaoForTests, running_bao

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture
def root(bao: BaoForTests) -> VaultClient:
    return bao.client()


@pytest.fixture
def vault(bao: BaoForTests) -> Iterator[VaultSession]:
    settings = vault_settings(bao)
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as session:
        yield session


@pytest.fixture
def kek(vault: VaultSession) -> str:
    name = fresh_kek()
    vault.keys.create_kek(name)
    return name


@pytest.fixture
def made(vault: VaultSession, kek: str) -> DataKey:
    return vault.keys.generate(kek, CONTEXT)


def refused(call: Callable[[], object]) -> PreconditionError:
    with pytest.raises(PreconditionError) as caught:
        call()
    return caught.value


def destroy(root: VaultClient, kek: str) -> None:
    root.write(f"transit/keys/{kek}/config", {"deletion_allowed": True})
    root.exchange("DELETE", f"transit/keys/{kek}")


def snapshot(bao: BaoForTests, method: str, body: bytes | None = None) -> bytes:
    """Take a snapshot of all that OpenBao stores, or put one back."""
    context = ssl.create_default_context(cafile=str(bao.ca_file))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", bao.bao.port, timeout=15, context=context
    )
    headers = {"X-Vault-Token": bao.root_token}
    connection.request(method, "/v1/sys/storage/raft/snapshot", body, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    assert response.status in {200, 204}, data
    return data


def test_a_paused_key_is_told_and_goes_on(
    root: VaultClient, vault: VaultSession, kek: str, made: DataKey
) -> None:
    root.exchange("DELETE", f"transit/keys/{kek}/soft-delete")

    for call in (
        lambda: vault.keys.unwrap(kek, CONTEXT, made.wrapped),
        lambda: vault.keys.generate(kek, CONTEXT),
    ):
        error = refused(call)
        assert error.reason is Reason.KEK_ACCESS_DENIED
        assert "paused" in error.message
        assert "soft-delete-restore" in error.hint

    root.write(f"transit/keys/{kek}/soft-delete-restore")
    assert vault.keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext


def test_a_retired_version_is_told_and_goes_on_when_it_is_brought_back(
    root: VaultClient, vault: VaultSession, kek: str, made: DataKey
) -> None:
    root.write(f"transit/keys/{kek}/rotate")
    root.write(f"transit/keys/{kek}/config", {"min_decryption_version": 2})

    error = refused(lambda: vault.keys.unwrap(kek, CONTEXT, made.wrapped))
    assert error.reason is Reason.KEK_ACCESS_DENIED
    assert "min_decryption_version" in error.hint

    root.write(f"transit/keys/{kek}/config", {"min_decryption_version": 1})
    assert vault.keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext


def test_a_destroyed_key_is_told_and_none_is_made_in_its_place(
    root: VaultClient, vault: VaultSession, kek: str, made: DataKey
) -> None:
    destroy(root, kek)

    for call in (
        lambda: vault.keys.unwrap(kek, CONTEXT, made.wrapped),
        lambda: vault.keys.generate(kek, CONTEXT),
    ):
        error = refused(call)
        assert error.reason is Reason.KEK_MISSING
        assert kek in error.message
        assert "snapshot" in error.hint

    assert root.read(f"transit/keys/{kek}") is None


def test_a_key_that_was_made_anew_opens_nothing_and_the_hint_says_so(
    root: VaultClient, vault: VaultSession, kek: str, made: DataKey
) -> None:
    destroy(root, kek)
    vault.keys.create_kek(kek)

    with pytest.raises(IntegrityError) as caught:
        vault.keys.unwrap(kek, CONTEXT, made.wrapped)

    assert caught.value.reason is Reason.KEY_SLOT_CORRUPT
    assert "made anew" in caught.value.hint


def test_a_key_that_is_older_than_what_it_wrapped_is_told(
    root: VaultClient, vault: VaultSession, kek: str
) -> None:
    root.write(f"transit/keys/{kek}/rotate")
    newer = vault.keys.generate(kek, CONTEXT)
    destroy(root, kek)
    vault.keys.create_kek(kek)

    error = refused(lambda: vault.keys.unwrap(kek, CONTEXT, newer.wrapped))

    assert error.reason is Reason.KEK_MISSING
    assert "lacks the version" in error.message


@pytest.mark.parametrize(
    "properties",
    [
        {"type": "aes256-gcm96"},
        {"type": "aes256-gcm96", "derived": True, "exportable": True},
        {"type": "chacha20-poly1305", "derived": True},
        {"type": "ed25519"},
    ],
)
def test_a_key_of_another_kind_under_the_name_of_a_kek_is_refused(
    root: VaultClient, vault: VaultSession, properties: dict[str, object]
) -> None:
    name = fresh_kek()
    root.write(f"transit/keys/{name}", properties)

    error = refused(lambda: vault.keys.create_kek(name))

    assert error.reason is Reason.KEK_MISSING
    assert "is no KEK" in error.message


def test_a_lost_engine_is_told_and_a_snapshot_brings_everything_back(
    bao: BaoForTests, root: VaultClient, vault: VaultSession, kek: str, made: DataKey
) -> None:
    saved = snapshot(bao, "GET")
    root.exchange("DELETE", "sys/mounts/transit")

    def calls() -> list[Callable[[], object]]:
        return [
            lambda: vault.keys.unwrap(kek, CONTEXT, made.wrapped),
            lambda: vault.keys.generate(kek, CONTEXT),
            lambda: vault.keys.create_kek(fresh_kek()),
            lambda: vault.signer.sign(b"entry"),
        ]

    for call in calls():
        error = refused(call)
        assert error.reason is Reason.KEK_MISSING
        assert "no engine" in error.message
        assert "A new engine at the same place opens nothing" in error.hint

    # What a hurried operator does: the place is there again, the keys are not.
    root.write("sys/mounts/transit", {"type": "transit"})
    for call in (calls()[0], calls()[1], calls()[3]):
        error = refused(call)
        assert error.reason is Reason.KEK_MISSING
        assert "does not have the key" in error.message
        assert "snapshot" in error.hint

    snapshot(bao, "PUT", saved)

    def opens() -> bool:
        with contextlib.suppress(UnavailableError):
            plaintext = vault.keys.unwrap(kek, CONTEXT, made.wrapped)
            return plaintext == made.plaintext
        return False

    # OpenBao loads all that it stores anew, and answers nobody meanwhile.
    bao.bao.process.wait_until(opens, 60.0, "does not open what it wrapped")
    assert vault.signer.sign(b"entry")
