# SPDX-License-Identifier: Apache-2.0
"""Shredding ends what is read through shared memory, and whole files that are kept."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import Reason
from strongroom.format.names import VersionName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.core.records import FileStarted, MappedFile, SharedBlock
from strongroom_server.ports import SharedRead
from tests.support.shredding import GONE, doomed_world, refused, shred
from tests.support.world import World

MIB = 1024 * 1024
FILES = {name: name.encode() * (3 * MIB) for name in ("a", "b", "c")}


@pytest.fixture
def world() -> Iterator[World]:
    with doomed_world() as world:
        world.push(FILES, GONE)
        yield world


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[tuple[SharedMemoryServer, Lane]]:
    settings = SharedMemorySettings(tmp_path / "data.sock")
    with running_shared_memory(settings, entropy=SystemEntropy()) as server:
        lane = Lane(settings.socket)
        yield server, lane
        lane.close()


def begin(memory: tuple[SharedMemoryServer, Lane], number: int) -> SharedRead:
    server, lane = memory
    room = server.begin(lane.token, number, "reader")
    assert room is not None
    return room


def newest(world: World) -> VersionName:
    return VersionName(GONE, str(world.versions(GONE)[0]))


def test_nothing_more_is_told_behind_a_shredding(
    world: World, memory: tuple[SharedMemoryServer, Lane]
) -> None:
    room = begin(memory, 1)
    with world.downloads.open(newest(world), paths=(), room=room) as download:
        items = download.items
        first = [next(items), next(items)]
        assert [type(item) for item in first] == [FileStarted, SharedBlock]
        shred(world)

        assert refused(lambda: list(items)) is Reason.KEY_SHREDDED


def test_a_mapping_of_the_dead_is_forgotten_within_seconds(
    world: World, memory: tuple[SharedMemoryServer, Lane]
) -> None:
    name, room = newest(world), begin(memory, 1)
    with world.downloads.open(name, paths=("a",), room=room) as download:
        assert any(isinstance(item, MappedFile) for item in download.mapped())
    kept_bytes = memory[0].used_bytes
    memory[1].close()
    shred(world)

    waiting = threading.Event()
    for _ in range(1000):
        if not memory[0].used_bytes:
            break
        waiting.wait(0.01)
    assert kept_bytes == len(FILES["a"])
    assert memory[0].used_bytes == 0
