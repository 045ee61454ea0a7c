# SPDX-License-Identifier: Apache-2.0
"""Which backup is restored from, whatever lies beside it in the bucket."""

from collections.abc import Iterator

import pytest

from strongroom.errors import ExhaustedError, NotFoundError, PreconditionError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core import layout
from strongroom_server.core.restore_records import Selection
from strongroom_server.ports import Clock
from strongroom_server.repository.backup_engine import signed_store
from strongroom_server.services.backups import Asked
from strongroom_server.services.restoring import (
    OpenedBackups,
    StoreRestore,
    plan_folder,
    plan_store,
)
from strongroom_server.services.restoring.stores import check_room
from tests.support.backups import BackedUp
from tests.support.entropy import SeededEntropy
from tests.support.saved_backups import Safe, other_bucket
from tests.support.world import ARTIFACT, World, memory_world

OTHER = ArtifactName("second", "other")
DEMO = Asked(chosen=(ProjectName("demo"),))


class CountingBucket(MemoryLockedBlobs):
    """Keeps the keys that are fetched."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.fetched: list[str] = []

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        self.fetched.append(key)
        return super().get(key, version_id=version_id, max_bytes=max_bytes)


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world() as made:
        made.push({"a": b"first"}, ARTIFACT)
        made.push({"b": b"other"}, OTHER)
        yield made


@pytest.fixture
def backed_up(world: World) -> BackedUp:
    return BackedUp(world, CountingBucket(world.clock))


def _opened(backed_up: BackedUp) -> OpenedBackups:
    safe = Safe(backed_up.world, backed_up.bucket)
    return OpenedBackups(backed_up.records, safe.open)


def test_a_newer_backup_of_a_part_is_not_taken_for_the_store(
    backed_up: BackedUp,
) -> None:
    whole = backed_up.take().backup
    part = backed_up.take(DEMO).backup
    backups, now = _opened(backed_up), backed_up.world.clock.now()

    assert backups.find() == backups.find(as_of=now) == whole
    assert backups.find(Selection("demo")) == part
    assert backups.find(Selection("demo", ARTIFACT.artifact, "1")) == part
    assert backups.find(Selection("second")) == whole
    assert backups.find(Selection("second", OTHER.artifact, "1")) == whole


def test_where_there_are_parts_only_none_is_taken_for_the_store(
    backed_up: BackedUp,
) -> None:
    backed_up.take(DEMO)

    with pytest.raises(NotFoundError, match="1 of other parts") as caught:
        _opened(backed_up).find()

    assert caught.value.reason is Reason.BACKUP_NOT_FOUND


def test_a_part_is_not_restored_as_if_it_were_the_store(backed_up: BackedUp) -> None:
    world = backed_up.world
    backed_up.take(DEMO)
    backups, target = _opened(backed_up), other_bucket(world)
    engine = backups.open(backups.find(number=1))
    restore = StoreRestore(
        engine,
        target,
        executor=world.executor,
        opens=lambda blobs: world.reopened(blobs=blobs).repository,
    )

    for refused in (
        lambda: list(restore.run(Selection())),
        lambda: plan_store(
            engine,
            Selection(),
            target,
            key_service=world.key_service,
            executor=world.executor,
        ),
    ):
        with pytest.raises(PreconditionError, match="a part of the store") as caught:
            refused()
        assert caught.value.reason is Reason.STORE_UNSUITABLE

    assert not target.objects()
    *_, report = restore.run(Selection("demo"))
    assert report.is_part  # type: ignore[union-attr]
    plan = plan_folder(
        engine, Selection(), key_service=world.key_service, executor=world.executor
    )
    assert plan.is_part


def test_nothing_is_read_but_the_newest_backup_and_what_may_be_one(
    backed_up: BackedUp,
) -> None:
    bucket = backed_up.bucket
    assert isinstance(bucket, CountingBucket)
    first, second = backed_up.take().backup, backed_up.take().backup
    for number in range(3, 50):
        bucket.attack_overwrite(layout.backup_key(number), b"planted")
        bucket.attack_overwrite(layout.backup_key(1, number), b"planted")
    backups = _opened(backed_up)
    bucket.fetched.clear()

    assert backups.find() == second

    assert bucket.fetched == [layout.backup_key(2)]
    bucket.fetched.clear()
    assert backups.find(number=1) == first
    assert bucket.fetched == [layout.backup_key(1)]


def test_more_places_than_a_server_holds_are_refused_before_anything_is_copied(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, target = backed_up.world, other_bucket(backed_up.world)
    engine = _opened(backed_up).open(backed_up.take().backup)
    named = sum(
        len(row.known_as) or 1
        for row in engine.view.rows.after("")
        if layout.is_named_by_digest(row.key)
    )
    restore = StoreRestore(
        engine,
        target,
        executor=world.executor,
        opens=lambda blobs: world.reopened(blobs=blobs).repository,
    )

    check_room(engine, lambda _: True, max_rows=named)
    monkeypatch.setattr(check_room, "__kwdefaults__", {"max_rows": named - 1})
    with pytest.raises(ExhaustedError, match="no server would open") as caught:
        list(restore.run(Selection()))

    assert caught.value.reason is Reason.TOO_LARGE
    assert not target.objects()


@pytest.mark.parametrize(
    "planted",
    [b"garbage", b'{"format":1,"store":"' + b"00" * 16 + b'","type":"strongroom"}'],
    ids=["garbage", "another"],
)
def test_a_planted_record_of_another_store_keeps_nobody_from_the_backups(
    backed_up: BackedUp, planted: bytes
) -> None:
    world, bucket = backed_up.world, backed_up.bucket
    bucket.attack_overwrite(layout.STORE, planted)
    backed_up.take()

    assert signed_store(bucket, world.signer) == world.repository.keyring.store

    backups = _opened(backed_up)
    assert backups.open(backups.find()).repository.keyring.store == (
        world.repository.keyring.store
    )


def test_a_bucket_without_a_signed_root_has_no_store(backed_up: BackedUp) -> None:
    backed_up.take()

    with pytest.raises(NotFoundError, match="1 are not signed"):
        signed_store(backed_up.bucket, MemorySigner(entropy=SeededEntropy(9)))
    with pytest.raises(NotFoundError) as caught:
        signed_store(MemoryLockedBlobs(), backed_up.world.signer)
    assert caught.value.reason is Reason.BACKUP_NOT_FOUND
