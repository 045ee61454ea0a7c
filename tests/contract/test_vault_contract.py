# SPDX-License-Identifier: Apache-2.0
"""The Vault adapter keeps the contracts on a real OpenBao, with its real policy."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    VaultSession,
    VaultSettings,
    open_vault,
)
from strongroom_server.core.signatures import verify_signatures
from strongroom_server.dev.provisioning import KEY_ADMIN_APPROLE
from strongroom_server.ports import (
    CertificateIssuer,
    KeyAdmin,
    KeyService,
    Signer,
    WrappedKey,
)
from tests.contract.issuer_suite import (
    DNS_NAMES,
    IP_ADDRESSES,
    SPIFFE_ID,
    TTL,
    IssuerSuite,
)
from tests.contract.key_service_suite import CONTEXT, KeyServiceSuite, fresh_kek
from tests.contract.signer_suite import BOTH, SignerSuite
from tests.support.stack import BaoForTests, running_bao

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


def settings_of(bao: BaoForTests) -> VaultSettings:
    return VaultSettings(
        address=bao.address,
        ca_file=bao.ca_file,
        login=AppRoleLogin(bao.role_id_file, bao.secret_id_file),
    )


@pytest.fixture(scope="module")
def vault(bao: BaoForTests) -> Iterator[VaultSession]:
    with open_vault(
        settings_of(bao), clock=SystemClock(), entropy=SystemEntropy()
    ) as session:
        yield session


class TestVaultKeyService(KeyServiceSuite):
    @pytest.fixture
    def keys(self, vault: VaultSession) -> KeyService:
        return vault.keys

    @pytest.fixture
    def admin(self, bao: BaoForTests) -> Iterator[KeyAdmin]:
        login = AppRoleLogin(*bao.layout.approle(KEY_ADMIN_APPROLE))
        own = replace(settings_of(bao), login=login)
        with open_vault(own, clock=SystemClock(), entropy=SystemEntropy()) as session:
            yield session.key_admin

    def test_the_server_itself_changes_no_kek(
        self, vault: VaultSession, kek: str
    ) -> None:
        with pytest.raises(PreconditionError) as of_rotate:
            vault.key_admin.rotate(kek)
        with pytest.raises(PreconditionError) as of_retire:
            vault.key_admin.retire(kek, oldest=2)

        assert of_rotate.value.reason is Reason.KEK_ACCESS_DENIED
        assert of_retire.value.reason is Reason.KEK_ACCESS_DENIED

    def test_who_looks_after_keks_uses_none(
        self, bao: BaoForTests, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)
        login = AppRoleLogin(*bao.layout.approle(KEY_ADMIN_APPROLE))
        own = replace(settings_of(bao), login=login)
        with open_vault(own, clock=SystemClock(), entropy=SystemEntropy()) as session:
            with pytest.raises(PreconditionError) as of_unwrap:
                session.keys.unwrap(kek, CONTEXT, made.wrapped)
            with pytest.raises(PreconditionError) as of_generate:
                session.keys.generate(kek, CONTEXT)
            with pytest.raises(PreconditionError) as of_rewrap:
                session.keys.rewrap(kek, [WrappedKey(CONTEXT, made.wrapped)])

        for caught in (of_unwrap, of_generate, of_rewrap):
            assert caught.value.reason is Reason.KEK_ACCESS_DENIED

    def test_a_kek_has_the_properties_that_protect_it(
        self, bao: BaoForTests, kek: str
    ) -> None:
        properties = bao.client().read(f"transit/keys/{kek}") or {}

        assert properties["type"] == "aes256-gcm96"
        assert properties["derived"] is True
        assert properties["exportable"] is False
        assert properties["allow_plaintext_backup"] is False
        assert properties["deletion_allowed"] is False

    @pytest.mark.parametrize(
        "properties",
        [
            {"type": "aes256-gcm96"},
            {"type": "aes256-gcm96", "derived": True, "exportable": True},
            {"type": "aes256-gcm96", "derived": True, "allow_plaintext_backup": True},
            {"type": "chacha20-poly1305", "derived": True},
        ],
    )
    def test_a_key_of_another_kind_is_not_taken_for_a_kek(
        self, bao: BaoForTests, keys: KeyService, properties: dict[str, object]
    ) -> None:
        name = fresh_kek()
        bao.client().write(f"transit/keys/{name}", properties)

        with pytest.raises(PreconditionError) as caught:
            keys.create_kek(name)

        assert caught.value.reason is Reason.KEK_MISSING
        assert "is no KEK" in caught.value.message

    def test_a_key_wrapped_before_a_rotation_opens(
        self, bao: BaoForTests, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)

        bao.client().write(f"transit/keys/{kek}/rotate")

        assert keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext
        assert keys.generate(kek, CONTEXT).wrapped.startswith("vault:v2:")

    def test_a_retired_kek_version_is_withheld_not_corrupt(
        self, bao: BaoForTests, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)
        bao.client().write(f"transit/keys/{kek}/rotate")
        bao.client().write(f"transit/keys/{kek}/config", {"min_decryption_version": 2})

        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(kek, CONTEXT, made.wrapped)

        assert caught.value.reason is Reason.KEK_ACCESS_DENIED

    def test_a_paused_kek_is_withheld_until_it_is_restored(
        self, bao: BaoForTests, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)
        bao.client().exchange("DELETE", f"transit/keys/{kek}/soft-delete")

        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(kek, CONTEXT, made.wrapped)

        assert caught.value.reason is Reason.KEK_ACCESS_DENIED
        bao.client().write(f"transit/keys/{kek}/soft-delete-restore")
        assert keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext

    def test_a_destroyed_kek_is_missing(
        self, bao: BaoForTests, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)
        bao.client().write(f"transit/keys/{kek}/config", {"deletion_allowed": True})
        bao.client().exchange("DELETE", f"transit/keys/{kek}")

        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(kek, CONTEXT, made.wrapped)

        assert caught.value.reason is Reason.KEK_MISSING

    def test_a_kek_made_anew_under_an_old_name_opens_nothing_old(
        self, bao: BaoForTests, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)
        bao.client().write(f"transit/keys/{kek}/config", {"deletion_allowed": True})
        bao.client().exchange("DELETE", f"transit/keys/{kek}")
        keys.create_kek(kek)

        with pytest.raises(OSError, match="does not open") as caught:
            keys.unwrap(kek, CONTEXT, made.wrapped)

        assert getattr(caught.value, "reason", None) is Reason.KEY_SLOT_CORRUPT

    def test_the_store_kek_made_by_provisioning_is_accepted(
        self, keys: KeyService
    ) -> None:
        keys.create_kek("sr.store")

        made = keys.generate("sr.store", CONTEXT)

        assert keys.unwrap("sr.store", CONTEXT, made.wrapped) == made.plaintext

    def test_a_signing_key_is_not_taken_for_a_kek(self, keys: KeyService) -> None:
        with pytest.raises(PreconditionError) as caught:
            keys.create_kek("sr.sign.version")

        assert caught.value.reason is Reason.KEK_MISSING


class TestVaultSigner(SignerSuite):
    @pytest.fixture
    def signer(self, vault: VaultSession) -> Signer:
        return vault.signer

    @pytest.fixture
    def rotated(self, bao: BaoForTests) -> None:
        for name in ("sr.sign.version", "sr.sign.version.pq"):
            bao.client().write(f"transit/keys/{name}/rotate")

    def test_keys_read_before_a_rotation_verify_what_came_after(
        self, bao: BaoForTests, vault: VaultSession
    ) -> None:
        with open_vault(
            settings_of(bao), clock=SystemClock(), entropy=SystemEntropy()
        ) as other:
            keys = other.signer.public_keys()
            for name in ("sr.sign.version", "sr.sign.version.pq"):
                bao.client().write(f"transit/keys/{name}/rotate")

            signatures = vault.signer.sign(b"entry")

            verify_signatures(b"entry", signatures, keys, required=BOTH)


class TestVaultIssuer(IssuerSuite):
    @pytest.fixture
    def issuer(self, vault: VaultSession) -> CertificateIssuer:
        return vault.issuer(
            SPIFFE_ID, dns_names=DNS_NAMES, ip_addresses=IP_ADDRESSES, ttl=TTL
        )

    def test_a_name_that_the_role_forbids_is_a_wrong_setting(
        self, vault: VaultSession
    ) -> None:
        issuer = vault.issuer(
            "spiffe://elsewhere/server", dns_names=(), ip_addresses=(), ttl=TTL
        )

        with pytest.raises(PreconditionError) as caught:
            issuer.issue()

        assert caught.value.reason is Reason.SETTING_INVALID
