# SPDX-License-Identifier: Apache-2.0
"""Sweeps and uploads that can be resumed: what they stored stays for a while."""

import uuid

import pytest

from strongroom.errors import ConflictError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.services.sweeping import SweepSettings
from strongroom_server.services.uploads import Upload, UploadStart
from tests.support.executors import AtOnce
from tests.support.samples import filled
from tests.support.sweeps import DAY_S, Sweeper, commit, digest_of
from tests.support.world import ARTIFACT, CALLER, World

SIZE = 6 * 2**20
DATA = filled("upload", SIZE)
WEEK = SweepSettings(min_age_s=0.0, grace_s=0.0, upload_age_s=7 * DAY_S)


@pytest.fixture
def world() -> World:
    """An empty store with an engine that does one thing after the other."""
    clock = SystemClock()
    return World(blobs=MemoryBlobStore(clock), clock=clock, executor=AtOnce())


def interrupted(world: World, request_id: str) -> None:
    """Send a file, and the first half of another one; then break off."""
    with begin(world, request_id) as upload:
        send(upload)


def begin(world: World, request_id: str) -> Upload:
    start = UploadStart(
        ARTIFACT, None, "m", {}, request_id, may_create_project=True, resumable=True
    )
    upload = world.uploads.begin(start, caller=CALLER)
    for _ in upload.resume():
        pass
    return upload


def send(upload: Upload) -> None:
    upload.start_file("a.bin", size_bytes=SIZE, executable=False)
    for offset in range(0, SIZE, 2**20):
        upload.write(DATA[offset : offset + 2**20], offset_bytes=offset)
    upload.end_file(digest_of(DATA))


def test_what_an_interrupted_upload_stored_is_kept_for_a_while(world: World) -> None:
    world.push({"b.bin": b"b"})
    request_id = str(uuid.uuid4())
    interrupted(world, request_id)
    stored = set(world.keys("packs/"))
    sweeper = Sweeper(world, WEEK)

    for _ in range(2):
        sweeper.sweep()
    upload = begin(world.reopened(), request_id)

    assert world.keys("uploads/")
    assert set(world.keys("packs/")) == stored
    assert upload.position.file_count == 1
    commit(upload, DATA)
    assert world.pull() == {"a.bin": DATA}


def test_records_of_a_committed_upload_go(world: World) -> None:
    request_id = str(uuid.uuid4())
    interrupted(world, request_id)
    commit(begin(world, request_id), DATA)
    assert world.keys("uploads/")
    sweeper = Sweeper(world, WEEK)

    for _ in range(2):
        sweeper.sweep()

    assert world.keys("uploads/") == []
    assert world.reopened().pull() == {"a.bin": DATA}


def test_an_upload_that_nobody_resumes_goes_in_the_end(world: World) -> None:
    world.push({"b.bin": b"b"})
    before = set(world.keys("packs/"))
    interrupted(world, str(uuid.uuid4()))
    sweeper = Sweeper(world, WEEK)
    world.bucket.advance(8 * DAY_S)

    for _ in range(2):
        sweeper.sweep()

    assert world.keys("uploads/") == []
    assert set(world.keys("packs/")) == before


def test_a_resumed_upload_that_a_sweep_overtook_is_refused(world: World) -> None:
    world.push({"b.bin": b"b"})
    request_id = str(uuid.uuid4())
    interrupted(world, request_id)
    upload = begin(world.reopened(), request_id)
    sweeper = Sweeper(world)
    for _ in range(2):
        sweeper.sweep()

    with pytest.raises(ConflictError) as caught:
        commit(upload, DATA)

    assert caught.value.reason in {Reason.SWEEP_OVERTOOK, Reason.UPLOAD_CONFLICT}
    again = begin(world.reopened(), request_id)
    assert again.position.file_count == 0
    send(again)
    commit(again, DATA)
    assert world.reopened().pull() == {"a.bin": DATA}
