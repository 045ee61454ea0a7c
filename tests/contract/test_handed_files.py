# SPDX-License-Identifier: Apache-2.0
"""Descriptors that writers hand over: who is asked for them, and when they close."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.handing import HandedFile, is_worth_handing
from strongroom._shared.lane import Lane
from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    Reason,
    UnavailableError,
)
from strongroom.format.lanes import MAX_SOURCES, LaneKind, LaneMessage
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    lane_calls,
    running_shared_memory,
    sources,
)
from strongroom_server.adapters.shared_memory.closing import Closing
from strongroom_server.ports import SharedWrite, ToldFile
from tests.contract.shared_memory_world import MIB, READER, settings_of, until

CONTENT = b"0123456789" * 1000


@pytest.fixture
def settings(tmp_path: Path) -> SharedMemorySettings:
    return settings_of(tmp_path)


@pytest.fixture
def server(settings: SharedMemorySettings) -> Iterator[SharedMemoryServer]:
    with running_shared_memory(settings, entropy=SystemEntropy()) as running:
        yield running


@pytest.fixture
def lane(server: SharedMemoryServer, settings: SharedMemorySettings) -> Iterator[Lane]:
    lane = Lane(settings.socket)
    yield lane
    lane.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def begin(server: SharedMemoryServer, lane: Lane, number: int = 1) -> SharedWrite:
    write = server.begin_write(lane.token, number, READER)
    assert write is not None
    return write


def told(path: Path, offset_bytes: int = 0, size_bytes: int = len(CONTENT)) -> ToldFile:
    modify_time_ns = path.stat().st_mtime_ns
    return ToldFile("a/name", offset_bytes, size_bytes, modify_time_ns)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_server_reads_what_was_handed_over_and_closes_it(
    server: SharedMemoryServer, lane: Lane, path: Path
) -> None:
    before = open_files()
    here, there = begin(server, lane), lane.begin_write()
    with path.open("rb") as file:
        assert there.hand_over(file.fileno()) == 1
        assert there.hand_over(file.fileno()) == 2
    first, second = here.take(1, told(path)), here.take(2, told(path, 5, 7))
    buffer = bytearray(4000)
    found = b""
    while len(found) < len(CONTENT):
        count = first.read_into(memoryview(buffer), len(found))
        found += buffer[:count]
    first.check_unchanged()
    assert found == CONTENT
    assert second.read_into(memoryview(buffer), 0) == 7
    assert buffer[:7] == CONTENT[5:12]
    for handed in (first, second):
        handed.close()
        handed.close()
    there.end()
    here.close()

    until(lambda: open_files() == before)


def test_what_nobody_took_is_closed_with_the_call_or_the_lane(
    server: SharedMemoryServer, settings: SharedMemorySettings, path: Path
) -> None:
    before = open_files()
    lane = Lane(settings.socket)
    here, there = begin(server, lane), lane.begin_write()
    lane_files = open_files()
    with path.open("rb") as file:
        for _ in range(3):
            there.hand_over(file.fileno())
    until(lambda: open_files() == lane_files + 3)
    here.close()
    until(lambda: open_files() == lane_files)

    with path.open("rb") as file:  # The call is over, and its writer has not heard.
        there.hand_over(file.fileno())
        # One whose call has not come yet.
        early = lane.begin_write()
        early.hand_over(file.fileno())
    until(lambda: open_files() == lane_files + 1)
    early.end()
    until(lambda: open_files() == lane_files)

    late = lane.begin_write()
    with path.open("rb") as file:
        late.hand_over(file.fileno())
    until(lambda: open_files() == lane_files + 1)
    lane.close()
    until(lambda: open_files() == before)


def test_what_does_not_come_is_not_waited_for_long(
    server: SharedMemoryServer, lane: Lane, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_calls, "SOURCE_WAIT_S", 0.05)
    here = begin(server, lane)
    with pytest.raises(UnavailableError, match="a/name") as caught:
        here.take(1, told(path))
    assert caught.value.reason is Reason.TRANSPORT


def test_what_comes_after_it_is_asked_for_is_taken(
    server: SharedMemoryServer, lane: Lane, path: Path
) -> None:
    here, there = begin(server, lane), lane.begin_write()
    with path.open("rb") as file:
        later = threading.Timer(0.1, there.hand_over, (file.fileno(),))
        later.start()
        handed = here.take(1, told(path))
        later.join()
    handed.close()


def test_one_lane_hands_over_no_more_than_it_may(
    server: SharedMemoryServer, lane: Lane, path: Path
) -> None:
    before = open_files()
    begin(server, lane)
    there = lane.begin_write()
    with path.open("rb") as file:
        for _ in range(MAX_SOURCES):
            there.hand_over(file.fileno())
        until(lambda: open_files() == before + MAX_SOURCES + 1)
        there.hand_over(file.fileno())
    until(lambda: server.lane_count == 0)
    until(lambda: open_files() == before - 1)


def test_all_lanes_together_hand_over_no_more_than_there_is_room_for(
    settings: SharedMemorySettings, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "strongroom_server.adapters.shared_memory.lane.MAX_ALL_SOURCES", 2
    )
    monkeypatch.setattr(lane_calls, "SOURCE_WAIT_S", 1.0)
    with running_shared_memory(settings, entropy=SystemEntropy()) as server:
        lanes = [Lane(settings.socket) for _ in range(3)]
        writes = [(begin(server, lane), lane.begin_write()) for lane in lanes]
        with path.open("rb") as file:
            for _, there in writes:
                there.hand_over(file.fileno())
        handed = []
        refused = 0
        for here, _ in writes:
            try:
                handed.append(here.take(1, told(path)))
            except UnavailableError:
                refused += 1
        assert (len(handed), refused) == (2, 1)
        handed[0].close()
        with path.open("rb") as file:
            assert writes[0][1].hand_over(file.fileno()) == 2
        writes[0][0].take(2, told(path)).close()
        handed[1].close()
        for lane in lanes:
            lane.close()


def test_a_lane_takes_from_the_principal_that_used_it_first(
    server: SharedMemoryServer, lane: Lane
) -> None:
    begin(server, lane)

    assert server.begin_write(lane.token, 2, "spiffe://test/other") is None
    assert server.begin_write(bytes(32), 2, READER) is None
    assert server.begin_write(lane.token, 1, READER) is None, "a number is used once"


@pytest.mark.parametrize("kind", [LaneKind.ENDED, LaneKind.DONE, LaneKind.UNMAPPED])
def test_a_descriptor_out_of_place_ends_the_lane_and_is_closed(
    server: SharedMemoryServer, lane: Lane, path: Path, kind: LaneKind
) -> None:
    before = open_files()
    with path.open("rb") as file:
        message = LaneMessage(kind, 1).encode()
        socket.send_fds(lane._connection, [message], [file.fileno()])
    until(lambda: server.lane_count == 0)
    until(lambda: open_files() == before - 1)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_source_brings_one_descriptor(
    server: SharedMemoryServer, lane: Lane, path: Path, count: int
) -> None:
    before = open_files()
    with path.open("rb") as file:
        message = LaneMessage(LaneKind.SOURCE, 1, 1).encode()
        socket.send_fds(lane._connection, [message], [file.fileno()] * count)
    until(lambda: server.lane_count == 0)
    until(lambda: open_files() == before - 1)


def test_the_same_source_twice_ends_the_lane(
    server: SharedMemoryServer, lane: Lane, path: Path
) -> None:
    with path.open("rb") as file:
        for _ in range(2):
            message = LaneMessage(LaneKind.SOURCE, 1, 1).encode()
            socket.send_fds(lane._connection, [message], [file.fileno()])
    until(lambda: server.lane_count == 0)


def hand(
    server: SharedMemoryServer, lane: Lane, descriptor: int, said: ToldFile
) -> None:
    here, there = begin(server, lane), lane.begin_write()
    there.hand_over(descriptor)
    here.take(1, said).close()


@pytest.mark.parametrize(
    "flags", [os.O_PATH, os.O_WRONLY, os.O_RDONLY | os.O_DIRECTORY]
)
def test_what_cannot_be_read_is_refused(
    server: SharedMemoryServer, lane: Lane, path: Path, flags: int
) -> None:
    before = open_files()
    target = path.parent if flags & os.O_DIRECTORY else path
    descriptor = os.open(target, flags)
    try:
        with pytest.raises(InvalidArgumentError, match="a/name") as caught:
            hand(server, lane, descriptor, told(path))
    finally:
        os.close(descriptor)
    assert caught.value.reason is Reason.FILE_UNSUPPORTED
    until(lambda: open_files() == before)


def test_a_pipe_is_refused_and_never_waited_for(
    server: SharedMemoryServer, lane: Lane, path: Path
) -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(InvalidArgumentError, match="file system"):
            hand(server, lane, reading, told(path))
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_system_that_may_keep_its_reader_waiting_is_refused_at_both_ends(
    server: SharedMemoryServer, lane: Lane
) -> None:
    # Of all such file systems, every machine has this one.
    path = Path("/proc/self/maps")
    with path.open("rb") as file:
        assert not is_worth_handing(HandedFile(file.fileno(), 2 * MIB, 0))
        with pytest.raises(InvalidArgumentError, match="file system"):
            hand(server, lane, file.fileno(), told(path, 0, 0))


def test_memory_of_the_writer_is_read_and_may_shrink(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here, there = begin(server, lane), lane.begin_write()
    descriptor = os.memfd_create("test")
    try:
        os.ftruncate(descriptor, 4 * MIB)
        assert is_worth_handing(
            HandedFile(descriptor, 4 * MIB, os.fstat(descriptor).st_mtime_ns)
        )
        there.hand_over(descriptor)
        said = ToldFile("memory", 0, 4 * MIB, os.fstat(descriptor).st_mtime_ns)
        handed = here.take(1, said)
        buffer = memoryview(bytearray(MIB))
        assert handed.read_into(buffer, 0) == MIB
        os.ftruncate(descriptor, MIB)
        with pytest.raises(ConflictError, match="memory") as caught:
            handed.read_into(buffer, MIB)
        assert caught.value.reason is Reason.SOURCE_CHANGED
        handed.close()
    finally:
        os.close(descriptor)


def test_a_file_that_is_not_as_was_said_is_refused(
    server: SharedMemoryServer, lane: Lane, path: Path
) -> None:
    here, there = begin(server, lane), lane.begin_write()
    with path.open("rb") as file:
        for _ in range(3):
            there.hand_over(file.fileno())
    with pytest.raises(ConflictError, match="a/name"):
        here.take(1, told(path, 1))
    before = told(path)
    handed = here.take(2, before)
    os.utime(path, (1, 1))
    with pytest.raises(ConflictError, match="a/name"):
        handed.check_unchanged()
    handed.close()
    with pytest.raises(ConflictError, match="a/name"):
        here.take(3, before)


def test_descriptors_that_found_no_place_are_told_of(
    server: SharedMemoryServer, lane: Lane, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has no descriptor left: the message comes without one."""
    noted = sources.Sources(threading.BoundedSemaphore(1), Closing())
    noted.note(1, 1, None)

    assert noted.take(1, 1, 5) is None
