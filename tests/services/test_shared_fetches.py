# SPDX-License-Identifier: Apache-2.0
"""Two fetches of the same bytes have room of their own, until neither writes."""

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.format.names import VersionName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.adapters.shared_memory.lane_calls import LaneRead
from strongroom_server.adapters.shared_memory.segments import Room
from strongroom_server.services.downloads.fetches import Fetches, Filled
from strongroom_server.services.downloads.pieces import Piece
from tests.support.world import ARTIFACT, World

MIB = 1024 * 1024
CONTENT = random.Random(5).randbytes(5 * MIB)


class SlowStore(MemoryBlobStore):
    """Holds up the first read of a large chunk until told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.began = threading.Event()

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        is_first = len(buffer) > MIB and not self.began.is_set()
        if is_first:
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


def held(room: LaneRead) -> list[Room]:
    """All room that is neither free nor given back."""
    return [item for segment in room._lane._segments for item in segment.rooms]


def until(is_so: Callable[[], bool]) -> None:
    """Wait for other threads."""
    waiting = threading.Event()
    for _ in range(500):
        if is_so():
            return
        waiting.wait(0.01)
    raise AssertionError


def test_the_slower_fetch_never_writes_where_the_reader_looks(
    memory: tuple[SharedMemoryServer, Lane],
) -> None:
    store = SlowStore()
    world = World(blobs=store)
    world.push({"x": CONTENT})
    server, lane = memory
    room, reader = server.begin(lane.token, 1, "reader"), lane.begin()
    assert room is not None
    with world.downloads.open(VersionName(ARTIFACT, "1"), paths=()) as download:
        [piece] = [item for _, item in download._steps if isinstance(item, Piece)]
    scope = world.repository.artifact(ARTIFACT).scope
    fetches = Fetches(world.repository, scope, [piece.wanted], room)
    assert fetches.take()

    slow = fetches.begin()
    assert store.began.wait(30)
    [quick] = fetches.begin().result(30)
    assert isinstance(quick, Filled)
    fetches.tell(quick.lease)
    fetches.settle()
    view = reader.view(quick.lease.segment, quick.lease.offset_bytes, len(CONTENT))
    assert bytes(view) == CONTENT
    assert len(held(room)) == 2, "the slow one still writes to its own"

    store.go_on.set()
    [late] = slow.result(30)
    assert isinstance(late, Filled)
    assert late.lease is not quick.lease
    assert bytes(view) == CONTENT
    until(lambda: held(room) == [quick.lease])
    reader.end()
    until(lambda: not held(room))
    world.executor.shutdown()
