# SPDX-License-Identifier: Apache-2.0
"""What is interrupted: each use case that writes, its start, and what must hold."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from strongroom.errors import UnavailableError
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore, MemoryIndex
from strongroom_server.adapters.memory_keys import MemoryKeyService, MemorySigner
from strongroom_server.ports import Index
from tests.support.faulty import CrashError, FaultyBlobStore
from tests.support.samples import filled
from tests.support.world import ARTIFACT, CALLER, World

#: Small files that share a pack, and a big one with a pack of its own.
FIRST = {"a": b"1" * 100, "big": filled("big", 4 * 1024 * 1024), "z/empty": b""}
#: What was there before, and what keeps one file of it.
OLDER = {"a": b"1" * 100, "kept": b"kept" * 100, "z/empty": b""}
SECOND = {"a": b"2" * 50, "kept": OLDER["kept"], "y": b"new"}
REQUEST = "the-request"

#: What anybody can see: for each artifact its versions' digests, and its refs.
State = dict[str, tuple[list[str], dict[str, int]]]


@dataclass(frozen=True)
class UseCase:
    """A call that changes a store: what is there before it, and the call.

    Without anything before it, not even the store is there.
    """

    name: str
    prepare: Callable[[World], object] | None
    act: Callable[[World], object]


def _create_project(world: World) -> object:
    return world.artifacts.create_project("demo", caller=CALLER, request_id=REQUEST)


def _push_first(world: World) -> object:
    return world.push(FIRST, request_id=REQUEST).version


def _push_second(world: World) -> object:
    return world.push(SECOND, request_id=REQUEST).version


def _prepare_move(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"2"})
    world.move("prod", "1")


USE_CASES = [
    UseCase("create_project", None, _create_project),
    UseCase("first_push", None, _push_first),
    UseCase("second_push", lambda world: world.push(OLDER), _push_second),
    UseCase(
        "move_ref",
        _prepare_move,
        lambda world: world.move("prod", "2", request_id=REQUEST),
    ),
]


@dataclass(frozen=True)
class Store:
    """A bucket and a Vault, on which engines come and go."""

    blobs: MemoryBlobStore
    key_service: MemoryKeyService
    signer: MemorySigner
    executor: Executor

    def engine(
        self, blobs: FaultyBlobStore | None = None, index: Index | None = None
    ) -> World:
        """Start an engine, with an empty index unless one is given."""
        return World(
            blobs=blobs or self.blobs,
            key_service=self.key_service,
            signer=self.signer,
            index=index or MemoryIndex(),
            executor=self.executor,
        )


def fresh_store(use_case: UseCase, executor: Executor) -> Store:
    """Make a store on which the use case can begin."""
    entropy = SystemEntropy()
    store = Store(
        MemoryBlobStore(),
        MemoryKeyService(entropy=entropy),
        MemorySigner(entropy=entropy),
        executor,
    )
    if use_case.prepare is not None:
        use_case.prepare(store.engine())
    return store


def attempt(store: Store, use_case: UseCase, blobs: FaultyBlobStore) -> object | None:
    """Start an engine and make the call; None if either was interrupted."""
    try:
        return use_case.act(store.engine(blobs))
    except (CrashError, UnavailableError):
        return None


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


def artifact_state(
    world: World, name: ArtifactName
) -> tuple[list[str], dict[str, int]]:
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
    findings, report = world.verify(name)
    assert report.damaged_count == 0, findings
    assert report.version_count == len(versions)
    refs = world.artifacts.get_artifact(name).refs
    return [item.digest for item in versions], {
        ref.name.ref: ref.version for ref in refs
    }


def without_empty(state: State) -> State:
    """Leave out artifacts that have no version yet."""
    return {name: item for name, item in state.items() if item[0]}


def check_goes_on(store: Store, state: State) -> None:
    """Check that the store takes another version, from an engine that knows none."""
    versions, _ = state.get(ARTIFACT.short, ([], {}))
    pushed = store.engine().push({"later": b"on"}).version
    assert pushed.number == len(versions) + 1
