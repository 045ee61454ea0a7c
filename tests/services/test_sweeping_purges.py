# SPDX-License-Identifier: Apache-2.0
"""Versions that a plan purges: gone with a fence, or kept with all they need."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import ConflictError, PreconditionError, Reason
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.history import Fenced, make_info
from strongroom_server.core.records import Action, ArtifactPolicy
from strongroom_server.ports import ReadBuffer
from strongroom_server.services.sweeping import SweepSettings
from tests.support.clock import ManualClock
from tests.support.sweeps import (
    DAY_S,
    GONE_AT_ONCE,
    Sweeper,
    abort,
    content,
    delete,
    dropped,
    hold,
    set_policy,
    undelete,
)
from tests.support.world import ARTIFACT, CALLER, World, memory_world


def test_a_version_that_its_fence_does_not_purge_keeps_what_it_needs(
    world: World,
) -> None:
    old = dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()
    plan = sweeper.plan()
    # It is to be purged, and all that only it needs removed; but now it may stay.
    set_policy(world, ArtifactPolicy(trash_days=30))

    summary = sweeper.apply(plan)
    undelete(world, 1)

    assert [item.version for item in plan.purge] == [1]
    assert len(plan.due) == 1
    assert (summary.purged_count, summary.removed_count) == (0, 0)
    assert world.reopened().pull("1") == {"a.bin": old}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def slow_world(clock: ManualClock) -> Iterator[World]:
    with memory_world(clock=clock) as made:
        yield made


def test_a_version_is_purged_when_its_time_in_the_trash_is_over_and_not_before(
    slow_world: World, clock: ManualClock
) -> None:
    world, sweeper = slow_world, Sweeper(slow_world)
    for number in range(3):
        world.push({"a.bin": content(f"{number}")})
    set_policy(world, ArtifactPolicy(trash_days=3))
    for version in (1, 2):
        delete(world, version)
    hold(world, 2)

    clock.advance(3 * DAY_S - 0.001)
    before = sweeper.plan().purge
    clock.advance(0.001)
    after = sweeper.plan().purge
    hold(world, 2, lift=True)

    assert before == ()
    assert [item.version for item in after] == [1]
    assert [item.version for item in sweeper.plan().purge] == [1, 2]


def test_a_journal_that_was_fenced_already_is_fenced_again_to_purge(
    slow_world: World, clock: ManualClock
) -> None:
    world = slow_world
    world.push({"a.bin": content("old")})
    world.push({"b.bin": content("new")})
    set_policy(world, GONE_AT_ONCE)
    abort(world)
    Sweeper(world).sweep()
    fence_as_a_sweep_that_died(world)
    clock.advance(DAY_S + 1)
    abort(world)
    patient = SweepSettings(min_age_s=0, grace_s=10 * DAY_S, upload_age_s=0)
    assert Sweeper(world, patient).sweep().condemned_count > 0
    delete(world, 1)
    sweeper = Sweeper(world, SweepSettings(0, DAY_S, 0))

    plan = sweeper.plan()
    summary = sweeper.apply(plan)

    assert [item.number for item in plan.due] == [0]
    assert summary.purged_count == 1
    with pytest.raises(PreconditionError) as caught:
        undelete(world, 1)
    assert caught.value.reason is Reason.VERSION_PURGED
    assert world.reopened().pull() == {"b.bin": content("new")}


def fence_as_a_sweep_that_died(world: World) -> None:
    """Fence for record 0, as a sweep does that then ends before it decides."""
    artifact = world.repository.artifact(ARTIFACT)
    info = make_info(
        Action.FENCE,
        CALLER,
        time=world.clock.now(),
        request_id="plan/died",
        sweep_epoch=1,
    )
    world.repository.journals.append(
        artifact.journal, artifact.scope, Fenced(info, ()), behind=artifact.history
    )


def test_a_plan_that_is_applied_when_all_is_gone_condemns_nothing(
    world: World,
) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    first = sweeper.sweeping.encode(sweeper.plan())
    sweeper.apply_bytes(first)
    sweeper.sweep()
    count = world.repository.sweeps.log().count

    again = sweeper.apply_bytes(first)

    assert (again.condemned_count, again.removed_count) == (0, 0)
    assert world.repository.sweeps.log().count == count


class InterruptedBucket(MemoryBlobStore):
    """Lets something happen right before the next journal entry is written."""

    act: Callable[[], object] | None = None

    def put_new(self, key: str, data: ReadBuffer) -> str:
        if key.startswith("journals/") and self.act is not None:
            act, self.act = self.act, None
            act()
        return super().put_new(key, data)


def test_a_push_whose_manifest_a_sweep_took_is_refused() -> None:
    clock = ManualClock()
    with ThreadPoolExecutor(4) as executor:
        bucket = InterruptedBucket(clock)
        world = World(blobs=bucket, clock=clock, executor=executor)
        world.push({"a.bin": content("a")})
        world.push({"b.bin": content("b")})
        sweeper = Sweeper(world.reopened())
        # All but the manifest is shared with version 1, which stays.
        bucket.act = lambda: [sweeper.sweep() for _ in range(2)]

        with pytest.raises(ConflictError) as caught:
            world.push({"a.bin": content("a")})

        assert caught.value.reason is Reason.SWEEP_OVERTOOK
        assert world.versions() == [2, 1]
        world.push({"a.bin": content("a")})
        assert world.reopened().pull("3") == {"a.bin": content("a")}


def test_a_plan_applied_again_leaves_what_was_undeleted_since(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"2"})
    set_policy(world, ArtifactPolicy(keep_last=1))
    sweeper = Sweeper(world)
    data = sweeper.sweeping.encode(sweeper.plan())
    assert sweeper.apply_bytes(data).trashed_count == 1
    undelete(world, 1)

    again = sweeper.apply_bytes(data)

    assert again.trashed_count == 0
    assert world.pull("1") == {"a": b"1"}
