# SPDX-License-Identifier: Apache-2.0
"""What is interrupted: each use case that writes, and its start."""

from collections.abc import Callable
from dataclasses import dataclass

from strongroom.format.digest import VersionDigester
from strongroom.format.names import ProjectName, VersionName
from strongroom_server.core.records import ArtifactPolicy, Kind
from strongroom_server.services.uploads import Upload, UploadStart
from tests.crash import dying
from tests.support import drafts, granted_writers, sweeps
from tests.support.granted_writers import Writer
from tests.support.samples import filled
from tests.support.sweeps import digest_of
from tests.support.world import ARTIFACT, CALLER, World

#: Small files that share a pack, and a big one with a pack of its own.
FIRST = {"a": b"1" * 100, "big": filled("big", 4 * 1024 * 1024), "z/empty": b""}
#: What was there before, and what keeps one file of it.
OLDER = {"a": b"1" * 100, "kept": b"kept" * 100, "z/empty": b""}
SECOND = {"a": b"2" * 50, "kept": OLDER["kept"], "y": b"new"}
REQUEST = dying.REQUEST
BLOCK_BYTES = 1024 * 1024

#: Two checkpoints that differ in one byte: the second is stored as a difference.
WEIGHTS = filled("weights", 300_000)
STEPPED = {"w": WEIGHTS[:-1] + b"!"}


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
    dying.sweep(world)


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


def _start_epoch(world: World) -> int:
    return world.key_life.start_epoch(ProjectName("demo"), after=0)


def _begun_epochs(world: World) -> object:
    """Ask once more; tell the newest epoch, and which one Vault has marked."""
    scope = world.repository.projects.get(ProjectName("demo")).scope
    return _start_epoch(world), world.repository.keyring.marks.newest(scope)


def _push_granted(world: World) -> object:
    return Writer(world).push(SECOND, request_id=REQUEST).version


def _break_off_granted(world: World) -> None:
    writer = Writer(world)
    with writer.begin(request_id=REQUEST, resumable=True) as granted:
        for path in ("a", "big"):
            writer.write(granted, path, FIRST[path])


def _resume_granted(world: World) -> object:
    writer = Writer(world)
    with writer.begin(request_id=REQUEST, resumable=True) as granted:
        for path, data in FIRST.items():
            if path > granted.position.last_path:
                writer.write(granted, path, data)
        digest = granted_writers.digest_of(FIRST)
        return granted.commit(file_count=len(FIRST), digest=digest).version


USE_CASES = [
    UseCase("create_project", None, _create_project),
    UseCase("first_push", None, _push_first),
    UseCase("second_push", lambda world: world.push(OLDER), _push_second),
    UseCase("delta_push", _prepare_delta, _push_delta),
    UseCase("resumed_push", _break_off, _resume, dying.stored_after_sweeps),
    UseCase("granted_push", lambda world: Writer(world).push(OLDER), _push_granted),
    UseCase(
        "granted_resumed_push",
        _break_off_granted,
        _resume_granted,
        dying.stored_after_sweeps,
    ),
    UseCase("draft", drafts.prepare, drafts.finish, dying.stored_after_sweeps),
    UseCase(
        "draft_discarded", drafts.prepare, drafts.discard, dying.stored_after_sweeps
    ),
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
        dying.sweep,
        dying.stored_after_sweeps,
        is_repeatable=False,
    ),
    UseCase(
        "sweep_remove",
        _prepare_due,
        dying.sweep,
        dying.stored_after_sweeps,
        is_repeatable=False,
    ),
    UseCase("repair", _prepare_damage, _repair),
    UseCase(
        "epoch", lambda world: world.push({"a": b"1"}), _start_epoch, _begun_epochs
    ),
    UseCase("shred", dying.prepare_doomed, dying.shred, dying.left_of_doomed),
    UseCase(
        "exclusive_push",
        dying.prepare_project,
        dying.push_exclusive,
        dying.keks_of_exclusive,
    ),
    UseCase(
        "create_exclusive",
        dying.prepare_project,
        dying.create_exclusive,
        dying.keks_of_exclusive,
    ),
    UseCase(
        "shred_artifact", dying.prepare_alone, dying.shred_alone, dying.left_of_alone
    ),
    UseCase(
        "shred_with_artifact", dying.prepare_alone, dying.shred, dying.left_of_doomed
    ),
]
