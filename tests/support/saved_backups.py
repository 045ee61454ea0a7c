# SPDX-License-Identifier: Apache-2.0
"""A backup of a world, made by hand: all of its objects, their pages, a signed root."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from strongroom_server.adapters.memory import MemoryBlobStore, MemoryIndex
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core.backup_root import BackupRoot, JournalHead
from strongroom_server.core.inventory import StoredObject, cut_pages
from strongroom_server.ports import Lock, LockMode
from strongroom_server.repository.backup_engine import (
    BackupEngine,
    open_backup_engine,
)
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.locked_objects import keep_locked
from strongroom_server.repository.relocations import RelocatedBlobs
from tests.support.world import World

#: What no backup takes along.
_LEFT_OUT = ("approvals/", "leases/", "relocations/", "uploads/")
#: Locked by governance, so that who shreds can remove them.
_SLOTS = ("keys/", "repairs/objects/keys/")


@dataclass
class Safe:
    """A backup bucket of one world."""

    world: World
    bucket: MemoryLockedBlobs = field(default_factory=MemoryLockedBlobs)

    def __post_init__(self) -> None:
        for number in range(3):  # so that version ids are none of the world's
            self.bucket.put_over(f"padding/{number}", b"", lock=self.lock)

    @property
    def records(self) -> BackupRecords:
        store = self.world.repository.keyring.store
        return BackupRecords(self.bucket, self.world.signer, store)

    @property
    def until(self) -> datetime:
        now = datetime.fromtimestamp(int(self.bucket.time_s()), UTC)
        return now + timedelta(days=35)

    @property
    def lock(self) -> Lock:
        return Lock(LockMode.COMPLIANCE, self.until.timestamp())

    @property
    def slot_lock(self) -> Lock:
        return Lock(LockMode.GOVERNANCE, self.until.timestamp())

    def save(self, without: Callable[[str], bool] = lambda _: False) -> SavedBackup:
        """Back up what the world holds now, but for some keys."""
        world, lock = self.world, self.lock
        moved = RelocatedBlobs(world.blobs, world.clock)
        moved.refresh()
        rows: dict[str, StoredObject] = {}
        for item in world.blobs.first_versions(""):
            if item.key.startswith(_LEFT_OUT) or without(item.key):
                continue
            data = world.blobs.get(
                item.key, version_id=item.version_id, max_bytes=item.size_bytes
            )
            own = self.slot_lock if item.key.startswith(_SLOTS) else lock
            kept = keep_locked(self.bucket, item.key, data, own)
            rows[item.key] = StoredObject(
                item.key,
                kept.version_id,
                hashlib.sha256(data).hexdigest(),
                len(data),
                (item.version_id, *moved.known_as(item.key, item.version_id)),
            )
        pages = tuple(
            self.records.write_page(page, lock)
            for page in cut_pages(rows[key] for key in sorted(rows))
        )
        size = sum(row.size_bytes for row in rows.values())
        root = BackupRoot(
            store=world.repository.keyring.store,
            number=1,
            create_time=world.clock.now(),
            newest_commit_time=self._newest(),
            protected_until=self.until,
            interval_s=0,
            mode="compliance",
            previous="",
            scope=(),
            pages=pages,
            journals=self._heads(),
            object_count=len(rows),
            size_bytes=size,
            new_object_count=len(rows),
            new_bytes=size,
        )
        return self.records.write_root(root, lock=lock)

    def open(self, saved: SavedBackup) -> BackupEngine:
        """Open a backup with an engine of its own."""
        world = self.world
        return open_backup_engine(
            self.bucket,
            saved,
            key_service=world.key_service,
            signer=world.signer,
            index=MemoryIndex(),
            clock=world.clock,
            entropy=world.entropy,
            executor=world.executor,
        )

    def _heads(self) -> tuple[JournalHead, ...]:
        repository = self.world.repository
        heads = []
        for project in repository.projects.all():
            for artifact in repository.artifacts(project):
                past = artifact.history
                numbers = [item.version for item in past.stored_versions()]
                heads.append(
                    JournalHead(
                        artifact.journal.project,
                        artifact.journal.artifact,
                        len(past.entries),
                        past.head,
                        _ranges(numbers),
                    )
                )
        return tuple(sorted(heads, key=lambda head: (head.project, head.artifact)))

    def _newest(self) -> datetime | None:
        repository = self.world.repository
        times = [
            version.info.time
            for project in repository.projects.all()
            for artifact in repository.artifacts(project)
            for version in artifact.history.versions
        ]
        return max(times, default=None)


def other_bucket(world: World) -> MemoryBlobStore:
    """Return an empty bucket whose version ids are none of the world's."""
    bucket = MemoryBlobStore(world.clock)
    for _ in range(500):
        bucket.overwrite("zzz/padding", b"")
    for item, _ in bucket.objects():
        bucket.delete_version(item.key, item.version_id)
    return bucket


def _ranges(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)
