# SPDX-License-Identifier: Apache-2.0
"""Small files that lie side by side are fetched together, and judged one by one."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom._shared.lane import Lane
from strongroom.errors import IntegrityError, Reason
from strongroom.format.names import VersionName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.shared_memory import (
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.core.records import (
    FileBlock,
    FileEnded,
    FileStarted,
    SharedBlock,
    TransferItem,
)
from strongroom_server.ports import SharedRead
from tests.support.world import ARTIFACT, World

CONTENT = random.Random(2).randbytes(100_000)
FILES = {
    f"items/{number:03}": CONTENT[number : number + 20_000 + 7 * number]
    for number in range(100)
}
NAME = VersionName(ARTIFACT, "1")


class CountingStore(MemoryBlobStore):
    """Counts the reads of packs."""

    def __init__(self) -> None:
        super().__init__()
        self.read_count = 0

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        self.read_count += key.startswith("packs/")
        super().read_into(
            key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
        )


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def pushed(store: CountingStore) -> Iterator[World]:
    world = World(blobs=store)
    world.push(FILES)
    store.read_count = 0
    yield world
    world.executor.shutdown()


def test_files_side_by_side_cost_one_request_a_mebibyte(
    pushed: World, store: CountingStore
) -> None:
    assert pushed.pull() == FILES
    size = sum(map(len, FILES.values()))
    # And those of the file table.
    assert store.read_count <= size // (1024 * 1024) + 4


def test_a_part_of_a_file_is_fetched_alone(pushed: World) -> None:
    found = pushed.pull(paths=("items/050",), offset_bytes=100, length_bytes=15_000)

    assert found == {"items/050": FILES["items/050"][100:15_100]}


def damage(pushed: World, path: str) -> None:
    """Flip a bit of one file's chunk."""
    with pushed.downloads.open(NAME, paths=(path,)) as download:
        [piece] = [item for _, item in download._steps if hasattr(item, "wanted")]
    ref = piece.wanted.ref
    for blob, data in pushed.bucket.objects():
        if blob.key.endswith(ref.pack):
            changed = bytearray(data)
            changed[ref.offset_bytes + ref.stored_bytes // 2] ^= 1
            pushed.bucket.corrupt(blob.key, blob.version_id, bytes(changed))


def read_until_refused(
    pushed: World, room: SharedRead | None = None
) -> tuple[list[TransferItem], IntegrityError]:
    """Read everything; return what came, and why there was no more."""
    items: list[TransferItem] = []
    with pushed.downloads.open(NAME, paths=(), room=room) as download:
        try:
            items.extend(download.items)
        except IntegrityError as error:
            return items, error
    raise AssertionError


def test_the_damaged_one_of_many_is_named_and_those_before_it_came(
    pushed: World,
) -> None:
    damage(pushed, "items/042")

    items, error = read_until_refused(pushed)

    assert error.reason is Reason.CHUNK_CORRUPT
    assert error.metadata["path"] == "items/042"
    assert sum(isinstance(item, FileEnded) for item in items) == 42


def test_a_pack_that_is_gone_is_told_of_each_file(pushed: World) -> None:
    for blob, data in pushed.bucket.objects():
        if blob.key.startswith("packs/") and len(data) > len(CONTENT):  # no file table
            pushed.bucket.delete_version(blob.key, blob.version_id)

    with pytest.raises(IntegrityError) as caught:
        pushed.pull()

    assert caught.value.reason is Reason.CHUNK_MISSING
    assert caught.value.metadata["path"] == "items/000"


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[tuple[Lane, SharedRead]]:
    settings = SharedMemorySettings(tmp_path / "data.sock")
    with running_shared_memory(settings, entropy=SystemEntropy()) as server:
        lane = Lane(settings.socket)
        room = server.begin(lane.token, 1, "reader")
        assert room is not None
        lease = room.take(1024 * 1024)  # or little content would not be worth a segment
        assert lease is not None
        room.give_back(lease)
        yield lane, room
        lane.close()


def test_neighbours_are_decrypted_into_shared_memory_side_by_side(
    pushed: World, store: CountingStore, lane: tuple[Lane, SharedRead]
) -> None:
    reader = lane[0].begin()
    found: dict[str, bytes] = {}
    path = ""

    with pushed.downloads.open(NAME, paths=(), room=lane[1]) as download:
        for item in download.items:
            match item:
                case FileStarted():
                    path = item.path
                case SharedBlock():
                    place = (item.segment, item.segment_offset_bytes)
                    found[path] = bytes(reader.view(*place, item.length_bytes))
                    reader.done(item.length_bytes)
                case FileBlock():
                    raise AssertionError(item)
                case _:
                    pass

    assert found == FILES
    assert store.read_count <= 8


def test_nothing_of_a_damaged_neighbour_is_told(
    pushed: World, lane: tuple[Lane, SharedRead]
) -> None:
    damage(pushed, "items/042")

    items, error = read_until_refused(pushed, lane[1])

    assert error.metadata["path"] == "items/042"
    assert sum(isinstance(item, SharedBlock) for item in items) == 42
    assert not any(isinstance(item, FileBlock) for item in items)
