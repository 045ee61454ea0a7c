# SPDX-License-Identifier: Apache-2.0
"""Sweeps that end at any request: what is needed stays, and the next one goes on."""

from strongroom_server.adapters.memory import MemoryBlobRemover
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.core.sweep_plan import SweepPlan, SweepSummary
from strongroom_server.services.sweeping import Sweeping
from tests.support.faulty import CrashError, FaultyBlobStore
from tests.support.samples import filled
from tests.support.sweeps import AT_ONCE, Sweeper, delete, set_policy
from tests.support.world import CALLER, World, memory_world

KEPT = {"a.bin": filled("kept", 200_000)}


class DyingRemover(MemoryBlobRemover):
    """Removes so many versions; then the process is gone."""

    def __init__(self, world: World, count: int) -> None:
        super().__init__(world.bucket)
        self.left = count

    def remove(self, key: str, *, version_id: str) -> bool:
        if not self.left:
            message = "stopped before a removal"
            raise CrashError(message)
        self.left -= 1
        return super().remove(key, version_id=version_id)


def prepare(world: World) -> None:
    """Make garbage, and a version that stays."""
    world.push({"a.bin": filled("old", 200_000)})
    world.push(KEPT)
    set_policy(world, ArtifactPolicy(trash_days=0))
    delete(world, 1)


def sweep(sweeping: Sweeping) -> None:
    *_, plan = sweeping.plan()
    assert isinstance(plan, SweepPlan)
    data = sweeping.encode(plan)
    *_, summary = sweeping.apply(data, reason="r", request_id="r", caller=CALLER)
    assert isinstance(summary, SweepSummary)


def test_a_sweep_that_ends_at_any_request_is_finished_by_the_next() -> None:
    stop_after, ended = 0, False
    while not ended:
        with memory_world() as world:
            prepare(world)
            faulty = FaultyBlobStore(world.bucket, stop_after=stop_after)
            ended = not interrupted(world, faulty)
            check(world)
        stop_after += 1
    assert stop_after > 60


def test_a_sweep_that_ends_at_any_removal_is_finished_by_the_next() -> None:
    for count in range(5):
        with memory_world() as world:
            prepare(world)
            remover = DyingRemover(world, count)
            sweeping = Sweeping(world.repository, remover, AT_ONCE)
            sweep(sweeping)
            try:
                sweep(sweeping)
            except CrashError:
                assert count < 4
            check(world)


def interrupted(world: World, faulty: FaultyBlobStore) -> bool:
    """Sweep twice on a store that stops; return whether it did."""
    try:
        engine = world.reopened(blobs=faulty)
        remover = MemoryBlobRemover(world.bucket)
        sweeping = Sweeping(engine.repository, remover, AT_ONCE)
        sweep(sweeping)
        sweep(sweeping)
    except CrashError:
        return True
    return False


def check(world: World) -> None:
    """What is needed is there; and two further sweeps leave nothing else."""
    assert world.reopened().pull() == KEPT
    sweeper = Sweeper(world.reopened())
    for _ in range(3):
        sweeper.sweep()
    assert not sweeper.plan().condemned.objects
    assert not world.repository.sweeps.log().open
    assert len(world.keys("packs/")) == 2
    assert world.reopened().pull() == KEPT
