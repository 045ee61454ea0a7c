# SPDX-License-Identifier: Apache-2.0
"""Sweep records as stored: one winner a number, nothing lost, nothing rewound."""

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.sweep import Decided, Removed, SweepLog, SweepRecord
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.journals import NumberTakenError
from strongroom_server.repository.sweeps import SweepView
from tests.support.damage import one_byte_changed
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.sweep_records import INFO, add, condemned, pack
from tests.support.world import World


def test_a_view_shows_what_is_condemned(world: World) -> None:
    sweeps = world.repository.sweeps
    empty = sweeps.view()
    add(sweeps, condemned(1, 2))

    view = world.reopened().repository.sweeps.view()

    assert (empty.epoch, view.epoch) == (0, 1)
    assert view.is_condemned(pack(1))
    assert not view.is_condemned(pack(3))
    assert view.is_condemned_key(f"manifests/{pack(9)[:2]}/{pack(9)}")
    assert view.is_condemned_key(f"packs/{pack(2)[:2]}/{pack(2)}")
    assert not view.is_condemned_key(f"packs/{pack(3)[:2]}/{pack(3)}")
    assert not empty.is_condemned(pack(1))


def test_what_was_rescued_may_be_shared_again(world: World) -> None:
    sweeps = world.repository.sweeps
    act = condemned(1, 2)
    place = [item.key.endswith(pack(1)) for item in act.all()].index(True)
    add(sweeps, act, Decided(0, (place,)))

    view = sweeps.view()

    assert not view.is_condemned(pack(1))
    assert view.is_condemned(pack(2))


def test_a_renewed_view_remembers_what_went_in_between(world: World) -> None:
    sweeps = world.repository.sweeps
    add(sweeps, condemned(1), Decided(0, ()), Removed(0))
    before = sweeps.view()
    add(sweeps, condemned(2), Decided(3, ()), Removed(3))

    renewed = world.reopened().repository.sweeps.renew(before, at_least=4)

    assert renewed.epoch == 6
    assert renewed.is_condemned(pack(2))
    assert not renewed.is_condemned(pack(1))
    assert not sweeps.view().is_condemned(pack(2))
    assert sweeps.renew(renewed, at_least=0) == sweeps.view()


def test_of_two_sweepers_one_gets_the_number(world: World) -> None:
    one, other = world.repository.sweeps, world.reopened().repository.sweeps
    start = other.log()
    add(one, condemned(1))

    with pytest.raises(NumberTakenError):
        other.append(SweepRecord(INFO, condemned(2)), behind=start)

    assert other.log() == one.log()
    assert other.log().count == 1


def test_a_record_that_may_not_follow_is_not_written(world: World) -> None:
    sweeps = world.repository.sweeps

    with pytest.raises(IntegrityError):
        add(sweeps, Decided(0, ()))

    assert world.keys("sweep/") == []


def test_a_record_whose_answer_was_lost_stands_once(world: World) -> None:
    faulty = FaultyBlobStore(world.bucket)
    sweeps = world.reopened(blobs=faulty).repository.sweeps
    faulty.queue("put_new", Fault.ANSWER_LOST)

    add(sweeps, condemned(1))

    assert len(world.keys("sweep/")) == 1
    faulty.queue("put_new", *[Fault.UNAVAILABLE] * 3)
    with pytest.raises(UnavailableError):
        add(sweeps, Decided(0, ()))
    assert len(world.keys("sweep/")) == 1


def test_delete_markers_and_overwrites_change_nothing(world: World) -> None:
    sweeps = world.repository.sweeps
    add(sweeps, condemned(1))
    key = world.keys("sweep/")[0]
    world.bucket.overwrite(key, b"other")
    world.bucket.add_delete_marker(key)

    fresh = world.reopened().repository.sweeps
    with pytest.raises(NumberTakenError):
        fresh.append(SweepRecord(INFO, condemned(2)), behind=SweepLog())

    assert fresh.view() == sweeps.view()


@pytest.mark.parametrize("number", [0, 1])
def test_a_record_that_is_gone_is_noticed(world: World, number: int) -> None:
    sweeps = world.repository.sweeps
    add(sweeps, condemned(1), Decided(0, ()))
    item, _ = [
        found for found in world.bucket.objects() if found[0].key.startswith("sweep/")
    ][number]
    world.bucket.delete_version(item.key, item.version_id)

    # Who has read them all knows that the last one was there; who has not, knows
    # from a journal's fence how many there must be.
    with pytest.raises(IntegrityError) as caught:
        world.reopened().repository.sweeps.view(at_least=2)
    assert caught.value.reason is Reason.RECORD_CORRUPT
    if number == 1:
        with pytest.raises(IntegrityError) as caught:
            sweeps.view()
        assert caught.value.reason is Reason.RECORD_CORRUPT


def test_a_record_that_is_damaged_is_noticed(world: World) -> None:
    add(world.repository.sweeps, condemned(1))
    item, data = next(
        found for found in world.bucket.objects() if found[0].key.startswith("sweep/")
    )
    world.bucket.corrupt(item.key, item.version_id, one_byte_changed(data))

    with pytest.raises(IntegrityError) as caught:
        world.reopened().repository.sweeps.view()

    assert caught.value.reason is Reason.RECORD_CORRUPT


def test_records_of_one_place_do_not_fit_another(world: World) -> None:
    sweeps = world.repository.sweeps
    add(sweeps, condemned(1), condemned(2))
    first, second = [
        found for found in world.bucket.objects() if found[0].key.startswith("sweep/")
    ]
    world.bucket.corrupt(first[0].key, first[0].version_id, second[1])

    with pytest.raises(IntegrityError):
        world.reopened().repository.sweeps.view()


def second(bucket: MemoryBlobStore) -> tuple[BlobVersion, bytes]:
    key = layout.sweep_key(1)
    return next(found for found in bucket.objects() if found[0].key == key)


def test_a_reader_takes_the_copy_that_the_next_record_names(world: World) -> None:
    sweeps = world.repository.sweeps
    add(sweeps, condemned(1, 2))
    condemning, other = sweeps.view(), MemoryBlobStore(world.clock)
    for item, data in world.bucket.objects():
        other.put_new(item.key, data)
    # Somebody ran a server on a copy of the bucket: it decided otherwise there.
    add(world.reopened(blobs=other).repository.sweeps, Decided(0, (0, 1, 2)))
    add(sweeps, Decided(0, ()))
    (item, right), (_, alien) = second(world.bucket), second(other)
    damaged = right[:-1] + bytes([right[-1] ^ 1])
    world.bucket.corrupt(item.key, item.version_id, damaged)

    # Nothing follows yet, so one copy is believed; of two that differ, none is.
    world.bucket.put_new(layout.copy_key(item.key, bytes(8)), alien)
    assert world.reopened().repository.sweeps.view().packs == frozenset()
    world.bucket.put_new(layout.copy_key(item.key, b"\1" * 8), right)
    with pytest.raises(IntegrityError):
        world.reopened().repository.sweeps.view()
    add(sweeps, Removed(0))

    fresh = world.reopened().repository.sweeps
    assert fresh.log() == sweeps.log()
    for reader in (fresh, sweeps):
        assert reader.renew(SweepView(), at_least=3).packs == condemning.packs
