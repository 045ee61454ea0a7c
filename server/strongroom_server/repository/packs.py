# SPDX-License-Identifier: Apache-2.0
"""Writing packs: chunks in, durable packs out, a bounded number at a time.

A chunk of 4 MiB or more is a pack by itself; smaller ones share packs in the
order in which they come. Encryption and upload run on the executor; the caller's
thread is held back when too many packs are under way, its own or everybody's.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.core import chunk as chunk_format
from strongroom_server.core import cobblestone, codecs, layout, pack
from strongroom_server.core.chunk import MAX_CHUNK_BYTES, ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.suites import Suite
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    Entropy,
)
from strongroom_server.repository.budget import ByteBudget

#: A chunk of this size or more is a pack by itself.
OWN_PACK_BYTES: Final = 4 * 1024 * 1024
#: Packs of one writer that may be encrypted and uploaded at the same time.
MAX_UNDER_WAY: Final = 3
PUT_ATTEMPTS: Final = 3


@dataclass(slots=True)
class PendingChunk:
    """A chunk on its way to S3; `ref` is set once its pack is durable."""

    chunk_id: bytes
    plain_bytes: int
    codec: codecs.Codec
    ref: ChunkRef | None = None


def are_durable(chunks: Sequence[PendingChunk]) -> bool:
    """Return whether all of them are in S3."""
    return all(chunk.ref is not None for chunk in chunks)


def refs_of(chunks: Sequence[PendingChunk]) -> tuple[ChunkRef, ...]:
    """Return where durable chunks lie."""
    refs = tuple(chunk.ref for chunk in chunks if chunk.ref is not None)
    if len(refs) != len(chunks):
        message = "a chunk is used before it is durable"
        raise AssertionError(message)
    return refs


@dataclass(slots=True)
class _OpenPack:
    chunks: list[PendingChunk] = field(default_factory=list)
    encoded: list[bytes | bytearray] = field(default_factory=list)
    size_bytes: int = 0


class PackWriter:
    """Groups chunks into packs and stores them. One writer a thread."""

    def __init__(
        self,
        keys: DomainKeys,
        suite: Suite,
        *,
        blobs: BlobStore,
        entropy: Entropy,
        executor: Executor,
        budget: ByteBudget,
    ) -> None:
        self._keys = keys
        self._suite = suite
        self._blobs = blobs
        self._entropy = entropy
        self._executor = executor
        self._budget = budget
        self._open = _OpenPack()
        self._under_way: deque[Future[_StoredPack]] = deque()
        self.stored_bytes = 0
        self._durable: list[ChunkRef] = []

    def add(
        self,
        chunk_id: bytes,
        encoded: bytes | bytearray,
        *,
        plain_bytes: int,
        codec: codecs.Codec,
    ) -> PendingChunk:
        """Take in a chunk. `encoded` belongs to the writer from now on."""
        pending = PendingChunk(chunk_id, plain_bytes, codec)
        if len(encoded) >= OWN_PACK_BYTES:
            self._submit(_OpenPack([pending], [encoded], len(encoded)))
            return pending
        if (
            self._open.size_bytes + len(encoded) > MAX_CHUNK_BYTES
            or len(self._open.chunks) == pack.MAX_ENTRIES
        ):
            self.flush()
        self._open.chunks.append(pending)
        self._open.encoded.append(encoded)
        self._open.size_bytes += len(encoded)
        return pending

    def flush(self) -> None:
        """Send off the open pack, full or not."""
        if self._open.chunks:
            self._submit(self._open)
            self._open = _OpenPack()

    def finish(self) -> None:
        """Send off what is open and wait until every pack is durable."""
        self.flush()
        while self._under_way:
            self._collect()

    def poll(self) -> None:
        """Take in the packs that have become durable, without waiting."""
        while self._under_way and self._under_way[0].done():
            self._collect()

    @property
    def durable_count(self) -> int:
        """How many chunks `take_durable` would return."""
        return len(self._durable)

    def take_durable(self) -> list[ChunkRef]:
        """Return the chunks that have become durable since the last time."""
        durable, self._durable = self._durable, []
        return durable

    def abort(self) -> None:
        """Stop what has not begun and wait for what has; that is durable, or failed."""
        for future in self._under_way:
            future.cancel()
        while self._under_way:
            future = self._under_way.popleft()
            if not future.cancelled() and future.exception() is None:
                self._settle(future.result())

    def _submit(self, group: _OpenPack) -> None:
        while len(self._under_way) >= MAX_UNDER_WAY:
            self._collect()
        # What is encrypted lies beside what is to be.
        size_bytes = 2 * group.size_bytes
        self._budget.take(size_bytes)
        try:
            future = self._executor.submit(self._store, group)
        except RuntimeError:  # The threads have ended, and with them the server.
            self._budget.give_back(size_bytes)
            raise
        # Also if it fails or is cancelled.
        future.add_done_callback(lambda _: self._budget.give_back(size_bytes))
        self._under_way.append(future)

    def _collect(self) -> None:
        self._settle(self._under_way.popleft().result())

    def _settle(self, stored: "_StoredPack") -> None:
        self.stored_bytes += stored.size_bytes
        for pending, ref in zip(stored.chunks, stored.refs, strict=True):
            pending.ref = ref
        self._durable.extend(stored.refs)

    def _store(self, group: _OpenPack) -> "_StoredPack":
        data, entries = self._build(group)
        digest = self._suite.digest(data).hex()
        version = put_by_digest(self._blobs, layout.pack_key(digest), data)
        refs = [
            ChunkRef(
                entry.chunk_id,
                self._suite.number,
                entry.codec,
                self._keys.scope.epoch,
                digest,
                version,
                entry.offset_bytes,
                entry.stored_bytes,
                entry.plain_bytes,
            )
            for entry in entries
        ]
        return _StoredPack(group.chunks, refs, len(data))

    def _build(self, group: _OpenPack) -> tuple[bytearray, list[pack.PackEntry]]:
        segment_bytes = self._suite.segment_bytes
        sizes = [
            cobblestone.encrypted_size(len(encoded), segment_bytes)
            for encoded in group.encoded
        ]
        body_bytes = sum(sizes)
        full = len(sizes) == 1 and group.size_bytes == MAX_CHUNK_BYTES
        padding = 0 if full else pack.padding_size(body_bytes)
        header = pack.format_header(self._keys.scope, self._suite.number)
        data = bytearray(len(header) + body_bytes + padding)
        data[: len(header)] = header
        entries = []
        offset = len(header)
        for pending, encoded, size in zip(
            group.chunks, group.encoded, sizes, strict=True
        ):
            with memoryview(data)[offset : offset + size] as target:
                self._encrypt(pending, encoded, target)
            entries.append(
                pack.PackEntry(
                    pending.chunk_id, offset, size, pending.plain_bytes, pending.codec
                )
            )
            offset += size
        group.encoded.clear()
        data[offset:] = self._entropy.token_bytes(padding)
        salt = self._entropy.token_bytes(cobblestone.SALT_BYTES)
        data += pack.format_trailer(self._keys, header, entries, salt=salt)
        return data, entries

    def _encrypt(
        self, pending: PendingChunk, encoded: bytes | bytearray, target: memoryview
    ) -> None:
        salt = self._keys.chunk_salt(
            self._entropy.token_bytes(32),
            pending.chunk_id,
            bytes([pending.codec]) + self._suite.digest(encoded),
        )
        chunk_format.encrypt_chunk(
            self._keys,
            self._suite,
            pending.codec,
            pending.chunk_id,
            encoded,
            plain_bytes=pending.plain_bytes,
            salt=salt,
            buffer=target,
        )


@dataclass(frozen=True, slots=True)
class _StoredPack:
    chunks: Sequence[PendingChunk]
    refs: Sequence[ChunkRef]
    size_bytes: int


def put_by_digest(blobs: BlobStore, key: str, data: bytes | bytearray) -> str:
    """Store bytes under a key that is their digest; return the version id.

    A lost answer is resolved by trying again: if the key exists then, an earlier
    attempt of ours was stored, and it is read back to make sure.

    Raises:
        UnavailableError: The store failed at every attempt.
        IntegrityError: Other bytes lie under the key (DIGEST_MISMATCH).
    """
    for attempt in range(PUT_ATTEMPTS):
        try:
            return blobs.put_new(key, data)
        except BlobExistsError as error:
            return _find_own(blobs, key, data, error)
        except UnavailableError:
            if attempt == PUT_ATTEMPTS - 1:
                raise
    raise AssertionError


def _find_own(
    blobs: BlobStore, key: str, data: bytes | bytearray, cause: BlobExistsError
) -> str:
    for item in blobs.first_versions(key):
        if item.key == key and item.size_bytes == len(data):
            try:
                found = blobs.get(key, version_id=item.version_id, max_bytes=len(data))
            except BlobNotFoundError:
                continue
            if found == data:
                return item.version_id
    raise IntegrityError(
        f"object {key} holds other bytes than its name says",
        reason=Reason.DIGEST_MISMATCH,
        hint="Somebody else writes to the bucket; see `strongroom doctor`.",
        key=key,
    ) from cause
