# SPDX-License-Identifier: Apache-2.0
"""Epochs: a new master key for what is new, and one key for each epoch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import (
    InvalidArgumentError,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import canonical, layout
from strongroom_server.core.records import Kind
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.repository.timed import CACHE_TTL_S
from tests.support.clock import ManualClock
from tests.support.keys import (
    DEMO,
    FILES,
    keyed_world,
    life_of,
    plant,
    retired,
    rewrapped,
    rotated,
    scope_of,
    slot_bytes,
    start_epoch,
)
from tests.support.numbers import weights, weights_file
from tests.support.samples import filled
from tests.support.world import World

MIB = 1 << 20


@pytest.fixture
def world() -> Iterator[World]:
    with keyed_world() as made:
        yield made


def epochs_in_packs(world: World) -> set[int]:
    return {
        int.from_bytes(data[60:63], "big")
        for item, data in world.bucket.objects()
        if item.key.startswith("packs/")
    }


def test_a_new_epoch_encrypts_what_is_new_and_shares_what_is_old(
    world: World,
) -> None:
    assert start_epoch(world) == 1
    packs = set(world.keys("packs/"))

    result = world.push({**FILES, "c": filled("c", 30_000)})

    assert 30_000 <= result.version.stored_bytes < 50_000
    fresh = world.reopened()
    assert fresh.pull("2") == {**FILES, "c": filled("c", 30_000)}
    assert fresh.pull("1") == FILES
    assert set(world.keys("packs/")) > packs
    assert epochs_in_packs(world) == {0, 1}
    kids = {
        world.repository.keyring.open(scope_of(world).at_epoch(epoch)).kid
        for epoch in (0, 1)
    }
    assert len(kids) == 2


def test_a_delta_of_a_new_epoch_has_its_base_in_an_old_one(world: World) -> None:
    name = ArtifactName("demo", "checkpoints")
    steps = [
        {"m.safetensors": weights_file({"a": weights(MIB, steps=count)})}
        for count in range(3)
    ]
    world.push(steps[0], name, kind=Kind.CHECKPOINT)
    start_epoch(world)
    second = world.push(steps[1], name)
    start_epoch(world, after=1)
    world.push(steps[2], name)

    assert second.version.stored_bytes < MIB // 2
    fresh = world.reopened()
    assert [fresh.pull(str(number), name) for number in (1, 2, 3)] == steps
    findings, report = fresh.verify(name)
    assert (report.damaged_count, report.version_count) == (0, 3), findings


def test_sweeps_and_verification_see_all_epochs(world: World) -> None:
    start_epoch(world)
    world.push({"late": filled("late", 30_000)})
    fresh = world.reopened()

    *_, plan = fresh.sweeping.plan(None)
    assert isinstance(plan, SweepPlan)
    assert plan.summary.condemned_count == 0
    *_, report = fresh.store_verification.verify(None)
    assert getattr(report, "damaged_count", None) == 0
    *_, keyless = fresh.store_verification.verify(None, without_keys=True)
    assert getattr(keyless, "damaged_count", None) == 0


def test_a_new_epoch_asked_for_again_makes_no_other(world: World) -> None:
    assert start_epoch(world) == 1
    assert start_epoch(world) == 1
    assert start_epoch(world, after=1) == 2


def test_what_is_no_epoch_is_refused(world: World) -> None:
    for after in (-1, 1 << 24):
        with pytest.raises(InvalidArgumentError):
            start_epoch(world, after=after)


def test_a_server_uses_another_ones_epoch_once_its_cache_has_ended(
    world: World,
) -> None:
    other = world.reopened()
    other.push({"a": b"1"}, ArtifactName("demo", "mine"))
    start_epoch(world)
    keyring, scope = other.repository.keyring, scope_of(world)

    assert keyring.open_newest(scope).scope.epoch == 0
    assert isinstance(world.clock, ManualClock)
    world.clock.advance(CACHE_TTL_S)

    assert keyring.open_newest(scope).scope.epoch == 1
    other.push({"a": b"2"}, ArtifactName("demo", "mine"))
    assert world.pull("2", ArtifactName("demo", "mine")) == {"a": b"2"}


def test_servers_that_start_an_epoch_at_once_agree_on_its_key(world: World) -> None:
    servers = [world.reopened() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(start_epoch, servers)) == {1}

    scope = scope_of(world).at_epoch(1)
    assert len({item.repository.keyring.open(scope).kid for item in servers}) == 1


@pytest.mark.parametrize("epoch", [1, 5, (1 << 24) - 1])
def test_a_planted_epoch_is_passed_over_and_never_taken(
    world: World, epoch: int
) -> None:
    scope = scope_of(world)
    good = canonical.decode_object(
        slot_bytes(world, layout.slot_key(scope.domain, 0, 0)), 10_000
    )
    planted = canonical.encode(good | {"epoch": epoch})
    plant(world, layout.slot_key(scope.domain, epoch, 3), planted)
    fresh = world.reopened()

    fresh.push({"new": b"1"})
    made = start_epoch(fresh)

    assert made == (2 if epoch == 1 else 1)
    fresh.push({"new": b"2"})
    assert world.reopened().pull("3") == {"new": b"2"}


def test_every_epoch_is_wrapped_again(world: World) -> None:
    for after in range(3):
        start_epoch(world, after)
    world.push({"late": b"1"})
    rotated(world)

    assert rewrapped(world).rewrapped_count == 6
    assert retired(world).retired_count == 3
    fresh = world.reopened()
    assert fresh.pull("1") == FILES
    assert fresh.pull("2") == {"late": b"1"}


def test_an_upload_that_went_on_under_a_new_epoch_keeps_what_it_stored(
    world: World,
) -> None:
    found = {"big": filled("big", 9_000_000)}
    first = world.push(found, request_id="0" * 8 + "-0000-4000-8000-" + "0" * 12)
    start_epoch(world)
    again = world.push(found, request_id="0" * 8 + "-0000-4000-8000-" + "0" * 12)

    assert again.version.number == first.version.number


def test_a_rebuilt_index_knows_the_chunks_of_all_epochs(world: World) -> None:
    start_epoch(world)
    world.push({"c": filled("c", 30_000)})
    fresh = world.reopened()
    *_, told = fresh.index_rebuild.run()

    assert told.damaged_count == 0
    result = fresh.push({**FILES, "c": filled("c", 30_000), "d": b"1"})
    assert result.version.stored_bytes < 20_000


def test_names_are_told_of_projects_that_can_be_read(world: World) -> None:
    told = sorted(item.name for item in life_of(world).projects().values())
    assert told == [DEMO, ProjectName("other")]

    world.key_service.delete_kek(scope_of(world).kek)

    (project,) = life_of(world.reopened()).projects().values()
    assert project.name == ProjectName("other")
