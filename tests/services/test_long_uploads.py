# SPDX-License-Identifier: Apache-2.0
"""Long uploads: what a cut-off one stored is found, and memory is shared fairly."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import (
    DeadlineExceededError,
    IntegrityError,
    Reason,
    UnavailableError,
)
from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.repository import content_writer
from strongroom_server.repository.file_receiver import MAX_HELD_S
from strongroom_server.services.uploads import Upload
from strongroom_server.services.uploads import progress as upload_progress
from tests.support.clock import ManualClock
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.resumed import begin, commit, send
from tests.support.samples import filled
from tests.support.weights import safetensors_file
from tests.support.world import World, memory_world


def tensors(count: int, seed: str = "") -> bytes:
    """A safetensors file of so many chunks, and one for its header."""
    return safetensors_file(
        {str(number): filled(f"{seed}{number}", 2**20) for number in range(count)}
    )


def test_a_push_that_was_cut_off_does_not_store_its_chunks_again(world: World) -> None:
    data = tensors(70)
    with world.begin() as upload:
        upload.start_file("m.safetensors", size_bytes=len(data), executable=False)
        for offset in range(0, len(data), 2**20):
            upload.write(data[offset : offset + 2**20], offset_bytes=offset)
        upload.end_file("sha256:" + hashlib.sha256(data).hexdigest())
        with pytest.raises(IntegrityError):
            upload.commit(file_count=1, digest=VersionDigester().digest())

    result = world.reopened().push({"m.safetensors": data})

    assert result.version.stored_bytes < len(data) - 14 * 2**20
    assert world.reopened().pull() == {"m.safetensors": data}


@pytest.mark.parametrize(("limit", "value"), [("INDEX_CHUNKS", 2), ("INDEX_BYTES", 1)])
def test_a_long_upload_writes_index_segments_as_it_goes(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(content_writer, limit, value)
    data = tensors(100)

    world.push({"m.safetensors": data})

    assert len(world.keys("index/")) > 1
    assert world.reopened().push({"n.safetensors": data}).version.stored_bytes < 10_000


def test_records_of_a_fast_upload_leave_no_packs_half_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_progress, "RECORD_BYTES", 16 * 2**20)
    files = {f"{number:02}": filled(f"fast {number}", 2**20) for number in range(60)}
    with begin(world) as upload:
        send(upload, files)
        commit(upload, files)

    # 15 files a pack, and one for the file table.
    assert len(world.keys("packs/")) == 60 / 15 + 1
    assert world.keys("uploads/")
    assert world.pull() == files


def test_uploads_wait_for_each_other_and_give_everything_back(world: World) -> None:
    budget = world.repository.write_budget
    whole = budget.free_bytes
    budget.take(whole - 2**20)
    files = [{"a": filled(f"file {number}", 5 * 2**20)} for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        names = [ArtifactName("demo", f"a{number}") for number in range(4)]
        pushes = [
            pool.submit(world.push, *job) for job in zip(files, names, strict=True)
        ]
        budget.give_back(whole - 2**20)
        for push in pushes:
            push.result(60.0)

    assert budget.free_bytes == whole


def test_an_upload_that_fails_gives_everything_back() -> None:
    blobs = FaultyBlobStore(MemoryBlobStore())
    with ThreadPoolExecutor(4) as executor:
        world = World(blobs=blobs, executor=executor)
        whole = world.repository.write_budget.free_bytes
        world.push({"a": b"1"})
        blobs.queue("put_new", *[Fault.UNAVAILABLE] * 50)

        with pytest.raises(UnavailableError):
            world.push({"a": filled("a", 40 * 2**20)})

        assert world.repository.write_budget.free_bytes == whole


def test_slow_senders_make_room_for_those_who_wait() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        budget = world.repository.open_budget
        slow = [started(world) for _ in range(budget.free_bytes // (17 * 2**20))]
        clock.advance(MAX_HELD_S + 1.0)
        for upload in slow:
            upload.check_pace()  # nobody waits, so they may take their time
        with ThreadPoolExecutor(1) as pool:
            push = pool.submit(world.push, {"a": filled("a", 20 * 2**20)})
            while not budget.is_contended:
                assert not push.done()

            with pytest.raises(DeadlineExceededError) as caught:
                slow[0].check_pace()
            slow[0].__exit__(None, None, None)

            assert push.result(30.0).version.number == 1
        assert caught.value.reason is Reason.STALLED
        late = started(world)
        late.check_pace()  # has not had its time yet


def started(world: World) -> Upload:
    """Begin an upload that has sent one byte of a large file."""
    upload = world.begin()
    upload.start_file("slow", size_bytes=2**30, executable=False)
    upload.write(b"x", offset_bytes=0)
    return upload
