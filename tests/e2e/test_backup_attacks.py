# SPDX-License-Identifier: Apache-2.0
"""No credential that Strongroom holds destroys anything of a locked backup."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.s3.locked import open_locked, open_slot_remover
from strongroom_server.dev.backup_store import BACKUP_SHREDDER
from strongroom_server.dev.seaweed import StoreCredentials
from strongroom_server.ports import Lock, LockMode
from tests.attacks.backup_bucket import SLOTS, attack_backup
from tests.support.backup_weed import BackupWeed, running_backup_weed

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

#: One of each kind of object that a backup holds.
KEYS = (
    *("packs/ab/c", "manifests/ab/c", "index/a/0", "journals/a/b/0", "projects/a"),
    *("keys/d/0.0", "keys/d/0.1", "repairs/objects/keys/d/0.0/ab", "strongroom.json"),
    *("repairs/objects/packs/ab/c/d", "shreds/a/receipt-0", "audit/main/batches/0"),
    *("sweep/0", "backups/pages/ab", "backups/00000000000000000001/0"),
)
#: What belongs to the store is nobody here.
OTHERS = {
    name: StoreCredentials(f"{index:020x}", "a secret of another place")
    for index, name in enumerate(("strongroom", "remover", "shredder"))
}


@pytest.fixture(scope="module")
def weed() -> Iterator[BackupWeed]:
    with (
        tempfile.TemporaryDirectory(prefix="own-") as name,
        running_backup_weed(Path(name)) as running,
    ):
        yield running


def backed_up(weed: BackupWeed) -> None:
    """Put what a backup would: slots by governance, one object under a hold."""
    with open_locked(weed.settings(), SystemClock()) as bucket:
        until_s = float(int(bucket.time_s()) + 3600)
        for key in KEYS:
            is_slot = key.startswith(SLOTS)
            mode = LockMode.GOVERNANCE if is_slot else LockMode.COMPLIANCE
            lock = Lock(mode, until_s, is_held=key == "packs/ab/c")
            bucket.put_locked(key, key.encode(), lock=lock)


def test_no_attempt_on_any_object_succeeds(weed: BackupWeed) -> None:
    backed_up(weed)

    counts = attack_backup(weed.weed, OTHERS)

    print("\n".join(counts.lines()))  # noqa: T201 - the figure is asked for
    assert counts.succeeded == []
    assert counts.object_count == len(KEYS)
    assert counts.attempt_count > 5 * 12 * len(KEYS)
    # They were refused for what they are, not since nothing works.
    assert counts.let_through["backup: overwrite"] > 0


def test_key_slots_yield_to_the_shredders_credential(weed: BackupWeed) -> None:
    with (
        open_locked(weed.settings(), SystemClock()) as bucket,
        open_slot_remover(weed.settings(BACKUP_SHREDDER), SystemClock()) as remover,
    ):
        until_s = float(int(bucket.time_s()) + 3600)
        lock = Lock(LockMode.GOVERNANCE, until_s)
        version_id = bucket.put_locked("keys/e/0.0", b"slot", lock=lock)

        assert remover.remove("keys/e/0.0", version_id=version_id)

        assert list(bucket.versions("keys/e/")) == []


def test_an_attack_that_succeeds_would_be_noticed(weed: BackupWeed) -> None:
    admin = {"administrator": weed.weed.credentials("admin")}
    with open_locked(weed.settings(), SystemClock()) as bucket:
        until_s = float(int(bucket.time_s()) + 3600)
        lock = Lock(LockMode.GOVERNANCE, until_s)
        bucket.put_over("packs/ff/lax", b"pack", lock=lock)

    counts = attack_backup(weed.weed, admin)

    assert any("packs/ff/lax" in name for name in counts.succeeded)
    assert any("put a policy" in name for name in counts.succeeded)
