# SPDX-License-Identifier: Apache-2.0
"""Approvals in the bucket: records with dense numbers, sealed, created if absent.

All servers of a store share them. Nothing is ever written over, so an approval's
whole life can be read; and since ids begin with when they expire, a listing that
begins at now passes over all that are done with.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from strongroom.errors import ExhaustedError
from strongroom_server.core import layout
from strongroom_server.core.approval_log import (
    GENESIS,
    MAX_RECORD_BYTES,
    MAX_RECORDS,
    Approval,
    Event,
    Finished,
    Released,
    Requested,
    digest,
    event_body,
    fold,
)
from strongroom_server.core.approvals import first_id, is_id, is_made_id, make_id
from strongroom_server.core.sealing import ObjectKind, object_error, seal_object
from strongroom_server.ports import BlobNotFoundError, BlobStore, BlobVersion
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import put_numbered

#: What encryption adds to a record, and to spare.
_MAX_STORED_BYTES: Final = MAX_RECORD_BYTES + 4096
#: Objects that a listing looks at; honest ones are far fewer.
MAX_SCANNED: Final = 20_000
#: What the key that makes ids is called.
_ID_KEY: Final = "approval-id"


class ApprovalRecords:
    """Reads and adds the records of approvals. Safe to use from many threads."""

    def __init__(self, blobs: BlobStore, keyring: Keyring) -> None:
        self._blobs = blobs
        self._keyring = keyring

    @property
    def store(self) -> str:
        """The store's id, in hex."""
        return self._keyring.store.hex()

    def new_id(self, expire_s: int, random: bytes) -> str:
        """Return an id that a listing of this store looks at."""
        return make_id(expire_s, random, self._id_key())

    def create(self, requested: Requested) -> bool:
        """Write an approval's first record; return False if the id is taken."""
        return self._put(requested.request.approval_id, 0, requested, GENESIS)

    def append(self, approval: Approval, event: Event) -> bool:
        """Write the next record; return False if somebody else wrote one meanwhile.

        Raises:
            ExhaustedError: It has had as many records as one may have; the last
                one is kept for the end of a use.
        """
        name, number = approval.request.approval_id, approval.record_count
        spare = 0 if isinstance(event, Released | Finished) else 1
        if number >= MAX_RECORDS - spare:
            message = f"approval {name} has had {number} records, as many as it may"
            raise ExhaustedError(message, hint="Ask for another one.", approval=name)
        return self._put(name, number, event, approval.head)

    def load(self, approval_id: str) -> Approval | None:
        """Return an approval, or None if there is none.

        Raises:
            IntegrityError: Its records are damaged, or one is gone (RECORD_CORRUPT).
        """
        records, stored_s = [], []
        for number, item in enumerate(self._objects(approval_id)):
            key = layout.approval_key(approval_id, number)
            # A gap is a record that somebody removed: perhaps the one of its use.
            if item.key != key or number >= MAX_RECORDS:
                raise object_error(ObjectKind.APPROVAL)
            try:
                data = self._blobs.get(
                    key, version_id=item.version_id, max_bytes=_MAX_STORED_BYTES
                )
            except BlobNotFoundError as error:
                raise object_error(ObjectKind.APPROVAL) from error
            body = self._keyring.open_object(
                self._keyring.open_store_domain(),
                ObjectKind.APPROVAL,
                key,
                data,
                max_bytes=MAX_RECORD_BYTES,
            )
            records.append((body, digest(data)))
            stored_s.append(item.modified_s)
        if not records:
            return None
        approval = fold(approval_id, records)
        if approval.used is None:
            return approval
        return replace(approval, used_stored_s=stored_s[approval.used_number])

    def store_time_s(self) -> float:
        """Return the time by the store's clock, in Unix seconds, from one call."""
        return self._blobs.time_s()

    def alive(self, now_s: int) -> Iterator[str]:
        """Yield the ids of approvals that expire after now, the first to end first.

        What somebody else put there, under ids that no server made, is passed over.

        Raises:
            ExhaustedError: There is more than anybody could look through.
        """
        last, key = "", self._id_key()
        start = layout.APPROVALS + first_id(now_s + 1)
        found = self._blobs.first_versions(layout.APPROVALS, start_after=start)
        for number, item in enumerate(found):
            if number >= MAX_SCANNED:
                message = f"over {MAX_SCANNED} objects lie below {layout.APPROVALS}"
                raise ExhaustedError(
                    message, hint="Somebody else writes to the bucket: find out who."
                )
            name = item.key.removeprefix(layout.APPROVALS).partition("/")[0]
            if name != last and is_made_id(name, key):
                last = name
                yield name

    def _id_key(self) -> bytes:
        return self._keyring.open_store_domain().object_key(_ID_KEY)

    def _objects(self, approval_id: str) -> Iterator[BlobVersion]:
        # A text that is no id could name anything else in the bucket.
        if is_id(approval_id):
            prefix = layout.approval_prefix(approval_id)
            yield from self._blobs.first_versions(prefix)

    def _put(self, approval_id: str, number: int, event: Event, before: str) -> bool:
        key = layout.approval_key(approval_id, number)
        data = seal_object(
            self._keyring.open_store_domain(),
            ObjectKind.APPROVAL,
            key,
            event_body(event, before),
            salt=self._keyring.salt(),
        )
        return put_numbered(self._blobs, key, data)
