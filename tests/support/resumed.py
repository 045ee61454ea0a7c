# SPDX-License-Identifier: Apache-2.0
"""Resumable uploads as tests make them: begun, left in the middle, and finished."""

import hashlib
import threading
from collections.abc import Iterator, Mapping

import pytest

from strongroom.format.digest import VersionDigester
from strongroom_server.services.uploads import (
    CommitResult,
    Position,
    Upload,
    UploadStart,
)
from strongroom_server.services.uploads import progress as upload_progress
from tests.support.samples import filled
from tests.support.world import ARTIFACT, CALLER, World

MIB = 2**20
#: Of the executor of a memory world.
THREADS = 4
SMALL = {f"a{number}": filled(f"small {number}", 5000) for number in range(20)}
BIG = {"b": filled("big", 40 * MIB), "c": filled("c", 100)}
FILES = {**SMALL, **BIG}
REQUEST = "8a1f7c56-5f56-4d51-9a5a-6f1d4f0ad001"


def record_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record after every 4 MiB, and once everything under way is stored."""
    monkeypatch.setattr(upload_progress, "RECORD_BYTES", 4 * MIB)
    record = upload_progress.UploadProgress.record_if_due

    def record_settled(progress: upload_progress.UploadProgress) -> None:
        barrier = threading.Barrier(THREADS)
        submit = progress._repository.executor.submit
        for waiting in [submit(barrier.wait, 60.0) for _ in range(THREADS)]:
            waiting.result(60.0)
        record(progress)

    monkeypatch.setattr(upload_progress.UploadProgress, "record_if_due", record_settled)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def begin(world: World, *, request_id: str = REQUEST, base_version: int = 0) -> Upload:
    start = UploadStart(
        ARTIFACT,
        None,
        "m",
        {},
        request_id,
        may_create_project=True,
        resumable=True,
        base_version=base_version,
    )
    upload = world.uploads.begin(start, caller=CALLER)
    for _ in upload.resume():
        pass
    return upload


def blocks(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    for start in range(offset, len(data), MIB):
        yield start, data[start : start + MIB]


def send(
    upload: Upload, files: Mapping[str, bytes], *, until: tuple[str, int] = ("~", 0)
) -> None:
    """Send what the upload does not have; stop in a file at an offset."""
    position = upload.position
    for path in sorted(files)[position.file_count :]:
        data = files[path]
        offset = position.offset_bytes if path == position.open_path else 0
        upload.start_file(path, size_bytes=len(data), executable=False)
        for start, block in blocks(data, offset):
            if (path, start) >= until:
                return
            upload.write(block, offset_bytes=start)
        upload.end_file(sha256(data))


def send_rest(upload: Upload, offset: int) -> None:
    """Send the rest of the big file, which is open."""
    for start, block in blocks(FILES["b"], offset):
        upload.write(block, offset_bytes=start)


def digest_of(files: Mapping[str, bytes]) -> str:
    digester = VersionDigester()
    for path in sorted(files):
        digester.add(path, len(files[path]), sha256(files[path]))
    return digester.digest()


def commit(upload: Upload, files: Mapping[str, bytes]) -> CommitResult:
    return upload.commit(file_count=len(files), digest=digest_of(files))


def finish(world: World, files: Mapping[str, bytes] = FILES) -> tuple[Position, int]:
    """Go on with the upload to its end; return where it was, and what it stored."""
    with begin(world) as upload:
        position = upload.position
        send(upload, files)
        result = commit(upload, files)
    assert world.reopened().pull(str(result.version.number)) == files
    return position, result.version.stored_bytes
