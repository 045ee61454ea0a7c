# SPDX-License-Identifier: Apache-2.0
"""Files that the base version has as well: taken over, or refused, and what is kept."""

from collections.abc import Mapping
from typing import Any

import pytest

from strongroom.errors import ConflictError, Reason
from strongroom_server.services.uploads import Position, Upload
from strongroom_server.services.uploads import progress as upload_progress
from tests.support.resumed import (
    BIG,
    FILES,
    MIB,
    SMALL,
    begin,
    blocks,
    commit,
    finish,
    record_eagerly,
    send,
    sha256,
)
from tests.support.samples import filled
from tests.support.world import World


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    record_eagerly(monkeypatch)


def test_an_unchanged_file_is_taken_from_the_base_version(world: World) -> None:
    world.push(FILES)
    changed = {**FILES, "a3": b"changed"}

    with begin(world, base_version=1) as upload:
        for path in sorted(changed):
            if path == "a3":
                send_one(upload, path, changed[path])
            else:
                upload.same_file(
                    path,
                    size_bytes=len(changed[path]),
                    executable=False,
                    digest=sha256(changed[path]),
                )
        result = commit(upload, changed)

    assert result.version.number == 2
    assert result.version.stored_bytes < 10_000
    assert world.reopened().pull("2") == changed


def send_one(upload: Upload, path: str, data: bytes) -> None:
    upload.start_file(path, size_bytes=len(data), executable=False)
    upload.write(data, offset_bytes=0)
    upload.end_file(sha256(data))


ONE: Mapping[str, Any] = {
    "path": "a", "size_bytes": 1, "executable": False, "digest": sha256(b"1")
}  # fmt: skip


@pytest.mark.parametrize(
    ("base_version", "changes"),
    [
        (0, {}),
        (2, {}),
        (-1, {}),
        (1, {"size_bytes": 2}),
        (1, {"executable": True}),
        (1, {"digest": sha256(b"2")}),
        (1, {"path": "aa"}),
        (1, {"path": "z"}),
        (1, {"path": "", "digest": ""}),
    ],
)
def test_what_the_base_does_not_have_is_refused(
    world: World, base_version: int, changes: Mapping[str, Any]
) -> None:
    world.push({"a": b"1", "b": b"2"})

    with (
        begin(world, base_version=base_version) as upload,
        pytest.raises(ConflictError) as caught,
    ):
        upload.same_file(**{**ONE, **changes})

    assert caught.value.reason is Reason.BASE_MISMATCH


def test_a_file_of_the_base_whose_pack_is_gone_is_refused(world: World) -> None:
    world.push({"a": filled("a", 5 * MIB)})
    bucket = world.bucket
    for blob, data in bucket.objects():
        if len(data) > 4 * MIB:
            bucket.corrupt(blob.key, blob.version_id, b"")

    with (
        begin(world.reopened(), base_version=1) as upload,
        pytest.raises(ConflictError) as caught,
    ):
        upload.same_file(
            "a",
            size_bytes=5 * MIB,
            executable=False,
            digest=sha256(filled("a", 5 * MIB)),
        )

    assert caught.value.reason is Reason.BASE_MISMATCH


def test_files_that_are_sooner_sent_again_are_not_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_progress, "RECORD_FILES", 10)
    tiny = {f"{number:03}": b"%d" % number for number in range(200)}
    world.push(tiny)
    with begin(world, base_version=1) as upload:
        for path in sorted(tiny):
            upload.same_file(
                path, size_bytes=len(tiny[path]), executable=False,
                digest=sha256(tiny[path]),
            )  # fmt: skip
    with begin(world, request_id="first") as upload:
        send(upload, {f"new{path}": data for path, data in tiny.items()})

    assert world.keys("uploads/") == []
    position, _ = finish(world.reopened())
    assert position == Position()


def test_a_large_file_behind_same_ones_is_recorded_with_them(world: World) -> None:
    world.push(SMALL)
    with begin(world, base_version=1) as upload:
        for path in sorted(SMALL):
            upload.same_file(
                path, size_bytes=len(SMALL[path]), executable=False,
                digest=sha256(SMALL[path]),
            )  # fmt: skip
        upload.start_file("b", size_bytes=len(BIG["b"]), executable=False)
        for start, block in blocks(BIG["b"][: 36 * MIB]):
            upload.write(block, offset_bytes=start)

    position, _ = finish(world.reopened())

    assert position.file_count == len(SMALL)
    assert position.offset_bytes == 32 * MIB


def test_an_attempt_with_too_many_files_to_remember_records_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_progress, "RECORD_FILES", 10)
    monkeypatch.setattr(upload_progress, "MAX_WAITING", 50)
    tiny = {f"a{number:03}": b"%d" % number for number in range(100)}
    world.push(tiny)
    with begin(world, base_version=1) as upload:
        for path in sorted(tiny):
            upload.same_file(
                path,
                size_bytes=len(tiny[path]),
                executable=False,
                digest=sha256(tiny[path]),
            )
        upload.start_file("b", size_bytes=len(BIG["b"]), executable=False)
        for start, block in blocks(BIG["b"][: 36 * MIB]):
            upload.write(block, offset_bytes=start)

    assert world.keys("uploads/") == []
    position, _ = finish(world.reopened(), {**tiny, **BIG})
    assert position == Position()
