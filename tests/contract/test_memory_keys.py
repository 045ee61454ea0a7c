# SPDX-License-Identifier: Apache-2.0
"""The keys in memory keep the contracts of the real ones."""

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_issuer import MemoryIssuer
from strongroom_server.adapters.memory_keys import (
    MemoryKeyAdmin,
    MemoryKeyService,
    MemorySigner,
)
from tests.contract.issuer_suite import (
    DNS_NAMES,
    IP_ADDRESSES,
    SPIFFE_ID,
    TTL,
    IssuerSuite,
)
from tests.contract.key_service_suite import CONTEXT, KeyServiceSuite, fresh_kek
from tests.contract.signer_suite import SignerSuite


class TestMemoryKeyService(KeyServiceSuite):
    @pytest.fixture
    def keys(self) -> MemoryKeyService:
        return MemoryKeyService(entropy=SystemEntropy())

    @pytest.fixture
    def admin(self, keys: MemoryKeyService) -> MemoryKeyAdmin:
        return MemoryKeyAdmin(keys)

    def test_a_sealed_service_serves_nothing(
        self, keys: MemoryKeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)
        keys.seal()

        for call in (
            keys.check_ready,
            lambda: keys.create_kek(fresh_kek()),
            lambda: keys.generate(kek, CONTEXT),
            lambda: keys.unwrap(kek, CONTEXT, made.wrapped),
        ):
            with pytest.raises(UnavailableError) as caught:
                call()
            assert caught.value.reason is Reason.KEY_SERVICE_SEALED

        keys.unseal()
        assert keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext

    def test_a_destroyed_kek_opens_nothing(
        self, keys: MemoryKeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)

        keys.delete_kek(kek)

        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(kek, CONTEXT, made.wrapped)
        assert caught.value.reason is Reason.KEK_MISSING


class TestMemorySigner(SignerSuite):
    @pytest.fixture
    def signer(self) -> MemorySigner:
        return MemorySigner(entropy=SystemEntropy())

    @pytest.fixture
    def rotated(self, signer: MemorySigner) -> None:
        signer.rotate()


class TestMemoryIssuer(IssuerSuite):
    @pytest.fixture
    def issuer(self) -> MemoryIssuer:
        return MemoryIssuer(
            SPIFFE_ID,
            dns_names=DNS_NAMES,
            ip_addresses=IP_ADDRESSES,
            ttl=TTL,
            clock=SystemClock(),
        )
