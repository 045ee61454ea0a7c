# SPDX-License-Identifier: Apache-2.0
"""The chunk index: which chunks a key domain has stored, and where.

Truth lies in the index segments below `index/`; the local index only remembers
them. A lost entry costs a chunk stored twice, never data.
"""

import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError
from strongroom_server.core import index_segment, layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.cobblestone import SALT_BYTES
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.sealing import (
    ObjectKind,
    object_error,
    seal_object,
)
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Clock,
    Entropy,
    Index,
)
from strongroom_server.repository.keyring import Keyring

#: offset, stored length, plain length, suite, epoch, codec, pack, then version id
_LOCATION: Final = struct.Struct(">IIIHIB32s")
#: A delta's location is followed by its base's, and these: the base's id, and the
#: length of the first location.
_DELTA: Final = struct.Struct(">32sH")
_NONCE_BYTES: Final = 8
_GENERATION_KEY: Final = b"g"
_GENERATION_BYTES: Final = 8
#: How far behind the newest segment others may be found: clocks differ, and a
#: server may be slow. What is missed costs a chunk stored twice.
_OVERLAP_MS: Final = 3_600_000


class ChunkIndex:
    """Finds stored chunks by id, per key domain. Safe to use from many threads."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        index: Index,
        keyring: Keyring,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._index = index
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._damaged: set[str] = set()

    @property
    def damaged_segments(self) -> int:
        """How many segments could not be read so far; each was left out."""
        return len(self._damaged)

    def find(self, keys: DomainKeys, chunk_id: bytes) -> ChunkRef | None:
        """Return where a chunk lies, or None if it is not known."""
        value = self._index.get(_chunk_key(keys, chunk_id))
        return _parse_location(chunk_id, value) if value else None

    def forget(self, keys: DomainKeys, chunk_ids: Iterable[bytes]) -> None:
        """Forget where chunks lie, so that they are stored anew."""
        self._index.put_many(
            dict.fromkeys((_chunk_key(keys, item) for item in chunk_ids), b"")
        )

    def forget_domain(self, domain: bytes) -> None:
        """Forget which chunks a domain has, and which segments tell of them."""
        segments = b"i" + layout.index_prefix(domain).encode()
        for prefix in (b"c" + domain, b"s" + domain, segments):
            self._index.forget(prefix)

    def refresh(self, keys: DomainKeys) -> int:
        """Take in the segments that other servers wrote; return how many.

        Lists those of the last hour and what is newer; all of them, if the local
        index is new. A damaged segment is left out and counted: it costs chunks
        that are stored twice, and must not keep anybody from writing.
        """
        return sum(1 for _ in self.catch_up(keys))

    def catch_up(self, keys: DomainKeys, *, from_start: bool = False) -> Iterator[int]:
        """Refresh step by step: yield how many chunks each new segment has.

        Args:
            keys: Of the domain.
            from_start: Whether to list all segments, whatever is known.
        """
        newest = ""
        domain = keys.scope.domain
        generation = self._generation()
        start_after = "" if from_start else self._start_after(domain)
        for item in self._blobs.first_versions(
            layout.index_prefix(domain), start_after=start_after
        ):
            newest = item.key
            marker = b"i" + item.key.encode()
            if self._index.get(marker) is not None:
                continue
            try:
                refs = self._load(keys, item)
            except (IntegrityError, PreconditionError):
                with self._lock:
                    self._damaged.add(item.key)
                continue
            self._remember(keys, refs, marker)
            yield len(refs)
        if newest:
            seen = generation + newest.encode()
            self._index.put_many({b"s" + domain: seen})

    def clear(self) -> None:
        """Forget everything that the local index knows, journals too.

        Who catches up at the same time may have passed segments that were known
        until now; what it notes at its end counts for nothing behind this.
        """
        self._index.clear()
        generation = self._entropy.token_bytes(_GENERATION_BYTES)
        self._index.put_many({_GENERATION_KEY: generation})

    def add(self, keys: DomainKeys, refs: Sequence[ChunkRef]) -> None:
        """Record chunks whose packs are durable: first in S3, then locally."""
        for start in range(0, len(refs), index_segment.MAX_CHUNKS):
            part = refs[start : start + index_segment.MAX_CHUNKS]
            nonce = self._entropy.token_bytes(_NONCE_BYTES)
            key = layout.index_key(keys.scope.domain, self._milliseconds(), nonce)
            sealed = seal_object(
                keys,
                ObjectKind.INDEX,
                key,
                index_segment.format_segment(part),
                salt=self._entropy.token_bytes(SALT_BYTES),
            )
            self._blobs.put_new(key, sealed)
            self._remember(keys, part, b"i" + key.encode())

    def _start_after(self, domain: bytes) -> str:
        """Return the key behind which there may be segments that are not known."""
        seen = self._index.get(b"s" + domain) or b""
        generation = self._generation()
        if len(seen) <= _GENERATION_BYTES or not seen.startswith(generation):
            return ""
        newest = layout.index_key_time(seen[_GENERATION_BYTES:].decode())
        # A server whose clock is ahead must not hide what others write until then.
        until = min(newest, self._milliseconds()) - _OVERLAP_MS
        return layout.index_key(domain, max(until, 0), bytes(_NONCE_BYTES))

    def _generation(self) -> bytes:
        """Return what tells what was noted before the index was cleared."""
        return self._index.get(_GENERATION_KEY) or bytes(_GENERATION_BYTES)

    def _milliseconds(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    def _load(self, keys: DomainKeys, item: BlobVersion) -> tuple[ChunkRef, ...]:
        limit = index_segment.MAX_SEGMENT_BYTES
        try:
            data = self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=limit
            )
        except BlobNotFoundError as error:
            raise object_error(ObjectKind.INDEX) from error
        body = self._keyring.open_object(
            keys, ObjectKind.INDEX, item.key, data, max_bytes=limit
        )
        return index_segment.parse_segment(body)

    def _remember(
        self, keys: DomainKeys, refs: Sequence[ChunkRef], marker: bytes
    ) -> None:
        # Of several places the last one stays: a chunk is stored again only when
        # its first pack was gone.
        items = {_chunk_key(keys, ref.chunk_id): _format_location(ref) for ref in refs}
        self._index.put_many({**items, marker: b"1"})


def _chunk_key(keys: DomainKeys, chunk_id: bytes) -> bytes:
    return b"c" + keys.scope.domain + chunk_id


def _format_location(ref: ChunkRef) -> bytes:
    """Return the local index's value for a chunk; a cache's, never stored in S3."""
    own = _format_place(ref)
    if ref.base is None:
        return own
    return own + _format_place(ref.base) + _DELTA.pack(ref.base.chunk_id, len(own))


def _format_place(ref: ChunkRef) -> bytes:
    return (
        _LOCATION.pack(
            ref.offset_bytes,
            ref.stored_bytes,
            ref.plain_bytes,
            ref.suite,
            ref.epoch,
            ref.codec,
            bytes.fromhex(ref.pack),
        )
        + ref.pack_version.encode()
    )


def _parse_location(chunk_id: bytes, value: bytes) -> ChunkRef | None:
    ref = _parse_place(chunk_id, value)
    if ref is None or ref.codec != Codec.DELTA:
        return ref
    if len(value) < _DELTA.size:
        return None
    base_id, own_bytes = _DELTA.unpack(value[-_DELTA.size :])
    own = _parse_place(chunk_id, value[:own_bytes])
    base = _parse_place(base_id, value[own_bytes : -_DELTA.size])
    if own is None or base is None or base.codec == Codec.DELTA:
        return None
    return replace(own, base=base)


def _parse_place(chunk_id: bytes, value: bytes) -> ChunkRef | None:
    if len(value) < _LOCATION.size:
        return None
    offset, stored, plain, suite, epoch, codec, pack = _LOCATION.unpack_from(value)
    version = value[_LOCATION.size :].decode(errors="replace")
    return ChunkRef(
        chunk_id, suite, codec, epoch, pack.hex(), version, offset, stored, plain
    )
