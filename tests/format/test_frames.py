# SPDX-License-Identifier: Apache-2.0
"""Block frames are protobuf's own messages, byte for byte."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from strongroom.format.frames import BlockFrame
from strongroom.v1 import maintenance_service_pb2 as maintenance
from strongroom.v1 import transfer_service_pb2 as transfers

MESSAGES = (
    transfers.WriteVersionRequest,
    transfers.ReadVersionResponse,
    maintenance.RepairVersionRequest,
)
OFFSETS = st.integers(0, 2**63 - 1) | st.sampled_from([0, 127, 128, 2**14, 2**56])
SIZES = st.sampled_from([1, 2, 117, 118, 119, 120, 127, 128, 16_383, 16_384, 1 << 20])


def protobuf(offset_bytes: int, data: bytes) -> bytes:
    item = transfers.TransferItem(
        block=transfers.Block(offset_bytes=offset_bytes, data=data)
    )
    items = transfers.TransferItems(items=[item])
    return transfers.WriteVersionRequest(items=items).SerializeToString()


@given(offset_bytes=OFFSETS, size_bytes=SIZES)
def test_a_frame_is_what_protobuf_writes(offset_bytes: int, size_bytes: int) -> None:
    data = bytes(index & 0xFF for index in range(min(size_bytes, 300)))
    data = (data * (size_bytes // len(data) + 1))[:size_bytes]

    message = BlockFrame(offset_bytes, data).encode()

    assert message == protobuf(offset_bytes, data)
    assert BlockFrame.parse(message) == BlockFrame(offset_bytes, data)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_a_transfer_has_its_items_in_the_same_place(
    message: type[transfers.WriteVersionRequest],
) -> None:
    frame = BlockFrame(5, b"data").encode()

    (item,) = message.FromString(frame).items.items

    assert item.block == transfers.Block(offset_bytes=5, data=b"data")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        transfers.WriteVersionRequest(
            commit=transfers.WriteCommit(file_count=1)
        ).SerializeToString(),
        protobuf(0, b""),
        protobuf(-1, b"data"),
        protobuf(1, b"data") * 2,
        protobuf(1, b"data")[:-1],
        protobuf(1, b"data") + b"\0",
        transfers.WriteVersionRequest(
            items=transfers.TransferItems(
                items=[
                    transfers.TransferItem(block=transfers.Block(data=b"data")),
                    transfers.TransferItem(end=transfers.FileEnd()),
                ]
            )
        ).SerializeToString(),
    ],
)
def test_whatever_else_a_message_holds_is_left_to_protobuf(message: bytes) -> None:
    assert BlockFrame.parse(message) is None


@given(
    message=st.binary(max_size=40)
    | st.builds(
        lambda offset, data, place, byte: bytes(
            [
                byte if index == place % 20 else old
                for index, old in enumerate(protobuf(offset, data))
            ]
        ),
        st.integers(0, 2**63 - 1),
        st.binary(min_size=1, max_size=20),
        st.integers(0, 19),
        st.integers(0, 255),
    )
)
def test_what_is_read_as_a_frame_protobuf_reads_the_same(message: bytes) -> None:
    frame = BlockFrame.parse(message)
    if frame is None:
        return
    try:
        request = transfers.WriteVersionRequest.FromString(message)
    except DecodeError:
        pytest.fail("protobuf refuses what was read as a frame")
    (item,) = request.items.items
    assert item.block.offset_bytes == frame.offset_bytes
    assert item.block.data == frame.data
