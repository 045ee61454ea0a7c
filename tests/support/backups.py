# SPDX-License-Identifier: Apache-2.0
"""Backups of a world, into a locked bucket in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core.inventory import StoredObject
from strongroom_server.ports import LockMode
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.inventory_view import InventoryView, PagedRows
from strongroom_server.services.backups import (
    Asked,
    BackupFinding,
    BackupReport,
    BackupRules,
    Backups,
    TakenBackup,
)
from strongroom_server.services.store_verification.object_checks import ObjectChecks
from tests.support.world import World

DAY_S = 86_400


def _unproven() -> None:
    """Require nothing: the bucket in memory obeys its locks."""


def unchecked() -> None:
    """Check nothing: nobody ends the call."""


@dataclass
class BackedUp:
    """A world with its backups."""

    world: World = field(default_factory=World)
    bucket: MemoryLockedBlobs = field(
        default_factory=lambda: MemoryLockedBlobs(SystemClock())
    )
    rules: BackupRules = field(
        default_factory=lambda: BackupRules(LockMode.COMPLIANCE, 30 * DAY_S)
    )
    require: Callable[[], object] = _unproven

    def __post_init__(self) -> None:
        repository = self.world.repository
        self.records = BackupRecords(
            self.bucket, self.world.signer, repository.keyring.store
        )
        self.backups = Backups(
            repository,
            self.bucket,
            self.records,
            self.rules,
            require=self.require,
            judge=ObjectChecks(repository, None, with_keys=True),
            known_as=lambda _key, _version_id: (),
        )

    def take(self, asked: Asked | None = None) -> TakenBackup:
        """Take a backup."""
        *_, taken = self.backups.create(asked or Asked())
        assert isinstance(taken, TakenBackup)
        return taken

    def verify(
        self, number: int = 0, *, deep: bool = True
    ) -> tuple[list[str], BackupReport]:
        """Check a backup; return the keys of what is wrong, and the report."""
        *items, report = self.backups.verify(number, deep=deep, check=unchecked)
        assert isinstance(report, BackupReport)
        found = [item.object for item in items if isinstance(item, BackupFinding)]
        return found, report

    def rows(self, saved: SavedBackup) -> dict[str, str]:
        """Return what a backup holds: digests by key."""
        return {row.key: row.sha256 for row in self.records.rows(saved.root)}

    def has(self, row: StoredObject) -> bool:
        """Tell whether the bucket has a row's object."""
        found = self.bucket.versions(row.key)
        return any(item.version_id == row.version_id for item in found)

    def opened(self, saved: SavedBackup) -> World:
        """Return a fresh engine on a backup, with nothing of the store at hand."""
        view = InventoryView(self.bucket, PagedRows(self.bucket, saved.root.pages))
        return self.world.reopened(blobs=view)

    def again(self) -> "BackedUp":
        """Return the same store and bucket as another server has them."""
        return BackedUp(self.world.reopened(), self.bucket, self.rules, self.require)
