# SPDX-License-Identifier: Apache-2.0
"""What the Vault adapter does when its token or its secret id goes away."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import (
    PreconditionError,
    Reason,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    VaultSession,
    VaultSettings,
    open_vault,
)
from tests.contract.key_service_suite import CONTEXT, fresh_kek
from tests.contract.vault_world import (
    OwnRole,
    ShiftedClock,
    requests_to,
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
    role = OwnRole(bao, tmp_path, token_ttl="60s", token_max_ttl="60s")
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
    role = OwnRole(bao, tmp_path, token_type="batch", token_ttl="15m")
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
    role = OwnRole(bao, tmp_path)
    role.destroy_secret_id()
    opened = open_vault(
        role.settings(settings), clock=SystemClock(), entropy=SystemEntropy()
    )
    with opened as vault:
        with pytest.raises(PreconditionError) as caught:
            vault.keys.check_ready()
        assert caught.value.reason is Reason.KEK_ACCESS_DENIED
        assert "secret id" in caught.value.message

        role.renew_secret_id()

        vault.keys.check_ready()


def test_what_the_policy_denies_stays_denied_after_one_more_login(
    bao: BaoForTests, settings: VaultSettings
) -> None:
    login = AppRoleLogin(bao.client_role_id_file, bao.client_secret_id_file)
    foreign = replace(settings, login=login)
    logins = requests_to(bao, "auth/approle/login")
    opened = open_vault(foreign, clock=SystemClock(), entropy=SystemEntropy())
    with opened as vault, pytest.raises(PreconditionError) as caught:
        vault.keys.generate("sr.store", CONTEXT)

    assert caught.value.reason is Reason.KEK_ACCESS_DENIED
    assert requests_to(bao, "auth/approle/login") == logins + 2
