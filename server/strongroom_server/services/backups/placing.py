# SPDX-License-Identifier: Apache-2.0
"""Having the backup bucket hold one object, locked: taken over, found, or copied.

What an earlier backup holds is not read again where the store's names, or the version
that it had then, prove that it is the same. Everything else is held against its key
before it is locked away: garbage is never kept as if it were good.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import layout
from strongroom_server.core.inventory import MAX_KNOWN_AS, StoredObject
from strongroom_server.core.stored_objects import entry_place, gone, max_bytes
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobVersion,
    Lock,
    LockedBlobs,
    LockMode,
)
from strongroom_server.repository.copying import CopyItem, read_whole
from strongroom_server.repository.inventory_view import read_object
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.locked_objects import extend_lock, keep_locked
from strongroom_server.repository.mended import MendedPacks
from strongroom_server.repository.repository import Repository
from strongroom_server.services.backups.bases import Bases

#: Versions of one key in the backup bucket that are held against its name.
_MAX_COMPARED: Final = 4
_SLOTS: Final = (layout.KEYS, layout.REPAIRED_OBJECTS + layout.KEYS)

#: By which other ids a version of an object may be pinned.
KnownAs = Callable[[str, str], tuple[str, ...]]


class Judge(Protocol):
    """Says what is right; see `services.store_verification.object_checks`."""

    def judge(self, key: str, data: bytes) -> object:
        """Check bytes against their key.

        Raises:
            IntegrityError: They are not what was stored there.
        """
        ...

    def twins(self, key: str) -> Iterator[bytes]:
        """Yield what else in the store holds the bytes of an object: unchecked."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that the backup is to hold.

    Attributes:
        key: Where it lies, in both buckets.
        listed: Which version readers of the store find; None if it has none.
        row: How an earlier backup has it.
        here: What lies under its key in the backup bucket.
        pins: By which version ids it is pinned.
        sha256: What its bytes must have, in hex; "" if that is not known.
        is_needed: Whether a backup without it would be none.
    """

    key: str
    listed: BlobVersion | None
    row: StoredObject | None = None
    here: tuple[BlobVersion, ...] = ()
    pins: tuple[str, ...] = ()
    sha256: str = ""
    is_needed: bool = True

    @property
    def is_known(self) -> bool:
        """Whether the earlier backup's object is this one, and is there still."""
        row = self.row
        if row is None or not any(
            (item.version_id, item.size_bytes) == (row.version_id, row.size_bytes)
            for item in self.here
        ):
            return False
        if self.sha256:
            return row.sha256 == self.sha256
        if layout.is_named_by_digest(self.key) or self.listed is None:
            return True
        return self.listed.version_id in row.known_as

    @property
    def size_bytes(self) -> int:
        """How long it is, as far as known."""
        if self.listed is not None:
            return self.listed.size_bytes
        return self.row.size_bytes if self.row is not None else 0


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of an object.

    Attributes:
        wanted: Which one.
        row: How it lies in the backup bucket; None if it is left out.
        was_known: Whether an earlier backup had it, and it was not read.
        is_missing: Whether the store has it no more, or not whole, and an earlier
            backup had it.
        copied_bytes: How much was read for it and stored.
        note: What is to be told of it; "" if nothing is.
        was_rotten: Whether it had rotted in the backup bucket, and was copied anew.
    """

    wanted: Wanted
    row: StoredObject | None
    was_known: bool = False
    is_missing: bool = False
    copied_bytes: int = 0
    note: str = ""
    was_rotten: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """Bytes that stand in for those that the store has not whole."""

    data: bytes
    is_missing: bool
    note: str


class Placing:
    """Places the objects of one backup. Safe to use from many threads."""

    def __init__(
        self,
        repository: Repository,
        bucket: LockedBlobs,
        bases: Bases,
        *,
        lock: Lock,
        judge: Judge,
        known_as: KnownAs,
        read_all: bool = False,
        allow_changed: bool = False,
    ) -> None:
        """Place objects.

        Args:
            repository: The store.
            bucket: The backup bucket.
            bases: Earlier backups.
            lock: For everything but key slots, which are locked by governance.
            judge: Holds bytes against their keys.
            known_as: By which other ids a version of the store may be pinned.
            read_all: Whether what earlier backups hold is read back.
            allow_changed: Whether the store may have other bytes under a key than an
                earlier backup: it went back in time, and on from there. Otherwise
                nothing is written twice, so the earlier backup is right.
        """
        self._allow_changed = allow_changed
        self._read_all = read_all
        self._repository = repository
        self._bucket = bucket
        self._bases = bases
        self._lock = lock
        self._known_as = known_as
        self._checks = judge
        self._mended = MendedPacks(repository)

    def lock_of(self, key: str) -> Lock:
        """Return how an object is to be locked: slots so that they can be shredded."""
        return lock_of(key, self._lock)

    def place(self, wanted: Wanted) -> Placed:
        """Have the backup bucket hold an object.

        Raises:
            IntegrityError: It is needed, and nobody has it whole.
            UnavailableError: The store, Vault or the backup bucket cannot be reached.
        """
        row, lock = wanted.row, self.lock_of(wanted.key)
        if row is not None and wanted.is_known:
            if self._read_all and not is_whole(self._bucket, row):
                return self.place_anew(wanted)
            is_missing = wanted.listed is None
            if extend_lock(self._bucket, wanted.key, row.version_id, lock):
                fresh = self._known(wanted, row)
                return Placed(
                    wanted, fresh, was_known=True, is_missing=is_missing,
                    note=f"{wanted.key} is gone from the store, or not whole there: "
                    "an earlier backup has it" if is_missing else "",
                )  # fmt: skip
        return self._find_here(wanted, lock) or self._copy(wanted, lock)

    def place_anew(self, wanted: Wanted) -> Placed:
        """Place an object that has rotted in the backup bucket; errors as `place`."""
        placed = self._copy(wanted, self.lock_of(wanted.key))
        note = f"{wanted.key} had rotted in the backup bucket: copied anew"
        return replace(placed, was_rotten=True, note=placed.note or note)

    def _known(self, wanted: Wanted, row: StoredObject) -> StoredObject:
        known_as = self._ids(wanted, row)
        if known_as == row.known_as:
            return row
        return StoredObject(
            row.key, row.version_id, row.sha256, row.size_bytes, known_as
        )

    def _ids(self, wanted: Wanted, row: StoredObject | None) -> tuple[str, ...]:
        """Return what the store's records call an object, its own id first."""
        own = () if wanted.listed is None else (wanted.listed.version_id,)
        moved = self._known_as(wanted.key, own[0]) if own else ()
        before = row.known_as if row is not None else ()
        found = dict.fromkeys((*own, *moved, *wanted.pins))
        if row is not None and found.keys() <= set(before):
            return before  # So that the page stays the same.
        return tuple(dict.fromkeys((*found, *before)))[:MAX_KNOWN_AS]

    def _find_here(self, wanted: Wanted, lock: Lock) -> Placed | None:
        """Find what an interrupted backup has stored, where its name proves it."""
        if not wanted.sha256 and not layout.is_named_by_digest(wanted.key):
            return None
        limit = max_bytes(wanted.key)
        for item in wanted.here[:_MAX_COMPARED]:
            try:
                data = self._bucket.get(
                    wanted.key, version_id=item.version_id, max_bytes=limit
                )
                self._check(wanted, data)
            except (BlobNotFoundError, IntegrityError):
                continue
            if extend_lock(self._bucket, wanted.key, item.version_id, lock):
                row = self._row(wanted, item.version_id, data)
                is_missing = wanted.listed is None
                return Placed(wanted, row, is_missing=is_missing)
        return None

    def _copy(self, wanted: Wanted, lock: Lock) -> Placed:
        found = _Found(b"", is_missing=False, note="")
        try:
            data = self._read(wanted)
        except IntegrityError as error:
            mended = self._mend(wanted, error)
            if isinstance(mended, Placed):
                return mended
            found, data = mended, mended.data
        kept = keep_locked(self._bucket, wanted.key, data, lock)
        return Placed(
            wanted,
            self._row(wanted, kept.version_id, data),
            is_missing=found.is_missing,
            copied_bytes=len(data),
            note=found.note,
        )

    def _read(self, wanted: Wanted) -> bytes:
        """Return the bytes that readers of the store get; errors as `read_whole`."""
        if wanted.listed is None:
            raise gone(wanted.key)
        item = CopyItem(wanted.key, wanted.listed.version_id, wanted.size_bytes)
        return read_whole(
            self._repository.blobs, item, lambda _, data: self._check(wanted, data)
        )

    def _check(self, wanted: Wanted, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        if wanted.sha256 and digest != wanted.sha256:
            raise IntegrityError(
                f"{wanted.key} has other bytes than the journal's head binds",
                reason=Reason.JOURNAL_CORRUPT,
            )
        row = wanted.row
        if row is not None and digest != row.sha256 and not self._allow_changed:
            raise IntegrityError(
                f"{wanted.key} has other bytes than an earlier backup has",
                reason=Reason.RECORD_CORRUPT,
            )
        self._checks.judge(wanted.key, data)

    def _mend(self, wanted: Wanted, error: IntegrityError) -> _Found | Placed:
        """Return what stands in for what is damaged; or that it is left out."""
        for data, source, is_missing in self._elsewhere(wanted):
            try:
                self._check(wanted, data)
            except IntegrityError:
                continue
            note = f"{wanted.key} is not whole in the store: {source} has it"
            return _Found(data, is_missing, note)
        if self._is_mended(wanted):
            note = f"{wanted.key} is damaged and left out: all of it was mended"
            return Placed(wanted, None, note=note)
        if not wanted.is_needed:
            note = f"{wanted.key} is left out: {error.message}"
            return Placed(wanted, None, note=note)
        raise IntegrityError(
            f"{wanted.key} cannot be backed up: {error.message}, and neither a repair "
            "nor an earlier backup has it whole",
            reason=error.reason,
            hint="Run `strongroom verify --store --repair`; delete the versions that "
            "are lost for good, sweep, and take the backup again.",
            key=wanted.key,
        ) from error

    def _elsewhere(self, wanted: Wanted) -> Iterator[tuple[bytes, str, bool]]:
        """Yield what may be its bytes, who has them, and if the store lost them."""
        blobs, limit = self._repository.blobs, max_bytes(wanted.key)
        for pin in wanted.pins:
            try:
                data = blobs.get(wanted.key, version_id=pin, max_bytes=limit)
            except (BlobNotFoundError, IntegrityError):
                continue
            yield data, "a newer version of it", False
        for data in self._checks.twins(wanted.key):
            yield data, "a repair", False
        if wanted.key.startswith(layout.JOURNALS):
            place = entry_place(wanted.key, self._repository.keyring.store)
            journal = JournalId(place.project, place.artifact)
            remembered = self._repository.journals.remembered(journal, place.number)
            if remembered is not None:
                yield remembered, "this server's index", False
        earlier = self._bases.find(wanted.key)
        if earlier is not None:
            yield earlier, "an earlier backup", True

    def _is_mended(self, wanted: Wanted) -> bool:
        """Return whether it is a damaged pack of which nobody needs what is lost."""
        if wanted.listed is None or not wanted.key.startswith(layout.PACKS):
            return False
        try:
            data = self._repository.blobs.get(
                wanted.key,
                version_id=wanted.listed.version_id,
                max_bytes=max_bytes(wanted.key),
            )
        except (BlobNotFoundError, IntegrityError):
            return False
        return self._mended.is_mended(wanted.key.rpartition("/")[2], data)

    def _row(self, wanted: Wanted, version_id: str, data: bytes) -> StoredObject:
        digest = hashlib.sha256(data).hexdigest()
        known_as = self._ids(wanted, wanted.row)
        return StoredObject(wanted.key, version_id, digest, len(data), known_as)


def lock_of(key: str, lock: Lock) -> Lock:
    """Return how an object of a backup is locked: slots by governance."""
    if key.startswith(_SLOTS):
        return Lock(LockMode.GOVERNANCE, lock.until_s, lock.is_held)
    return lock


def is_whole(bucket: LockedBlobs, row: StoredObject) -> bool:
    """Return whether the backup bucket has exactly the bytes of a row.

    Raises:
        UnavailableError: The bucket cannot be reached.
    """
    try:
        read_object(bucket, row, row.size_bytes)
    except (BlobNotFoundError, IntegrityError):
        return False
    return True
