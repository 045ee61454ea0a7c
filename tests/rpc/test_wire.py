# SPDX-License-Identifier: Apache-2.0
"""Messages of very many fields are refused before they fill memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import grant_service_pb2 as grant_pb
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.rpc.wire import (
    BATCHES,
    COLUMNS,
    FLAT,
    MAX_FIELDS,
    check_field_count,
)
from tests.support.properties import QUICK

MANY = MAX_FIELDS + 1
MIB = 1024 * 1024


def write_request(items: list[pb.TransferItem]) -> bytes:
    request = pb.WriteVersionRequest(items=pb.TransferItems(items=items))
    return request.SerializeToString()


def nested(*numbers: int, inner: bytes) -> bytes:
    """Return `inner` as the field of each number in turn, the last one innermost."""
    for number in reversed(numbers):
        size, varint = len(inner), b""
        while size > 0x7F:
            varint += bytes([size & 0x7F | 0x80])
            size >>= 7
        inner = bytes([number << 3 | 2]) + varint + bytes([size]) + inner
    return inner


def test_the_largest_requests_that_are_allowed_pass() -> None:
    path = "p" * 250
    files = [pb.TransferItem(start=pb.FileStart(path=path)) for _ in range(1000)]
    block = pb.TransferItem(block=pb.Block(data=bytes(MIB)))
    start = pb.WriteStart(
        parent="projects/demo/artifacts/minilm",
        message="\U0001f600" * 1000,
        metadata={f"{number:0128}": "x" * 1024 for number in range(64)},
    )
    for data in (
        write_request(files),
        write_request([block]),
        pb.WriteVersionRequest(start=start).SerializeToString(),
    ):
        check_field_count(data, depth=BATCHES)
    start.lineage.inputs.extend(
        artifact_pb.VersionInput(name="v" * 300, digest="d" * 71) for _ in range(256)
    )
    check_field_count(
        grant_pb.WriteGrantedRequest(start=start).SerializeToString(), depth=COLUMNS
    )
    names = grant_pb.NameChunks(
        chunks=grant_pb.ChunkNames(digests=b"\x0a\x00" * 16_000, plain_bytes=[1] * 1000)
    )
    check_field_count(
        grant_pb.WriteGrantedRequest(names=names).SerializeToString(), depth=COLUMNS
    )
    read = pb.ReadVersionRequest(paths=[path] * 1000, offset_bytes=2**62)
    check_field_count(read.SerializeToString(), depth=FLAT)


@pytest.mark.parametrize(
    ("data", "depth"),
    [
        (b"\x12\x00" * MANY, FLAT),
        (b"\x18\x01" * MANY, FLAT),
        (b"\x1b\x1c" * MANY, FLAT),
        (b"\x1d\x00\x00\x00\x00" * MANY, FLAT),
        (b"\x19" + bytes(8) + b"\x12\x00" * MANY, FLAT),
        (nested(2, inner=b"\x0a\x00" * MANY), BATCHES),
        (nested(2, inner=b"\x0a\x00" * (2 * MIB - 8)), BATCHES),
        (nested(2, 1, inner=b"\x0a\x00\x12\x00" * MANY), BATCHES),
        (nested(1, inner=b"\x22\x00" * MANY), BATCHES),
        # The inputs of a lineage, in a start by grant.
        (nested(1, 12, inner=b"\x12\x00" * MANY), COLUMNS),
        (nested(1, 12, inner=b"\x12\x00" * (2 * MIB - 8)), COLUMNS),
        (nested(2, inner=b"\x0a\x00" * 1000) * (MANY // 1000 + 1), BATCHES),
    ],
)
def test_a_message_of_very_many_fields_is_refused(data: bytes, depth: int) -> None:
    with pytest.raises(InvalidArgumentError, match="fields"):
        check_field_count(data, depth=depth)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * (4 * MIB),
        b"\x12" + b"\xff" * 9 + b"\x01",
        b"\x12\x7f",
        b"\x09",
        b"\x0f",
    ],
)
def test_what_is_no_message_is_left_to_the_decoder(data: bytes) -> None:
    check_field_count(data, depth=BATCHES)


@QUICK
@given(st.binary(max_size=300))
def test_counting_always_ends(data: bytes) -> None:
    check_field_count(data, depth=BATCHES)
