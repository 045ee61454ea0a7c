# SPDX-License-Identifier: Apache-2.0
"""The records of backups, in the backup bucket: signed roots, extensions, pages.

Nothing is believed that is not signed by the store's own keys, or named by its digest
in something that is. Objects that others put there are passed over, so that they can
neither hide a backup nor make one up; the worst they do is to take a number.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.core import backup_extension, backup_root, inventory, layout
from strongroom_server.core.backup_extension import Extension, protection
from strongroom_server.core.backup_root import BackupRoot, PageEntry
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.signatures import PublicKey
from strongroom_server.ports import (
    BlobVersion,
    Lock,
    LockedBlobs,
    ReadBuffer,
    Signer,
)
from strongroom_server.repository.inventory_view import read_page
from strongroom_server.repository.locked_objects import keep_locked
from strongroom_server.repository.numbered_blobs import (
    crowded,
    first_free,
    put_numbered,
)
from strongroom_server.repository.signed_extensions import SignedExtensions
from strongroom_server.repository.signed_records import SignedRecords, bare

#: Numbers that are tried if others take them meanwhile.
_MAX_TRIES: Final = 100


@dataclass(frozen=True, slots=True)
class SavedBackup:
    """A backup as its signed records have it.

    Attributes:
        root: What it holds.
        root_digest: SHA-256 of the stored root, in hex.
        protected_until: Until when it is locked, extensions included.
        is_held: Whether a legal hold is on it.
        data: The stored root: what can be checked offline.
        extensions: Those that are signed, in order.
        unread_count: How many more may be extensions of it, and were not read yet:
            too much was planted among them.
    """

    root: BackupRoot
    root_digest: str
    protected_until: datetime
    is_held: bool
    data: bytes = field(repr=False)
    extensions: tuple[Extension, ...] = ()
    unread_count: int = 0

    @property
    def number(self) -> int:
        """Its number."""
        return self.root.number


class BackupRecords:
    """Reads and writes what says what a backup holds. Safe to use from many threads."""

    def __init__(
        self,
        bucket: LockedBlobs,
        signer: Signer,
        store: bytes,
        signed: SignedRecords | None = None,
    ) -> None:
        """`store` is the id of the store that the backups are of; b"" is any.

        `signed` is what knows already what was planted in the bucket.
        """
        self._bucket = bucket
        self._signer = signer
        self._store = store
        self._signed = SignedRecords(bucket) if signed is None else signed
        self._extensions = SignedExtensions(self._signed)

    def numbers(self) -> list[int]:
        """Return the numbers under which something lies, ascending; unchecked.

        Raises:
            UnavailableError: S3 cannot be reached.
        """
        found = []
        for folder in self._bucket.subfolders(layout.BACKUPS):
            place = layout.backup_place(f"{folder}{0:0{layout.NUMBER_DIGITS}d}")
            if place is not None:
                found.append(place[0])
        return sorted(found)

    def load(self, number: int) -> SavedBackup:
        """Return the backup of a number, checked, with its extensions.

        Raises:
            NotFoundError: There is none (BACKUP_NOT_FOUND).
            IntegrityError: What lies there is no root of this store's (RECORD_CORRUPT,
                SIGNATURE_INVALID).
            PreconditionError: Its format is newer than this release
                (FORMAT_UNSUPPORTED), or Vault refuses the public keys
                (KEK_ACCESS_DENIED).
            UnavailableError: S3 or Vault cannot be reached.
        """
        prefix = layout.backup_prefix(number)
        return self._load(number, list(self._bucket.first_versions(prefix)))

    def newest_first(
        self, bad: dict[int, StrongroomError] | None = None
    ) -> Iterator[SavedBackup]:
        """Yield the backups that can be trusted; each is read when it is its turn.

        Args:
            bad: Filled with what is none, by number, and why.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        """
        listed = self._listed()
        for number in sorted(listed, reverse=True):
            try:
                yield self._load(number, listed[number])
            except (NotFoundError, IntegrityError, PreconditionError) as error:
                check_is_of_record(error)
                if bad is not None:
                    bad[number] = bare(error)

    def newest(self) -> SavedBackup | None:
        """Return the newest that can be trusted, if any; errors as `newest_first`."""
        return next(self.newest_first(), None)

    def write_root(
        self,
        root: BackupRoot,
        *,
        lock: Lock,
        after: int | None = None,
        check: Callable[[SavedBackup], None] = lambda _: None,
    ) -> SavedBackup:
        """Sign and store a root; from now on there is this backup.

        Args:
            root: What it holds; its number, and which came before, are decided here.
            lock: As the root says of every object.
            after: The number of the newest backup when this one began.
            check: Called with each that came since; what it raises ends it.

        Raises:
            IntegrityError: It says what no root can say (RECORD_CORRUPT).
            ExhaustedError: It is too long (TOO_LARGE).
            UnavailableError: S3 or Vault failed; it may have been stored.
        """
        bucket = _Locking(self._bucket, lock)
        tried = 0
        for _ in range(_MAX_TRIES):
            taken = self.numbers()  # Before the look: what comes later fails the put.
            newest: SavedBackup | None = None
            for saved in self.newest_first():
                newest = newest or saved
                if after is None or saved.number <= after:
                    break
                check(saved)
            number = first_free(max(tried, newest.number if newest else 0), taken)
            fresh = replace(
                root, number=number, previous=newest.root_digest if newest else ""
            )
            payload = backup_root.format_root(fresh)
            signatures = self._signer.sign(backup_root.signing_input(payload))
            data = backup_root.seal_root(payload, signatures)
            if put_numbered(bucket, layout.backup_key(number), data):
                return _saved(fresh, data, ())
            tried = number
        raise crowded(layout.BACKUPS, _MAX_TRIES)

    def write_extension(
        self,
        saved: SavedBackup,
        *,
        protected_until: datetime,
        held: bool | None,
        create_time: datetime,
        lock: Lock,
    ) -> SavedBackup:
        """Sign and store that all of a backup is locked for longer, or held; return it.

        Args:
            saved: The backup, whose objects are locked so by now.
            protected_until: Whole seconds. An earlier date than now changes nothing.
            held: Whether they are held now; None leaves that as it is.
            create_time: Now.
            lock: For the record itself.

        Raises:
            UnavailableError: S3 or Vault failed; it may have been stored.
        """
        bucket = _Locking(self._bucket, lock)
        number = saved.extensions[-1].extension if saved.extensions else 0
        for _ in range(_MAX_TRIES):
            items = self._bucket.first_versions(layout.backup_prefix(saved.number))
            places = (layout.backup_place(item.key) for item in items)
            number = first_free(number, (place[1] for place in places if place))
            extension = Extension(
                self._store,
                saved.number,
                saved.root_digest,
                number,
                max(protected_until, saved.protected_until),
                create_time,
                held,
            )
            payload = backup_extension.format_extension(extension)
            signatures = self._signer.sign(backup_extension.signing_input(payload))
            data = backup_extension.seal_extension(payload, signatures)
            if put_numbered(bucket, layout.backup_key(saved.number, number), data):
                return _with(self.load(saved.number), extension)
        raise crowded(layout.backup_prefix(saved.number), _MAX_TRIES)

    def write_page(self, rows: Sequence[StoredObject], lock: Lock) -> PageEntry:
        """Have the bucket hold a page of an inventory, locked so or for longer.

        Raises:
            IntegrityError: They can be no page (RECORD_CORRUPT).
            UnavailableError: S3 cannot be reached; it may have been stored.
        """
        data = inventory.encode_page(rows)
        digest = inventory.digest_of(data)
        kept = keep_locked(self._bucket, layout.backup_page_key(digest), data, lock)
        return PageEntry(digest, kept.version_id, rows[0].key, len(rows), len(data))

    def read_page(self, page: PageEntry) -> tuple[StoredObject, ...]:
        """Return the rows of a page that a root names; errors as there."""
        return read_page(self._bucket, page)

    def rows(self, root: BackupRoot) -> Iterator[StoredObject]:
        """Yield all that a backup holds, in order of key. Errors as `read_page`."""
        last = ""
        for page in root.pages:
            for row in self.read_page(page):
                if row.key <= last:
                    raise inventory.inventory_error(f"page {page.sha256}")
                last = row.key
                yield row

    def _listed(self) -> dict[int, list[BlobVersion]]:
        """Return roots and extensions by number, as they are listed; unchecked."""
        found: dict[int, list[BlobVersion]] = {}
        for item in self._bucket.first_versions(layout.BACKUPS):
            if item.key >= layout.BACKUP_PAGES:
                break
            place = layout.backup_place(item.key)
            if place is not None:
                found.setdefault(place[0], []).append(item)
        return found

    def _load(self, number: int, items: Sequence[BlobVersion]) -> SavedBackup:
        """Return the backup whose records were listed; errors as `load`."""
        root_key = layout.backup_key(number)
        places = {item.key: item for item in items}
        if root_key not in places:
            raise _not_found(number)
        keys = self._signer.public_keys()
        refusal = self._signed.refusal(places[root_key], keys)
        if refusal is not None:
            raise refusal
        data, root = self._signed.read(
            places[root_key], keys, backup_root.MAX_ROOT_BYTES, self._root_at(number)
        )
        digest = hashlib.sha256(data).hexdigest()
        found, unread_count = self._extensions.read(items, root, digest, keys)
        return replace(_saved(root, data, found), unread_count=unread_count)

    def _root_at(
        self, number: int
    ) -> Callable[[bytes, Mapping[str, PublicKey]], BackupRoot]:
        """Return what verifies a root that lies under a number."""

        def verify(data: bytes, keys: Mapping[str, PublicKey]) -> BackupRoot:
            root = backup_root.verify_root(data, keys)
            if root.store != (self._store or root.store) or root.number != number:
                raise backup_root.root_error()
            return root

        return verify


class _Locking:
    """The backup bucket, for records with numbers: each is locked when it is put."""

    def __init__(self, bucket: LockedBlobs, lock: Lock) -> None:
        self._bucket = bucket
        self._lock = lock

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See `NumberedBlobs`."""
        return self._bucket.put_locked(key, data, lock=self._lock)

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `NumberedBlobs`."""
        return self._bucket.get(key, version_id=version_id, max_bytes=max_bytes)

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `NumberedBlobs`."""
        return self._bucket.first_versions(prefix, start_after=start_after)


def _with(saved: SavedBackup, extension: Extension) -> SavedBackup:
    """Return a backup with an extension of it, read or not."""
    if extension in saved.extensions:
        return saved
    extensions = sorted((*saved.extensions, extension), key=lambda one: one.extension)
    fresh = _saved(saved.root, saved.data, tuple(extensions))
    return replace(fresh, unread_count=saved.unread_count)


def _saved(
    root: BackupRoot, data: bytes, extensions: tuple[Extension, ...]
) -> SavedBackup:
    until, is_held = protection(root, extensions)
    digest = hashlib.sha256(data).hexdigest()
    return SavedBackup(root, digest, until, is_held, data, extensions)


def check_is_of_record(error: StrongroomError) -> None:
    """Check that it is a record that cannot be read, and not Vault that refuses."""
    is_newer = error.reason is Reason.FORMAT_UNSUPPORTED
    if isinstance(error, PreconditionError) and not is_newer:
        raise error


def _not_found(number: int) -> NotFoundError:
    return NotFoundError(
        f"there is no backup {number}",
        reason=Reason.BACKUP_NOT_FOUND,
        hint="`strongroom backup ls` shows those that there are.",
        backup=number,
    )
