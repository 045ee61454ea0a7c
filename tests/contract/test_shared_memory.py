# SPDX-License-Identifier: Apache-2.0
"""Lanes: what readers are given, what they can do with it, what ends it."""

import contextlib
import errno
import fcntl
import json
import mmap
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import (
    UnavailableError,
)
from strongroom.format.lanes import (
    MESSAGE_BYTES,
    TOKEN_BYTES,
    LaneKind,
    LaneMessage,
)
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    listener,
    running_shared_memory,
)
from strongroom_server.adapters.shared_memory.lane import Lane as ServerLane
from strongroom_server.adapters.shared_memory.lane import Shared
from strongroom_server.adapters.shared_memory.mappings import Mappings
from strongroom_server.adapters.shared_memory.segments import (
    SEGMENT_BYTES,
    MemoryPool,
)
from tests.contract.shared_memory_world import (
    MIB,
    READER,
    begin,
    fill,
    settings_of,
    told,
    until,
)


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


def test_the_reader_sees_what_was_written_and_gives_it_back(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here, there = begin(server, lane), lane.begin()
    for content in (b"a" * MIB, b"b" * 100, b"c" * SEGMENT_BYTES):
        segment, offset = fill(here, content)
        assert there.view(segment, offset, len(content)) == content

    assert not here.wait(0.01)
    there.done(MIB)
    assert here.wait(5)
    there.end()
    here.close()
    assert server.used_bytes == 2 * SEGMENT_BYTES


def test_who_reads_little_gets_no_segment(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here = server.begin(lane.token, 1, READER)
    assert here is not None
    for _ in range(15):
        assert here.take(MIB // 16) is None
    assert server.used_bytes == 0

    assert here.take(MIB // 16) is not None
    assert server.used_bytes == SEGMENT_BYTES


def test_room_is_used_again_and_again(server: SharedMemoryServer, lane: Lane) -> None:
    here, there = begin(server, lane), lane.begin()
    places = set()
    for number in range(20):
        content = bytes([number]) * SEGMENT_BYTES
        segment, offset = fill(here, content)
        assert there.view(segment, offset, 3) == content[:3]
        places.add((segment, offset))
        there.done(SEGMENT_BYTES)
        until(lambda: not told(here))

    assert places == {(0, 0)}
    assert server.used_bytes == SEGMENT_BYTES


def test_the_budget_holds_for_all_readers_together(
    server: SharedMemoryServer, settings: SharedMemorySettings
) -> None:
    lanes = [Lane(settings.socket) for _ in range(3)]
    reads = [begin(server, lane) for lane in lanes]
    taken = [(read, read.take(SEGMENT_BYTES)) for read in reads for _ in range(2)]

    assert sum(lease is not None for _, lease in taken) == 4
    assert server.used_bytes == settings.ring_bytes

    for lane in lanes:
        lane.close()
    until(lambda: server.lane_count == 0)
    for read, lease in taken:
        if lease is not None:
            # What is still written to is kept until then.
            read.give_back(lease)
    assert server.used_bytes == 0


def test_a_reader_can_write_nowhere(server: SharedMemoryServer, lane: Lane) -> None:
    here = begin(server, lane)
    draft = here.begin_mapping("key", MIB, lambda: None)
    assert draft is not None
    draft.finish()
    lease = here.take(MIB)
    assert lease is not None
    assert here.find_mapping("key")
    # As a reader that is not ours would: it takes the descriptors itself.
    found = []
    for _ in range(2):
        data, descriptors, _, _ = socket.recv_fds(lane._connection, MESSAGE_BYTES, 4)
        found.append((LaneMessage.parse(data), descriptors[0]))

    assert [message.kind for message, _ in found] == [
        LaneKind.SEGMENT,
        LaneKind.MAPPING,
    ]
    for message, descriptor in found:
        with pytest.raises(PermissionError):
            mmap.mmap(descriptor, message.value, flags=mmap.MAP_SHARED)
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)
        with pytest.raises(PermissionError):
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0)
        os.close(descriptor)


def test_a_lane_serves_the_principal_that_used_it_first(
    server: SharedMemoryServer, lane: Lane
) -> None:
    begin(server, lane, 1).close()

    assert server.begin(lane.token, 2, "spiffe://test/other") is None
    assert server.begin(bytes(32), 2, READER) is None
    assert server.begin(b"", 2, READER) is None
    assert server.begin(lane.token, 1, READER) is None, "a number is used once"
    assert server.begin(lane.token, 2, READER) is not None


def test_no_two_lanes_ever_share_memory(
    server: SharedMemoryServer, settings: SharedMemorySettings, lane: Lane
) -> None:
    spy = begin(server, lane)
    segment, offset = fill(spy, b"of the spy")
    kept = lane.begin().view(segment, offset, 10)
    lane.close()
    until(lambda: server.lane_count == 0)

    other = Lane(settings.socket)
    here, there = begin(server, other), other.begin()
    for _ in range(4):
        assert bytes(there.view(*fill(here, b"a secret! "), 10)) == b"a secret! "
    other.close()

    assert bytes(kept) == b"of the spy"


def test_another_user_is_refused(
    server: SharedMemoryServer, settings: SharedMemorySettings
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    settings.socket.chmod(0o666)
    for folder in (settings.socket.parent, *settings.socket.parent.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(65_534, 65_534, 65_534)
        os.setresuid(65_534, 65_534, 65_534)
        try:
            Lane(settings.socket)
        except UnavailableError:
            os._exit(0)
        finally:
            os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.lane_count == 0


def test_what_a_read_was_told_and_never_heard_of_comes_back_with_its_end(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here, there = begin(server, lane), lane.begin()
    fill(here, b"x" * SEGMENT_BYTES)
    assert here.take(SEGMENT_BYTES) is not None
    there.end()

    assert here.wait(5)
    assert here.take(1) is None, "the reader is gone"
    here.close()
    again = begin(server, lane, 2)
    assert again.take(SEGMENT_BYTES) is not None
    assert server.used_bytes == 2 * SEGMENT_BYTES


def test_a_read_that_is_over_before_it_begins_gets_nothing(
    server: SharedMemoryServer, lane: Lane
) -> None:
    lane.begin().end()
    second = lane.begin()
    here = begin(server, lane, 2)
    segment, offset = fill(here, b"x")
    assert bytes(second.view(segment, offset, 1)) == b"x"
    second.done(MIB)
    assert here.wait(5)

    assert server.begin(lane.token, 1, READER) is None


@pytest.mark.parametrize(
    "nonsense",
    [
        b"x",
        b"x" * MESSAGE_BYTES,
        b"x" * 2 * MESSAGE_BYTES,
        LaneMessage(LaneKind.SEGMENT, 1).encode(),
        LaneMessage(LaneKind.WELCOME, token=b"x" * 32).encode(),
        LaneMessage(LaneKind.DONE, 1, 2).encode(),
    ],
)
def test_a_reader_that_sends_nonsense_is_hung_up_on(
    server: SharedMemoryServer, settings: SharedMemorySettings, nonsense: bytes
) -> None:
    lane = Lane(settings.socket)
    here = begin(server, lane)
    fill(here, b"x")
    lane._connection.send(nonsense)

    until(lambda: server.lane_count == 0)
    assert here.take(1) is None
    assert not here.wait(5)
    here.close()
    assert server.used_bytes == 0
    lane.close()


def test_a_reader_that_takes_nothing_stops_nobody(
    server: SharedMemoryServer, settings: SharedMemorySettings
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as deaf:
        deaf.connect(str(settings.socket))
        other = Lane(settings.socket)
        here = begin(server, other)
        assert bytes(other.begin().view(*fill(here, b"bytes"), 5)) == b"bytes"
        other.close()


def test_one_reader_that_floods_lets_the_others_turn_come(
    settings: SharedMemorySettings,
) -> None:
    there, here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.settimeout(0)
    shared = Shared(MemoryPool(settings.ring_bytes), Mappings(settings.mapped_bytes))
    lane = ServerLane(1, here, b"t" * TOKEN_BYTES, shared)
    message = LaneMessage(LaneKind.ENDED, 7).encode()
    there.settimeout(0)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 1000:
            there.send(message)
            sent += 1

    assert lane.receive()

    assert sent > 64
    assert here.recv(MESSAGE_BYTES)
    lane.close()
    there.close()


def test_who_is_refused_for_the_number_of_readers_is_told_apart(
    settings: SharedMemorySettings,
    lane: Lane,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "MAX_LANES", 1)

    with pytest.raises(UnavailableError):
        Lane(settings.socket)

    [record] = caplog.records
    assert json.loads(record.message) == {
        "event": "reader refused",
        "uid": os.geteuid(),
        "cause": "too many readers",
    }


def test_a_reader_that_cannot_be_served_ends_nothing_for_the_others(
    server: SharedMemoryServer,
    settings: SharedMemorySettings,
    lane: Lane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room left in epoll")

    monkeypatch.setattr(listener, "CHECK_S", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(server._selector, "register", fail)
        with pytest.raises(UnavailableError):
            Lane(settings.socket)

    assert server.lane_count == 1
    other = Lane(settings.socket)
    assert fill(begin(server, other), b"x")
    assert fill(begin(server, lane), b"x")
    other.close()
