# SPDX-License-Identifier: Apache-2.0
"""What was shredded stays dead, whatever is restored, and costs nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_locked import MemorySlotRemover
from strongroom_server.adapters.restore_folder import DiskFolder
from strongroom_server.core import layout
from strongroom_server.core.restore_records import RestoreReport, Selection
from strongroom_server.ports import BlobStore
from strongroom_server.repository.relocations import open_relocated
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.restoring import (
    FolderRestore,
    OpenedBackups,
    StoreRestore,
)
from strongroom_server.services.shredding import BackupSlots, Shredding
from tests.support.saved_backups import Safe, other_bucket
from tests.support.shredding import APPROVAL
from tests.support.world import ARTIFACT, CALLER, World, memory_world

ALONE = ArtifactName("demo", "alone")
DEAD = ArtifactName("dead", "one")
DEAD_ALONE = ArtifactName("dead", "two")


@pytest.fixture
def safe() -> Iterator[Safe]:
    """A backup of a store, with all that is going to die in it."""
    with memory_world() as world:
        world.push({"a": b"lives"})
        world.push({"b": b"dies alone"}, ALONE, exclusive=True)
        world.push({"c": b"dies with its project"}, DEAD)
        world.push({"d": b"dies with it, too"}, DEAD_ALONE, exclusive=True)
        safe = Safe(world)
        safe.save()
        yield safe


def _shred(safe: Safe) -> None:
    world = safe.world
    shredding = Shredding(
        world.repository,
        world.key_service,
        world.destroyer,
        world.remover,
        backup_slots=BackupSlots(safe.bucket, MemorySlotRemover(safe.bucket)),
    )
    for name in (ALONE, ProjectName("dead")):
        shredding.shred(
            name,
            reason="the contract ended",
            request_id=f"request-{name}",
            caller=CALLER,
            approval=APPROVAL,
        )


def _to_store(safe: Safe, target: MemoryBlobStore) -> RestoreReport:
    def opens(blobs: BlobStore) -> object:
        return safe.world.reopened(blobs=blobs).repository

    engine = OpenedBackups(safe.records, safe.open).open(safe.records.load(1))
    restore = StoreRestore(
        engine,
        target,
        executor=safe.world.executor,
        opens=opens,  # type: ignore[arg-type]
    )
    *_, report = restore.run(Selection())
    assert isinstance(report, RestoreReport)
    return report


def _to_folder(safe: Safe, folder: Path) -> RestoreReport:
    engine = OpenedBackups(safe.records, safe.open).open(safe.records.load(1))
    source = Downloads(engine.repository)
    *_, report = FolderRestore(engine, source, DiskFolder(folder)).run(Selection())
    assert isinstance(report, RestoreReport)
    return report


def _restored(safe: Safe, target: MemoryBlobStore) -> World:
    world = safe.world.reopened(blobs=open_relocated(target, safe.world.clock))
    world.repository.shreds.refresh()
    return world


def test_an_older_backup_brings_back_nothing_that_was_shredded(safe: Safe) -> None:
    _shred(safe)
    safe.save()
    target = other_bucket(safe.world)

    report = _to_store(safe, target)

    assert report.damaged == ()
    restored = _restored(safe, target)
    assert restored.pull("1", ARTIFACT) == {"a": b"lives"}
    for name in (ALONE, DEAD, DEAD_ALONE):
        with pytest.raises(PreconditionError) as caught:
            restored.pull("1", name)
        assert caught.value.reason is Reason.KEY_SHREDDED


def test_files_of_what_was_shredded_are_left_out(safe: Safe, tmp_path: Path) -> None:
    _shred(safe)
    safe.save()

    report = _to_folder(safe, tmp_path)

    assert report.damaged == ()
    found = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert "a" in found
    assert not found & {"b", "c", "d"}


def test_what_was_shredded_since_the_newest_backup_is_told_and_costs_nothing_else(
    safe: Safe, tmp_path: Path
) -> None:
    _shred(safe)
    target = other_bucket(safe.world)

    report = _to_store(safe, target)

    assert any(item.startswith(layout.KEYS) for item in report.damaged)
    assert _restored(safe, target).pull("1", ARTIFACT) == {"a": b"lives"}
    files = _to_folder(safe, tmp_path)
    assert files.damaged_count == 2
    assert (tmp_path / "demo/minilm/1/a").read_bytes() == b"lives"


def test_a_lost_slot_of_a_living_domain_is_named(safe: Safe) -> None:
    world = safe.world
    scope = world.repository.artifact(ALONE).scope
    row = next(
        iter(
            safe.open(safe.records.load(1)).view.rows.after(
                layout.slots_prefix(scope.domain)
            )
        )
    )
    safe.bucket.lose(row.key, row.version_id)
    target = other_bucket(world)

    report = _to_store(safe, target)

    assert any(row.key in item for item in report.damaged)
    assert _restored(safe, target).pull("1", ARTIFACT) == {"a": b"lives"}
