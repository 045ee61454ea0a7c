# SPDX-License-Identifier: Apache-2.0
"""The server's certificate of Vault's PKI renews itself, whatever Vault does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import VaultSession, open_vault
from strongroom_server.rpc.certificates import CertificateKeeper
from tests.contract.issuer_suite import DNS_NAMES, IP_ADDRESSES, SPIFFE_ID
from tests.contract.vault_world import vault_settings
from tests.support.clock import ManualClock
from tests.support.stack import BaoForTests, running_bao

pytestmark = pytest.mark.e2e

TTL = timedelta(hours=1)
HALF_S = TTL.total_seconds() / 2 + 60


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture
def vault(bao: BaoForTests) -> Iterator[VaultSession]:
    settings = vault_settings(bao)
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        yield vault


@pytest.fixture
def clock() -> ManualClock:
    """The keeper's clock; Vault's goes on as it does."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def keeper(vault: VaultSession, clock: ManualClock) -> CertificateKeeper:
    issuer = vault.issuer(
        SPIFFE_ID, dns_names=DNS_NAMES, ip_addresses=IP_ADDRESSES, ttl=TTL
    )
    return CertificateKeeper(issuer, clock=clock)


def test_a_new_key_and_certificate_are_issued_at_half_of_the_life(
    keeper: CertificateKeeper, clock: ManualClock
) -> None:
    first = keeper.current
    keeper.renew_if_due()
    assert keeper.current is first

    clock.advance(HALF_S)
    keeper.renew_if_due()

    second = keeper.current
    assert second.chain_pem != first.chain_pem
    assert second.private_key_pem != first.private_key_pem
    keeper.check_renewed()


def test_while_vault_is_sealed_the_certificate_stays_and_is_renewed_after_it(
    keeper: CertificateKeeper, clock: ManualClock, bao: BaoForTests
) -> None:
    first = keeper.current
    clock.advance(HALF_S)
    bao.seal()
    try:
        for _ in range(2):
            with pytest.raises(UnavailableError) as caught:
                keeper.renew_if_due()
            assert caught.value.reason is Reason.KEY_SERVICE_SEALED
            assert keeper.current is first
        clock.advance(HALF_S / 2)
        with pytest.raises(UnavailableError, match="is not renewed"):
            keeper.check_renewed()
        keeper.check_ready()
    finally:
        bao.unseal()

    keeper.renew_if_due()
    assert keeper.current is not first


def test_a_role_that_no_longer_allows_our_names_is_told_and_mended(
    keeper: CertificateKeeper, clock: ManualClock, bao: BaoForTests
) -> None:
    first, path = keeper.current, "pki/roles/strongroom-server"
    role = bao.client().read(path)
    assert role is not None
    clock.advance(HALF_S)
    bao.client().write(path, {**role, "allowed_uri_sans": ["spiffe://other/*"]})
    try:
        with pytest.raises(PreconditionError) as caught:
            keeper.renew_if_due()
    finally:
        bao.client().write(path, role)

    assert caught.value.reason is Reason.SETTING_INVALID
    assert keeper.current is first
    keeper.renew_if_due()
    assert keeper.current is not first
