# SPDX-License-Identifier: Apache-2.0
"""Steps of a download as messages: the right kind, and never larger than reckoned."""

import pytest

from strongroom.format.frames import FRAMED_BYTES, BlockFrame
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.core.records import (
    FileBlock,
    FileEnded,
    FileStarted,
    TransferItem,
)
from strongroom_server.rpc import convert
from strongroom_server.rpc.version_reads import (
    MAX_BATCH_BYTES,
    MAX_BATCH_ITEMS,
    _responses,
)

DIGEST = "sha256:" + "f" * 64
LARGEST = 4 * 1024**4


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (FileStarted("a", 0, executable=False, digest=DIGEST), "start"),
        (FileStarted("ä" * 2000, LARGEST, executable=True, digest=DIGEST), "start"),
        (FileBlock(0, memoryview(b"")), "block"),
        (FileBlock(LARGEST, memoryview(bytes(1024 * 1024))), "block"),
        (FileEnded(DIGEST), "end"),
        (FileEnded(""), "end"),
    ],
)
def test_a_step_has_its_kind_and_at_most_the_bytes_reckoned(
    item: TransferItem, kind: str
) -> None:
    items = pb.TransferItems()
    convert.set_transfer(items.items.add(), item)

    assert items.items[0].WhichOneof("item") == kind
    assert items.ByteSize() <= convert.max_transfer_bytes(item)


def test_a_file_comes_out_as_it_went_in() -> None:
    steps: list[TransferItem] = [
        FileStarted("a/b", 3, executable=True, digest=DIGEST),
        FileBlock(0, memoryview(b"abc")),
        FileEnded(DIGEST),
    ]

    (response,) = _responses(iter(steps))

    assert isinstance(response, pb.ReadVersionResponse)
    start, block, end = response.items.items
    assert start.start == pb.FileStart(
        path="a/b", size_bytes=3, executable=True, digest=DIGEST
    )
    assert block.block == pb.Block(offset_bytes=0, data=b"abc")
    assert end.end == pb.FileEnd(digest=DIGEST)


def test_small_steps_share_messages_and_blocks_do_not_wait() -> None:
    small: list[TransferItem] = [FileEnded(DIGEST)] * (2 * MAX_BATCH_ITEMS + 1)
    block: list[TransferItem] = [FileBlock(0, memoryview(bytes(MAX_BATCH_BYTES)))]

    counts = [
        1 if isinstance(response, BlockFrame) else len(response.items.items)
        for response in _responses(iter([*small, *block, *small[:2]]))
    ]

    assert counts == [MAX_BATCH_ITEMS, MAX_BATCH_ITEMS, 1, 1, 2]


def test_a_large_block_goes_by_itself_and_in_its_place() -> None:
    data = bytes(FRAMED_BYTES)
    steps: list[TransferItem] = [
        FileStarted("a", len(data), executable=False, digest=DIGEST),
        FileBlock(0, memoryview(data)),
        FileEnded(DIGEST),
    ]

    start, block, end = _responses(iter(steps))

    assert isinstance(start, pb.ReadVersionResponse)
    assert isinstance(end, pb.ReadVersionResponse)
    assert start.items.items[0].start.path == "a"
    assert block == BlockFrame(0, data)
    assert end.items.items[0].end.digest == DIGEST


def test_no_steps_are_no_messages() -> None:
    assert list(_responses(iter([]))) == []
