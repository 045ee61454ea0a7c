# SPDX-License-Identifier: Apache-2.0
"""A backup bucket in memory that obeys its locks, with back doors for an adversary.

What somebody else does in the bucket behind the server's back has a method of its own,
`attack_…`, which no port has. As in S3, anybody may put newer versions and delete
markers over a locked version, and nobody does what its lock forbids.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobRemover,
    BlobVersion,
    Clock,
    Lock,
    LockAttempts,
    LockedBlobs,
    LockMode,
    ReadBuffer,
)

#: 2026-11-01T00:00Z: the time in a bucket that has no clock.
_START_S: Final = 1_793_491_200.0
#: What somebody with the right to bypass governance may remove by default.
_SLOTS: Final = ("keys/", "repairs/objects/keys/")


@dataclass(frozen=True, slots=True)
class _Stored:
    """A version; a delete marker has no data."""

    version_id: str
    data: bytes | None
    modified_s: float
    lock: Lock | None


class MemoryLockedBlobs:
    """A versioned bucket with Object Lock; safe to use from many threads.

    Args:
        clock: Dates what is written; without one, time goes on by `advance` only.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._mutex = threading.RLock()
        self._versions: dict[str, list[_Stored]] = {}
        self._count = 0
        self._clock = clock
        self._advanced_s = 0.0

    def put_locked(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        """See `LockedBlobs`."""
        with self._mutex:
            versions = self._versions.get(key)
            if versions and versions[-1].data is not None:
                raise BlobExistsError(key)
            return self.put_over(key, data, lock=lock)

    def put_over(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        """See `LockedBlobs`."""
        self._check_ahead(lock.until_s)
        return self._add(key, bytes(data), lock)

    def lock_of(self, key: str, *, version_id: str) -> Lock | None:
        """See `LockedBlobs`."""
        return self._find(key, version_id).lock

    def extend(self, key: str, *, version_id: str, until_s: float) -> Lock:
        """See `LockedBlobs`."""
        with self._mutex:
            lock = self._find(key, version_id).lock
            if lock is None or not lock.until_s:
                raise _unsuitable("a version that is to stay locked never was")
            if until_s <= lock.until_s:
                return lock
            self._check_ahead(until_s)
            longer = replace(lock, until_s=until_s)
            self._set_lock(key, version_id, longer)
            return longer

    def set_hold(self, key: str, *, version_id: str, is_held: bool) -> None:
        """See `LockedBlobs`."""
        with self._mutex:
            lock = self._find(key, version_id).lock or Lock(LockMode.GOVERNANCE, 0.0)
            changed = replace(lock, is_held=is_held)
            gone = not changed.until_s and not is_held
            self._set_lock(key, version_id, None if gone else changed)

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `LockedBlobs`."""
        data = self._data(key, version_id)
        if len(data) > max_bytes:
            raise IntegrityError(
                f"a stored object has {len(data)} bytes, more than {max_bytes}",
                reason=Reason.RECORD_CORRUPT,
                size_bytes=len(data),
                max_bytes=max_bytes,
            )
        return data

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `LockedBlobs`."""
        view = buffer.cast("B")
        if not len(view):
            return
        data = self._data(key, version_id)
        if offset_bytes + len(view) > len(data):
            raise BlobNotFoundError(key)
        view[:] = memoryview(data)[offset_bytes : offset_bytes + len(view)]

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `LockedBlobs`."""
        last: BlobVersion | None = None
        for version in self.versions(prefix, start_after=start_after):
            if last is not None and last.key != version.key:
                yield last
            last = version
        if last is not None:
            yield last

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        """See `LockedBlobs`."""
        with self._mutex:
            found = [
                BlobVersion(key, stored.version_id, len(stored.data), stored.modified_s)
                for key, versions in sorted(self._versions.items())
                if key.startswith(prefix) and key > start_after
                for stored in reversed(versions)
                if stored.data is not None
            ]
        yield from found

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `LockedBlobs`."""
        last = ""
        for version in self.first_versions(prefix):
            segment, slash, _ = version.key.removeprefix(prefix).partition("/")
            folder = f"{prefix}{segment}/"
            if slash and folder != last:
                yield folder
                last = folder

    def time_s(self) -> float:
        """See `LockedBlobs`."""
        start_s = _START_S if self._clock is None else self._clock.now().timestamp()
        return start_s + self._advanced_s

    def check_ready(self) -> None:
        """See `LockedBlobs`."""

    def advance(self, seconds: float) -> None:
        """Let the bucket's own clock go on."""
        self._advanced_s += seconds

    def attack_overwrite(self, key: str, data: bytes) -> str:
        """Put a newer version, not locked, over whatever is there; return its id."""
        return self._add(key, data, None)

    def attack_delete_marker(self, key: str) -> str:
        """Do what S3 does on a delete without a version id; return the marker's id."""
        return self._add(key, None, None)

    def attack_delete(
        self, key: str, version_id: str, *, may_bypass: bool = False
    ) -> bool:
        """Remove a version for good unless its lock forbids; say if it was there.

        Raises:
            PreconditionError: Its lock forbids it (STORE_ACCESS_DENIED).
        """
        with self._mutex:
            versions = self._versions.get(key, [])
            for stored in versions:
                if stored.version_id == version_id:
                    self._check_removable(stored, may_bypass=may_bypass)
                    versions.remove(stored)
                    return True
        return False

    def attack_lock(
        self, key: str, version_id: str, lock: Lock, *, may_bypass: bool = False
    ) -> None:
        """Put another lock on a version unless the one that it has forbids.

        Raises:
            PreconditionError: Its lock forbids it (STORE_ACCESS_DENIED).
        """
        with self._mutex:
            stored = self._find(key, version_id)
            had = stored.lock
            weaker = had is not None and (
                lock.until_s < had.until_s or lock.mode is not had.mode
            )
            if weaker:
                self._check_removable(stored, may_bypass=may_bypass)
            self._set_lock(key, version_id, lock)

    def rot(self, key: str, version_id: str, data: bytes) -> None:
        """Change the bytes of a version in place, as bit rot would, lock or not."""
        with self._mutex:
            stored = self._find(key, version_id)
            self._replace(key, version_id, replace(stored, data=data))

    def lose(self, key: str, version_id: str) -> None:
        """Lose a version, lock or not, as a failing disk would."""
        with self._mutex:
            self._versions[key].remove(self._find(key, version_id))

    def objects(self) -> list[tuple[BlobVersion, bytes]]:
        """Return every version of every key, in key order, oldest first."""
        with self._mutex:
            return [
                (
                    BlobVersion(key, item.version_id, len(item.data), item.modified_s),
                    item.data,
                )
                for key, versions in sorted(self._versions.items())
                for item in versions
                if item.data is not None
            ]

    def _add(self, key: str, data: bytes | None, lock: Lock | None) -> str:
        with self._mutex:
            self._count += 1
            version_id = f"b{self._count:08d}"
            stored = _Stored(version_id, data, self.time_s(), lock)
            self._versions.setdefault(key, []).append(stored)
            return version_id

    def _check_removable(self, stored: _Stored, *, may_bypass: bool) -> None:
        lock = stored.lock
        if lock is None:
            return
        bypassed = may_bypass and lock.mode is LockMode.GOVERNANCE
        if lock.is_held or (lock.until_s > self.time_s() and not bypassed):
            raise _refused("DeleteObject", "the version is locked")

    def _check_ahead(self, until_s: float) -> None:
        if until_s <= self.time_s():
            raise _unsuitable("the date of the lock is over")

    def _set_lock(self, key: str, version_id: str, lock: Lock | None) -> None:
        stored = self._find(key, version_id)
        self._replace(key, version_id, replace(stored, lock=lock))

    def _replace(self, key: str, version_id: str, changed: _Stored) -> None:
        self._versions[key] = [
            changed if item.version_id == version_id else item
            for item in self._versions[key]
        ]

    def _data(self, key: str, version_id: str) -> bytes:
        data = self._find(key, version_id).data
        return b"" if data is None else data

    def _find(self, key: str, version_id: str) -> _Stored:
        with self._mutex:
            for stored in self._versions.get(key, ()):
                if stored.version_id == version_id and stored.data is not None:
                    return stored
        raise BlobNotFoundError(key)


class MemorySlotRemover:
    """Removes versions in spite of governance, of keys below some folders only.

    Args:
        bucket: Where they are.
        prefixes: The folders; those of key slots by default.
    """

    def __init__(
        self, bucket: MemoryLockedBlobs, prefixes: tuple[str, ...] = _SLOTS
    ) -> None:
        self._bucket = bucket
        self._prefixes = prefixes

    def remove(self, key: str, *, version_id: str) -> bool:
        """See `BlobRemover`."""
        if not key.startswith(self._prefixes):
            raise _refused("DeleteObject", "the credential may not")
        try:
            self._bucket.lock_of(key, version_id=version_id)
        except BlobNotFoundError:
            return False
        return self._bucket.attack_delete(key, version_id, may_bypass=True)


class MemoryLockAttempts:
    """Tries a credential on a bucket in memory; what it may, is said in `rights`.

    Args:
        bucket: What it is tried on.
        rights: Of `delete`, `hide`, `bypass`, `relock` and `configure`; by default
            what a backup's credential should have.
        prefixes: Where it has them.
    """

    def __init__(
        self,
        bucket: MemoryLockedBlobs,
        rights: frozenset[str] = frozenset({"relock"}),
        prefixes: tuple[str, ...] = ("",),
    ) -> None:
        self._bucket = bucket
        self._rights = rights
        self._prefixes = prefixes

    def delete(
        self, key: str, *, version_id: str = "", may_bypass: bool = False
    ) -> None:
        """See `LockAttempts`."""
        if not version_id:
            self._require("hide", "DeleteObject", key)
            self._bucket.attack_delete_marker(key)
            return
        self._require("delete", "DeleteObject", key)
        may = may_bypass and "bypass" in self._rights
        self._bucket.attack_delete(key, version_id, may_bypass=may)

    def relock(
        self, key: str, *, version_id: str, lock: Lock, may_bypass: bool = False
    ) -> None:
        """See `LockAttempts`."""
        self._require("relock", "PutObjectRetention", key)
        may = may_bypass and "bypass" in self._rights
        self._bucket.attack_lock(key, version_id, lock, may_bypass=may)

    def keep_versions(self) -> None:
        """See `LockAttempts`."""
        self._require("configure", "PutBucketVersioning", "")

    def _require(self, right: str, operation: str, key: str) -> None:
        if right not in self._rights or not key.startswith(self._prefixes):
            raise _refused(operation, "the credential may not")


def _unsuitable(cause: str) -> PreconditionError:
    return PreconditionError(cause, reason=Reason.STORE_UNSUITABLE)


def _refused(operation: str, cause: str) -> PreconditionError:
    return PreconditionError(
        f"S3 refused {operation}: {cause}", reason=Reason.STORE_ACCESS_DENIED
    )


_locked_blobs: type[LockedBlobs] = MemoryLockedBlobs
_lock_attempts: type[LockAttempts] = MemoryLockAttempts
_blob_remover: type[BlobRemover] = MemorySlotRemover
