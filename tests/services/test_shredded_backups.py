# SPDX-License-Identifier: Apache-2.0
"""What is shredded is shredded in the backup bucket, too: its key slots go."""

from collections.abc import Iterator

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.memory_locked import (
    MemoryLockedBlobs,
    MemorySlotRemover,
)
from strongroom_server.core import layout, shred_receipt
from strongroom_server.ports import BlobVersion, Lock, LockMode
from strongroom_server.services.shredding import BackupSlots, Shredding
from strongroom_server.services.shredding.previews import slot_prefixes
from tests.support.shredding import APPROVAL, DEAD, GONE, doomed_world, refused
from tests.support.world import CALLER, World


@pytest.fixture
def world() -> Iterator[World]:
    with doomed_world() as made:
        yield made


def backed_up(world: World) -> MemoryLockedBlobs:
    """Return a bucket that holds all slots of the store, locked for a month."""
    bucket = MemoryLockedBlobs(world.clock)
    lock = Lock(LockMode.GOVERNANCE, bucket.time_s() + 30 * 86_400)
    for version, data in world.bucket.objects():
        if version.key.startswith("keys/"):
            bucket.put_over(version.key, data, lock=lock)
            bucket.put_over(version.key, data, lock=lock)
    return bucket


def shred(world: World, slots: BackupSlots) -> dict[str, object]:
    shredding = Shredding(
        world.repository,
        world.key_service,
        world.destroyer,
        world.remover,
        backup_slots=slots,
    )
    receipt = shredding.shred(
        DEAD,
        reason="the contract ended",
        request_id="request-1",
        caller=CALLER,
        approval=APPROVAL,
    )
    return shred_receipt.verify_receipt(receipt, world.signer.public_keys())


def keys_of(bucket: MemoryLockedBlobs) -> set[str]:
    return {version.key for version, _ in bucket.objects()}


def test_every_version_of_its_slots_goes_and_the_others_stay(world: World) -> None:
    bucket = backed_up(world)
    scope = world.repository.projects.get(DEAD).scope
    dead = {key for key in keys_of(bucket) if key.startswith(_slots(world))}
    before = keys_of(bucket)

    told = shred(world, BackupSlots(bucket, MemorySlotRemover(bucket)))

    assert dead
    assert keys_of(bucket) == before - dead
    assert told["backup_slots_removed"] == sorted(dead)
    assert told["backup_slots_removed_count"] == len(dead)
    assert told["backup_slots_locked"] == []
    assert told["backup_problem"] == ""
    assert scope.kek == told["kek"]
    notes = told["notes"]
    assert isinstance(notes, list)
    assert "removed from the backup bucket" in notes[-1]


def test_the_stores_own_slots_go_first_so_that_no_backup_copies_them(
    world: World,
) -> None:
    slots = _slots(world)
    bucket = backed_up(world)
    seen: list[bool] = []

    class Watched(MemorySlotRemover):
        def remove(self, key: str, *, version_id: str) -> bool:
            there = (item.key for item, _ in world.bucket.objects())
            seen.append(any(item.startswith(slots) for item in there))
            return super().remove(key, version_id=version_id)

    shred(world, BackupSlots(bucket, Watched(bucket)))

    assert seen
    assert not any(seen)


def test_a_slot_that_a_backup_puts_meanwhile_is_removed_too(world: World) -> None:
    bucket = backed_up(world)
    scope = world.repository.projects.get(DEAD).scope
    slot, last = layout.slot_key(scope.domain, 0, 0), slot_prefixes(scope)[-1]
    late = [slot]

    class Late(MemoryLockedBlobs):
        """Behind the slots of one kind, a backup puts what it had read before."""

        def versions(
            self, prefix: str, *, start_after: str = ""
        ) -> Iterator[BlobVersion]:
            if prefix == last and late:
                lock = Lock(LockMode.GOVERNANCE, bucket.time_s() + 86_400)
                bucket.put_over(late.pop(), b"slot", lock=lock)
            return bucket.versions(prefix, start_after=start_after)

    shred(world, BackupSlots(Late(world.clock), MemorySlotRemover(bucket)))

    assert not late
    assert list(bucket.versions(slot)) == []


def test_what_is_held_there_is_told_and_opens_nothing(world: World) -> None:
    bucket = backed_up(world)
    slot = layout.slot_key(world.repository.projects.get(DEAD).scope.domain, 0, 0)
    held = next(bucket.versions(slot))
    bucket.set_hold(slot, version_id=held.version_id, is_held=True)

    told = shred(world, BackupSlots(bucket, MemorySlotRemover(bucket)))

    assert told["backup_slots_locked"] == [slot]
    assert told["backup_slots_removed"] == []
    assert [item.version_id for item in bucket.versions(slot)] == [held.version_id]
    assert refused(lambda: world.reopened().pull("1", GONE)) is Reason.KEY_SHREDDED


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("S3 is silent", reason=Reason.STORE_UNAVAILABLE),
        PreconditionError("S3 refused us", reason=Reason.STORE_ACCESS_DENIED),
    ],
)
def test_a_bucket_that_fails_keeps_nobody_from_shredding(
    world: World, error: UnavailableError | PreconditionError
) -> None:
    class Silent(MemoryLockedBlobs):
        def versions(
            self, prefix: str, *, start_after: str = ""
        ) -> Iterator[BlobVersion]:
            raise error

    bucket = Silent(world.clock)

    told = shred(world, BackupSlots(bucket, MemorySlotRemover(bucket)))

    assert told["backup_problem"] == error.message
    notes = told["notes"]
    assert isinstance(notes, list)
    assert error.message in notes[-1]
    assert refused(lambda: world.reopened().pull("1", GONE)) is Reason.KEY_SHREDDED


def test_a_second_shredding_removes_what_the_first_could_not(world: World) -> None:
    bucket = backed_up(world)
    slots = BackupSlots(bucket, MemorySlotRemover(bucket))
    slot = layout.slot_key(world.repository.projects.get(DEAD).scope.domain, 0, 0)
    held = next(bucket.versions(slot)).version_id
    bucket.set_hold(slot, version_id=held, is_held=True)
    first = shred(world, slots)
    bucket.set_hold(slot, version_id=held, is_held=False)

    assert shred(world, slots) == first

    assert list(bucket.versions(slot)) == []


def test_a_receipt_without_backups_says_nothing_of_them(world: World) -> None:
    receipt = world.shredding.shred(
        DEAD,
        reason="the contract ended",
        request_id="request-1",
        caller=CALLER,
        approval=APPROVAL,
    )

    told = shred_receipt.verify_receipt(receipt, world.signer.public_keys())
    assert not [name for name in told if name.startswith("backup")]


def _slots(world: World) -> str:
    return layout.slots_prefix(world.repository.projects.get(DEAD).scope.domain)
