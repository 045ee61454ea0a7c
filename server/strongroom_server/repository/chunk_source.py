# SPDX-License-Identifier: Apache-2.0
"""Where chunks come from: their keys, their stored bytes, and other places for both.

Central has them from the keyring and the store; a sidecar from what it was granted.
"""

from collections.abc import Iterator
from typing import Protocol

from strongroom_server.core.chunk import ChunkKeys, ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope
from strongroom_server.ports import BlobStore
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.repairs import Place, Repairs


class ChunkSource(Protocol):
    """What a `ChunkReader` reads from. Safe to use from many threads."""

    def keys(self, scope: Scope, ref: ChunkRef) -> ChunkKeys:
        """Return what opens a chunk.

        Raises:
            StrongroomError: There are no keys, or no longer.
        """
        ...

    def elsewhere(self, scope: Scope, ref: ChunkRef) -> Iterator[Place]:
        """Yield where else a chunk may lie, once its own place failed; best first."""
        ...

    def read_into(self, place: Place, *, offset_bytes: int, buffer: memoryview) -> None:
        """Fill `buffer` from the object of a place, at `offset_bytes` of it.

        Raises:
            BlobNotFoundError: There is no such object, or it ends before that.
            UnavailableError: It cannot be had now (STORE_UNAVAILABLE).
        """
        ...


class StoredChunks:
    """Chunks as the store has them, with the keys of their domains."""

    def __init__(self, *, blobs: BlobStore, keyring: Keyring, repairs: Repairs) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._repairs = repairs

    def keys(self, scope: Scope, ref: ChunkRef) -> DomainKeys:
        """See `ChunkSource`."""
        return self._keyring.open(scope.at_epoch(ref.epoch))

    def elsewhere(self, scope: Scope, ref: ChunkRef) -> Iterator[Place]:
        """See `ChunkSource`: the repairs."""
        return self._repairs.places(self.keys(scope, ref), ref)

    def read_into(self, place: Place, *, offset_bytes: int, buffer: memoryview) -> None:
        """See `ChunkSource`."""
        self._blobs.read_into(
            place.key,
            version_id=place.version_id,
            offset_bytes=offset_bytes,
            buffer=buffer,
        )
