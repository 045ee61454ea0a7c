# SPDX-License-Identifier: Apache-2.0
"""Resumed writes by grant: whole files, of one writer, and what is found by name."""

import uuid
from collections.abc import Iterator

import pytest

from strongroom.errors import PreconditionError, Reason
from tests.support.granted_writers import OTHER, Writer, digest_of
from tests.support.resumed import begin as begin_at_central
from tests.support.samples import filled
from tests.support.world import memory_world

MIB = 2**20
BIG = filled("weights", 3 * MIB + 17)


@pytest.fixture
def writer() -> Iterator[Writer]:
    with memory_world() as world:
        yield Writer(world)


def test_a_resumed_write_goes_on_behind_its_durable_files(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom_server.services.uploads.progress.RECORD_BYTES", MIB)
    request_id = str(uuid.uuid4())
    with writer.begin(request_id=request_id, resumable=True) as granted:
        writer.write(granted, "a", BIG)
        writer.store(granted, [BIG[::-1]])
    put_bytes = writer.put_bytes

    writer.world = writer.world.reopened()
    with writer.begin(request_id=request_id, resumable=True) as granted:
        assert granted.position.file_count == 1
        assert granted.position.last_path == "a"
        assert granted.received_bytes == len(BIG)
        # What no file was told of is found by its name.
        writer.store(granted, [BIG[::-1]])
        assert writer.put_bytes == put_bytes
        writer.write(granted, "b", b"1")
        granted.commit(file_count=2, digest=digest_of({"a": BIG, "b": b"1"}))

    assert writer.world.pull() == {"a": BIG, "b": b"1"}


def test_the_server_goes_on_without_what_only_a_writer_has_seen(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom_server.services.uploads.progress.RECORD_BYTES", MIB)
    request_id = str(uuid.uuid4())
    with writer.begin(request_id=request_id, resumable=True) as granted:
        writer.write(granted, "a", BIG)

    with begin_at_central(writer.world, request_id=request_id) as upload:
        assert upload.position.file_count == 0
    other = Writer(writer.world, OTHER)
    with other.begin(request_id=request_id, resumable=True) as granted:
        assert granted.position.file_count == 0


def test_a_file_that_the_server_was_in_the_middle_of_is_left_to_the_server(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom_server.services.uploads.progress.RECORD_BYTES", MIB)
    big = filled("long", 40 * MIB)
    with begin_at_central(writer.world) as upload:
        upload.start_file("a", size_bytes=len(big), executable=False)
        for start in range(0, 36 * MIB, MIB):
            upload.write(big[start : start + MIB], offset_bytes=start)
    request_id = "8a1f7c56-5f56-4d51-9a5a-6f1d4f0ad001"

    with pytest.raises(PreconditionError) as caught:
        writer.begin(request_id=request_id, resumable=True)

    assert caught.value.reason is Reason.WRITE_NOT_GRANTED
