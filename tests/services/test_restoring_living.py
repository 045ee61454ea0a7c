# SPDX-License-Identifier: Apache-2.0
"""Restoring into the store that is served: adds and mends, moves and loses nothing."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import VersionName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.restore_records import (
    RestorePlan,
    RestoreReport,
    RestoreTarget,
)
from strongroom_server.opening_restores import open_living_restore
from strongroom_server.ports import BlobVersion, ReadBuffer
from strongroom_server.services.restoring import LivingRequest, LivingRestore
from tests.services.test_restoring_stores import random_bytes
from tests.support.saved_backups import Safe
from tests.support.world import ARTIFACT, CALLER, World, memory_world

FIRST = {"a.bin": random_bytes(200_000, seed=1), "b.txt": b"hello"}
SECOND = {"a.bin": random_bytes(210_000, seed=2), "run.sh": b"#!"}


@pytest.fixture
def safe() -> Iterator[Safe]:
    with memory_world() as world:
        world.push(FIRST)
        world.push(SECOND, executables=frozenset({"run.sh"}))
        world.move("prod", "1")
        safe = Safe(world)
        safe.save()
        yield safe


def _living(world: World, safe: Safe) -> LivingRestore:
    return open_living_restore(
        world.repository,
        safe.bucket,
        key_service=world.key_service,
        signer=world.signer,
    )


def _restore(
    safe: Safe, selector: str = "", *, world: World | None = None, **fields: object
) -> RestoreReport:
    request = LivingRequest(
        ARTIFACT,
        selector,
        **({"request_id": str(uuid.uuid4())} | fields),  # type: ignore[arg-type]
    )
    *_, report = _living(world or safe.world, safe).run(request, caller=CALLER)
    assert isinstance(report, RestoreReport)
    return report


def _lose(world: World, wanted: Callable[[BlobVersion], bool]) -> None:
    for item, _ in world.bucket.objects():
        if wanted(item):
            world.bucket.delete_version(item.key, item.version_id)


def _fresh(safe: Safe) -> World:
    """A server that was just started, and has seen nothing."""
    return safe.world.reopened()


def test_lost_packs_and_manifests_are_mended(safe: Safe) -> None:
    _lose(safe.world, lambda item: layout.is_named_by_digest(item.key))
    world = _fresh(safe)
    with pytest.raises(IntegrityError):
        world.pull("1")

    report = _restore(safe, world=world)

    assert (report.target, report.damaged_count) == (RestoreTarget.LIVING, 0)
    assert [item.name for item in report.versions] == ["demo/minilm@2"]
    assert report.versions[0].new_version == 0
    for again in (world, _fresh(safe)):
        assert again.pull("1") == FIRST
        assert again.pull("2") == SECOND
        assert again.versions() == [2, 1]


def test_garbage_in_place_of_packs_is_mended(safe: Safe) -> None:
    for item, data in safe.world.bucket.objects():
        if item.key.startswith(layout.PACKS):
            safe.world.bucket.corrupt(item.key, item.version_id, b"\0" * len(data))
    world = _fresh(safe)

    report = _restore(safe, world=world)

    assert report.damaged_count == 0
    assert world.pull("1") == FIRST
    assert world.pull("2") == SECOND


@pytest.mark.parametrize(
    "folder", [layout.KEYS, layout.PROJECTS, layout.JOURNALS, "everything"]
)
def test_lost_records_are_put_back_as_they_were(safe: Safe, folder: str) -> None:
    world, store = safe.world, safe.world.repository.keyring
    kept = layout.slots_prefix(store.open_store_domain().scope.domain)
    folders = (
        (layout.KEYS, layout.PROJECTS, layout.JOURNALS, layout.PACKS, "manifests/")
        if folder == "everything"
        else (folder,)
    )
    before = {item.key: data for item, data in world.bucket.objects()}
    _lose(
        world,
        lambda item: item.key.startswith(folders) and not item.key.startswith(kept),
    )
    again = _fresh(safe)

    report = _restore(safe, world=again)

    assert report.damaged_count == 0
    assert _fresh(safe).pull("1") == FIRST
    assert _fresh(safe).pull("prod") == FIRST
    now = {item.key: data for item, data in world.bucket.objects()}
    for key, data in before.items():
        if key.startswith((layout.KEYS, layout.PROJECTS, layout.JOURNALS)):
            assert now[key] == data


def test_the_end_of_a_journal_that_was_cut_off_comes_back(safe: Safe) -> None:
    keys = safe.world.keys(layout.JOURNALS)
    _lose(safe.world, lambda item: item.key in keys[-2:])
    world = _fresh(safe)
    assert world.versions() == [1]

    _restore(safe, world=world)

    assert _fresh(safe).versions() == [2, 1]
    assert _fresh(safe).pull("prod") == FIRST


def test_a_journal_that_went_on_otherwise_is_refused(safe: Safe) -> None:
    keys = safe.world.keys(layout.JOURNALS)
    _lose(safe.world, lambda item: item.key in keys[-1:])
    world = _fresh(safe)
    world.push({"other": b"story"})

    with pytest.raises(PreconditionError) as caught:
        _restore(safe, world=world)

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert world.pull("latest") == {"other": b"story"}


@pytest.mark.parametrize("written", [1, 2])
def test_a_server_that_remembers_what_was_cut_off_puts_nothing_behind_others_entries(
    safe: Safe, written: int
) -> None:
    keys = safe.world.keys(layout.JOURNALS)
    _lose(safe.world, lambda item: item.key in keys[-2:])
    other = _fresh(safe)
    for number in range(written):
        other.push({"other": b"story %d" % number})
    before = safe.world.bucket.objects()

    with pytest.raises(PreconditionError) as caught:
        _restore(safe)

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert safe.world.bucket.objects() == before
    assert len(_fresh(safe).versions()) == 1 + written


def test_who_writes_while_a_journal_is_put_back_is_not_buried(safe: Safe) -> None:
    keys = safe.world.keys(layout.JOURNALS)
    _lose(safe.world, lambda item: item.key in keys[-2:])

    def write_first(key: str) -> None:
        if key == keys[-2]:
            _fresh(safe).push({"other": b"story"})

    world = safe.world.reopened(blobs=_Raced(safe.world.bucket, write_first))

    with pytest.raises(PreconditionError) as caught:
        _restore(safe, world=world)

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert safe.world.keys(layout.JOURNALS) == keys[:-1]
    assert _fresh(safe).pull("latest") == {"other": b"story"}


def test_nothing_is_put_in_front_of_others_entries(safe: Safe) -> None:
    keys = safe.world.keys(layout.JOURNALS)
    _lose(safe.world, lambda item: item.key in keys[-2:])
    other = _fresh(safe)
    for number in range(3):
        other.push({"other": b"story %d" % number})
    _lose(safe.world, lambda item: item.key in keys[-2:])
    before = safe.world.bucket.objects()

    with pytest.raises(PreconditionError) as caught:
        _restore(safe, world=_fresh(safe))

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert safe.world.bucket.objects() == before


def test_a_deleted_version_comes_back_as_a_new_one(safe: Safe) -> None:
    world = safe.world
    world.push({"c": b"later"})
    digest = world.artifacts.get_version(_version("2")).digest
    world.retention.delete(
        _version("2"), reason="by mistake", request_id="r-1", caller=CALLER
    )

    report = _restore(safe, "2")

    assert report.versions[0].new_version == 4
    assert world.pull("4") == SECOND
    record = world.artifacts.get_version(_version("4"))
    assert record.digest == digest
    assert (record.message, dict(record.metadata)) == ("a message", {"run": "1"})
    assert world.pull("prod") == FIRST


def test_what_is_there_is_not_written_again(safe: Safe) -> None:
    before = safe.world.bucket.objects()

    report = _restore(safe, "2")

    assert (report.copied_count, report.versions[0].new_version) == (0, 0)
    assert safe.world.bucket.objects() == before


def test_repeating_a_request_brings_one_version_back(safe: Safe) -> None:
    world = safe.world
    world.retention.delete(
        _version("2"), reason="by mistake", request_id="r-1", caller=CALLER
    )

    first = _restore(safe, "2", request_id="one")
    second = _restore(safe, "2", request_id="one")
    third = _restore(safe, "2", request_id="another")

    numbers = [item.versions[0].new_version for item in (first, second, third)]
    assert numbers == [3, 3, 3]
    assert world.versions()[0] == 3


def test_rot_in_the_backup_is_told_and_not_copied(safe: Safe) -> None:
    engine = safe.open(safe.records.load(1))
    for row in engine.view.rows.after(layout.PACKS):
        safe.bucket.rot(row.key, row.version_id, b"\0" * row.size_bytes)
    _lose(safe.world, lambda item: item.key.startswith(layout.PACKS))
    world = _fresh(safe)

    report = _restore(safe, world=world)

    assert report.damaged_count
    with pytest.raises(IntegrityError):
        world.pull("1")


def test_a_plan_says_what_would_be_done_and_changes_nothing(safe: Safe) -> None:
    _lose(safe.world, lambda item: item.key.startswith(layout.PACKS))
    before = safe.world.bucket.objects()

    plan = _living(safe.world, safe).plan(LivingRequest(ARTIFACT, "1"))

    assert isinstance(plan, RestorePlan)
    assert safe.world.bucket.objects() == before
    assert (plan.backup, plan.file_count) == (1, 2)
    assert plan.size_bytes == sum(map(len, FIRST.values()))
    assert not any(kek.problem for kek in plan.keks)


def test_what_the_backup_does_not_have_is_told(safe: Safe) -> None:
    safe.world.push({"late": b"late"})

    with pytest.raises(NotFoundError):
        _restore(safe, "3")
    with pytest.raises(NotFoundError) as caught:
        _restore(safe, backup=7)
    assert caught.value.reason is Reason.BACKUP_NOT_FOUND


class _Raced(MemoryBlobStore):
    """The same bucket, which somebody else writes to right before we do."""

    def __init__(self, other: MemoryBlobStore, before: Callable[[str], None]) -> None:
        super().__init__()
        self.__dict__.update(other.__dict__)
        self._before = before

    def put_new(self, key: str, data: ReadBuffer) -> str:
        self._before(key)
        return super().put_new(key, data)


def _version(selector: str) -> VersionName:
    return VersionName(ARTIFACT, selector)
