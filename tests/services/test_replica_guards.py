# SPDX-License-Identifier: Apache-2.0
"""What a bucket may become a replica, who may serve one, and who may write to it."""

from collections.abc import Iterator

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.repository.replica_records import (
    ReplicaRecords,
    require_serving,
)
from tests.support.clock import ManualClock
from tests.support.replicas import (
    Growing,
    Regions,
    empty_bucket,
    shown,
    two_regions,
)
from tests.support.world import ARTIFACT, World, memory_world


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world(clock=ManualClock()) as made:
        yield made


@pytest.fixture
def regions(world: World) -> Iterator[Regions]:
    with two_regions(world) as made:
        yield made


def test_a_bucket_with_anything_else_in_it_is_not_begun(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    regions.target.put_new("packs/aa/mine", b"somebody's")

    with pytest.raises(PreconditionError) as caught:
        regions.round()

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert "packs/aa/mine" in caught.value.message
    assert len(regions.target.objects()) == 1


def test_a_living_store_is_never_taken_for_a_replica(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    with memory_world() as other:
        other.push({"a": b"2"})
        before = other.keys()

        with pytest.raises(PreconditionError):
            regions.fresh(target=other.bucket).round()

        assert other.keys() == before


def test_the_replica_of_another_store_is_refused(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    regions.round()
    with memory_world() as other:
        other.push({"a": b"2"})

        with pytest.raises(PreconditionError, match="another store"):
            regions.fresh(source=other.bucket).round()


def test_a_bucket_without_a_store_is_not_replicated(regions: Regions) -> None:
    with pytest.raises(PreconditionError, match=r"no strongroom\.json"):
        regions.fresh(source=empty_bucket()).round()

    assert regions.target.objects() == []


def test_no_server_serves_a_replica_that_follows(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    require_serving(regions.target)
    regions.round()

    with pytest.raises(PreconditionError) as caught:
        require_serving(regions.target)

    assert caught.value.reason is Reason.STORE_UNSUITABLE
    store = world.repository.keyring.store
    ReplicaRecords(regions.target).promote(store, world.clock.now())
    require_serving(regions.target)


def test_no_replicator_writes_to_a_replica_that_was_promoted(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    regions.round()
    store = world.repository.keyring.store
    ReplicaRecords(regions.target).promote(store, world.clock.now())
    stored = len(regions.target.objects())
    world.push({"a": b"2"})

    for replicator in (regions.replicator, regions.fresh()):
        with pytest.raises(PreconditionError, match="promoted"):
            replicator.round()

    assert len(regions.target.objects()) == stored


def test_a_promotion_while_a_round_goes_on_stops_the_entries(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    regions.round()
    world.push({"a": b"2"})
    store = world.repository.keyring.store
    source = Growing(world.bucket, after="journals/")
    source.grow = lambda: ReplicaRecords(regions.target).promote(
        store, world.clock.now()
    )

    with pytest.raises(PreconditionError, match="promoted"):
        regions.fresh(source=source).round()

    assert list(shown(regions.opened())[ARTIFACT.short]) == [1]
