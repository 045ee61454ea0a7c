# SPDX-License-Identifier: Apache-2.0
"""Sessions into shared memory: told once it is verified, and given back for good."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import Reason, StrongroomError
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.services.downloads import Part
from tests.services.test_sessions import BIG, FILES, MIB, ONE, collect, whole
from tests.support.sidecars import Sidecar, sidecar_world
from tests.support.waiting import wait_until
from tests.support.world import World, memory_world


class SlowStore(MemoryBlobStore):
    """Holds up the first read of some length until told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.began = threading.Event()
        self.is_slow = False

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        if self.is_slow and not self.began.is_set():
            self.began.set()
            assert self.go_on.wait(30)
        super().read_into(
            key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
        )


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[tuple[SharedMemoryServer, Lane]]:
    settings = SharedMemorySettings(tmp_path / "data.sock")
    with running_shared_memory(settings, entropy=SystemEntropy()) as server:
        lane = Lane(settings.socket)
        yield server, lane
        lane.close()


def held(server: SharedMemoryServer) -> int:
    """How many leases are neither free nor given back."""
    lanes = list(server._lanes.values())
    return sum(len(item.rooms) for lane in lanes for item in lane._segments)


def check(world: World | Sidecar, memory: tuple[SharedMemoryServer, Lane]) -> None:
    """Read everything into memory, and compare."""
    server, lane = memory
    parts = [
        *whole(FILES),
        *(Part("big.bin", start * 100_003, 4096) for start in range(90)),
    ]
    expected = [
        FILES[part.path][part.offset_bytes :][: part.length_bytes or None]
        for part in parts
    ]
    room = server.begin(lane.token, 1, "reader")
    reader = lane.begin()
    with world.downloads.open_session(ONE, room=room) as session:
        session.ask(parts)
        found = collect(session.answers(), lane)
    assert found == expected
    reader.end()
    wait_until(lambda: not held(server))


def test_files_come_in_shared_memory(
    world: World, memory: tuple[SharedMemoryServer, Lane]
) -> None:
    world.push(FILES)
    check(world, memory)


def test_files_come_in_the_shared_memory_of_a_sidecar(
    memory: tuple[SharedMemoryServer, Lane],
) -> None:
    with sidecar_world() as sidecar:
        sidecar.world.push(FILES)
        check(sidecar, memory)


def test_the_slower_fetch_never_writes_where_the_reader_looks(
    memory: tuple[SharedMemoryServer, Lane],
) -> None:
    server, lane = memory
    store = SlowStore()
    world = World(blobs=store)
    world.push({"x": BIG[: 3 * MIB], "y": BIG[3 * MIB : 4 * MIB]})
    room, reader = server.begin(lane.token, 1, "reader"), lane.begin()
    with world.downloads.open_session(ONE, room=room) as session:
        session.ask([Part("x"), Part("y")])
        collect(session.answers(), lane)
        before = held(server)
        store.is_slow = True
        session.ask([Part("x"), Part("y")])
        answers = session.answers()
        found = list(answers)
        assert session.hedged_count == 1
        assert all(item.shared is None for item in found), "it was sent instead"
        assert collect(found) == [BIG[: 3 * MIB], BIG[3 * MIB : 4 * MIB]]
        assert held(server) == before + 1, "the slow one still writes to its own"
        store.go_on.set()
        wait_until(lambda: held(server) == before)
    reader.end()
    wait_until(lambda: not held(server))
    world.executor.shutdown()


def test_a_reader_that_gives_nothing_back_is_sent_what_has_no_room(
    memory: tuple[SharedMemoryServer, Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom_server.services.downloads.windows.WAIT_S", 0.01)
    server, lane = memory
    with memory_world() as world:
        world.push(FILES)
        room, reader = server.begin(lane.token, 1, "reader"), lane.begin()
        with world.downloads.open_session(ONE, room=room) as session:
            session.ask(whole(["big.bin"] * 8))
            answers = list(session.answers())
            assert {found.shared is None for found in answers} == {True, False}
        reader.end()
        wait_until(lambda: not held(server))


def test_nothing_is_told_of_a_window_with_damage(
    memory: tuple[SharedMemoryServer, Lane],
) -> None:
    server, lane = memory
    with memory_world() as world:
        before = set(world.keys("packs/"))
        world.push({"a": BIG[: 2 * MIB], "b": BIG[2 * MIB : 4 * MIB]})
        for blob, data in world.bucket.objects():
            if blob.key.startswith("packs/") and blob.key not in before:
                changed = bytearray(data)
                changed[len(data) // 3] ^= len(data) > MIB
                world.bucket.corrupt(blob.key, blob.version_id, bytes(changed))
        room, reader = server.begin(lane.token, 1, "reader"), lane.begin()
        with world.downloads.open_session(ONE, room=room) as session:
            session.ask([Part("a"), Part("b")])
            with pytest.raises(StrongroomError) as caught:
                collect(session.answers(), lane)
            assert caught.value.reason is Reason.CHUNK_CORRUPT
        assert not held(server)
        reader.end()
