# SPDX-License-Identifier: Apache-2.0
"""A replicator that ends, or fails, at any of its calls: the replica is never half.

At each call of either bucket the process is gone before it, or the call fails, or it is
done and its answer is lost. What is there is opened as a store: of each journal it
shows a beginning, and it reads every version that it shows. Then another replicator,
which remembers nothing, makes it whole.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from strongroom.errors import UnavailableError
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_keys import MemoryKeyService
from strongroom_server.core import layout
from strongroom_server.core.records import Kind
from strongroom_server.ports import BlobVersion
from tests.simulation.signing import HmacSigner
from tests.support.clock import ManualClock
from tests.support.faulty import CrashError, Fault, FaultyBlobStore
from tests.support.replicas import Regions, empty_bucket, shown
from tests.support.samples import filled
from tests.support.world import ARTIFACT, World

WEIGHTS = filled("weights", 40_000)
OTHER = ArtifactName("second", "thing")
Shown = dict[str, dict[int, dict[str, bytes]]]


class FaultySource(FaultyBlobStore):
    """A primary's bucket whose listings of all versions fail, too."""

    def __init__(
        self, store: MemoryBlobStore, *, stop_after: int | None = None
    ) -> None:
        super().__init__(store, stop_after=stop_after)
        self._bucket = store

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        fault = self._begin("versions")
        found = list(self._bucket.versions(prefix, start_after=start_after))
        yield from found[: len(found) // 2] if fault is Fault.SHORT else found
        if fault is not Fault.NONE:
            message = "the listing broke off"
            raise UnavailableError(message)


@dataclass(frozen=True)
class Primary:
    """A store that had one round already, and has more since."""

    world: World
    before: Shown
    after: Shown
    replica: MemoryBlobStore

    def regions(self, executor: ThreadPoolExecutor) -> Regions:
        """Return it with a replica as it was after that first round."""
        target = empty_bucket(self.world.clock)
        for item, data in self.replica.objects():
            target._count = int(item.version_id[1:]) - 1
            target.put_new(item.key, data)
        return Regions(self.world, target, executor)


@pytest.fixture(params=["begun", "empty"])
def primary(request: pytest.FixtureRequest, executor: ThreadPoolExecutor) -> Primary:
    clock = ManualClock()
    world = World(
        blobs=MemoryBlobStore(clock),
        key_service=MemoryKeyService(entropy=SystemEntropy()),
        signer=HmacSigner(),
        executor=executor,
        clock=clock,
    )
    world.push({"a": b"1", "w": WEIGHTS}, kind=Kind.CHECKPOINT)
    regions = Regions(world, empty_bucket(clock), executor)
    before: Shown = {}
    if request.param == "begun":
        regions.round()
        before = shown(world)
    world.push({"a": b"2", "w": WEIGHTS[:-1] + b"!"}, kind=Kind.CHECKPOINT)
    world.push({"b": b"1"}, OTHER)
    world.move("prod", "2")
    return Primary(world, before, shown(world), regions.target)


def is_between(found: Shown, primary: Primary) -> bool:
    """Return whether a replica shows beginnings, not shorter than what it had."""
    for name, versions in found.items():
        whole = primary.after[name]
        if versions != {number: whole[number] for number in versions}:
            return False
        if list(versions) != list(range(1, len(versions) + 1)):
            return False
        if len(versions) < len(primary.before.get(name, {})):
            return False
    return set(primary.before) <= set(found)


def check(regions: Regions, primary: Primary) -> None:
    """Open the replica as a store; then let another replicator end the work."""
    if layout.STORE in {item.key for item, _ in regions.target.objects()}:
        assert is_between(shown(regions.opened()), primary)
    assert regions.fresh().round().is_complete
    replica = regions.opened()
    assert shown(replica) == primary.after
    assert replica.artifacts.get_artifact(ARTIFACT).refs[0].version == 2
    keys = [item.key for item, _ in regions.target.objects()]
    assert len(keys) == len(set(keys))


def calls_of(primary: Primary, executor: ThreadPoolExecutor, side: str) -> list[str]:
    """Return which calls of a side one round makes."""
    regions = primary.regions(executor)
    source, target = FaultySource(primary.world.bucket), FaultySource(regions.target)
    regions.fresh(source=source, target=target).round()
    return (source if side == "source" else target).calls


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_replicator_that_ends_anywhere_leaves_a_whole_beginning(
    primary: Primary, executor: ThreadPoolExecutor, tried: Counter[str], side: str
) -> None:
    calls = calls_of(primary, executor, side)

    for stop_after in range(len(calls)):
        regions = primary.regions(executor)
        here = FaultySource(
            primary.world.bucket if side == "source" else regions.target,
            stop_after=stop_after,
        )
        replicator = (
            regions.fresh(source=here)
            if side == "source"
            else regions.fresh(target=here)
        )
        with suppress(CrashError):
            replicator.round()
        check(regions, primary)
        tried[f"replication, gone at the {side}"] += 1


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.ANSWER_LOST, Fault.SHORT])
def test_a_call_that_fails_anywhere_leaves_a_whole_beginning(
    primary: Primary,
    executor: ThreadPoolExecutor,
    tried: Counter[str],
    side: str,
    fault: Fault,
) -> None:
    calls = calls_of(primary, executor, side)

    for place, method in enumerate(calls):
        regions = primary.regions(executor)
        here = FaultySource(
            primary.world.bucket if side == "source" else regions.target
        )
        here.queue(method, *[Fault.NONE] * calls[:place].count(method), fault)
        replicator = (
            regions.fresh(source=here)
            if side == "source"
            else regions.fresh(target=here)
        )
        with suppress(UnavailableError):
            replicator.round()
        here.calm()
        # The same one goes on as well as a fresh one would.
        with suppress(UnavailableError):
            replicator.round()
        check(regions, primary)
        tried[f"replication, {fault.name.lower()} at the {side}"] += 1
