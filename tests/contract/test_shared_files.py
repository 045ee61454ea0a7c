# SPDX-License-Identifier: Apache-2.0
"""Whole files in shared memory, and the socket that readers come to."""

import mmap
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import (
    IntegrityError,
    InternalError,
    InvalidArgumentError,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.lanes import LaneKind, LaneMessage
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.adapters.shared_memory.segments import SEGMENT_BYTES
from strongroom_server.ports import SharedRead
from tests.contract.shared_memory_world import (
    MIB,
    begin,
    fill,
    settings_of,
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


def test_a_mapping_is_filled_once_and_lasts_while_anybody_looks(
    server: SharedMemoryServer, settings: SharedMemorySettings, lane: Lane
) -> None:
    other = Lane(settings.socket)
    here, there = begin(server, lane), begin(server, other)
    draft = here.begin_mapping("key", 6 * MIB, lambda: None)
    assert draft is not None
    assert there.begin_mapping("key", 6 * MIB, lambda: None) is None
    assert there.wait_mapping("key", 0.01)
    assert not there.find_mapping("key"), "nobody sees it before it is whole"
    draft.buffer[:3] = b"abc"
    draft.finish()
    assert not there.wait_mapping("key", 1)

    views = [
        lane.mapping(here.find_mapping("key")),
        other.mapping(there.find_mapping("key")),
    ]
    assert [bytes(view[:3]) for view in views] == [b"abc"] * 2
    assert all(view.readonly for view in views)
    assert here.begin_mapping("large", 6 * MIB, lambda: None) is None, "no room"

    other.close()
    until(lambda: server.lane_count == 1)
    assert here.begin_mapping("large", 6 * MIB, lambda: None) is None
    views.clear()
    until(lambda: _make(here, "large", 6 * MIB))
    assert not here.find_mapping("key"), "unused longest, it went"


def _make(read: SharedRead, key: str, size_bytes: int) -> bool:
    draft = read.begin_mapping(key, size_bytes, lambda: None)
    if draft is None:
        return False
    draft.finish()
    return True


def test_what_came_for_two_threads_is_there_for_both(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here = begin(server, lane)
    assert _make(here, "key", MIB)
    numbers = [here.find_mapping("key") for _ in range(2)]
    for _ in range(2):
        fill(here, b"x" * SEGMENT_BYTES)
    lane.segment(1)  # takes in all that came before it

    views = [lane.mapping(number) for number in numbers]
    assert [len(view) for view in views] == [MIB] * 2


def test_a_mapping_goes_once_it_may_not_be_read(
    server: SharedMemoryServer, lane: Lane
) -> None:
    shredded = threading.Event()

    def alive() -> None:
        if shredded.is_set():
            raise StrongroomError("shredded")

    here = begin(server, lane)
    draft = here.begin_mapping("key", MIB, alive)
    assert draft is not None
    draft.finish()
    assert here.find_mapping("key")
    lane.close()
    shredded.set()

    until(lambda: server.used_bytes == 0)


def test_a_mapping_that_is_given_up_leaves_nothing(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here = begin(server, lane)
    draft = here.begin_mapping("key", MIB, lambda: None)
    assert draft is not None
    before = server.used_bytes
    draft.abandon()
    draft.abandon()

    assert before - server.used_bytes == MIB
    assert _make(here, "key", MIB)


def test_nothing_is_left_open_when_the_server_stops(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before, threads = open_files(), threading.active_count()
    settings = settings_of(tmp_path)
    for _ in range(3):
        with running_shared_memory(settings, entropy=SystemEntropy()) as server:
            lane = Lane(settings.socket)
            here = begin(server, lane)
            view = lane.begin().view(*fill(here, b"x"), 1)
            assert _make(here, "key", MIB)
            mapped = lane.mapping(here.find_mapping("key"))
        with pytest.raises(UnavailableError):
            lane.segment(2)
        assert bytes(view) + bytes(mapped[:1]) == b"x\0"
        del view, mapped, here, lane, server
        assert not settings.socket.exists()

    until(lambda: threading.active_count() == threads)
    until(lambda: open_files() == before)


def test_two_servers_do_not_share_a_socket_but_one_follows_another(
    server: SharedMemoryServer, settings: SharedMemorySettings, tmp_path: Path
) -> None:
    with (
        pytest.raises(InvalidArgumentError),
        running_shared_memory(settings, entropy=SystemEntropy()),
    ):
        pass
    Lane(settings.socket).close()

    left = settings_of(tmp_path / "left")
    left.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as killed:
        killed.bind(str(left.socket))
    with running_shared_memory(left, entropy=SystemEntropy()):
        Lane(left.socket).close()


def test_a_path_longer_than_an_address_will_do(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / ("long" * 30))
    settings.socket.parent.mkdir()

    with running_shared_memory(settings, entropy=SystemEntropy()):
        Lane(settings.socket).close()


def test_what_answers_there_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "other.sock"
    with pytest.raises(UnavailableError):
        Lane(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(path))
        other.listen()

        def answer() -> None:
            for data in (b"hello", LaneMessage(LaneKind.DONE).encode()):
                connection, _ = other.accept()
                connection.send(data)
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        for _ in range(2):
            with pytest.raises(IntegrityError):
                Lane(path)
        thread.join()


def test_what_is_still_written_to_counts_until_it_is_not(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here = begin(server, lane)
    before = server.used_bytes
    draft = here.begin_mapping("key", 6 * MIB, lambda: None)
    assert draft is not None
    fetching = draft.buffer[MIB : 2 * MIB]
    draft.abandon()

    assert here.begin_mapping("key", 6 * MIB, lambda: None) is None, "no room"
    assert server.used_bytes - before == 6 * MIB
    assert not here.wait_mapping("key", 0.01), "nobody waits for what was given up"
    fetching.release()
    assert _make(here, "key", 6 * MIB)


def test_what_cannot_be_sealed_is_given_up(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here = begin(server, lane)
    before = server.used_bytes
    draft = here.begin_mapping("key", MIB, lambda: None)
    assert draft is not None
    descriptor = _descriptors("strongroom-file")[0]
    with mmap.mmap(descriptor, MIB), pytest.raises(InternalError):
        draft.finish()
    draft.abandon()

    assert server.used_bytes == before
    assert not here.wait_mapping("key", 0.01), "nobody fills it"
    assert _make(here, "key", MIB)


def _descriptors(name: str) -> list[int]:
    """Name the descriptors of memory of that name."""
    return [
        int(link.name)
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and name in str(link.readlink())
    ]


def test_a_file_for_which_there_can_be_no_room_makes_nobody_else_go(
    server: SharedMemoryServer, lane: Lane
) -> None:
    here = begin(server, lane)
    assert _make(here, "key", MIB)

    assert here.begin_mapping("huge", 1024 * MIB, lambda: None) is None
    assert here.find_mapping("key")
