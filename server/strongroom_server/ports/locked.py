# SPDX-License-Identifier: Apache-2.0
"""The port of the backup bucket: objects that are locked when they are stored."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from strongroom_server.ports.blobs import BlobVersion, ReadBuffer


class LockMode(enum.Enum):
    """Who may remove a version before its date: nobody, or who has a right of its own.

    The values are those of settings and of what a backup says.
    """

    COMPLIANCE = "compliance"
    GOVERNANCE = "governance"


@dataclass(frozen=True, slots=True)
class Lock:
    """How one version is locked.

    Attributes:
        mode: What the date means.
        until_s: Unix seconds, whole; the version cannot be removed before.
        is_held: Whether a legal hold keeps it, whatever the date.
    """

    mode: LockMode
    until_s: float
    is_held: bool = False


class LockedBlobs(Protocol):
    """A bucket whose objects are locked when they are stored, each version on its own.

    Nothing here can remove a version or make its lock end sooner. A lock keeps a
    version, not a key: newer versions and delete markers over it are always possible,
    so what counts is read by its version id. Errors as for `BlobStore`.
    """

    def put_locked(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        """Store `data` under a key without current object, locked; return its version.

        Atomic, as `BlobStore.put_new`: of several concurrent calls one succeeds.

        Raises:
            BlobExistsError: The key has a current object.
            PreconditionError: The date of the lock is over, or the bucket locks
                nothing (STORE_UNSUITABLE).
        """
        ...

    def put_over(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        """Store a newer version over whatever is there, locked; return its version id.

        Only for a key where a comparison showed other bytes.
        """
        ...

    def lock_of(self, key: str, *, version_id: str) -> Lock | None:
        """Return how a version is locked; None if neither a date nor a hold keeps it.

        A date that is over is told as it is. A version under a hold that has no date
        is held until Unix second 0, by governance.

        Raises:
            BlobNotFoundError: There is no such version.
        """
        ...

    def extend(self, key: str, *, version_id: str, until_s: float) -> Lock:
        """Lock a locked version until `until_s` at least; return its lock then.

        A later date that is there stays, as do mode and hold. Repeating it is
        harmless.

        Raises:
            BlobNotFoundError: There is no such version.
            PreconditionError: It was never locked until a date: put it over; or the
                new date is over (STORE_UNSUITABLE).
        """
        ...

    def set_hold(self, key: str, *, version_id: str, is_held: bool) -> None:
        """Hold a version whatever its date, or end that; repeating it is harmless.

        Raises:
            BlobNotFoundError: There is no such version.
            PreconditionError: The credential may not (STORE_ACCESS_DENIED).
        """
        ...

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`.

        Raises:
            IntegrityError: As there; or the bucket answers, and never gives it.
        """
        ...

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`, and `get`."""
        ...

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        ...

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        """Yield every version of every key with `prefix`; delete markers are none.

        In key order, the newest first within a key; otherwise as `first_versions`.
        """
        ...

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `BlobStore`."""
        ...

    def time_s(self) -> float:
        """See `BlobStore`."""
        ...

    def check_ready(self) -> None:
        """See `BlobStore`."""
        ...


class LockAttempts(Protocol):
    """Tries what the credential of backups should be refused.

    Each method returns if it was done, and then the credential may do too much, or
    the bucket does not keep its locks. Errors as for `BlobStore`.

    Raises, from every method, PreconditionError (STORE_ACCESS_DENIED) if it was
    refused, as it should be.
    """

    def delete(
        self, key: str, *, version_id: str = "", may_bypass: bool = False
    ) -> None:
        """Delete a version, in spite of governance if asked; without an id, hide all.

        A version that is not there is deleted, too, by who may delete.
        """
        ...

    def relock(
        self, key: str, *, version_id: str, lock: Lock, may_bypass: bool = False
    ) -> None:
        """Put another lock on a version; its hold is left alone."""
        ...

    def keep_versions(self) -> None:
        """Turn the bucket's versioning on, which is on: changes nothing."""
        ...
