# SPDX-License-Identifier: Apache-2.0
"""A server that talks to a cluster of OpenBao, through a node that does not lead."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import VaultSession, VaultSettings, open_vault
from tests.contract.key_service_suite import CONTEXT, fresh_kek
from tests.contract.vault_cluster import Standby, standby_of, wait_for
from tests.contract.vault_world import kill_and_wait, vault_settings
from tests.support.stack import BaoForTests, running_bao

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture
def standbys(
    bao: BaoForTests, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Standby]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                standby_of(bao, tmp_path_factory.mktemp(name) / "node", name)
            )
            for name in ("second", "third")
        ]


def settings_of(bao: BaoForTests, node: Standby) -> VaultSettings:
    return replace(vault_settings(bao), address=node.address)


def opens(vault: VaultSession, kek: str, wrapped: str, plaintext: bytes) -> bool:
    """Tell whether a wrapped key opens; nothing but "unavailable" may hinder it."""
    with contextlib.suppress(UnavailableError):
        return vault.keys.unwrap(kek, CONTEXT, wrapped) == plaintext
    return False


def makes_keys(vault: VaultSession) -> bool:
    with contextlib.suppress(UnavailableError):
        vault.keys.create_kek(fresh_kek())
        return True
    return False


def test_a_server_at_a_standby_reads_what_it_wrote_and_outlives_leaders(
    bao: BaoForTests, standbys: list[Standby]
) -> None:
    settings = settings_of(bao, standbys[0])
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        # The leader makes each key; the standby, whose copy lags, is asked for it.
        for _ in range(20):
            vault.keys.create_kek(another := fresh_kek())
            vault.keys.generate(another, CONTEXT)
        kek = fresh_kek()
        vault.keys.create_kek(kek)
        made = vault.keys.generate(kek, CONTEXT)
        assert bao.pid is not None
        kill_and_wait(bao.pid)

        wait_for(lambda: opens(vault, kek, made.wrapped, made.plaintext))
        assert sorted(node.health() for node in standbys) == [200, 429]
        assert vault.signer.sign(b"entry")

        # Two of three are gone: the one that is left may lead nobody, and make no
        # key. What it knows, it may still open.
        standbys[1].stop()
        wait_for(lambda: not makes_keys(vault))
        with pytest.raises(UnavailableError) as caught:
            vault.keys.create_kek(fresh_kek())
        assert caught.value.reason in {
            Reason.KEY_SERVICE_UNAVAILABLE,
            Reason.KEY_SERVICE_SEALED,
        }

        bao.bao.start()
        bao.client("").write("sys/unseal", {"key": bao.bao.unseal_key()})
        wait_for(lambda: makes_keys(vault))
        assert opens(vault, kek, made.wrapped, made.plaintext)


def test_a_fresh_login_at_a_standby_is_good_at_once(
    bao: BaoForTests, standbys: list[Standby]
) -> None:
    settings = settings_of(bao, standbys[0])
    for _ in range(10):
        opened = open_vault(settings, clock=SystemClock(), entropy=SystemEntropy())
        with opened as vault:
            vault.keys.check_ready()
            vault.keys.generate("sr.store", CONTEXT)
