# SPDX-License-Identifier: Apache-2.0
"""Messages of WriteGranted: chunks in columns, checked where they come from central."""

from collections.abc import Iterator, Sequence
from typing import Final

from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.adapters.central.versions import malformed
from strongroom_server.core.chunk import CHUNK_ID_BYTES
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.derivation import KEY_BYTES
from strongroom_server.core.pack import HEADER, MAX_PACK_BYTES
from strongroom_server.core.policy import Cuts
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import find_suite
from strongroom_server.core.write_grant import (
    ChunkName,
    NamedChunk,
    SealedPack,
    WriteGrant,
)
from strongroom_server.core.write_results import PartResult, Position
from strongroom_server.core.write_steps import (
    CopiedFile,
    OpenLimits,
    PackPlan,
    RemovedPath,
    SameFile,
    WrittenFile,
    WrittenItem,
)
from strongroom_server.ports import SignedPut

#: Chunks of one item: a message has a bounded number of fields and bytes.
MAX_ITEM_CHUNKS: Final = 4096


def grant_of(message: pb.WriteGrant) -> WriteGrant:
    """Return what was granted."""
    try:
        scope = Scope(
            message.store_id, message.project_id, message.domain_id, message.epoch
        )
        grant = WriteGrant(
            message.grant_id,
            scope,
            find_suite(message.suite),
            CodecChoice(message.codec),
            Cuts(message.cuts),
            message.cut_key,
            message.delta_base,
        )
    except ValueError as error:
        raise malformed("a grant to write does not fit together") from error
    if not grant.suite.by_writer or message.delta_base < 0:
        raise malformed("a grant to write does not fit together")
    return grant


def limits_of(message: pb.WriteGrant) -> OpenLimits:
    """Return what may be sealed and not yet stored."""
    if not 0 < message.max_open_packs <= message.max_open_chunks:
        raise malformed("the limits of a grant to write do not fit together")
    return OpenLimits(message.max_open_packs, message.max_open_chunks)


def position_of(message: transfer_pb.WritePosition) -> Position:
    """Return where a write goes on."""
    if message.open_path or message.offset_bytes:
        raise malformed("a file is open in a write by grant")
    return Position(
        message.file_count,
        message.last_path,
        "",
        0,
        message.received_bytes,
        message.modes_digest,
    )


def part_of(message: transfer_pb.DraftPart) -> PartResult:
    """Return a part of a draft that is durable."""
    return PartResult(
        message.number, message.file_count, message.size_bytes, message.stored_bytes
    )


def names_request(chunks: Sequence[ChunkName]) -> pb.NameChunks:
    """Ask for the names of chunks."""
    return pb.NameChunks(chunks=_columns(chunks))


def named_of(message: pb.NamedChunks, count: int) -> Sequence[NamedChunk]:
    """Return the names that were asked for."""
    ids, keys, stored = message.chunk_ids, message.keys, message.stored
    if (len(ids), len(keys), len(stored)) != (
        count * CHUNK_ID_BYTES,
        count * KEY_BYTES,
        count,
    ):
        raise malformed("the names of chunks do not fit")
    return [
        NamedChunk(
            ids[number * CHUNK_ID_BYTES :][:CHUNK_ID_BYTES],
            None if stored[number] else keys[number * KEY_BYTES :][:KEY_BYTES],
        )
        for number in range(count)
    ]


def seal_request(plan: PackPlan) -> pb.SealPack:
    """Tell what a pack will hold."""
    return pb.SealPack(
        chunks=_columns(plan.chunks),
        stored_bytes=plan.stored_bytes,
        codecs=plan.codecs,
        bases=[
            pb.DeltaBase(chunk_id=base.chunk_id, path=base.path) for base in plan.bases
        ],
    )


def sealed_of(answer: pb.WriteGrantedResponse) -> SealedPack:
    """Return what belongs around a pack."""
    message = answer.sealed
    is_bounded = 0 <= message.padding_bytes <= MAX_PACK_BYTES
    if len(message.header) != HEADER.size or not is_bounded:
        raise malformed("what belongs around a pack does not fit")
    return SealedPack(message.header, message.padding_bytes, message.trailer)


def url_of(answer: pb.WriteGrantedResponse) -> SignedPut:
    """Return where a pack is put."""
    return SignedPut(answer.url.url, dict(answer.url.headers))


def item_batches(items: Sequence[WrittenItem]) -> Iterator[pb.GrantedItems]:
    """Yield messages that tell items; a long file takes several of them."""
    batch = pb.GrantedItems()
    count = 0
    for item in items:
        for message in _item_messages(item):
            chunk_count = len(message.file.chunks.plain_bytes)
            if count and count + chunk_count > MAX_ITEM_CHUNKS:
                yield batch
                batch, count = pb.GrantedItems(), 0
            batch.items.append(message)
            count += chunk_count
    if batch.items:
        yield batch


def _item_messages(item: WrittenItem) -> Iterator[pb.GrantedItem]:
    match item:
        case WrittenFile():
            yield from _file_messages(item)
        case SameFile():
            same = transfer_pb.FileSame(
                path=item.path,
                size_bytes=item.size_bytes,
                executable=item.executable,
                digest=item.digest,
            )
            yield pb.GrantedItem(same=same)
        case CopiedFile():
            copy = transfer_pb.FileCopy(
                version=item.version, source_path=item.source_path, path=item.path
            )
            yield pb.GrantedItem(copy=copy)
        case RemovedPath():
            yield pb.GrantedItem(removal=transfer_pb.FileRemoval(path=item.path))


def _file_messages(file: WrittenFile) -> Iterator[pb.GrantedItem]:
    for start in range(0, len(file.chunks) or 1, MAX_ITEM_CHUNKS):
        part = file.chunks[start : start + MAX_ITEM_CHUNKS]
        message = pb.WrittenFile(
            path=file.path,
            size_bytes=file.size_bytes,
            digest=file.digest,
            executable=file.executable,
            chunks=_columns(part),
            unfinished=start + MAX_ITEM_CHUNKS < len(file.chunks),
        )
        yield pb.GrantedItem(file=message)


def _columns(chunks: Sequence[ChunkName]) -> pb.ChunkNames:
    return pb.ChunkNames(
        digests=b"".join(digest for digest, _ in chunks),
        plain_bytes=[plain_bytes for _, plain_bytes in chunks],
    )
