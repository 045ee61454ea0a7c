# SPDX-License-Identifier: Apache-2.0
"""What the Vault adapter does while Vault's disk, network or clock fails, for real."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import VaultSession, VaultSettings, open_vault
from strongroom_server.rpc.health import Health
from tests.contract.key_service_suite import CONTEXT
from tests.contract.vault_world import vault_settings
from tests.support.disks import tiny_disk
from tests.support.partition import Wire, wire_to
from tests.support.stack import BaoForTests, running_bao

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with tiny_disk(tmp_path_factory.mktemp("small") / "disk", 2 * 2**20) as path:
        yield path


@pytest.fixture(scope="module")
def bao(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    """An OpenBao whose audit log lies on a small disk of its own."""
    folder = tmp_path_factory.mktemp("bao")
    (folder / "vault").mkdir(mode=0o700)
    (folder / "vault" / "audit.log").symlink_to(disk / "audit.log")
    with running_bao(folder) as running:
        yield running


@pytest.fixture
def settings(bao: BaoForTests) -> VaultSettings:
    return replace(vault_settings(bao), read_timeout_s=0.6, deadline_s=1.5)


@pytest.fixture
def wire(bao: BaoForTests) -> Iterator[Wire]:
    with wire_to(bao.address) as running:
        yield running


def fill(disk: Path) -> Path:
    """Leave no byte free on a disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler
    raise AssertionError


def opens(vault: VaultSession, wrapped: str, plaintext: bytes) -> bool:
    return vault.keys.unwrap("sr.store", CONTEXT, wrapped) == plaintext


def test_while_vaults_audit_disk_is_full_nothing_is_ready_and_all_is_told(
    bao: BaoForTests, disk: Path, settings: VaultSettings
) -> None:
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        made = vault.keys.generate("sr.store", CONTEXT)
        health = Health({"vault": vault.keys.check_ready}, interval_s=60.0)
        assert health.probe() == {}
        filler = fill(disk)

        try:
            # What is left of the last block of the log takes a few more lines.
            for _ in range(3):
                health.probe()
            failing = health.probe()
            status, _ = bao.client("").exchange("GET", "sys/health")
            with pytest.raises(UnavailableError) as caught:
                vault.keys.unwrap("sr.store", CONTEXT, made.wrapped)
        finally:
            filler.unlink()

        assert status == 200, "Vault itself thinks that it is well"
        assert failing == {"vault": "KEY_SERVICE_UNAVAILABLE"}
        assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
        assert "audit" in caught.value.hint
        assert health.probe() == {}
        assert opens(vault, made.wrapped, made.plaintext)


@pytest.mark.alone
@pytest.mark.parametrize("how", ["swallow", "cut"])
def test_a_partition_is_told_in_time_and_over_when_it_is_over(
    wire: Wire, settings: VaultSettings, how: str
) -> None:
    clock = SystemClock()
    away = replace(settings, address=wire.address)
    with open_vault(away, clock=clock, entropy=SystemEntropy()) as vault:
        made = vault.keys.generate("sr.store", CONTEXT)
        getattr(wire, how)()
        start = clock.monotonic()

        with pytest.raises(UnavailableError) as caught:
            vault.keys.unwrap("sr.store", CONTEXT, made.wrapped)

        took_s = clock.monotonic() - start
        assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
        assert took_s < settings.deadline_s + settings.read_timeout_s + 0.5
        wire.mend()
        assert opens(vault, made.wrapped, made.plaintext)


def test_a_partition_during_the_first_login_is_over_when_it_is_over(
    wire: Wire, settings: VaultSettings
) -> None:
    away = replace(settings, address=wire.address)
    wire.swallow()
    with open_vault(away, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        with pytest.raises(UnavailableError) as caught:
            vault.keys.check_ready()
        assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE

        wire.mend()

        vault.keys.check_ready()


class WrongClock(SystemClock):
    """A clock that a day is missing on, or a day too many."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


@pytest.mark.parametrize("days", [-1, 1])
def test_a_wrong_clock_keeps_keys_open_and_is_told(
    settings: VaultSettings, days: int
) -> None:
    clock = WrongClock(timedelta(days=days))
    with open_vault(settings, clock=clock, entropy=SystemEntropy()) as vault:
        made = vault.keys.generate("sr.store", CONTEXT)

        assert opens(vault, made.wrapped, made.plaintext)
        with pytest.raises(UnavailableError) as caught:
            vault.check_clock()

    # Vault dates its answers to the second.
    assert re.search(r"\b86(399|40[01])\b", caught.value.message), "about a day"
    assert "NTP" in caught.value.hint


def test_clocks_that_agree_are_well(settings: VaultSettings) -> None:
    opened = open_vault(settings, clock=SystemClock(), entropy=SystemEntropy())
    with opened as vault:
        vault.check_clock()


def test_the_audit_log_of_vault_names_no_key_material(
    bao: BaoForTests, settings: VaultSettings
) -> None:
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as vault:
        made = vault.keys.generate("sr.store", CONTEXT)
        secret_id = bao.secret_id_file.read_text().strip()
        lines = bao.audit_file.read_text()

    assert json.loads(lines.splitlines()[-1])["request"]["path"].startswith("transit/")
    assert made.wrapped not in lines
    assert secret_id not in lines
