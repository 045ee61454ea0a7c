# SPDX-License-Identifier: Apache-2.0
"""Packs as a sidecar makes them: keys of their chunks only, into S3 by signed URLs.

Central seals what lists the chunks, since that takes a key of the domain; it is told
the lengths before anything is encrypted, and answers meanwhile.
"""

import hmac
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import InternalError, Reason, UnavailableError
from strongroom_server.core import chunk as chunk_format
from strongroom_server.core import cobblestone
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.write_grant import DeltaBase, SealedPack
from strongroom_server.core.write_steps import PackPlan
from strongroom_server.ports import (
    BlobExistsError,
    Entropy,
    GrantedWrite,
    PackPutter,
    ReadBuffer,
    UrlRefusedError,
)
from strongroom_server.repository.buffers import BufferPool
from strongroom_server.repository.packs import (
    Encoded,
    PackItem,
    PendingChunk,
    StoredPack,
)
from strongroom_server.repository.waiting import result_of

#: Randomness in the salt of a chunk.
_SEED_BYTES: Final = 32
#: URLs that the store does not believe before that is given up.
_URLS: Final = 3


@dataclass(slots=True)
class GrantedPending(PendingChunk):
    """A chunk on its way to S3, with its key until it is encrypted."""

    key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the encrypted chunks lie, from the first one on."""

    sizes: Sequence[int]
    body_bytes: int


class GrantedPacks:
    """A `PackStorage` of one write. Safe to use from many threads.

    Args:
        write: Seals packs, and says where they are put.
        putter: Puts them.
        entropy: Gives salts and padding.
        buffers: Lends room for ciphertext.
        path_of: Returns a file of the version before that has a base.
    """

    def __init__(
        self,
        write: GrantedWrite,
        *,
        putter: PackPutter,
        entropy: Entropy,
        buffers: BufferPool,
        path_of: Callable[[ChunkRef], str],
    ) -> None:
        self._write = write
        self._grant = write.grant
        self._putter = putter
        self._entropy = entropy
        self._buffers = buffers
        self._path_of = path_of

    def __repr__(self) -> str:
        return f"GrantedPacks({self._grant.grant_id})"

    def store(self, items: Sequence[PackItem]) -> StoredPack:
        """See `PackStorage`.

        Raises:
            UnavailableError: The store, or central, cannot be reached.
            StrongroomError: What central raises.
        """
        suite = self._grant.suite
        sizes = [
            cobblestone.encrypted_size(len(item.encoded.data), suite.segment_bytes)
            for item in items
        ]
        layout = _Layout(sizes, sum(sizes))
        number, sealing = self._write.seal(self._plan(items, layout))
        with self._buffers.lend(layout.body_bytes) as body:
            self._encrypt_all(items, layout, body)
            sealed = result_of(sealing)
            padding = self._entropy.token_bytes(sealed.padding_bytes)
            pieces = (sealed.header, body, padding, sealed.trailer)
            digest = suite.digest_of(pieces)
            version_id = self._put(number, digest, pieces)
        self._write.stored(number, version_id)
        refs = self._refs(items, layout, sealed, digest.hex(), version_id)
        size_bytes = sum(len(piece) for piece in pieces[:1] + pieces[2:])
        return StoredPack(
            [item.pending for item in items], refs, layout.body_bytes + size_bytes
        )

    def _plan(self, items: Sequence[PackItem], layout: _Layout) -> PackPlan:
        return PackPlan(
            [(item.pending.digest, item.pending.plain_bytes) for item in items],
            layout.sizes,
            bytes(item.encoded.codec for item in items),
            [
                DeltaBase(base.chunk_id, self._path_of(base))
                for item in items
                if (base := item.encoded.base) is not None
            ],
        )

    def _encrypt_all(
        self, items: Sequence[PackItem], layout: _Layout, body: memoryview
    ) -> None:
        # Drawn at once: each call would cost as much as a small chunk.
        seeds = memoryview(self._entropy.token_bytes(_SEED_BYTES * len(items)))
        offset = 0
        for number, (item, size) in enumerate(zip(items, layout.sizes, strict=True)):
            seed = bytes(seeds[_SEED_BYTES * number :][:_SEED_BYTES])
            with body[offset : offset + size] as target:
                self._encrypt(item, target, seed)
            offset += size

    def _encrypt(self, item: PackItem, target: memoryview, seed: bytes) -> None:
        pending, encoded = item.pending, item.encoded
        suite = self._grant.suite
        if not isinstance(pending, GrantedPending) or not pending.key:
            problem = "a chunk is stored that has no key"
            raise InternalError(problem)
        key = pending.key
        base_id = b"" if encoded.base is None else encoded.base.chunk_id
        # Hedged as `DomainKeys.chunk_salt` is: a random source that was cloned cannot
        # make two plaintexts meet under one key and salt.
        seen = suite.digest(encoded.data) if encoded.codec else pending.digest
        message = b"salt" + seed + bytes([encoded.codec]) + base_id + seen
        chunk_format.encrypt_with_key(
            key,
            self._grant.scope,
            suite,
            encoded.codec,
            pending.chunk_id,
            encoded.data,
            plain_bytes=pending.plain_bytes,
            base_id=base_id,
            salt=hmac.digest(key, message, "sha256")[: cobblestone.SALT_BYTES],
            buffer=target,
        )
        pending.key = b""
        # What is encrypted is not needed any more, and may be large.
        item.encoded = Encoded(b"", encoded.codec, encoded.base)

    def _put(self, number: int, digest: bytes, pieces: Sequence[ReadBuffer]) -> str:
        """Put a pack; return its version id, "" if the store had it before."""
        crc32 = 0
        for piece in pieces:
            crc32 = zlib.crc32(piece, crc32)
        for turn in range(_URLS):
            asked = self._write.locate(number, digest=digest, crc32=crc32)
            found = result_of(asked)
            try:
                return self._putter.put(found.url, found.headers, pieces)
            except BlobExistsError:
                return ""
            except UrlRefusedError as error:
                if turn == _URLS - 1:
                    raise UnavailableError(
                        "the store does not believe the URL of a pack that central "
                        "signed",
                        reason=Reason.STORE_UNAVAILABLE,
                        hint="Check that central's credential of the store may write, "
                        "and the clocks of central and of the store.",
                    ) from error
        raise AssertionError

    def _refs(
        self,
        items: Sequence[PackItem],
        layout: _Layout,
        sealed: SealedPack,
        pack: str,
        version_id: str,
    ) -> list[ChunkRef]:
        refs = []
        offset = len(sealed.header)
        for item, size in zip(items, layout.sizes, strict=True):
            refs.append(
                ChunkRef(
                    item.pending.chunk_id,
                    self._grant.suite.number,
                    int(item.encoded.codec),
                    self._grant.scope.epoch,
                    pack,
                    version_id,
                    offset,
                    size,
                    item.pending.plain_bytes,
                    item.encoded.base,
                )
            )
            offset += size
        return refs
