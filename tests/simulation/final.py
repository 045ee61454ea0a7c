# SPDX-License-Identifier: Apache-2.0
"""What must hold when everybody is done: read back by a server that knows nothing."""

from collections.abc import Iterable, Sequence

from strongroom.errors import Reason, StrongroomError
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.core.history import (
    Committed,
    Created,
    Deleted,
    Entry,
    Fenced,
    HoldSet,
    PolicySet,
    RefMoved,
    Undeleted,
)
from tests.simulation.clients import CALLER
from tests.simulation.machine import Engine, Machines
from tests.simulation.model import Model, Push
from tests.simulation.reading import pull
from tests.simulation.timeline import Known, State, Timeline, must


def check_store(machines: Machines, model: Model) -> None:
    """Check everything that was acknowledged, on an old server and on a fresh one."""
    servers = [machines.pick(), machines.fresh()]
    for server in servers:
        machines.scheduler.spawn(
            f"final{server.slot}",
            lambda server=server: _check(  # type: ignore[misc]
                server.engine or server.open(), model, is_last=server is servers[-1]
            ),
            process=server,
        )
        machines.scheduler.run()


def _check(engine: Engine, model: Model, *, is_last: bool) -> None:
    for project in sorted(model.projects):
        engine.repository.projects.get(ProjectName(project))
    for name in model.artifacts():
        entries, digests = _read_journal(engine, name)
        timeline = Timeline(entries)
        known = _check_requests(model, name, entries, timeline)
        timeline.check_seen(model.observations.get(name, ()), known)
        if is_last:
            _check_bytes(engine, model, name, timeline.end, digests)


def _read_journal(engine: Engine, name: ArtifactName) -> tuple[list[Entry], list[str]]:
    """Return an artifact's entries, and the digests of its versions."""
    try:
        history = engine.repository.artifact(name).history
    except StrongroomError as error:
        gone = {Reason.ARTIFACT_NOT_FOUND, Reason.PROJECT_NOT_FOUND}
        must(error.reason in gone, f"{name.short} cannot be read: {error}")
        return [], []
    numbers = [item.number for item in history.entries]
    must(numbers == list(range(len(numbers))), f"{name.short}: entries are not dense")
    return (
        [item.entry for item in history.entries],
        [version.digest for version in history.versions],
    )


def _check_requests(
    model: Model, name: ArtifactName, entries: Sequence[Entry], timeline: Timeline
) -> list[Known | None]:
    """Check that entries and requests match; return what is known of each entry."""
    made: dict[tuple[str, str], int] = {}
    known: list[Known | None] = []
    for number, entry in enumerate(entries):
        info = entry.info
        key = (info.action.value, info.request_id)
        must(key not in made, f"{key} made entries {made.get(key)} and {number}")
        made[key] = number
        known.append(_known(model, name, entry, number))
    for push in model.pushes.get(name, {}).values():
        if push.ended is not None:
            _check_push(push, entries, made.get(("COMMIT", push.request_id)))
    for change in model.changes.get(name, {}).values():
        if change.ended is None or (change.action, change.request_id) in made:
            continue
        what = f"{change.action} {change.wanted} of {name.short}"
        must(change.is_done, f"{what} was acknowledged and is lost")
        assert change.is_done is not None
        model.observed(
            name, f"{what} had nothing to do", change.is_done, change.began,
            change.ended,
        )  # fmt: skip
    for artifact, number in model.seen:
        must(artifact != name or number <= timeline.end.count,
             f"{name.short}@{number} was seen and is lost")  # fmt: skip
    check_order(
        (number, call.began, call.ended)
        for number, call in enumerate(known)
        if call is not None and call.ended is not None
    )
    return known


def _known(model: Model, name: ArtifactName, entry: Entry, number: int) -> Known | None:
    info = entry.info
    what = f"entry {number} of {name.short}, {info.action} by {info.request_id},"
    pushes = model.pushes.get(name, {})
    if isinstance(entry, Created):
        push = pushes.get(info.request_id.removesuffix("/create"))
        must(push is not None, f"{what} was not asked for")
        return None
    if isinstance(entry, Committed):
        push = pushes.get(info.request_id)
        must(push is not None, f"{what} was not asked for")
        assert push is not None
        must(entry.digest == push.digest, f"{what} is not what was pushed")
        return Known(push.began, None if push.unchanged else push.ended)
    if info.request_id.startswith("plan/") and isinstance(entry, Deleted | Fenced):
        return None
    change = model.changes.get(name, {}).get(info.request_id)
    must(change is not None, f"{what} was not asked for")
    assert change is not None
    must((change.action, change.wanted) == (info.action.value, _said(entry)),
         f"{what} says {_said(entry)}, not {change.wanted}")  # fmt: skip
    return Known(change.began, change.ended)


def _said(entry: Entry) -> tuple[object, ...]:
    match entry:
        case RefMoved(ref=ref, version=version):
            return (ref, version)
        case Deleted(version=version) | Undeleted(version=version):
            return (version,)
        case HoldSet(version=version, hold=hold):
            return (version, hold)
        case PolicySet(policy=policy):
            return (policy,)
        case _:
            return ()


def _check_push(push: Push, entries: Sequence[Entry], number: int | None) -> None:
    """Check that an acknowledged push is there as it was acknowledged."""
    name = f"{push.artifact.short}@{push.number}"
    commits = [entry for entry in entries if isinstance(entry, Committed)]
    there = 0 < push.number <= len(commits)
    must(there, f"{name} was acknowledged and is lost")
    commit = commits[push.number - 1]
    must(commit.digest == push.digest, f"{name} has another digest")
    if not push.unchanged:
        own = number is not None and entries[number] is commit
        must(own, f"{name} is not of {push.request_id}")


def check_order(calls: Iterable[tuple[int, int, int]]) -> None:
    """Check that whoever began after another had ended has the greater number."""
    earliest_end: int | None = None
    for number, began, ended in sorted(calls, reverse=True):
        must(earliest_end is None or began <= earliest_end,
             f"entry {number} began after a greater one had ended")  # fmt: skip
        earliest_end = ended if earliest_end is None else min(earliest_end, ended)


def _check_bytes(
    engine: Engine, model: Model, name: ArtifactName, state: State, digests: list[str]
) -> None:
    """Check that each version is what it was, or gone as it should be."""
    for number, digest in enumerate(digests, start=1):
        version = VersionName(name, str(number))
        if number in state.purged:
            _check_refused(engine, version, Reason.VERSION_PURGED)
            continue
        if number in state.trash:
            _check_refused(engine, version, Reason.VERSION_DELETED)
            _undelete(engine, version)
        _, found, files = pull(engine, version)
        must(found == digest, f"{version.short} changed")
        must(files == model.files_of(name, digest), f"{version.short}: other bytes")


def _check_refused(engine: Engine, version: VersionName, reason: Reason) -> None:
    try:
        pull(engine, version)
    except StrongroomError as error:
        must(error.reason is reason, f"{version.short} is refused otherwise: {error}")
    else:
        must(holds=False, message=f"{version.short} can be read: not {reason}")


def _undelete(engine: Engine, version: VersionName) -> None:
    """Take a version out of the trash, to see whether it is still whole."""
    engine.retention.undelete(
        version, reason="", request_id=f"plan/final-{version.selector}", caller=CALLER
    )
