# SPDX-License-Identifier: Apache-2.0
"""Reads through memory shared with the server: the same bytes, checks and records."""

import hashlib
import multiprocessing
import os
import pickle
import random
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from strongroom.client import Client
from strongroom.config import ClientSettings
from strongroom.errors import IntegrityError, NotFoundError, Reason
from strongroom.values import SharedMemoryState
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from tests.client.engine import Engine
from tests.client.trees import MIB, write_tree
from tests.rpc.engine import serving_world

LARGE = random.Random(3).randbytes(37 * MIB + 12_345)
SMALL = {f"small/{number:03}": LARGE[number : number + 50_000] for number in range(64)}
FILES = {"large.bin": LARGE, "empty": b"", "tiny": b"tiny", **SMALL}
URI = "demo/shared/large.bin"


@pytest.fixture(scope="module")
def sharing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Engine, SharedMemoryServer, Path]]:
    """A server that shares memory, and a version in it."""
    folder = tmp_path_factory.mktemp("shared")
    memory = SharedMemorySettings(folder / "data.sock", mapped_bytes=64 * MIB)
    with (
        running_shared_memory(memory, entropy=SystemEntropy()) as shared,
        serving_world(memory=shared) as (world, server),
    ):
        engine = Engine(world, server)
        with Client(engine.settings(folder / "certificates")) as client:
            client.push(write_tree(folder / "tree", FILES), "demo/shared")
        yield engine, shared, memory.socket


@pytest.fixture
def settings(
    sharing: tuple[Engine, SharedMemoryServer, Path], tmp_path: Path
) -> ClientSettings:
    engine, _, socket = sharing
    plain = engine.settings(tmp_path / "certificates")
    return replace(plain, shared_socket=socket)


@pytest.fixture
def client(settings: ClientSettings) -> Iterator[Client]:
    with Client(settings) as connected:
        yield connected


@pytest.fixture
def shared(sharing: tuple[Engine, SharedMemoryServer, Path]) -> SharedMemoryServer:
    return sharing[1]


def came_shared(client: Client) -> int:
    found = client.shared_memory
    assert found.state is SharedMemoryState.OPEN, found
    return found.shared_bytes


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, len(LARGE)), (5, 20 * MIB), (16 * MIB - 1, 16 * MIB + 2), (36 * MIB, 2 * MIB)],
)
def test_a_buffer_is_filled_with_the_same_bytes(
    client: Client, offset: int, size: int
) -> None:
    buffer = bytearray(size)
    expected = LARGE[offset : offset + size]

    assert client.read_into(URI, buffer, offset) == len(expected)
    assert buffer[: len(expected)] == expected
    sent = client.shared_memory.sent_bytes
    assert came_shared(client) + sent == len(expected)
    assert sent < 16 * 1024, "only what is too small to be worth telling of"


def test_every_way_of_reading_gives_the_same(client: Client, tmp_path: Path) -> None:
    assert client.read_bytes(URI) == LARGE
    with client.open(URI) as file:
        parts = [file.read(size) for size in (10, 3 * MIB, 100, 5 * MIB)]
        file.seek(3)
        parts.append(file.read(4))
    assert b"".join(parts) == LARGE[: 8 * MIB + 110] + LARGE[3:7]
    result = client.pull("demo/shared", tmp_path / "pulled")

    assert result.received_bytes == sum(map(len, FILES.values()))
    for path, content in FILES.items():
        assert (tmp_path / "pulled" / path).read_bytes() == content
    assert came_shared(client) >= len(LARGE)


def test_small_files_share_segments_too(client: Client, tmp_path: Path) -> None:
    client.read_bytes(URI)
    before = came_shared(client)
    client.pull("demo/shared/small/", tmp_path / "small")

    for path, content in SMALL.items():
        name = path.removeprefix("small/")
        assert (tmp_path / "small" / name).read_bytes() == content
    assert came_shared(client) - before == sum(map(len, SMALL.values()))


def test_the_whole_file_is_mapped_once_for_all(
    client: Client, settings: ClientSettings, shared: SharedMemoryServer
) -> None:
    first = client.map(URI)
    used = shared.used_bytes
    with Client(settings) as other:
        second = other.map(URI)

    assert first == second == LARGE
    assert first.readonly
    assert shared.used_bytes == used
    with pytest.raises(TypeError):
        first[0] = 1
    assert bytes(client.map("demo/shared/empty")) == b""
    assert bytes(client.map("demo/shared/tiny")) == b"tiny"


def test_two_readers_that_map_at_once_wait_for_one_filling(
    sharing: tuple[Engine, SharedMemoryServer, Path], settings: ClientSettings
) -> None:
    with Client(settings) as client, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(client.map, [URI] * 4))

    assert all(view == LARGE for view in found)


def test_what_has_no_room_is_mapped_here(
    sharing: tuple[Engine, SharedMemoryServer, Path], client: Client, tmp_path: Path
) -> None:
    content = LARGE + LARGE
    client.push(write_tree(tmp_path / "huge", {"huge": content}), "demo/huge")

    mapped = client.map("demo/huge/huge")

    assert mapped == content
    assert mapped.readonly
    with pytest.raises(NotFoundError):
        client.map("demo/huge/other")


def test_a_read_is_audited_like_any_other(
    sharing: tuple[Engine, SharedMemoryServer, Path], client: Client
) -> None:
    server = sharing[0].server
    client.read_bytes(URI)
    client.map(URI)

    details = [dict(event.detail) for event in server.audit.events() if event.detail]
    counted = [int(detail["bytes"]) for detail in details if "bytes" in detail]
    assert counted[-2:] == [len(LARGE), len(LARGE)]


