# SPDX-License-Identifier: Apache-2.0
"""Grants to write: what a writer that stores its packs by itself says, and is told.

A chunk is named by the digest that its writer says it has. Its id begins with a tag
of that writer and artifact, so nobody else's chunk is ever taken for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.names import check_path
from strongroom_server.core import cobblestone
from strongroom_server.core.chunk import CHUNK_ID_BYTES, MAX_CHUNK_BYTES
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Codec
from strongroom_server.core.pack import HEADER, PackEntry
from strongroom_server.core.policy import Cuts
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import Suite

#: Chunks that one request names.
MAX_NAMES: Final = 1000
#: Chunks of one pack.
MAX_PACK_CHUNKS: Final = 16_384
#: Sealed packs that are not known to be stored, and their chunks together.
MAX_OPEN_PACKS: Final = 64
MAX_OPEN_CHUNKS: Final = 65_536
#: Items of one request.
MAX_ITEMS: Final = 500
#: Chunks of one file: those of the largest file there is, cut as usual, and more.
MAX_FILE_CHUNKS: Final = 400_000
#: Those of a smaller file: small ones are joined to a MiB before they are cut.
_MIN_MEAN_BYTES: Final = 256 * 1024
_MORE_CHUNKS: Final = 1024
_DIGEST_BYTES: Final = 32
_CODECS: Final = {
    CodecChoice.RAW: frozenset({Codec.RAW}),
    CodecChoice.COMPACT: frozenset({Codec.RAW, Codec.ZSTD, Codec.GROUPED}),
    CodecChoice.DELTA: frozenset(Codec),
}

#: A chunk as its writer names it: the digest and the length of its plaintext.
ChunkName = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class WriteGrant:
    """What was granted to a writer; see WriteGrant in the proto.

    Attributes:
        grant_id: Names it in the audit log; 32 hex digits.
        scope: The key domain, with the epoch of the keys.
        suite: By which chunks are digested and encrypted.
        codec: How chunks may be encoded.
        cuts: Where chunks end.
        cut_key: Decides about cuts by content; empty if they are made otherwise.
        delta_base: The number of the version that deltas are made to, or 0.
    """

    grant_id: str
    scope: Scope
    suite: Suite
    codec: CodecChoice
    cuts: Cuts
    cut_key: bytes = field(repr=False)
    delta_base: int


@dataclass(frozen=True, slots=True)
class NamedChunk:
    """The id of a chunk, and its key, unless it is stored already."""

    chunk_id: bytes
    key: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeltaBase:
    """What a delta was made to: a chunk by its id, and a file that has it."""

    chunk_id: bytes
    path: str


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """A chunk in a pack, as its writer tells it."""

    name: ChunkName
    stored_bytes: int
    codec: int
    base: DeltaBase | None = None


@dataclass(frozen=True, slots=True)
class SealedPack:
    """What belongs around the chunks of a pack; see SealedPack in the proto."""

    header: bytes
    padding_bytes: int
    trailer: bytes


def max_file_chunks(size_bytes: int) -> int:
    """Return how many chunks a file of this size may have.

    What reads a file table pays by the chunk, so a few bytes must not have many.
    """
    return min(MAX_FILE_CHUNKS, _MORE_CHUNKS + max(size_bytes, 0) // _MIN_MEAN_BYTES)


def parse_names(digests: bytes, plain_bytes: Sequence[int]) -> list[ChunkName]:
    """Return chunks of a request as their writer names them.

    Raises:
        InvalidArgumentError: There are not as many digests as lengths, or a length is
            none of a chunk.
    """
    if len(digests) != _DIGEST_BYTES * len(plain_bytes):
        raise invalid(
            f"{len(digests)} bytes of digests are not {len(plain_bytes)} times "
            f"{_DIGEST_BYTES}"
        )
    if plain_bytes and not 0 < min(plain_bytes) <= max(plain_bytes) <= MAX_CHUNK_BYTES:
        raise invalid(f"a chunk has 1 to {MAX_CHUNK_BYTES} bytes")
    return [
        (digests[start : start + _DIGEST_BYTES], size_bytes)
        for start, size_bytes in zip(
            range(0, len(digests), _DIGEST_BYTES), plain_bytes, strict=True
        )
    ]


def lay_out(
    chunks: Sequence[PackedChunk],
    ids: Sequence[bytes],
    suite: Suite,
    choice: CodecChoice,
) -> tuple[list[PackEntry], int]:
    """Return where the chunks of a pack lie, and how many encoded bytes they have.

    Args:
        chunks: As they lie one behind another.
        ids: Their ids.
        suite: The pack's.
        choice: How they may be encoded.

    Raises:
        InvalidArgumentError: No pack can be like that.
    """
    if not 0 < len(chunks) <= MAX_PACK_CHUNKS:
        raise invalid(f"a pack has 1 to {MAX_PACK_CHUNKS} chunks, not {len(chunks)}")
    entries = []
    offset_bytes, encoded_bytes = HEADER.size, 0
    for chunk, chunk_id in zip(chunks, ids, strict=True):
        encoded_bytes += _encoded_bytes(chunk, suite, choice)
        base_id = b"" if chunk.base is None else chunk.base.chunk_id
        entries.append(
            PackEntry(
                chunk_id,
                offset_bytes,
                chunk.stored_bytes,
                chunk.name[1],
                chunk.codec,
                base_id,
            )
        )
        offset_bytes += chunk.stored_bytes
    if encoded_bytes > MAX_CHUNK_BYTES:
        raise invalid(f"a pack has at most {MAX_CHUNK_BYTES} encoded bytes")
    return entries, encoded_bytes


def _encoded_bytes(chunk: PackedChunk, suite: Suite, choice: CodecChoice) -> int:
    if chunk.codec not in _CODECS[choice]:
        raise invalid(f"codec {chunk.codec} is none that the artifact's policy allows")
    if (chunk.codec == Codec.DELTA) != (chunk.base is not None):
        raise invalid("a delta has a base, and nothing else has")
    if chunk.base is not None:
        check_path(chunk.base.path)
        if len(chunk.base.chunk_id) != CHUNK_ID_BYTES:
            raise invalid(f"the id of a base has {len(chunk.base.chunk_id)} bytes")
    try:
        size = cobblestone.decrypted_size(chunk.stored_bytes, suite.segment_bytes)
    except cobblestone.DecryptError as error:
        raise invalid(f"no chunk has {chunk.stored_bytes} stored bytes") from error
    if chunk.codec == Codec.RAW and size != chunk.name[1]:
        raise invalid(
            f"a chunk of {chunk.name[1]} bytes that is stored as it is has not "
            f"{chunk.stored_bytes} stored bytes"
        )
    return size


def invalid(problem: str) -> InvalidArgumentError:
    """Return the error for what a writer must not say."""
    return InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
