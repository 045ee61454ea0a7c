# SPDX-License-Identifier: Apache-2.0
"""Memory that holds a whole file is handed out only while the file may be read."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import PreconditionError, Reason
from strongroom.format.names import ProjectName, VersionName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.shared_memory import (
    SharedMemoryServer,
    SharedMemorySettings,
    listener,
    running_shared_memory,
)
from strongroom_server.core.records import MappedFile
from tests.support.shredding import shred
from tests.support.world import ARTIFACT, World

CONTENT = random.Random(5).randbytes(2 * 1024 * 1024)


@pytest.fixture
def memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SharedMemoryServer, Lane]]:
    # Nothing else is to forget what was shredded first.
    monkeypatch.setattr(listener, "CHECK_S", 600.0)
    settings = SharedMemorySettings(tmp_path / "data.sock")
    with running_shared_memory(settings, entropy=SystemEntropy()) as server:
        lane = Lane(settings.socket)
        yield server, lane
        lane.close()


def test_what_was_shredded_is_not_handed_out_to_who_opened_it_before(
    world: World, memory: tuple[SharedMemoryServer, Lane]
) -> None:
    world.push({"x": CONTENT})
    server, lane = memory
    rooms = [server.begin(lane.token, number, "reader") for number in (1, 2)]
    downloads = [
        world.downloads.open(VersionName(ARTIFACT, "1"), paths=["x"], room=room)
        for room in rooms
    ]
    first, second = downloads
    [mapped] = [item for item in first.mapped() if isinstance(item, MappedFile)]
    view = lane.mapping(mapped.number)
    # It knows already where its bytes are.
    second._steps = iter(list(second._steps))
    shred(world, ProjectName(ARTIFACT.project))

    with pytest.raises(PreconditionError) as caught:
        list(second.mapped())

    assert caught.value.reason is Reason.KEY_SHREDDED
    [found] = server._shared.mappings._by_number.values()
    assert sum(found.holders.values()) == 1, "held once, by the first"
    assert view == CONTENT
    for download in downloads:
        download.close()
