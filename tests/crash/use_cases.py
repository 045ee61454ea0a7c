# SPDX-License-Identifier: Apache-2.0
"""What is interrupted: each use case that writes, its start, and what must hold."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from strongroom.errors import UnavailableError
from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import (
    MemoryBlobRemover,
    MemoryBlobStore,
    MemoryIndex,
)
from strongroom_server.adapters.memory_keys import MemoryKeyService, MemorySigner
from strongroom_server.core.records import ArtifactPolicy, Kind
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.ports import Index
from strongroom_server.services.shredding import Approval, Shredding
from strongroom_server.services.sweeping import Sweeping
from strongroom_server.services.uploads import Upload, UploadStart
from tests.simulation.signing import HmacSigner
from tests.support import drafts, sweeps
from tests.support.clock import ManualClock
from tests.support.faulty import CrashError, FaultyBlobStore
from tests.support.samples import filled
from tests.support.sweeps import digest_of
from tests.support.world import ARTIFACT, CALLER, World

#: Small files that share a pack, and a big one with a pack of its own.
FIRST = {"a": b"1" * 100, "big": filled("big", 4 * 1024 * 1024), "z/empty": b""}
#: What was there before, and what keeps one file of it.
OLDER = {"a": b"1" * 100, "kept": b"kept" * 100, "z/empty": b""}
SECOND = {"a": b"2" * 50, "kept": OLDER["kept"], "y": b"new"}
REQUEST = "the-request"
BLOCK_BYTES = 1024 * 1024

#: Two checkpoints that differ in one byte: the second is stored as a difference.
WEIGHTS = filled("weights", 300_000)
STEPPED = {"w": WEIGHTS[:-1] + b"!"}
#: An artifact of a project that is going to be shredded.
DOOMED = ArtifactName("doomed", "model")
#: Another one, which has a key domain of its own.
ALONE = ArtifactName("doomed", "alone")


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
class UseCase:
    """A call that changes a store: what is there before it, and the call.

    Without anything before it, not even the store is there. `settle` does what
    remains to be done, by sweeps, and tells what is stored then. A call that goes on
    when it is repeated, as a sweep does, is not repeatable.
    """

    name: str
    prepare: Callable[[World], object] | None
    act: Callable[[World], object]
    settle: Callable[[World], object] = lambda _: None
    is_repeatable: bool = True


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


def _prepare_delta(world: World) -> None:
    world.push({"w": WEIGHTS}, kind=Kind.CHECKPOINT)


def _push_delta(world: World) -> object:
    return world.push(STEPPED, kind=Kind.CHECKPOINT, request_id=REQUEST).version


def _break_off(world: World) -> None:
    with _resumable(world) as upload:
        for _ in upload.resume():
            pass
        for path in ("a", "big"):
            send_file(upload, path, FIRST[path])


def _resume(world: World) -> object:
    digester = VersionDigester()
    with _resumable(world) as upload:
        for _ in upload.resume():
            pass
        for path, data in FIRST.items():
            if path > upload.position.last_path:
                send_file(upload, path, data)
            digester.add(path, len(data), digest_of(data))
        return upload.commit(file_count=len(FIRST), digest=digester.digest()).version


def _resumable(world: World) -> Upload:
    start = UploadStart(
        ARTIFACT, None, "", {}, REQUEST, may_create_project=True, resumable=True
    )
    return world.uploads.begin(start, caller=CALLER)


def send_file(upload: Upload, path: str, data: bytes) -> None:
    """Send a whole file."""
    upload.start_file(path, size_bytes=len(data), executable=False)
    for offset in range(0, len(data), BLOCK_BYTES):
        upload.write(data[offset : offset + BLOCK_BYTES], offset_bytes=offset)
    upload.end_file(digest_of(data))


def _prepare_two(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"2"})


def _prepare_trash(world: World) -> None:
    _prepare_two(world)
    sweeps.delete(world, 1)


def _prepare_due(world: World) -> None:
    sweeps.dropped(world)
    _sweep(world)


def _sweep(world: World) -> None:
    *_, plan = world.sweeping.plan()
    assert isinstance(plan, SweepPlan)
    for _ in world.sweeping.apply(
        world.sweeping.encode(plan), reason="", request_id=REQUEST, caller=CALLER
    ):
        pass


def _stored_after_sweeps(world: World) -> object:
    for _ in range(4):
        _sweep(world)
    fresh = world.reopened()
    return len(fresh.keys("packs/")), len(fresh.keys("manifests/"))


def _prepare_damage(world: World) -> None:
    world.push({"w": WEIGHTS})
    item, data = max(world.bucket.objects(), key=lambda found: found[0].size_bytes)
    middle = len(data) // 2
    flipped = bytes([data[middle] ^ 1])
    data = data[:middle] + flipped + data[middle + 1 :]
    world.bucket.corrupt(item.key, item.version_id, data)


def _repair(world: World) -> None:
    with world.repairing.begin(VersionName(ARTIFACT, "1")) as repair:
        wanted = [path for paths in repair.look() for path in paths]
        for path in wanted:
            repair.start_file(path, size_bytes=len(WEIGHTS), executable=False)
            repair.write(WEIGHTS, offset_bytes=0)
            repair.end_file(digest_of(WEIGHTS))
        repair.finish()


def _prepare_doomed(world: World) -> None:
    world.push({"a": b"1"})
    world.push({"a": b"2"}, DOOMED)
    world.push({"a": b"3"}, DOOMED)


def _shred(world: World) -> object:
    return world.shredding.shred(
        ProjectName(DOOMED.project),
        reason="a reason",
        request_id=REQUEST,
        caller=CALLER,
        approval=Approval("an-approval", ("operator:bob",)),
    )


def _left_of_doomed(world: World) -> object:
    """Sweep, and tell what is left of the doomed project: KEKs, slots, content."""
    _shred(world)
    return (
        len(world.key_service._keks),
        len(world.keys("keys/")),
        _stored_after_sweeps(world),
    )


def _prepare_project(world: World) -> None:
    # A KEK of a project that was not made whole is left behind: its id is random.
    world.artifacts.create_project("demo", caller=CALLER, request_id="before")


def _push_exclusive(world: World) -> object:
    return world.push(FIRST, request_id=REQUEST, exclusive=True).version


def _create_exclusive(world: World) -> object:
    return world.artifacts.create_artifact(
        ARTIFACT,
        kind=None,
        exclusive=True,
        may_create_project=True,
        caller=CALLER,
        request_id=REQUEST,
    )


def _keks_of_exclusive(world: World) -> object:
    """Make it once more; tell whether no KEK is left of an attempt."""
    _create_exclusive(world)
    return len(world.key_service._keks), len(world.keys("keys/"))


def _prepare_alone(world: World) -> None:
    _prepare_doomed(world)
    world.push({"a": b"3"}, ALONE, exclusive=True)


def _shred_alone(world: World) -> object:
    return world.shredding.shred(
        ALONE,
        reason="a reason",
        request_id=REQUEST,
        caller=CALLER,
        approval=Approval("an-approval", ("operator:bob",)),
    )


def _left_of_alone(world: World) -> object:
    """Sweep, and tell what is left of the artifact: KEKs, slots, content."""
    _shred_alone(world)
    return (
        len(world.key_service._keks),
        len(world.keys("keys/")),
        _stored_after_sweeps(world),
    )


def _start_epoch(world: World) -> int:
    return world.key_life.start_epoch(ProjectName("demo"), after=0)


def _begun_epochs(world: World) -> object:
    """Ask once more; tell the newest epoch, and which one Vault has marked."""
    scope = world.repository.projects.get(ProjectName("demo")).scope
    return _start_epoch(world), world.repository.keyring.marks.newest(scope)


USE_CASES = [
    UseCase("create_project", None, _create_project),
    UseCase("first_push", None, _push_first),
    UseCase("second_push", lambda world: world.push(OLDER), _push_second),
    UseCase("delta_push", _prepare_delta, _push_delta),
    UseCase("resumed_push", _break_off, _resume, _stored_after_sweeps),
    UseCase("draft", drafts.prepare, drafts.finish, _stored_after_sweeps),
    UseCase("draft_discarded", drafts.prepare, drafts.discard, _stored_after_sweeps),
    UseCase(
        "move_ref",
        _prepare_move,
        lambda world: world.move("prod", "2", request_id=REQUEST),
    ),
    UseCase(
        "delete",
        _prepare_two,
        lambda world: sweeps.delete(world, 1, request_id=REQUEST).number,
    ),
    UseCase(
        "undelete",
        _prepare_trash,
        lambda world: sweeps.undelete(world, 1, request_id=REQUEST).number,
    ),
    UseCase(
        "hold", _prepare_two, lambda world: sweeps.hold(world, 1, request_id=REQUEST)
    ),
    UseCase(
        "policy",
        _prepare_two,
        lambda world: sweeps.set_policy(
            world, ArtifactPolicy(keep_last=1), request_id=REQUEST
        ),
    ),
    UseCase(
        "sweep_condemn",
        sweeps.dropped,
        _sweep,
        _stored_after_sweeps,
        is_repeatable=False,
    ),
    UseCase(
        "sweep_remove", _prepare_due, _sweep, _stored_after_sweeps, is_repeatable=False
    ),
    UseCase("repair", _prepare_damage, _repair),
    UseCase(
        "epoch", lambda world: world.push({"a": b"1"}), _start_epoch, _begun_epochs
    ),
    UseCase("shred", _prepare_doomed, _shred, _left_of_doomed),
    UseCase("exclusive_push", _prepare_project, _push_exclusive, _keks_of_exclusive),
    UseCase(
        "create_exclusive", _prepare_project, _create_exclusive, _keks_of_exclusive
    ),
    UseCase("shred_artifact", _prepare_alone, _shred_alone, _left_of_alone),
    UseCase("shred_with_artifact", _prepare_alone, _shred, _left_of_doomed),
]


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
