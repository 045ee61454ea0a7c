# SPDX-License-Identifier: Apache-2.0
"""Upload records: found by request id, added one at a time, read by the sweep.

Records are created if absent, so of two processes that write one upload, exactly
one adds each record, and the other learns of it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import ConflictError, IntegrityError, Reason
from strongroom_server.core import draft_record, layout, upload_record
from strongroom_server.core.cobblestone import SALT_BYTES
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.draft_record import DraftRecord, DraftStep
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.sealing import (
    ObjectKind,
    object_error,
    seal_object,
)
from strongroom_server.core.upload_record import (
    MAX_RECORD_BYTES,
    NO_RECORD,
    UploadRecord,
    UploadState,
)
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Entropy,
)
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import first_version, put_numbered

#: Records of attempts that ended, found where a new one was to be written.
_MAX_PASSED: Final = 100


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """An upload, or a draft, that has records.

    Attributes:
        upload: Its id, in base32.
        artifact: The 18-byte id of its artifact; b"" if no record can be read.
        request_id: By which its journal knows the commit; "" if no record can be
            read.
        objects: Its records as they are stored, by number.
        draft: What its last record is, if it is a draft.
    """

    upload: str
    artifact: bytes
    request_id: str
    objects: tuple[BlobVersion, ...]
    draft: DraftStep | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is a draft that nobody can commit any more."""
        if self.draft is None:
            return False
        first = layout.upload_key_number(self.objects[0].key)
        return self.draft is DraftStep.DISCARD or first != 0

    def ended_objects(self) -> tuple[BlobVersion, ...]:
        """Return which records go first, of one that is over and not committed.

        A draft of which the first record is gone is none, and one that is ended
        stays so to the last: so none that was swept in part is ever committed.
        """
        if self.draft is None:
            return self.objects
        first, *others = self.objects
        if layout.upload_key_number(first.key) == 0:
            return (first,)
        ends = layout.upload_key_number(self.objects[-1].key) == draft_record.END_NUMBER
        return (first, *others[:-1]) if ends and others else self.objects


@dataclass(slots=True)
class UploadLog:
    """Where an attempt stands in the records of its upload.

    Attributes:
        prefix: What the records lie below.
        next_number: The number that the next record gets.
        after: The record that the next one goes on from.
        after_digest: The SHA-256 of that record as stored.
        state: What the records so far add up to, when the log was opened.
        contested: Whether another attempt may still be writing.
    """

    prefix: str
    next_number: int = 0
    after: int = NO_RECORD
    after_digest: bytes = b""
    state: UploadState = field(default_factory=UploadState)
    contested: bool = False


