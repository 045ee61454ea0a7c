# SPDX-License-Identifier: Apache-2.0
"""Clients that push: whole, repeated, broken off, resumed elsewhere, and twice at once."""

import hashlib
from collections.abc import Mapping
from typing import Final

from strongroom.errors import Reason
from strongroom.format.digest import VersionDigester, path_order
from strongroom_server.core.records import Kind
from strongroom_server.services.uploads import CommitResult, Upload, UploadStart
from tests.simulation.clients import CALLER, Client, ClientGoneError, Lost
from tests.simulation.faults import Fault
from tests.simulation.machine import Engine
from tests.simulation.model import Push, must
from tests.simulation.ports import request_id

PATHS: Final = ("a", "b", "c/d")
_BASE: Final = hashlib.shake_256(b"base").digest(200)
#: Few contents, so that most of what is pushed is stored already; some of several
#: chunks, and some that differ little, so that deltas are worth it.
CONTENTS: Final = (
    b"",
    b"a",
    b"c" * 40,
    _BASE,
    _BASE[:90] + b"x" + _BASE[91:],
    _BASE + b"e" * 60,
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
    asked = Push(
        client.artifact(),
        request_id(random),
        files,
        version_digest(files),
        client.now,
        is_resumable=client.chance(0.5),
    )
    client.model.pushing(asked)
    if client.chance(0.1):
        # A twin: the client was killed and started again, and both still send.
        client.machines.scheduler.spawn(
            f"{client.name}+", lambda: send_until_done(client, asked)
        )
    for _ in range(2 if client.chance(0.2) else 1):
        if not send_until_done(client, asked):
            return
        client.linger(0.1)


def send_until_done(client: Client, asked: Push) -> bool:
    """Send a push until it is acknowledged; tell whether it was."""
    done = client.ask(
        lambda engine: _send(client, engine, asked), repeated=_AGAIN
    )
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
            _break_off(client)
        client.linger(0.15)
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


def _break_off(client: Client) -> None:
    if client.machines.faults.chance(Fault.CLIENT_GONE, 0.03):
        client.machines.faults.count(Fault.CLIENT_GONE)
        raise ClientGoneError


def version_digest(files: Mapping[str, bytes]) -> str:
    """Return the digest of a version with these files."""
    digester = VersionDigester()
    for path, data in files.items():
        digester.add(path, len(data), DIGESTS[data])
    return digester.digest()
