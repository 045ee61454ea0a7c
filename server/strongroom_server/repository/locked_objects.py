# SPDX-License-Identifier: Apache-2.0
"""Objects of the backup bucket: stored once, locked, and compared before believed.

What lies under a key may be what an earlier attempt stored, or what somebody planted
there. Bytes that are the same are kept, and locked for longer; over others, a newer
version is stored, which is then the one that is named.
"""

from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobVersion,
    Lock,
    LockedBlobs,
    LockMode,
    ReadBuffer,
)

#: Versions of one key that are compared; who plants more only makes us store again.
MAX_COMPARED: Final = 16


@dataclass(frozen=True, slots=True)
class Kept:
    """Where an object lies in the backup bucket.

    Attributes:
        version_id: Of the version that holds the bytes, locked as asked for.
        was_there: Whether it was there before.
    """

    version_id: str
    was_there: bool


def keep_locked(bucket: LockedBlobs, key: str, data: ReadBuffer, lock: Lock) -> Kept:
    """Have a key hold these bytes in a version that is locked so, or for longer.

    Raises:
        UnavailableError: S3 cannot be reached; it may have been stored.
        PreconditionError: The credential may not (STORE_ACCESS_DENIED), or the bucket
            locks nothing (STORE_UNSUITABLE).
    """
    try:
        return Kept(bucket.put_locked(key, data, lock=lock), was_there=False)
    except BlobExistsError:
        found = _find(bucket, key, data, lock)
    if found is not None:
        return Kept(found, was_there=True)
    return Kept(bucket.put_over(key, data, lock=lock), was_there=False)


def extend_lock(bucket: LockedBlobs, key: str, version_id: str, lock: Lock) -> bool:
    """Lock a version so, or for longer; return whether that can be.

    It cannot if the version is gone, was never locked, or is locked by governance
    where compliance is asked for: then its bytes have to be stored again.

    Raises:
        UnavailableError: S3 cannot be reached.
    """
    try:
        found = bucket.extend(key, version_id=version_id, until_s=lock.until_s)
    except BlobNotFoundError:
        return False
    except PreconditionError as error:
        if error.reason is not Reason.STORE_UNSUITABLE:
            raise
        return False
    if found.mode is lock.mode or found.mode is LockMode.COMPLIANCE:
        return not lock.is_held or _hold(bucket, key, version_id)
    return False


def _hold(bucket: LockedBlobs, key: str, version_id: str) -> bool:
    bucket.set_hold(key, version_id=version_id, is_held=True)
    return True


def _find(bucket: LockedBlobs, key: str, data: ReadBuffer, lock: Lock) -> str | None:
    """Return a version of a key that has these bytes and is locked now, if any."""
    compared = 0
    for item in bucket.versions(key):
        if item.key != key or compared == MAX_COMPARED:
            return None
        if item.size_bytes != len(data):
            continue
        compared += 1
        is_same = _is_same(bucket, item, data)
        if is_same and extend_lock(bucket, key, item.version_id, lock):
            return item.version_id
    return None


def _is_same(bucket: LockedBlobs, item: BlobVersion, data: ReadBuffer) -> bool:
    try:
        stored = bucket.get(item.key, version_id=item.version_id, max_bytes=len(data))
    except (BlobNotFoundError, IntegrityError):
        return False
    return stored == data
