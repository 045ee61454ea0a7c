# SPDX-License-Identifier: Apache-2.0
"""Restoring into a bucket: what the backup holds becomes a store again."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.adapters.memory import MemoryBlobPresigner, MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.restore_records import (
    RestoreProgress,
    RestoreReport,
    RestoreTarget,
    Selection,
)
from strongroom_server.core.verify_records import StoreFinding
from strongroom_server.ports import BlobStore
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.repository.relocations import open_relocated, presigner_for
from strongroom_server.services.restoring import (
    StoreRestore,
    plan_store,
)
from tests.support.saved_backups import Safe, other_bucket
from tests.support.world import ARTIFACT, World, memory_world

OTHER = ArtifactName("demo", "other")
ALONE = ArtifactName("second", "alone")
ALL = Selection()


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world() as made:
        yield made


def random_bytes(size: int, *, seed: int) -> bytes:
    return Random(seed).randbytes(size)


def fill(world: World) -> dict[str, dict[str, bytes]]:
    big = random_bytes(300_000, seed=1)
    said = {
        "1": {"a.bin": big, "b/c.txt": b"hello"},
        "2": {"a.bin": big[:100_000] + b"changed" + big[100_000:], "run.sh": b"#!"},
    }
    for files in said.values():
        world.push(files, executables=frozenset({"run.sh"} & set(files)))
    world.move("prod", "1")
    world.push({"x": random_bytes(70_000, seed=2)}, OTHER)
    world.push({"y": random_bytes(50_000, seed=3)}, ALONE, exclusive=True)
    return said


def restore_into(
    safe: Safe,
    saved: SavedBackup,
    target: BlobStore,
    selection: Selection = ALL,
) -> RestoreReport:
    items = list(_restoring(safe, saved, target).run(selection))
    report = items.pop()
    assert isinstance(report, RestoreReport)
    assert all(isinstance(item, RestoreProgress) for item in items)
    return report


def _restoring(safe: Safe, saved: SavedBackup, target: BlobStore) -> StoreRestore:
    return StoreRestore(
        safe.open(saved),
        target,
        executor=safe.world.executor,
        opens=lambda blobs: safe.world.reopened(blobs=blobs).repository,
    )


def _needs(world: World, selector: str, pack: str) -> bool:
    artifact, version = world.repository.version(VersionName(ARTIFACT, selector))
    manifests = world.repository.manifests
    manifest = manifests.load(artifact.scope, artifact.journal.artifact, version)
    return any(
        layout.pack_key(ref.pack) == pack
        for entry in manifests.entries(artifact.scope, manifest)
        for ref in entry.chunks
    )


def moved_to(world: World, target: MemoryBlobStore) -> World:
    return world.reopened(blobs=open_relocated(target, world.clock))


def test_a_store_comes_back_in_an_empty_bucket(world: World) -> None:
    said, safe = fill(world), Safe(world)
    saved = safe.save()
    world.push({"late": b"after the backup"})
    target = other_bucket(world)

    report = restore_into(safe, saved, target)

    assert (report.target, report.damaged_count) == (RestoreTarget.STORE, 0)
    assert report.there_count == 0
    assert report.copied_count == saved.root.object_count
    assert report.version_count == 4
    restored = moved_to(world, target)
    for selector, files in said.items():
        assert restored.pull(selector) == files
    assert restored.pull("prod") == said["1"]
    assert restored.versions() == [2, 1]
    assert restored.pull("latest", ALONE)["y"] == random_bytes(50_000, seed=3)
    assert not [item for item in restored.verify()[0] if not item.ok]


def test_a_damaged_record_of_relocations_is_named_by_verification(
    world: World,
) -> None:
    fill(world)
    safe, target = Safe(world), other_bucket(world)
    restore_into(safe, safe.save(), target)
    [record] = target.first_versions(layout.RELOCATIONS)
    found = moved_to(world, target).store_verification.verify(None)
    assert not [item for item in found if isinstance(item, StoreFinding)]

    target.corrupt(record.key, record.version_id, b"{}")

    found = moved_to(world, target).store_verification.verify(None)
    damaged = [item.object for item in found if isinstance(item, StoreFinding)]
    assert record.key in damaged


def test_the_restored_store_goes_on(world: World) -> None:
    said, safe = fill(world), Safe(world)
    target = other_bucket(world)
    restore_into(safe, safe.save(), target)
    restored = moved_to(world, target)

    # Content that is there is shared, though its ids are of the first bucket.
    before = len(restored.repository.journals.artifacts(b"")), target.objects()
    restored.push({**said["2"], "new": b"new"})

    packs = [item.key for item, _ in target.objects() if item.key.startswith("packs/")]
    known = [item.key for item, _ in before[1] if item.key.startswith("packs/")]
    assert len(packs) - len(known) <= 2
    assert restored.pull("latest") == {**said["2"], "new": b"new"}
    again = moved_to(world, target)
    assert again.pull("3") == {**said["2"], "new": b"new"}


def test_a_restored_store_is_backed_up_and_restored_again(world: World) -> None:
    said, safe = fill(world), Safe(world)
    second = other_bucket(world)
    restore_into(safe, safe.save(), second)
    moved = moved_to(world, second)
    moved.push({"new": b"from the second bucket"})
    later = Safe(moved)
    third = other_bucket(world)

    restore_into(later, later.save(), third)

    found = moved_to(world, third)
    assert found.pull("1") == said["1"]
    assert found.pull("3") == {"new": b"from the second bucket"}


def test_urls_for_sidecars_are_of_the_new_bucket(world: World) -> None:
    fill(world)
    safe, target = Safe(world), other_bucket(world)
    restore_into(safe, safe.save(), target)
    blobs = open_relocated(target, world.clock)
    here = {item.key: item.version_id for item in blobs.first_versions(layout.PACKS)}
    there = {
        item.key: item.version_id for item in world.bucket.first_versions(layout.PACKS)
    }
    presigner = presigner_for(blobs, MemoryBlobPresigner())

    for key, pinned in there.items():
        assert here[key] != pinned
        url = presigner.presign(key, version_id=pinned, lifetime_s=1)
        assert f"versionId={here[key]}" in url


class Stopping:
    """A bucket that fails for good after some puts, as a killed process does."""

    def __init__(self, inner: MemoryBlobStore, puts: int) -> None:
        self._inner = inner
        self._left = puts

    def put_new(self, key: str, data: bytes) -> str:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._inner.put_new(key, data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_killed_at_any_point_it_goes_on_and_is_no_store_before_the_end(
    world: World,
) -> None:
    said, safe = fill(world), Safe(world)
    saved = safe.save()
    total = saved.root.object_count + 1  # and one record of relocations
    for puts in range(0, total, 3):
        target = other_bucket(world)
        stopping: BlobStore = Stopping(target, puts)  # type: ignore[assignment]
        with ThreadPoolExecutor(1) as alone:
            restore = StoreRestore(
                safe.open(saved),
                stopping,
                executor=alone,
                opens=lambda blobs: world.reopened(blobs=blobs).repository,
            )
            with pytest.raises(KeyboardInterrupt):
                deque(restore.run(ALL), 0)
        stored = {item.key for item, _ in target.objects()}
        assert layout.STORE not in stored
        report = restore_into(safe, saved, target)
        assert report.there_count + report.copied_count == saved.root.object_count
        assert report.there_count == len(
            [key for key in stored if not key.startswith(layout.RELOCATIONS)]
        )
        assert moved_to(world, target).pull("2") == said["2"]


def test_half_a_store_is_refused_by_servers(world: World) -> None:
    fill(world)
    safe, target = Safe(world), other_bucket(world)
    saved = safe.save()
    stopping: BlobStore = Stopping(target, saved.root.object_count)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        restore_into(safe, saved, stopping)

    with pytest.raises(IntegrityError) as caught:
        moved_to(world, target)

    assert "strongroom.json is gone" in caught.value.message


def test_the_emptied_bucket_itself_is_filled_again(world: World) -> None:
    said, safe = fill(world), Safe(world)
    saved = safe.save()
    bucket = world.bucket
    for number, (item, _) in enumerate(bucket.objects()):
        if number % 3 == 0:
            bucket.delete_version(item.key, item.version_id)
        elif number % 3 == 1:
            bucket.add_delete_marker(item.key)
        else:
            bucket.overwrite(item.key, b"garbage")

    report = restore_into(safe, saved, bucket)

    assert report.damaged_count == 0
    assert report.there_count
    restored = moved_to(world, bucket)
    assert restored.pull("1") == said["1"]
    assert restored.pull("2") == said["2"]


def test_other_bytes_under_a_key_are_refused_by_name(world: World) -> None:
    fill(world)
    safe, target = Safe(world), other_bucket(world)
    key = next(key for key in world.keys(layout.PACKS))
    target.put_new(key, b"garbage")

    with pytest.raises(IntegrityError) as caught:
        restore_into(safe, safe.save(), target)

    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert key in caught.value.message


def test_records_that_came_after_the_backup_are_refused_by_name(
    world: World,
) -> None:
    fill(world)
    safe = Safe(world)
    saved = safe.save()
    world.push({"late": b"late"})
    late = world.keys(layout.JOURNALS)
    target = other_bucket(world)
    for item, data in world.bucket.objects():
        if item.key in late:
            target.put_new(item.key, data)
    before = target.objects()

    for call in (
        lambda: restore_into(safe, saved, target),
        lambda: plan_store(
            safe.open(saved),
            ALL,
            target,
            key_service=world.key_service,
            executor=world.executor,
        ),
    ):
        with pytest.raises(PreconditionError) as caught:
            call()
        assert caught.value.reason is Reason.STORE_UNSUITABLE
        assert "holds 1 records" in caught.value.message
        assert layout.JOURNALS in caught.value.message
    assert target.objects() == before


def test_a_bucket_of_another_store_is_refused(world: World) -> None:
    fill(world)
    safe = Safe(world)
    with memory_world() as another:
        another.push({"a": b"a"})

        with pytest.raises(PreconditionError) as caught:
            restore_into(safe, safe.save(), another.bucket)

    assert caught.value.reason is Reason.STORE_UNSUITABLE


def test_a_rotten_pack_is_named_and_everything_else_comes_back(world: World) -> None:
    said, safe = fill(world), Safe(world)
    saved = safe.save()
    pack = next(
        row
        for row in safe.open(saved).view.rows.after(layout.PACKS)
        if row.size_bytes > 250_000
    )
    safe.bucket.rot(pack.key, pack.version_id, b"\0" * pack.size_bytes)
    target = other_bucket(world)

    report = restore_into(safe, saved, target)

    assert report.damaged_count == 1
    assert pack.key in report.damaged[0]
    restored = moved_to(world, target)
    assert restored.pull("latest", ALONE)
    with pytest.raises(IntegrityError):
        restored.pull("1" if _needs(world, "1", pack.key) else "2")
    assert said


def test_a_rotten_record_ends_it(world: World) -> None:
    fill(world)
    safe = Safe(world)
    saved = safe.save()
    row = next(safe.open(saved).view.rows.after(layout.JOURNALS))
    safe.bucket.rot(row.key, row.version_id, b"\0" * row.size_bytes)

    with pytest.raises(IntegrityError):
        restore_into(safe, saved, other_bucket(world))