def test_nothing_of_a_damaged_chunk_is_told(
    sharing: tuple[Engine, SharedMemoryServer, Path], client: Client, tmp_path: Path
) -> None:
    content = random.Random(4).randbytes(5 * MIB)
    world = sharing[0].world
    before = set(world.keys("packs/"))
    client.push(write_tree(tmp_path / "bad", {"bad": content}), "demo/bad")
    for blob, data in world.bucket.objects():
        if blob.key.startswith("packs/") and blob.key not in before:
            changed = bytearray(data)
            changed[len(data) // 2] ^= len(data) > MIB  # and not the file table
            world.bucket.corrupt(blob.key, blob.version_id, bytes(changed))
    buffer = bytearray(len(content))

    for read in (
        lambda: client.read_into("demo/bad/bad", buffer),
        lambda: client.map("demo/bad/bad"),
    ):
        with pytest.raises(IntegrityError) as caught:
            read()
        assert caught.value.reason is Reason.CHUNK_CORRUPT
    assert not any(buffer)


def test_a_reader_that_stops_in_the_middle_holds_nobody_up(
    client: Client, shared: SharedMemoryServer
) -> None:
    """Enough of them hold all segments of the lane; the rest is sent."""
    paused = [client.open(URI) for _ in range(6)]
    for file in paused:
        buffer = bytearray(2 * MIB)
        assert file.readinto(buffer) == len(buffer)

    assert client.read_bytes(URI) == LARGE
    for file in paused:
        assert file.read() == LARGE[2 * MIB :]
        file.close()


def test_what_a_reader_closes_in_the_middle_comes_back(
    client: Client, shared: SharedMemoryServer
) -> None:
    for _ in range(10):
        with client.open(URI) as file:
            assert file.read(2 * MIB) == LARGE[: 2 * MIB]
    waiting = threading.Event()
    for _ in range(500):
        lanes = list(shared._lanes.values())
        if not any(segment.rooms for lane in lanes for segment in lane._segments):
            return
        waiting.wait(0.01)
    raise AssertionError


def test_many_threads_read_at_once(client: Client) -> None:
    def read(number: int) -> bool:
        buffer = bytearray(4 * MIB)
        offset = number * 1_000_003
        client.read_into(URI, buffer, offset)
        return buffer == LARGE[offset : offset + 4 * MIB]

    with ThreadPoolExecutor(3) as threads:
        assert all(threads.map(read, range(30)))


def test_a_server_that_shares_no_memory_is_read_from_as_before_and_it_is_said_once(
    sharing: tuple[Engine, SharedMemoryServer, Path],
    settings: ClientSettings,
    tmp_path: Path,
) -> None:
    elsewhere = replace(settings, shared_socket=tmp_path / "nobody.sock")
    with Client(elsewhere) as client:
        with pytest.warns(RuntimeWarning, match="without shared memory"):
            assert client.read_bytes(URI) == LARGE
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert client.map(URI) == LARGE
        found = client.shared_memory
    assert found.state is SharedMemoryState.FAILED
    assert "nobody" in found.socket
    assert found.problem

    with Client(replace(settings, shared_socket=Path())) as client:
        assert client.read_bytes(URI) == LARGE
        assert client.shared_memory.state is SharedMemoryState.OFF


def test_a_lane_of_somebody_else_is_none(
    sharing: tuple[Engine, SharedMemoryServer, Path], settings: ClientSettings
) -> None:
    engine = sharing[0]
    with Client(settings) as client:
        client.read_bytes("demo/shared/tiny")
        begun = client._caller.lanes._state.lane
        assert begun is not None
        thief = engine.settings(settings.ca_file.parent / "thief")
        with Client(replace(thief, shared_socket=settings.shared_socket)) as other:
            other._caller.lanes.begin()
            lane = other._caller.lanes._state.lane
            assert lane is not None
            lane.token = bytes(32)  # a lane that the server does not know
            assert other.read_bytes(URI) == LARGE
            assert other.shared_memory.shared_bytes == 0
            assert other.shared_memory.sent_bytes == len(LARGE)


def test_a_pickle_reads_elsewhere(client: Client) -> None:
    client.read_bytes("demo/shared/tiny")
    with pickle.loads(pickle.dumps(client)) as other:  # noqa: S301
        assert other.read_bytes(URI) == LARGE
        assert came_shared(other) == len(LARGE)


def _digest(client: Client, answers: Connection) -> None:
    found = hashlib.sha256(client.read_bytes(URI)).hexdigest()
    answers.send((found, client.shared_memory.shared_bytes))
    os._exit(0)


def test_the_child_of_a_fork_gets_a_lane_of_its_own(
    client: Client, shared: SharedMemoryServer
) -> None:
    mapped = client.map(URI)
    lanes = shared.lane_count
    context = multiprocessing.get_context("fork")
    children = []
    for _ in range(2):
        here, there = context.Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about forks of threads
            child = context.Process(target=_digest, args=(client, there))
            child.start()
        children.append((child, here))
    for child, here in children:
        assert here.poll(60)
        digest, came = here.recv()
        assert (digest, came) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
        child.join(30)

    assert mapped == LARGE
    assert client.read_bytes(URI) == LARGE
    waiting = threading.Event()
    for _ in range(500):
        if shared.lane_count == lanes:
            return
        waiting.wait(0.01)
    raise AssertionError


def test_a_lane_that_breaks_is_opened_again(
    client: Client, shared: SharedMemoryServer
) -> None:
    assert client.read_bytes(URI) == LARGE
    lane = client._caller.lanes._state.lane
    assert lane is not None
    lane._connection.shutdown(2)

    assert client.read_bytes(URI) == LARGE
    assert client.read_bytes(URI) == LARGE
    assert client.shared_memory.state is SharedMemoryState.OPEN
