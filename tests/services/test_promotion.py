# SPDX-License-Identifier: Apache-2.0
"""Promotion: a replica that is whole becomes a store on which everything goes on."""

from collections.abc import Iterator

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.core.replica_record import ReplicaState
from strongroom_server.repository.replica_records import ReplicaRecords
from strongroom_server.services.replication import Promotion
from tests.support.clock import ManualClock
from tests.support.replicas import Regions, empty_bucket, shown, two_regions
from tests.support.samples import filled
from tests.support.sweeps import Sweeper
from tests.support.world import ARTIFACT, World, memory_world

WEIGHTS = filled("weights", 300_000)


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world(clock=ManualClock()) as made:
        made.push({"a": b"1", "w": WEIGHTS})
        made.push({"a": b"2", "w": WEIGHTS})
        yield made


@pytest.fixture
def regions(world: World) -> Iterator[Regions]:
    with two_regions(world) as made:
        made.round()
        yield made


def promotion_of(regions: Regions) -> Promotion:
    return Promotion(regions.target, regions.executor)


def test_a_whole_replica_is_surveyed_as_such(world: World, regions: Regions) -> None:
    survey = promotion_of(regions).survey()

    assert survey.store == world.repository.keyring.store
    assert not survey.is_promoted
    assert survey.finding_count == 0
    assert survey.journal_count == 1
    assert survey.entry_count == len(world.keys("journals/"))
    assert survey.object_count == len(world.keys("packs/") + world.keys("manifests/"))


def test_a_promoted_replica_is_written_to_and_swept(
    world: World, regions: Regions
) -> None:
    expected = shown(world)
    promotion = promotion_of(regions)
    promotion.promote(promotion.survey().store, world.clock.now())
    assert ReplicaRecords(regions.target).state() is ReplicaState.PROMOTED

    store = regions.opened()
    assert shown(store) == expected
    pushed = store.push({"a": b"3", "w": WEIGHTS[:-1] + b"!"})
    store.move("prod", "1")

    assert pushed.version.number == 3
    assert shown(regions.opened())[ARTIFACT.short][3]["w"] == WEIGHTS[:-1] + b"!"
    assert shown(regions.opened())[ARTIFACT.short][1] == expected[ARTIFACT.short][1]
    findings, report = regions.opened().verify()
    assert all(item.ok for item in findings)
    assert report.version_count == 3
    # The primary has nothing of it.
    assert list(shown(world)[ARTIFACT.short]) == [1, 2]


def test_a_second_promotion_changes_nothing(world: World, regions: Regions) -> None:
    promotion = promotion_of(regions)
    store = promotion.survey().store
    promotion.promote(store, world.clock.now())
    promotion.promote(store, world.clock.now())

    assert promotion.survey().is_promoted
    assert ReplicaRecords(regions.target).state() is ReplicaState.PROMOTED


def test_a_promoted_replica_is_replicated_in_its_turn(
    world: World, regions: Regions
) -> None:
    promotion = promotion_of(regions)
    promotion.promote(promotion.survey().store, world.clock.now())
    store = regions.opened()
    store.push({"a": b"3"})
    third = empty_bucket()
    third._count = 9_000_000

    report = regions.fresh(source=regions.target, target=third).round()

    assert report.is_complete
    assert shown(regions.opened(third)) == shown(regions.opened())
    with pytest.raises(PreconditionError):
        # Back into the old primary: it has entries of its own, and is no replica.
        regions.fresh(source=regions.target, target=world.bucket).round()


def test_a_journal_with_a_gap_is_found(world: World, regions: Regions) -> None:
    entries = [item for item, _ in regions.target.objects() if "journals/" in item.key]
    regions.target.delete_version(entries[1].key, entries[1].version_id)

    survey = promotion_of(regions).survey()

    assert survey.finding_count == 1
    assert survey.findings[0].key == entries[2].key


def test_a_rotten_entry_is_found(world: World, regions: Regions) -> None:
    item, data = next(
        found for found in regions.target.objects() if "journals/" in found[0].key
    )
    regions.target.corrupt(item.key, item.version_id, data[:-20])

    survey = promotion_of(regions).survey()

    assert [found.key for found in survey.findings] == [item.key]


@pytest.mark.parametrize("folder", ["packs/", "manifests/"])
def test_an_object_that_is_gone_is_found(regions: Regions, folder: str) -> None:
    item = next(
        item for item, _ in regions.target.objects() if item.key.startswith(folder)
    )
    regions.target.delete_version(item.key, item.version_id)

    survey = promotion_of(regions).survey()

    assert [found.key for found in survey.findings] == [item.key]


def test_what_is_no_replica_is_not_promoted(world: World, regions: Regions) -> None:
    for bucket in (world.bucket, empty_bucket()):
        with pytest.raises(PreconditionError) as caught:
            Promotion(bucket, regions.executor).survey()

        assert caught.value.reason is Reason.STORE_UNSUITABLE
        assert ReplicaRecords(bucket).state() is None


def test_a_replica_without_a_first_round_is_not_promoted(
    world: World, regions: Regions
) -> None:
    bucket = empty_bucket()
    ReplicaRecords(bucket).begin(world.repository.keyring.store, world.clock.now())

    with pytest.raises(PreconditionError, match=r"strongroom\.json"):
        Promotion(bucket, regions.executor).survey()


def test_sweeps_of_the_primary_reach_the_replica_as_records(
    world: World, regions: Regions
) -> None:
    Sweeper(world).sweep()
    regions.round()

    assert world.keys("sweep/") == [
        item.key for item, _ in regions.target.objects() if "sweep/" in item.key
    ]
    promotion = promotion_of(regions)
    promotion.promote(promotion.survey().store, world.clock.now())
    assert regions.opened().sweeping is not None
