# SPDX-License-Identifier: Apache-2.0
"""Sweeps by two clocks, the store's and the server's: one wrong one lets nothing go."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.records import ArtifactPolicy
from tests.support.clock import ManualClock
from tests.support.sweeps import (
    DAY_S,
    Sweeper,
    abort,
    content,
    delete,
    set_policy,
    undelete,
)
from tests.support.world import World

OLD = content("old")
WRONG_S = 400 * DAY_S


@dataclass
class Clocks:
    """A world whose store and server each have a clock of their own."""

    world: World
    server: ManualClock
    store: ManualClock

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.server.advance(seconds)
        self.store.advance(seconds)

    def clock(self, name: str) -> ManualClock:
        """Return one of the two."""
        return {"server": self.server, "store": self.store}[name]


@pytest.fixture
def clocks() -> Iterator[Clocks]:
    server, store = ManualClock(), ManualClock()
    with ThreadPoolExecutor(4) as executor:
        blobs = MemoryBlobStore(store)
        world = World(blobs=blobs, clock=server, executor=executor)
        world.push({"a.bin": OLD})
        world.push({"b.bin": content("new")})
        yield Clocks(world, server, store)


@pytest.mark.parametrize("wrong", ["server", "store"])
def test_one_clock_that_is_ahead_purges_nothing(clocks: Clocks, wrong: str) -> None:
    # Garbage, so that a sweep is due, and with it a fence that could purge.
    abort(clocks.world)
    sweeper = Sweeper(clocks.world)
    assert sweeper.sweep().condemned_count > 0
    delete(clocks.world, 1)

    clocks.clock(wrong).advance(WRONG_S)
    summaries = [sweeper.sweep() for _ in range(3)]
    clocks.clock(wrong).advance(-WRONG_S)
    undelete(clocks.world, 1)

    assert sum(summary.removed_count for summary in summaries) > 0
    assert sum(summary.purged_count for summary in summaries) == 0
    assert clocks.world.reopened().pull("1") == {"a.bin": OLD}


@pytest.mark.parametrize("wrong", ["server", "store"])
def test_one_clock_that_was_behind_at_a_deletion_purges_nothing(
    clocks: Clocks, wrong: str
) -> None:
    clocks.clock(wrong).advance(-WRONG_S)
    delete(clocks.world, 1)
    clocks.clock(wrong).advance(WRONG_S)
    sweeper = Sweeper(clocks.world)

    for _ in range(3):
        assert sweeper.sweep().purged_count == 0

    undelete(clocks.world, 1)


def test_what_is_over_by_both_clocks_is_purged(clocks: Clocks) -> None:
    delete(clocks.world, 1)
    clocks.advance(31 * DAY_S)
    sweeper = Sweeper(clocks.world)

    summaries = [sweeper.sweep() for _ in range(2)]

    assert [summary.purged_count for summary in summaries] == [0, 1]
    with pytest.raises(PreconditionError) as caught:
        undelete(clocks.world, 1)
    assert caught.value.reason is Reason.VERSION_PURGED


@pytest.mark.parametrize("wrong", ["server", "store"])
def test_one_clock_that_is_ahead_trashes_nothing(clocks: Clocks, wrong: str) -> None:
    set_policy(clocks.world, ArtifactPolicy(keep_last=1, keep_days=10))
    sweeper = Sweeper(clocks.world)

    clocks.clock(wrong).advance(WRONG_S)

    assert sweeper.plan().trash == ()
    assert sweeper.sweep().trashed_count == 0


@pytest.mark.parametrize("wrong", ["server", "store"])
def test_a_clock_that_was_ahead_at_the_plan_trashes_nothing_later(
    clocks: Clocks, wrong: str
) -> None:
    set_policy(clocks.world, ArtifactPolicy(keep_last=1, keep_days=10))
    sweeper = Sweeper(clocks.world)

    clocks.advance(WRONG_S)
    plan = sweeper.plan()
    clocks.clock(wrong).advance(-WRONG_S)
    summary = sweeper.apply(plan)

    assert [item.version for item in plan.trash] == [1]
    assert (summary.trashed_count, summary.kept_count) == (0, 1)
    assert clocks.world.pull("1") == {"a.bin": OLD}


def test_a_policy_set_after_a_deletion_purges_nothing_before_its_time(
    clocks: Clocks,
) -> None:
    abort(clocks.world)
    sweeper = Sweeper(clocks.world)
    delete(clocks.world, 1)
    set_policy(clocks.world, ArtifactPolicy(trash_days=0))

    clocks.advance(29 * DAY_S)
    early = [sweeper.sweep().purged_count for _ in range(3)]
    clocks.advance(2 * DAY_S)
    late = [sweeper.sweep().purged_count for _ in range(2)]

    assert (early, late) == ([0, 0, 0], [0, 1])
