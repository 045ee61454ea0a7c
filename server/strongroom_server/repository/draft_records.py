# SPDX-License-Identifier: Apache-2.0
"""Records of drafts: added one behind the other, and ended once.

A part is there as soon as its record is; who ends a draft then lists what is there.
A part that comes later finds the end, and is told so. So each part that was not
told otherwise is in the version, whatever servers it came through.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from strongroom.errors import (
    ConflictError,
    ExhaustedError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import draft_record, layout
from strongroom_server.core.cobblestone import SALT_BYTES
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.draft_record import (
    END_NUMBER,
    MAX_DRAFT_BYTES,
    DraftRecord,
)
from strongroom_server.core.sealing import ObjectKind, seal_object
from strongroom_server.core.upload_record import MAX_RECORD_BYTES
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Entropy,
)
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import first_version, put_numbered

#: Numbers that other servers took meanwhile, one after the other. Those of one
#: server wait for each other.
_ATTEMPTS: Final = 1000
_LOCKS: Final = 64
#: How long a part waits for others that this server adds.
ADD_WAIT_S: Final = 60.0
#: Drafts with longer records are merged one at a time: in memory they take ten times
#: as much.
LARGE_BYTES: Final = 1024 * 1024
#: How long a large one waits for another.
LARGE_WAIT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A draft as it is stored, at one moment.

    Attributes:
        draft_id: As its callers name it.
        prefix: What its records lie below.
        parts: The records of its parts, from number 0 on.
        end: What ended it, if anything did.
    """

    draft_id: str
    prefix: str
    parts: tuple[BlobVersion, ...]
    end: BlobVersion | None

    @property
    def size_bytes(self) -> int:
        """How long its parts' records are together."""
        return sum(item.size_bytes for item in self.parts)


class DraftRecords:
    """Reads and adds the records of drafts. Safe to use from many threads."""

    def __init__(self, *, blobs: BlobStore, keyring: Keyring, entropy: Entropy) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._entropy = entropy
        self._locks = tuple(Lock() for _ in range(_LOCKS))
        self._merging = Lock()

    def find(self, keys: DomainKeys, artifact: bytes, draft_id: str) -> StoredDraft:
        """Return what is stored of a draft; often nothing.

        Raises:
            NotFoundError: It has ended: some of its records are gone
                (DRAFT_NOT_FOUND).
            UnavailableError: S3 cannot be reached.
        """
        name = draft_record.draft_name(artifact, draft_id)
        prefix = layout.upload_prefix(keys.scope.domain, keys.name_id("draft", name))
        numbered = {
            layout.upload_key_number(item.key): item
            for item in self._blobs.first_versions(prefix)
        }
        end = numbered.pop(END_NUMBER, None)
        numbered.pop(-1, None)  # no key of ours
        parts = tuple(numbered[number] for number in sorted(numbered))
        if parts and sorted(numbered) != list(range(len(parts))):
            raise _gone(draft_id)
        return StoredDraft(draft_id, prefix, parts, end)

    def add(self, keys: DomainKeys, draft: StoredDraft, record: DraftRecord) -> int:
        """Store a part behind those that are there; return its number.

        Raises:
            PreconditionError: The draft was committed or discarded (DRAFT_CLOSED);
                if that was meanwhile, the part may be in the version all the same.
            NotFoundError: It has ended (DRAFT_NOT_FOUND).
            ExhaustedError: The part, or the draft, is too large (TOO_LARGE); or this
                server has added others for too long (TOO_MANY_CALLS).
            ConflictError: Other servers took every number (UPLOAD_CONFLICT).
            UnavailableError: S3 failed at every attempt.
        """
        with _held(
            self._locks[hash(draft.prefix) % _LOCKS],
            ADD_WAIT_S,
            "the server has added other parts of drafts for too long",
            hint="Put the files again later.",
        ):
            for _ in range(_ATTEMPTS):
                now = self.find(keys, record.artifact, draft.draft_id)
                check_open(now)
                number = len(now.parts)
                data = self._seal(keys, draft.prefix, number, record)
                _check_size(now, len(data))
                if put_numbered(
                    self._blobs, layout.upload_key(draft.prefix, number), data
                ):
                    break
            else:
                raise _contended(draft.draft_id)
        # Behind the record: who ends the draft looks for records behind its end.
        if self._end_of(draft.prefix) is not None:
            raise closed(draft.draft_id)
        return number

    def end(self, keys: DomainKeys, draft: StoredDraft, record: DraftRecord) -> None:
        """End a draft, unless it has ended the same way before.

        Raises:
            PreconditionError: It has ended the other way (DRAFT_CLOSED).
            UnavailableError: S3 failed at every attempt.
        """
        key = layout.upload_key(draft.prefix, END_NUMBER)
        data = self._seal(keys, draft.prefix, END_NUMBER, record)
        if put_numbered(self._blobs, key, data):
            return
        end = self._end_of(draft.prefix)
        if end is None or self.load(keys, end).step is not record.step:
            raise closed(draft.draft_id)

    def read(self, keys: DomainKeys, draft: StoredDraft) -> Iterator[DraftRecord]:
        """Yield a draft's parts, in order.

        Raises:
            NotFoundError: One is gone by now (DRAFT_NOT_FOUND).
            IntegrityError: One is damaged (RECORD_CORRUPT).
        """
        for item in draft.parts:
            try:
                yield self.load(keys, item)
            except BlobNotFoundError as error:
                raise _gone(draft.draft_id) from error

    @contextmanager
    def merging(self, draft: StoredDraft) -> Iterator[None]:
        """Hold the memory that it takes to merge a draft's parts.

        Raises:
            ExhaustedError: Other large drafts hold it for long (TOO_MANY_CALLS).
        """
        if draft.size_bytes <= LARGE_BYTES:
            yield
            return
        with _held(
            self._merging,
            LARGE_WAIT_S,
            "the server has merged other large drafts for too long",
            hint="Commit again later, or push so many files as a tree.",
        ):
            yield

    def load(self, keys: DomainKeys, item: BlobVersion) -> DraftRecord:
        """Return one record of a draft.

        Raises:
            BlobNotFoundError: It is gone.
            IntegrityError: It is damaged (RECORD_CORRUPT).
        """
        data = self._blobs.get(
            item.key, version_id=item.version_id, max_bytes=MAX_RECORD_BYTES
        )
        body = self._keyring.open_object(
            keys, ObjectKind.UPLOAD, item.key, data, max_bytes=MAX_RECORD_BYTES
        )
        number = layout.upload_key_number(item.key)
        return draft_record.parse_draft_record(body, number)

    def _end_of(self, prefix: str) -> BlobVersion | None:
        return first_version(self._blobs, layout.upload_key(prefix, END_NUMBER))

    def _seal(
        self, keys: DomainKeys, prefix: str, number: int, record: DraftRecord
    ) -> bytes:
        return seal_object(
            keys,
            ObjectKind.UPLOAD,
            layout.upload_key(prefix, number),
            draft_record.format_draft_record(record),
            salt=self._entropy.token_bytes(SALT_BYTES),
        )


