# SPDX-License-Identifier: Apache-2.0
"""Messages of writes by grant: bounded on the way out, checked on the way in."""

import pytest

from strongroom.errors import InternalError
from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.adapters.central.write_messages import (
    MAX_ITEM_CHUNKS,
    item_batches,
    limits_of,
    named_of,
    position_of,
    sealed_of,
)
from strongroom_server.core.write_steps import RemovedPath, WrittenFile
from tests.support.samples import filled

DIGEST = "sha256:" + "0" * 64


def file_of(path: str, count: int) -> WrittenFile:
    chunks = [(filled(str(number), 32), number + 1) for number in range(count)]
    size_bytes = sum(size for _, size in chunks)
    return WrittenFile(path, size_bytes, DIGEST, executable=False, chunks=chunks)


def test_a_file_of_many_chunks_goes_on_in_the_next_message() -> None:
    file = file_of("a", 2 * MAX_ITEM_CHUNKS + 1)

    batches = list(item_batches([file, RemovedPath("gone"), file_of("b", 0)]))

    parts = [item.file for batch in batches for item in batch.items[:1]]
    assert [part.unfinished for part in parts] == [True, True, False]
    sizes = [size for part in parts for size in part.chunks.plain_bytes]
    assert sizes == [size for _, size in file.chunks]
    digests = b"".join(part.chunks.digests for part in parts)
    assert digests == b"".join(digest for digest, _ in file.chunks)
    assert [item.WhichOneof("item") for item in batches[-1].items] == [
        "file",
        "removal",
        "file",
    ]
    assert all(batch.ByteSize() < 1024 * 1024 for batch in batches)


@pytest.mark.parametrize(
    ("ids", "keys", "stored"), [(31, 32, 1), (32, 0, 1), (32, 32, 2)]
)
def test_names_that_do_not_fit_are_refused(ids: int, keys: int, stored: int) -> None:
    message = pb.NamedChunks(
        chunk_ids=bytes(ids), keys=bytes(keys), stored=bytes(stored)
    )

    with pytest.raises(InternalError):
        named_of(message, 1)


def test_what_is_stored_has_no_key() -> None:
    message = pb.NamedChunks(chunk_ids=bytes(64), keys=bytes(64), stored=b"\0\1")

    assert [chunk.key for chunk in named_of(message, 2)] == [bytes(32), None]


@pytest.mark.parametrize(
    "sealed",
    [
        pb.SealedPack(header=b"short"),
        pb.SealedPack(header=bytes(64), padding_bytes=-1),
        pb.SealedPack(header=bytes(64), padding_bytes=1 << 40),
    ],
)
def test_a_pack_that_cannot_be_is_refused(sealed: pb.SealedPack) -> None:
    with pytest.raises(InternalError):
        sealed_of(pb.WriteGrantedResponse(sealed=sealed))


def test_no_file_is_open_in_a_write_by_grant() -> None:
    with pytest.raises(InternalError):
        position_of(transfer_pb.WritePosition(open_path="a", offset_bytes=1))


@pytest.mark.parametrize(("packs", "chunks"), [(0, 10), (4, 3), (-1, 5)])
def test_limits_that_allow_nothing_are_refused(packs: int, chunks: int) -> None:
    with pytest.raises(InternalError):
        limits_of(pb.WriteGrant(max_open_packs=packs, max_open_chunks=chunks))
