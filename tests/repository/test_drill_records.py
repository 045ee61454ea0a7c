# SPDX-License-Identifier: Apache-2.0
"""Reports of drills in the store: numbered, sealed, and believed by signature alone."""

import pytest

from strongroom.errors import IntegrityError, NotFoundError, Reason
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import layout
from strongroom_server.core.drill import DrillReport
from strongroom_server.core.verify_records import StoreFinding
from strongroom_server.repository.drill_records import MAX_DRILL_NUMBER, DrillRecords
from strongroom_server.services.store_verification import StoreVerification
from tests.support.samples import filled
from tests.support.world import World
from tests.vectors.drill_cases import report_of


@pytest.fixture
def records(world: World) -> DrillRecords:
    return DrillRecords(world.blobs, world.repository.keyring, world.signer)


def damaged(world: World) -> list[str]:
    return [
        item.object
        for item in StoreVerification(world.repository).verify(None)
        if isinstance(item, StoreFinding)
    ]


def a_report(world: World, **changes: object) -> DrillReport:
    store = world.repository.keyring.store
    return report_of(**({"store": store, "number": 0} | changes))


def test_reports_are_numbered_as_they_come(world: World, records: DrillRecords) -> None:
    saved = [records.write(a_report(world, open_ms=number)) for number in (5, 6, 7)]

    assert [item.report.number for item in saved] == [1, 2, 3]
    assert records.load(2) == saved[1]
    assert list(records.newest()) == saved[::-1]
    assert list(records.newest(before=3)) == saved[1::-1]
    assert records.numbers(after=1) == [2, 3]


def test_another_server_reads_them(world: World, records: DrillRecords) -> None:
    saved = records.write(a_report(world))
    other = world.reopened()

    found = DrillRecords(other.blobs, other.repository.keyring, other.signer)

    assert found.load(1) == saved


def test_what_others_plant_is_passed_over(world: World, records: DrillRecords) -> None:
    first = records.write(a_report(world))
    world.bucket.put_new(layout.drill_key(2), b"junk")
    world.bucket.put_new(layout.drill_key(MAX_DRILL_NUMBER), b"junk")
    world.bucket.put_new(layout.drill_key(10**19), b"junk")
    world.bucket.put_new(f"{layout.DRILLS}readme", b"junk")

    second = records.write(a_report(world))

    assert second.report.number == 3
    assert list(records.newest()) == [second, first]
    with pytest.raises(IntegrityError):
        records.load(2)


def test_a_report_at_another_number_is_refused(
    world: World, records: DrillRecords
) -> None:
    records.write(a_report(world))
    [(_, data)] = [
        (item, data)
        for item, data in world.bucket.objects()
        if item.key.startswith(layout.DRILLS)
    ]
    world.bucket.put_new(layout.drill_key(9), data)

    with pytest.raises(IntegrityError) as caught:
        records.load(9)
    assert caught.value.reason is Reason.RECORD_CORRUPT


def test_a_report_that_nobody_signed_is_refused(
    world: World, records: DrillRecords
) -> None:
    forger = MemorySigner(entropy=SystemEntropy())
    forged = DrillRecords(world.blobs, world.repository.keyring, forger)
    forged.write(a_report(world, passed=True))

    with pytest.raises(IntegrityError) as caught:
        records.load(1)
    assert caught.value.reason is Reason.SIGNATURE_INVALID
    assert list(records.newest()) == []


def test_a_report_of_another_store_is_refused(
    world: World, records: DrillRecords
) -> None:
    records.write(a_report(world, store=filled("another", 16)))

    with pytest.raises(IntegrityError):
        records.load(1)


def test_a_number_without_a_report_is_not_found(records: DrillRecords) -> None:
    with pytest.raises(NotFoundError) as caught:
        records.load(1)
    assert caught.value.reason is Reason.DRILL_NOT_FOUND


def test_a_delete_marker_or_a_newer_version_hides_nothing(
    world: World, records: DrillRecords
) -> None:
    saved = records.write(a_report(world))
    world.bucket.overwrite(layout.drill_key(1), b"other")
    world.bucket.add_delete_marker(layout.drill_key(1))

    assert records.load(1) == saved
    assert records.write(a_report(world)).report.number == 2


def test_verification_of_the_store_looks_at_reports(
    world: World, records: DrillRecords
) -> None:
    records.write(a_report(world))
    assert damaged(world) == []
    [(item, data)] = [
        found
        for found in world.bucket.objects()
        if found[0].key.startswith(layout.DRILLS)
    ]
    spoiled = bytearray(data)
    spoiled[-1] ^= 1
    world.bucket.corrupt(item.key, item.version_id, bytes(spoiled))

    assert damaged(world) == [layout.drill_key(1)]
