# SPDX-License-Identifier: Apache-2.0
"""Repairs: where what is damaged can be read all the same.

Three kinds, all additive, none ever believed unchecked:

- Verbatim copies, `repairs/objects/<key>/<nonce>`: the bytes that a damaged object
  had, under another key. Whoever reads one checks it exactly as the original.
- Repair records, `repairs/<domain>/<time>-<nonce>`: chunks that were stored anew
  from plaintext, in new packs, and packs that are known to be damaged.
- Mend statements, `repairs/mended/<pack>/<nonce>`: signed, so that somebody without
  keys can tell that a damaged pack was mended chunk by chunk.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import layout, mend_statement
from strongroom_server.core import repair as repair_format
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.mend_statement import MendStatement
from strongroom_server.core.repair import RepairRecord
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
    Signer,
)
from strongroom_server.repository.cache import Cache
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.object_copies import (
    NONCE_BYTES,
    Found,
    add_copy,
    copies_of,
    first_whole,
)

#: Chunks, packs and records that are remembered, of all domains and of one; each
#: takes about half a KiB. What is beyond that is read from S3 whenever it is asked
#: for.
_MAX_KNOWN: Final = 400_000
_MAX_KNOWN_OF_DOMAIN: Final = 200_000
#: Copied packs whose place is remembered.
_MAX_COPIED_PACKS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where else a chunk may lie: an object, one version of it, and how to read it."""

    key: str
    version_id: str
    ref: ChunkRef


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A repair record with its key, and SHA-256 of its bytes in hex."""

    key: str
    digest: str
    record: RepairRecord


@dataclass(frozen=True, slots=True)
class _Known:
    """What the records of a domain say, as far as memory holds it.

    Attributes:
        seen: Keys of the records that have been read.
        chunks: For each chunk id where it was stored anew, oldest first.
        damaged: Names of damaged packs.
        mended: Names of packs that were mended chunk by chunk.
        spilled: Records whose chunks memory does not hold.
    """

    seen: frozenset[str] = frozenset()
    chunks: Mapping[bytes, tuple[ChunkRef, ...]] = field(default_factory=dict)
    damaged: frozenset[str] = frozenset()
    mended: frozenset[str] = frozenset()
    spilled: tuple[BlobVersion, ...] = ()

    @property
    def weight(self) -> int:
        """How much memory it takes, in things remembered."""
        packs = len(self.damaged) + len(self.mended)
        return len(self.seen) + len(self.chunks) + packs


class Repairs:
    """Finds and records repairs. Safe to use from many threads."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        keyring: Keyring,
        signer: Signer,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._known: Cache[bytes, _Known] = Cache(_MAX_KNOWN)
        self._copied: Cache[str, tuple[BlobVersion, ...]] = Cache(_MAX_COPIED_PACKS)

    def forget_domain(self, domain: bytes) -> None:
        """Forget what the records of a domain say."""
        self._known.drop(lambda known: known == domain)

    def places(self, keys: DomainKeys, ref: ChunkRef) -> Iterator[Place]:
        """Yield where a chunk may lie beside its own place, best first.

        Looks further only while the caller asks for more. No place is promised to
        hold the chunk: its bytes must authenticate there.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        tried = set()
        known = self._known.get(keys.scope.domain) or _Known()
        copies = self._copied.get(ref.pack) or ()
        for place in self._places(keys, ref, known, copies):
            tried.add((place.key, place.version_id, place.ref.offset_bytes))
            yield place
        copies = tuple(
            self._blobs.first_versions(layout.copies_prefix(layout.pack_key(ref.pack)))
        )
        if copies:
            self._copied.put(ref.pack, copies, weight=len(copies))
        known = self._refresh(keys)
        for place in self._places(keys, ref, known, copies):
            if (place.key, place.version_id, place.ref.offset_bytes) not in tried:
                yield place

    def copies(self, key: str, *, max_bytes: int) -> Iterator[bytes]:
        """Return the verbatim copies of an object that is damaged or missing.

        The caller checks each as it checks the object itself.

        Raises:
            UnavailableError: S3 cannot be reached.
        """
        return copies_of(self._blobs, key, max_bytes=max_bytes)

    def damaged(self, keys: DomainKeys) -> frozenset[str]:
        """Return the packs of a domain that are known to be damaged, as of now.

        A new version must not share their chunks, whether they were mended or not.
        """
        return self._refresh(keys).damaged

    def mended(self, keys: DomainKeys) -> frozenset[str]:
        """Return the packs of a domain that were mended chunk by chunk, as of now."""
        return self._refresh(keys).mended

    def packs(self, keys: DomainKeys) -> Iterator[str]:
        """Yield the packs that chunks of a domain were stored anew in.

        Raises:
            IntegrityError: A record is damaged, so it is not known which packs are
                needed (RECORD_CORRUPT).
        """
        for item in self._blobs.first_versions(layout.repair_prefix(keys.scope.domain)):
            for ref in self._load(keys, item).chunks:
                yield from ref.packs

    def records(self, keys: DomainKeys) -> Iterator[StoredRecord]:
        """Yield the records of a domain that can be read, oldest first.

        Raises:
            UnavailableError: S3 cannot be reached.
        """
        for item in self._blobs.first_versions(layout.repair_prefix(keys.scope.domain)):
            parse = partial(self._stored, keys, item.key)
            try:
                yield self._whole(item, parse)
            except (IntegrityError, PreconditionError):
                continue  # Nobody finds a chunk by it, so it stands for nothing.

    def state(self, statement: MendStatement) -> None:
        """Sign and store what is known of a damaged pack, once it is mended.

        Raises:
            UnavailableError: S3 or Vault failed.
        """
        payload = mend_statement.format_payload(statement)
        signatures = self._signer.sign(mend_statement.signing_input(payload))
        data = mend_statement.format_statement(payload, signatures)
        nonce = self._entropy.token_bytes(NONCE_BYTES)
        self._blobs.put_new(layout.mended_key(statement.pack, nonce), data)

    def statements(self, pack: str) -> Iterator[MendStatement]:
        """Yield what was stated of a damaged pack: signed, and to be checked still.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        limit = mend_statement.MAX_STATEMENT_BYTES
        for item in self._blobs.first_versions(layout.mended_prefix(pack)):
            try:
                data = self._blobs.get(
                    item.key, version_id=item.version_id, max_bytes=limit
                )
                yield self.statement(item.key, data)
            except (BlobNotFoundError, IntegrityError, PreconditionError):
                continue

    def statement(self, key: str, data: bytes) -> MendStatement:
        """Return the statement that lies at a key; errors as `verify_statement`."""
        return mend_statement.verify_statement(
            data, key, self._keyring.store, self._signer.public_keys()
        )

    def add(self, keys: DomainKeys, record: RepairRecord) -> None:
        """Record a repair; the packs of its chunks are durable already."""
        for part in repair_format.split_record(record):
            milliseconds = int(self._clock.now().timestamp() * 1000)
            nonce = self._entropy.token_bytes(NONCE_BYTES)
            key = layout.repair_key(keys.scope.domain, milliseconds, nonce)
            sealed = seal_object(
                keys,
                ObjectKind.REPAIR,
                key,
                repair_format.format_record(part),
                salt=self._keyring.salt(),
            )
            self._blobs.put_new(key, sealed)

    def add_copy(self, key: str, data: bytes) -> None:
        """Store the bytes that a damaged object had, beside it.

        Raises:
            UnavailableError: S3 failed at every attempt.
        """
        add_copy(self._blobs, self._entropy, key, data)

    def _places(
        self,
        keys: DomainKeys,
        ref: ChunkRef,
        known: _Known,
        copies: tuple[BlobVersion, ...],
    ) -> Iterator[Place]:
        for found in reversed(known.chunks.get(ref.chunk_id, ())):
            if found.plain_bytes == ref.plain_bytes:
                yield _place(found)
        for copy in copies:
            yield Place(copy.key, copy.version_id, ref)
        for item in reversed(known.spilled):
            for found in self._load_if_whole(keys, item).chunks:
                if (found.chunk_id, found.plain_bytes) == (
                    ref.chunk_id,
                    ref.plain_bytes,
                ):
                    yield _place(found)

    def _refresh(self, keys: DomainKeys) -> _Known:
        """Take in the records that were written since the last time."""
        domain = keys.scope.domain
        known = self._known.get(domain) or _Known()
        # All keys are listed, since clocks differ and repairs are few.
        fresh = [
            item
            for item in self._blobs.first_versions(layout.repair_prefix(domain))
            if item.key not in known.seen
        ]
        if not fresh:
            return known
        for item in fresh:
            known = _with_record(known, item, self._load_if_whole(keys, item))
        return self._known.put(domain, known, weight=known.weight)

    def _load_if_whole(self, keys: DomainKeys, item: BlobVersion) -> RepairRecord:
        """Return a record; nothing, if it is damaged: verification reports that."""
        try:
            return self._load(keys, item)
        except IntegrityError:
            return RepairRecord()
        except PreconditionError as error:
            if error.reason is not Reason.FORMAT_UNSUPPORTED:
                raise
            return RepairRecord()  # Rot may make it look newer.

    def _load(self, keys: DomainKeys, item: BlobVersion) -> RepairRecord:
        return self._whole(item, partial(self._parse, keys, item.key))

    def _whole(self, item: BlobVersion, parse: Callable[[bytes], Found]) -> Found:
        """Return what a record, or a copy that lies beside it, says."""
        limit = repair_format.MAX_RECORD_BYTES
        return first_whole(
            self._blobs, item.key, self._fetch(item), parse, max_bytes=limit
        )

    def _stored(self, keys: DomainKeys, key: str, data: bytes) -> StoredRecord:
        digest = hashlib.sha256(data).hexdigest()
        return StoredRecord(key, digest, self._parse(keys, key, data))

    def _fetch(self, item: BlobVersion) -> bytes:
        limit = repair_format.MAX_RECORD_BYTES
        try:
            return self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=limit
            )
        except BlobNotFoundError as error:
            raise object_error(ObjectKind.REPAIR) from error

    def _parse(self, keys: DomainKeys, key: str, data: bytes) -> RepairRecord:
        body = self._keyring.open_object(
            keys,
            ObjectKind.REPAIR,
            key,
            data,
            max_bytes=repair_format.MAX_RECORD_BYTES,
        )
        return repair_format.parse_record(body)


def _place(ref: ChunkRef) -> Place:
    return Place(layout.pack_key(ref.pack), ref.pack_version, ref)


def _with_record(known: _Known, item: BlobVersion, record: RepairRecord) -> _Known:
    marks = replace(
        known,
        seen=known.seen | {item.key},
        damaged=known.damaged | set(record.damaged),
        mended=known.mended | set(record.mended),
    )
    if len(known.chunks) + len(record.chunks) > _MAX_KNOWN_OF_DOMAIN:
        return replace(marks, spilled=(*known.spilled, item))
    chunks = dict(known.chunks)
    for ref in record.chunks:
        chunks[ref.chunk_id] = (*chunks.get(ref.chunk_id, ()), ref)
    return replace(marks, chunks=chunks)