class UploadRecords:
    """Reads and adds upload records. Safe to use from many threads."""

    def __init__(self, *, blobs: BlobStore, keyring: Keyring, entropy: Entropy) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._entropy = entropy

    def open(self, keys: DomainKeys, artifact: bytes, request_id: str) -> UploadLog:
        """Return what an upload has made durable so far; often nothing.

        Records that are gone or damaged, and what goes on from them, count as
        not written: what they held is sent again.

        Raises:
            UnavailableError: S3 cannot be reached.
        """
        upload = keys.name_id("upload", upload_record.upload_name(artifact, request_id))
        log = UploadLog(layout.upload_prefix(keys.scope.domain, upload))
        objects = self._objects(log.prefix)
        if not objects:
            return log
        last = objects[-1]
        log.next_number = layout.upload_key_number(last.key) + 1
        try:
            chain = list(self._chain(keys, objects))
            for record, _ in reversed(chain):
                log.state.take(record)
        except IntegrityError:
            log.state, log.contested = UploadState(), True
            return log
        newest, digest = chain[0]
        log.after, log.after_digest = log.next_number - 1, digest
        log.contested = not newest.ended
        return log

    def add(self, keys: DomainKeys, log: UploadLog, record: UploadRecord) -> None:
        """Store the next record of an attempt.

        Args:
            keys: The domain's keys.
            log: Where the attempt stands; moved on.
            record: What it has to say; goes on from `log.after`.

        Raises:
            ConflictError: Another attempt goes on with the upload
                (UPLOAD_CONFLICT).
            UnavailableError: S3 failed at every attempt.
        """
        for _ in range(_MAX_PASSED):
            key = layout.upload_key(log.prefix, log.next_number)
            data = seal_object(
                keys,
                ObjectKind.UPLOAD,
                key,
                upload_record.format_record(record),
                salt=self._entropy.token_bytes(SALT_BYTES),
            )
            if put_numbered(self._blobs, key, data):
                log.after = log.next_number
                log.after_digest = hashlib.sha256(data).digest()
                log.next_number += 1
                return
            if not self._has_ended(keys, key, log.next_number):
                break
            # An attempt that was given up, and has said so: it writes no more.
            log.next_number += 1
        raise _conflict(record.request_id)

    def live(self, keys: DomainKeys) -> Iterator[StoredUpload]:
        """Yield every upload of a domain that has records, committed or not."""
        prefix = layout.uploads_prefix(keys.scope.domain)
        for folder in self._blobs.subfolders(prefix):
            objects = tuple(self._objects(folder))
            upload = folder.removeprefix(prefix).removesuffix("/")
            artifact, request_id, draft = b"", "", None
            for item in reversed(objects):
                try:
                    record, _ = self._load(keys, item)
                except IntegrityError:
                    continue
                artifact, request_id = record.artifact, record.request_id
                draft = record.step if isinstance(record, DraftRecord) else None
                break
            if objects:
                yield StoredUpload(upload, artifact, request_id, objects, draft)

    def packs(self, keys: DomainKeys, upload: StoredUpload) -> Iterator[str]:
        """Yield every pack that going on with it needs, some repeatedly.

        Raises:
            IntegrityError: A record is gone or damaged (RECORD_CORRUPT); what the
                upload has stored would then be sent again.
        """
        if upload.draft is not None:
            for item in upload.objects:
                yield from _packs(self._load(keys, item)[0].files)
            return
        for record, _ in self._chain(keys, upload.objects):
            yield from _packs(record.files)
            for ref in record.open.chunks if record.open is not None else ():
                yield from ref.packs

    def _objects(self, prefix: str) -> list[BlobVersion]:
        """Return the records below a prefix, by number; nothing else."""
        found = self._blobs.first_versions(prefix)
        return [item for item in found if layout.upload_key_number(item.key) >= 0]

    def _chain(
        self, keys: DomainKeys, objects: "tuple[BlobVersion, ...] | list[BlobVersion]"
    ) -> Iterator[tuple[UploadRecord, bytes]]:
        """Yield the newest record, then each that the one before goes on from."""
        by_number = {layout.upload_key_number(item.key): item for item in objects}
        number, expected = layout.upload_key_number(objects[-1].key), b""
        while number != NO_RECORD:
            item = by_number.get(number)
            if item is None:
                raise object_error(ObjectKind.UPLOAD)
            record, digest = self._load(keys, item)
            if isinstance(record, DraftRecord) or (expected and digest != expected):
                raise object_error(ObjectKind.UPLOAD)
            yield record, digest
            number, expected = record.after, record.after_digest

    def _load(
        self, keys: DomainKeys, item: BlobVersion
    ) -> tuple[UploadRecord | DraftRecord, bytes]:
        try:
            data = self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=MAX_RECORD_BYTES
            )
        except BlobNotFoundError as error:
            raise object_error(ObjectKind.UPLOAD) from error
        body = self._keyring.open_object(
            keys, ObjectKind.UPLOAD, item.key, data, max_bytes=MAX_RECORD_BYTES
        )
        number = layout.upload_key_number(item.key)
        digest = hashlib.sha256(data).digest()
        if body.get("format") == draft_record.FORMAT:
            return draft_record.parse_draft_record(body, number), digest
        return upload_record.parse_record(body, number), digest

    def _stored(self, key: str) -> bytes:
        first = first_version(self._blobs, key)
        if first is None:
            return b""
        try:
            return self._blobs.get(
                key, version_id=first.version_id, max_bytes=MAX_RECORD_BYTES
            )
        except BlobNotFoundError:
            return b""

    def _has_ended(self, keys: DomainKeys, key: str, number: int) -> bool:
        """Return whether what stands in the way is an attempt's last record."""
        data = self._stored(key)
        try:
            body = self._keyring.open_object(
                keys, ObjectKind.UPLOAD, key, data, max_bytes=MAX_RECORD_BYTES
            )
            return upload_record.parse_record(body, number).ended
        except IntegrityError:
            return False


def _packs(files: Iterable[FileEntry]) -> Iterator[str]:
    for entry in files:
        for ref in entry.chunks:
            yield from ref.packs


def _conflict(request_id: str) -> ConflictError:
    return ConflictError(
        f"another process goes on with the upload {request_id}",
        reason=Reason.UPLOAD_CONFLICT,
        hint="Let it finish, or push with a new request id.",
        upload_id=request_id,
    )
