# SPDX-License-Identifier: Apache-2.0
"""Clients that push: whole, repeated, broken off, resumed, and twice at once."""

import hashlib
from collections.abc import Mapping
from typing import Final

from strongroom.errors import Reason
from strongroom.format.digest import VersionDigester, path_order
from strongroom.format.names import ArtifactName
from strongroom_server.core.records import Kind
from strongroom_server.services.uploads import CommitResult, Upload, UploadStart
from tests.simulation.clients import (
    ARTIFACTS,
    CALLER,
    Client,
    ClientGoneError,
    Lost,
)
from tests.simulation.faults import Fault
from tests.simulation.machine import Engine
from tests.simulation.model import Files, Push, must
from tests.simulation.ports import request_id

PATHS: Final = ("a", "b", "c/d")
_BASE: Final = hashlib.shake_256(b"base").digest(200)
_OTHER: Final = hashlib.shake_256(b"other").digest(190)
#: Few contents, so that most of what is pushed is stored already; some of several
#: chunks, and some that differ little, so that deltas are worth it.
CONTENTS: Final = (
    b"",
    b"a",
    b"c" * 40,
    b"d" * 50,
    _OTHER,
    _BASE,
    _BASE[:90] + b"x" + _BASE[91:],
    _BASE + b"e" * 60,
    # Again, since at the start only what was broken off has it, and sweeps take it.
    _OTHER,
)
DIGESTS: Final = {
    data: "sha256:" + hashlib.sha256(data).hexdigest() for data in CONTENTS
}
#: A sweep may come in between, and the client's other attempt may still be there.
_AGAIN: Final = (Reason.SWEEP_OVERTOOK, Reason.UPLOAD_CONFLICT)


def push(client: Client) -> None:
    """Push some files as a version, and perhaps repeat that."""
    random = client.random
    files = {
        path: CONTENTS[int(random.random() * len(CONTENTS))]
        for path in PATHS
        if random.random() < 0.7
    }
    asked = _ask_for(client, files)
    if client.chance(0.1):
        # A twin: the client was killed and started again, and both still send.
        client.machines.scheduler.spawn(
            f"{client.name}+", lambda: send_until_done(client, asked)
        )
    done = send_until_done(client, asked)
    client.linger(0.5)
    if done and client.chance(0.2):
        send_until_done(client, asked)
    elif not done and client.chance(0.7):
        # What it has left is found again, unless a sweep was there meanwhile.
        send_until_done(client, _ask_for(client, files))


def _ask_for(
    client: Client, files: Files, artifact: ArtifactName | None = None
) -> Push:
    asked = Push(
        artifact or client.artifact(),
        request_id(client.random),
        files,
        version_digest(files),
        client.now,
        is_resumable=client.chance(0.5),
    )
    client.model.pushing(asked)
    return asked


def fill(client: Client) -> None:
    """Make a version, one that may go, and what a push leaves that was broken off."""
    one = ARTIFACTS[0]
    for number, (artifact, files) in enumerate(
        (
            (one, {"a": CONTENTS[2], "b": _BASE}),
            (one, {"a": CONTENTS[3], "b": CONTENTS[6]}),
            (one, {"a": CONTENTS[1], "c/d": CONTENTS[2]}),
            (ARTIFACTS[1], {"b": _BASE}),
            (one, {"a": _OTHER, "b": CONTENTS[7], "c/d": b""}),
        )
    ):
        asked = _ask_for(client, files, artifact)
        asked.breaks_off = number == 4
        # A record of the upload would keep for a week what it has left.
        asked.is_resumable = False
        send_until_done(client, asked)


def send_until_done(client: Client, asked: Push) -> bool:
    """Send a push until it is acknowledged; tell whether it was."""
    done = client.ask(lambda engine: _send(client, engine, asked), repeated=_AGAIN)
    if isinstance(done, Lost):
        return False
    client.model.projects.add(asked.artifact.project)
    must(done.version.digest == asked.digest, "a push made another digest")
    client.model.pushed(
        asked, done.version.number, unchanged=done.unchanged, now=client.now
    )
    return True


def _send(client: Client, engine: Engine, asked: Push) -> CommitResult:
    start = UploadStart(
        asked.artifact,
        # Checkpoints are stored as deltas, unless the policy says otherwise.
        Kind.CHECKPOINT if asked.artifact.artifact == "two" else Kind.DATASET,
        "a message",
        {},
        asked.request_id,
        may_create_project=True,
        resumable=asked.is_resumable,
    )
    with engine.uploads.begin(start, caller=CALLER) as upload:
        for _ in upload.resume():
            pass
        at = upload.position
        if at.file_count or at.open_path:
            client.machines.calls["pushes resumed"] += 1
        for path, data in asked.files.items():
            if at.file_count and path_order(path) <= path_order(at.last_path):
                continue
            offset = at.offset_bytes if path == at.open_path else 0
            _send_file(client, upload, path, data, offset)
            _break_off(client, asked)
        client.linger(0.5)
        return upload.commit(file_count=len(asked.files), digest=asked.digest)


def _send_file(
    client: Client, upload: Upload, path: str, data: bytes, offset: int
) -> None:
    upload.start_file(path, size_bytes=len(data), executable=False)
    middle = max(offset, len(data) * 3 // 4)
    for part in (data[offset:middle], data[middle:]):
        if part:
            upload.write(part, offset_bytes=offset)
            offset += len(part)
            client.linger(0.1)
    upload.end_file(DIGESTS[data])


def _break_off(client: Client, asked: Push) -> None:
    faults = client.machines.faults
    often = 0.15 if client.is_slow else 0.03
    if asked.breaks_off or faults.chance(Fault.CLIENT_GONE, often):
        faults.count(Fault.CLIENT_GONE)
        raise ClientGoneError


def version_digest(files: Mapping[str, bytes]) -> str:
    """Return the digest of a version with these files."""
    digester = VersionDigester()
    for path, data in files.items():
        digester.add(path, len(data), DIGESTS[data])
    return digester.digest()
