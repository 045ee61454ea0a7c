# SPDX-License-Identifier: Apache-2.0
"""Where use cases are interrupted, and what must hold afterwards."""

from concurrent.futures import Executor
from dataclasses import dataclass

from strongroom.errors import UnavailableError
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import (
    MemoryBlobRemover,
    MemoryBlobStore,
    MemoryIndex,
)
from strongroom_server.adapters.memory_keys import MemoryKeyService, MemorySigner
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.ports import Index
from strongroom_server.services.shredding import Shredding
from strongroom_server.services.sweeping import Sweeping
from tests.crash.use_cases import UseCase
from tests.simulation.signing import HmacSigner
from tests.support import sweeps
from tests.support.clock import ManualClock
from tests.support.faulty import CrashError, FaultyBlobStore
from tests.support.world import ARTIFACT, World


@dataclass(frozen=True)
class ArtifactState:
    """What anybody can see of an artifact."""

    digests: list[str]
    refs: dict[str, int]
    trash: list[int]
    purged: list[int]
    held: list[int]
    policy: ArtifactPolicy
    damaged_count: int


State = dict[str, ArtifactState]


@dataclass(frozen=True)
class Store:
    """A bucket and a Vault, on which engines come and go."""

    blobs: MemoryBlobStore
    key_service: MemoryKeyService
    signer: MemorySigner
    executor: Executor
    clock: ManualClock

    def engine(
        self, blobs: FaultyBlobStore | None = None, index: Index | None = None
    ) -> World:
        """Start an engine, with an empty index unless one is given."""
        world = World(
            blobs=blobs or self.blobs,
            key_service=self.key_service,
            signer=self.signer,
            index=index or MemoryIndex(),
            executor=self.executor,
            clock=self.clock,
        )
        if blobs is not None:
            remover = blobs.remover(MemoryBlobRemover(self.blobs))
            world.sweeping = Sweeping(world.repository, remover, sweeps.AT_ONCE)
            world.shredding = Shredding(
                world.repository, self.key_service, world.destroyer, remover
            )
        return world


def fresh_store(use_case: UseCase, executor: Executor) -> Store:
    """Make a store on which the use case can begin."""
    # A real clock would let a slow machine take other steps than a quick one.
    entropy, clock = SystemEntropy(), ManualClock()
    store = Store(
        MemoryBlobStore(clock),
        MemoryKeyService(entropy=entropy),
        HmacSigner(),
        executor,
        clock,
    )
    if use_case.prepare is not None:
        use_case.prepare(store.engine())
    return store


def attempt(store: Store, use_case: UseCase, blobs: FaultyBlobStore) -> bool:
    """Start an engine and make the call; tell whether neither was interrupted."""
    try:
        use_case.act(store.engine(blobs))
    except (CrashError, UnavailableError):
        return False
    return True


def calls_of(use_case: UseCase, executor: Executor) -> list[str]:
    """Which port calls an engine makes from its start to the call's end."""
    store = fresh_store(use_case, executor)
    blobs = FaultyBlobStore(store.blobs)
    attempt(store, use_case, blobs)
    return blobs.calls


def state_of(world: World) -> State:
    """Read back everything that is listed, verifying all of it."""
    state: State = {}
    projects = world.artifacts.list_projects(page_size=0, page_token="")
    for project in projects.items:
        found = world.artifacts.list_artifacts(project.name, page_size=0, page_token="")
        for record in found.items:
            state[record.name.short] = artifact_state(world, record.name)
    return state


def artifact_state(world: World, name: ArtifactName) -> ArtifactState:
    """Read back an artifact; its numbers must be dense and its bytes whole.

    Verification reads every byte and computes every digest again, so digests
    stand for contents.
    """
    page = world.artifacts.list_versions(name, page_size=0, page_token="")
    versions = page.items[::-1]
    assert [item.number for item in versions] == list(range(1, len(versions) + 1))
    journal = world.artifacts.list_journal(name, page_size=0, page_token="")
    places = [item.number for item in journal.items]
    assert places == list(range(len(places) - 1, -1, -1))
    _, report = world.verify(name)
    history = world.repository.artifact(name).history
    assert report.version_count == len(history.stored_versions())
    refs = world.artifacts.get_artifact(name).refs
    return ArtifactState(
        [item.digest for item in versions],
        {ref.name.ref: ref.version for ref in refs},
        sorted(history.deleted),
        sorted(history.purged),
        sorted(history.held),
        history.policy,
        report.damaged_count,
    )


def without_empty(state: State) -> State:
    """Leave out artifacts that have no version yet."""
    return {name: item for name, item in state.items() if item.digests}


def check_goes_on(store: Store, state: State) -> None:
    """Check that the store takes another version, from an engine that knows none."""
    known = state.get(ARTIFACT.short)
    pushed = store.engine().push({"later": b"on"}).version
    assert pushed.number == len(known.digests if known else []) + 1
