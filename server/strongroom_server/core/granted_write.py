# SPDX-License-Identifier: Apache-2.0
"""What a writer that has no domain key is granted, and what it tells of its content.

Chunks go by the digest and length of their plaintext; only who grants turns these into
ids and keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.policy import Cuts
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import Suite

#: Chunks that are named at once, and those of one pack, at most.
MAX_NAMES: Final = 1000
MAX_PACK_CHUNKS: Final = 16_384
#: Items told at once, and about how many bytes of them.
MAX_ITEMS: Final = 500
MAX_ITEMS_BYTES: Final = 512 * 1024


class ChunkName(NamedTuple):
    """What a chunk is asked for by: digest, by the grant's suite, and length."""

    digest: bytes
    plain_bytes: int


@dataclass(frozen=True, slots=True)
class NamedChunk:
    """What a chunk is called, and encrypted with.

    Attributes:
        chunk_id: Its id.
        key: Its key; of no use if it is stored.
        stored: Whether it is stored already.
    """

    chunk_id: bytes
    key: bytes = field(repr=False)
    stored: bool


@dataclass(frozen=True, slots=True)
class WriteGrant:
    """What was granted; see WriteGrant in the proto.

    Attributes:
        grant_id: Names it in the audit log; 32 hex digits.
        scope: The key domain, with the epoch of the keys.
        suite: How chunks are digested and encrypted.
        choice: How they may be encoded.
        cuts: Where they end.
        cut_key: What decides that, if it goes by content.
        delta_base: The version that deltas are made to; 0 if there is none.
        max_open_packs: Sealed packs that may wait to be told as stored.
        max_open_chunks: How many chunks these may have together.
    """

    grant_id: str
    scope: Scope
    suite: Suite
    choice: CodecChoice
    cuts: Cuts
    cut_key: bytes = field(repr=False)
    delta_base: int
    max_open_packs: int
    max_open_chunks: int


@dataclass(frozen=True, slots=True)
class DeltaBase:
    """The chunk that a delta was made to, and a file of its version that has it."""

    chunk_id: bytes
    path: str


@dataclass(frozen=True, slots=True)
class PackPlan:
    """What a pack will hold.

    Attributes:
        chunks: Its chunks, in the order in which they lie.
        stored_bytes: The encrypted length of each.
        codecs: The codec number of each.
        bases: The bases of those that are deltas, in order.
    """

    chunks: Sequence[ChunkName]
    stored_bytes: Sequence[int]
    codecs: bytes
    bases: Sequence[DeltaBase]


@dataclass(frozen=True, slots=True)
class SealedPack:
    """What belongs around the chunks of a pack, and how much padding behind them."""

    header: bytes
    padding_bytes: int
    trailer: bytes


@dataclass(frozen=True, slots=True)
class PackUrl:
    """Where a pack is put, with which headers."""

    url: str = field(repr=False)
    headers: Sequence[tuple[str, str]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that is stored, with the names of its chunks."""

    path: str
    size_bytes: int
    digest: str
    executable: bool
    chunks: Sequence[ChunkName]


@dataclass(frozen=True, slots=True)
class SameFile:
    """A file that the version that the write builds on has as well."""

    path: str
    size_bytes: int
    digest: str
    executable: bool


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A file of a stored version, taken over by a part of a draft."""

    path: str
    version: str
    source_path: str


@dataclass(frozen=True, slots=True)
class RemovedPath:
    """What goes of the versions and parts before."""

    path: str


#: One step in what a writer tells, in byte order of path.
WrittenItem = WrittenFile | SameFile | CopiedFile | RemovedPath
