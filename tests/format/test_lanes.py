# SPDX-License-Identifier: Apache-2.0
"""Messages of lanes: 56 bytes, or none of ours; and how calls name a lane."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom.format.lanes import (
    MESSAGE_BYTES,
    TOKEN_BYTES,
    LaneKind,
    LaneMessage,
    name_read,
    parse_read,
)

NUMBERS = st.integers(0, 2**64 - 1)
TOKEN = b"t" * TOKEN_BYTES


@given(st.sampled_from(LaneKind), NUMBERS, NUMBERS)
def test_every_message_comes_back(kind: LaneKind, number: int, value: int) -> None:
    token = TOKEN if kind is LaneKind.WELCOME else b""
    message = LaneMessage(kind, number, value, token)

    assert LaneMessage.parse(message.encode()) == message
    assert len(message.encode()) == MESSAGE_BYTES
    assert "ttt" not in repr(message)


def test_the_bytes_are_those_of_the_table() -> None:
    message = LaneMessage(LaneKind.DONE, 2, 3)

    expected = b"SRL1\x04\0\0\0" + b"\x02" + bytes(7) + b"\x03" + bytes(7) + bytes(32)
    assert message.encode() == expected


@given(st.binary(max_size=2 * MESSAGE_BYTES))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        LaneMessage.parse(data)

    assert caught.value.reason is Reason.RECORD_CORRUPT


@pytest.mark.parametrize(
    "message",
    [
        LaneMessage(LaneKind.WELCOME),
        LaneMessage(LaneKind.DONE, token=TOKEN),
        LaneMessage(LaneKind.SEGMENT, 1, 2, TOKEN),
    ],
)
def test_a_token_is_where_it_belongs_and_nowhere_else(message: LaneMessage) -> None:
    with pytest.raises(IntegrityError):
        LaneMessage.parse(message.encode())


@given(NUMBERS)
def test_a_call_names_lane_and_read(number: int) -> None:
    assert parse_read(name_read(TOKEN, number)) == (TOKEN, number)


@pytest.mark.parametrize("size", [0, 1, 39, 41])
def test_a_name_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_read(bytes(size))
