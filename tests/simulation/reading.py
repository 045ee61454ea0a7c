# SPDX-License-Identifier: Apache-2.0
"""Clients that read, move refs and create projects."""

from strongroom.errors import Reason
from strongroom.format.names import RefName, VersionName
from strongroom_server.core.records import FileBlock, FileEnded, FileStarted, RefRecord
from tests.simulation.clients import ABSENT, CALLER, REFS, Client, Lost
from tests.simulation.machine import Engine
from tests.simulation.model import Change, Files, must
from tests.simulation.ports import request_id

_TRASHED = (Reason.VERSION_DELETED, Reason.VERSION_PURGED)


def read(client: Client) -> None:
    """Read a version whole: the newest, a numbered one, or where a ref points."""
    artifact = client.artifact()
    newest = client.model.newest(artifact)
    draw = client.random.random()
    selector = "prod"
    if draw < 0.5:
        selector = "latest"
    elif draw < 0.8 and newest:
        selector = str(1 + int(client.random.random() * newest))
    name = VersionName(artifact, selector)
    began, has_project = client.now, artifact.project in client.model.projects
    done = client.ask(lambda engine: pull(engine, name), (*ABSENT, *_TRASHED))
    if not isinstance(done, Lost):
        number, digest, files = done
        client.model.saw(artifact, number, digest)
        must(files == client.model.files_of(artifact, digest),
             f"{name.short} has other bytes than were pushed")  # fmt: skip
        client.model.observed(
            artifact,
            f"{selector} was {number}",
            lambda state: state.find(selector) == (number, None),
            began,
            client.now,
        )
    elif done.error is not None:
        reason = done.error.reason
        if reason is Reason.PROJECT_NOT_FOUND:
            must(not has_project, f"project {artifact.project} is lost")
            reason = Reason.ARTIFACT_NOT_FOUND
        client.model.observed(
            artifact,
            f"{selector} was refused, {reason}",
            lambda state: state.find(selector)[1] is reason,
            began,
            client.now,
        )


def move(client: Client) -> None:
    """Point a ref at a version, and perhaps repeat that."""
    artifact = client.artifact()
    newest = client.model.newest(artifact)
    if not newest:
        return
    version = 1 + int(client.random.random() * newest)
    ref = REFS[int(client.random.random() * len(REFS))]
    change = Change(
        "MOVE_REF", artifact, request_id(client.random), client.now, (ref, version)
    )
    client.model.changing(change)

    def send(engine: Engine) -> RefRecord:
        return engine.refs.move(
            RefName(artifact, ref),
            version=str(version),
            etag="",
            reason="",
            request_id=change.request_id,
            validate_only=False,
            caller=CALLER,
        )

    for _ in range(2 if client.chance(0.2) else 1):
        done = client.ask(send, _TRASHED)
        if isinstance(done, Lost):
            if done.error is not None:
                _refused(client, change, version, done.error.reason)
            return
        if change.ended is None:
            change.ended = client.now


def _refused(client: Client, change: Change, version: int, reason: Reason) -> None:
    client.model.observed(
        change.artifact,
        f"move to {version} was refused, {reason}",
        lambda state: state.find(str(version))[1] is reason,
        change.began,
        client.now,
    )


def create_project(client: Client) -> None:
    """Create a project that others may create, too."""
    project = f"p{int(client.random.random() * 2)}"
    wanted = request_id(client.random)
    done = client.ask(
        lambda engine: engine.artifacts.create_project(
            project, caller=CALLER, request_id=wanted
        ),
        (Reason.PROJECT_EXISTS,),
    )
    if not isinstance(done, Lost) or done.error is not None:
        client.model.projects.add(project)


def pull(engine: Engine, name: VersionName) -> tuple[int, str, Files]:
    """Return a version's number, digest and files."""
    files: dict[str, bytes] = {}
    path, parts = "", bytearray()
    with engine.downloads.open(name, paths=()) as download:
        for item in download.items:
            match item:
                case FileStarted():
                    path, parts = item.path, bytearray()
                case FileBlock():
                    parts += item.data
                case FileEnded():
                    files[path] = bytes(parts)
                case _:  # nobody shares memory here
                    raise AssertionError(item)
        return download.version.number, download.version.digest, files
