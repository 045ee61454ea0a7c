# SPDX-License-Identifier: Apache-2.0
"""A store with a backup beside it, and drills that restore from that."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from strongroom_server.adapters.memory import MemoryIndex
from strongroom_server.adapters.memory_files import MemoryFiles
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.canary_writing import CanaryWriter
from strongroom_server.core import layout
from strongroom_server.core.backup_root import BackupRoot, JournalHead
from strongroom_server.core.drill import DrillReport
from strongroom_server.core.inventory import StoredObject, cut_pages
from strongroom_server.ports import Clock, Lock, LockMode
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.drill_records import DrillRecords, SavedDrill
from strongroom_server.repository.repository import Artifact
from strongroom_server.services.drills import DrillLimits, Drills, EngineParts
from tests.support.clock import ManualClock
from tests.support.world import CALLER, World, memory_world

#: What a backup holds; the rest of a store is of the day.
BACKED_UP = (
    "packs/", "manifests/", "index/", "keys/", "projects/", "journals/", "repairs/",
    "shreds/", "sweep/", "strongroom.json",
)  # fmt: skip


@dataclass
class DrillWorld:
    """A store, its backup bucket, and what drills it."""

    world: World
    clock: Clock
    limits: DrillLimits = field(default_factory=DrillLimits)

    def __post_init__(self) -> None:
        self.bucket = MemoryLockedBlobs(self.clock)
        repository = self.world.repository
        self.backups = BackupRecords(
            self.bucket, self.world.signer, repository.keyring.store
        )
        self.records = DrillRecords(
            self.world.blobs, repository.keyring, self.world.signer
        )
        self.write_canary = CanaryWriter(repository)
        self.drills = self.make_drills()

    def advance(self, seconds: float) -> None:
        """Let time pass, where the test makes it."""
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(seconds)

    def make_drills(self, limits: DrillLimits | None = None) -> Drills:
        """Return what runs drills."""
        world = self.world
        return Drills(
            world.repository,
            self.backups,
            self.bucket,
            self.records,
            EngineParts(
                world.key_service,
                world.signer,
                self.clock,
                world.entropy,
                world.executor,
                MemoryIndex,
                MemoryFiles(),
            ),
            limits=limits or self.limits,
            make_canary=self.write_canary,
        )

    def back_up(self, *, with_canary: bool = True) -> SavedBackup:
        """Copy the store into the bucket, and say so; see services/backups."""
        if with_canary:
            self.write_canary(CALLER)
        now = self.clock.now().replace(microsecond=0)
        until = now + timedelta(days=35)
        lock = Lock(LockMode.COMPLIANCE, until.timestamp())
        rows = sorted(self._copy(lock), key=lambda row: row.key)
        pages = tuple(self.backups.write_page(page, lock) for page in cut_pages(rows))
        artifacts = list(self._artifacts())
        times = [
            version.info.time
            for artifact in artifacts
            for version in artifact.history.versions
        ]
        root = BackupRoot(
            store=self.world.repository.keyring.store,
            number=1,
            create_time=now,
            newest_commit_time=max(times, default=None),
            protected_until=until,
            interval_s=0,
            mode="compliance",
            previous="",
            scope=(),
            pages=pages,
            journals=tuple(sorted(map(head_of, artifacts), key=_order)),
            object_count=len(rows),
            size_bytes=sum(row.size_bytes for row in rows),
            new_object_count=0,
            new_bytes=0,
        )
        return self.backups.write_root(root, lock=lock)

    def drill(self, number: int = 0, *, drills: Drills | None = None) -> SavedDrill:
        """Run a drill to its end."""
        *_, saved = (drills or self.drills).run(number, caller=CALLER)
        assert isinstance(saved, SavedDrill)
        return saved

    def report(self, number: int = 0) -> DrillReport:
        """Run a drill, and return what its report says."""
        return self.drill(number).report

    def forget(self, *prefixes: str) -> None:
        """Remove every version of what lies below prefixes of the store itself."""
        for item, _ in self.world.bucket.objects():
            if item.key.startswith(prefixes):
                self.world.bucket.delete_version(item.key, item.version_id)

    def rot(self, prefix: str, *, containing: str = "") -> str:
        """Flip a bit in the middle of an object of the backup; return its key."""
        item, data = next(
            (item, data)
            for item, data in self.bucket.objects()
            if item.key.startswith(prefix) and containing in item.key
        )
        spoiled = bytearray(data)
        spoiled[len(data) // 2] ^= 1
        self.bucket.rot(item.key, item.version_id, bytes(spoiled))
        return item.key

    def rot_all(self, prefix: str) -> set[str]:
        """Flip a bit in each object below a prefix; return their keys."""
        keys = {item.key for item, _ in self.bucket.objects()}
        found = {key for key in keys if key.startswith(prefix)}
        return {self.rot(key) for key in found}

    def packs_of(self, name: str) -> set[str]:
        """Return the keys of the packs that the newest version of an artifact needs."""
        repository = self.world.repository
        artifact = next(item for item in self._artifacts() if item.name.short == name)
        newest = artifact.history.versions[-1]
        manifest = repository.manifests.load_stored(
            artifact.scope, artifact.journal.artifact, newest
        )
        return {
            layout.pack_key(ref.pack)
            for page in repository.manifests.pages(artifact.scope, manifest)
            for entry in repository.manifests.page(artifact.scope, page)
            for ref in entry.chunks
        }

    def _artifacts(self) -> Iterator[Artifact]:
        repository = self.world.repository
        for project in repository.projects.all():
            yield from repository.artifacts(project)

    def _copy(self, lock: Lock) -> Iterator[StoredObject]:
        there = {item.key: item for item, _ in self.bucket.objects()}
        first: dict[str, tuple[str, bytes]] = {}
        for item, data in self.world.bucket.objects():
            if item.key.startswith(BACKED_UP):
                first.setdefault(item.key, (item.version_id, data))
        for key, (version_id, data) in first.items():
            known = there.get(key)
            placed = (
                known.version_id
                if known is not None
                else self.bucket.put_locked(key, data, lock=lock)
            )
            digest = hashlib.sha256(data).hexdigest()
            yield StoredObject(key, placed, digest, len(data), (version_id,))


def head_of(artifact: Artifact) -> JournalHead:
    """Return how far an artifact's journal is, with all that is stored of it."""
    history, journal = artifact.history, artifact.journal
    stored = [version.version for version in history.stored_versions()]
    return JournalHead(
        journal.project,
        journal.artifact,
        len(history.entries),
        history.head,
        tuple(_ranges(stored)),
    )


def _ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    first = last = 0
    for number in numbers:
        if first and number == last + 1:
            last = number
            continue
        if first:
            yield first, last
        first = last = number
    if first:
        yield first, last


def _order(head: JournalHead) -> tuple[bytes, bytes]:
    return head.project, head.artifact


@contextmanager
def drill_world(limits: DrillLimits | None = None) -> Iterator[DrillWorld]:
    """Yield a store with drills, whose clock stands until it is told to go on."""
    clock = ManualClock(datetime(2026, 11, 1, 12, 0, tzinfo=UTC))
    with memory_world(clock=clock) as world:
        yield DrillWorld(world, clock, limits or DrillLimits())