@contextmanager
def _held(lock: Lock, wait_s: float, problem: str, *, hint: str) -> Iterator[None]:
    """Hold a lock for which nobody waits without an end.

    Raises:
        ExhaustedError: Others held it for too long (TOO_MANY_CALLS).
    """
    if not lock.acquire(timeout=wait_s):
        raise ExhaustedError(
            problem,
            reason=Reason.TOO_MANY_CALLS,
            hint=hint,
            seconds=f"{wait_s:g}",
        )
    try:
        yield
    finally:
        lock.release()


def check_open(draft: StoredDraft) -> None:
    """Check that a draft has not ended.

    Raises:
        PreconditionError: It has (DRAFT_CLOSED).
    """
    if draft.end is not None:
        raise closed(draft.draft_id)


def closed(draft_id: str) -> PreconditionError:
    """Return the error for a draft that was committed or discarded."""
    return PreconditionError(
        f"the draft {draft_id} was committed or discarded",
        reason=Reason.DRAFT_CLOSED,
        hint="Begin a new draft. See `strongroom log` for what was committed.",
        draft_id=draft_id,
    )


def _gone(draft_id: str) -> NotFoundError:
    return NotFoundError(
        f"the draft {draft_id} has ended: nothing came for days, and a sweep took it",
        reason=Reason.DRAFT_NOT_FOUND,
        hint="Begin a new draft, and put every file again.",
        draft_id=draft_id,
    )


def _contended(draft_id: str) -> ConflictError:
    return ConflictError(
        f"other servers wrote to the draft {draft_id} at every attempt",
        reason=Reason.UPLOAD_CONFLICT,
        hint="Put the files again.",
        upload_id=draft_id,
    )


def _check_size(draft: StoredDraft, size_bytes: int) -> None:
    total_bytes = size_bytes + draft.size_bytes
    if size_bytes > MAX_RECORD_BYTES or total_bytes > MAX_DRAFT_BYTES:
        raise ExhaustedError(
            f"the records of the draft {draft.draft_id} would have {total_bytes} "
            f"bytes; at most {MAX_DRAFT_BYTES} can be read at once",
            reason=Reason.TOO_LARGE,
            hint="Push a tree of so many files in place of a draft.",
            draft_id=draft.draft_id,
        )
