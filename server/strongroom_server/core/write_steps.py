# SPDX-License-Identifier: Apache-2.0
"""What a writer by grant tells: of packs before they are stored, of files behind that.

Chunks go by the digest and length of their plaintext; only who grants turns these into
ids and keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_server.core.write_grant import ChunkName, DeltaBase

#: About how many bytes of items are told at once.
MAX_ITEMS_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class OpenLimits:
    """What may be sealed and not yet stored: so many packs, with so many chunks."""

    max_packs: int
    max_chunks: int


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
