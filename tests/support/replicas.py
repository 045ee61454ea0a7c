# SPDX-License-Identifier: Apache-2.0
"""A store, a second bucket that follows it, and what the replica shows as a store."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core.signatures import PublicKey
from strongroom_server.ports import BlobStore, BlobVersion, Clock, VersionedBlobs
from strongroom_server.repository.relocations import RelocatedBlobs
from strongroom_server.repository.throttle import Throttle
from strongroom_server.services.replication import Ends, Replicator, RoundReport
from tests.support.clock import ManualClock
from tests.support.world import ARTIFACT, World


def empty_bucket(clock: Clock | None = None) -> MemoryBlobStore:
    """Return a bucket whose version ids are no other bucket's."""
    bucket = MemoryBlobStore(clock)
    bucket._count = 5_000_000
    return bucket


@dataclass
class Regions:
    """A primary, with an engine on it, and its replica."""

    primary: World
    target: MemoryBlobStore
    executor: Executor
    public_keys: Mapping[str, PublicKey] | None = None
    replicator: Replicator = field(init=False)

    def __post_init__(self) -> None:
        self.replicator = self.fresh()

    def fresh(
        self,
        *,
        source: VersionedBlobs | None = None,
        target: VersionedBlobs | None = None,
        rate: int = 0,
    ) -> Replicator:
        """Return a replicator that remembers nothing."""
        clock = self.primary.clock
        ends = Ends(
            source=source or self.primary.bucket,
            target=target or self.target,
            clock=clock,
            executor=self.executor,
            throttle=Throttle(clock, max_bytes_per_second=rate),
        )
        return Replicator(ends, public_keys=self.public_keys)

    def round(self) -> RoundReport:
        """Make a round."""
        return self.replicator.round()

    def opened(self, target: BlobStore | None = None) -> World:
        """Start an engine on the replica, promoted or not, that knows nothing."""
        blobs = RelocatedBlobs(target or self.target, self.primary.clock)
        blobs.refresh()
        return self.primary.reopened(blobs=blobs)


@contextmanager
def two_regions(primary: World) -> Iterator[Regions]:
    """Yield a primary with an empty replica."""
    with ThreadPoolExecutor(4) as executor:
        yield Regions(primary, empty_bucket(primary.clock), executor)


class Growing(MemoryBlobStore):
    """A bucket in which something happens once, behind a listing of one folder."""

    def __init__(self, inner: MemoryBlobStore, *, after: str) -> None:
        super().__init__()
        self._versions = inner._versions
        self._lock = inner._lock
        self._after = after
        self._advanced_s = inner.time_s() - self.time_s()
        self.grow: object = None

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        yield from super().first_versions(prefix, start_after=start_after)
        self._happen(prefix)

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        yield from super().versions(prefix, start_after=start_after)
        self._happen(prefix)

    def _happen(self, prefix: str) -> None:
        if prefix == self._after and callable(self.grow):
            grow, self.grow = self.grow, None
            grow()


def shown(world: World) -> dict[str, dict[int, dict[str, bytes]]]:
    """Read every version of every artifact that a store shows, by name and number.

    Verification is part of reading: what does not authenticate raises.
    """
    found: dict[str, dict[int, dict[str, bytes]]] = {}
    projects = world.artifacts.list_projects(page_size=0, page_token="")
    for project in projects.items:
        listed = world.artifacts.list_artifacts(
            project.name, page_size=0, page_token=""
        )
        for record in listed.items:
            own = found.setdefault(record.name.short, {})
            history = world.repository.artifact(record.name).history
            for version in history.stored_versions():
                if version.version not in history.deleted:
                    own[version.version] = world.pull(str(version.version), record.name)
    return found


def refs_of(world: World) -> dict[str, int]:
    """Return where the refs of the usual artifact point."""
    refs = world.artifacts.get_artifact(ARTIFACT).refs
    return {ref.name.ref: ref.version for ref in refs}


def manual(world: World) -> ManualClock:
    """Return the clock of a world that has one by hand."""
    assert isinstance(world.clock, ManualClock)
    return world.clock
