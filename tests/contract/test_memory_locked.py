# SPDX-License-Identifier: Apache-2.0
"""The backup bucket in memory keeps the contract, and so do those who try it."""

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.memory_locked import (
    MemoryLockAttempts,
    MemoryLockedBlobs,
    MemorySlotRemover,
)
from strongroom_server.ports import BlobNotFoundError, Lock, LockMode
from tests.contract.blob_store_suite import BlobStoreSuite
from tests.contract.locked_blobs_suite import (
    KEY,
    LockedAsStore,
    LockedBlobsSuite,
    lock_for,
)


class BehindMemory:
    """The bucket, with every right."""

    def __init__(self, bucket: MemoryLockedBlobs) -> None:
        self._bucket = bucket
        self.overwrite = bucket.attack_overwrite
        self.add_delete_marker = bucket.attack_delete_marker

    def delete(self, key: str, version_id: str, *, may_bypass: bool) -> None:
        try:
            self._bucket.attack_delete(key, version_id, may_bypass=may_bypass)
        except PreconditionError as error:
            raise PermissionError(error.message) from error


@pytest.fixture
def bucket() -> MemoryLockedBlobs:
    return MemoryLockedBlobs()


@pytest.fixture
def behind(bucket: MemoryLockedBlobs) -> BehindMemory:
    return BehindMemory(bucket)


class TestMemoryLockedBlobs(LockedBlobsSuite):
    """The suite; its fixtures are those above."""


class TestMemoryLockedAsStore(BlobStoreSuite):
    @pytest.fixture
    def store(self, bucket: MemoryLockedBlobs) -> LockedAsStore:
        return LockedAsStore(bucket)


def test_a_lock_that_is_over_keeps_nothing(bucket: MemoryLockedBlobs) -> None:
    version_id = bucket.put_locked(KEY, b"1", lock=lock_for(bucket, 60))
    bucket.advance(61)

    assert bucket.attack_delete(KEY, version_id)
    assert not bucket.attack_delete(KEY, version_id)


def test_rot_and_loss_ask_no_lock(bucket: MemoryLockedBlobs) -> None:
    version_id = bucket.put_locked(KEY, b"1", lock=lock_for(bucket, 60))

    bucket.rot(KEY, version_id, b"2")
    assert bucket.get(KEY, version_id=version_id, max_bytes=1) == b"2"
    bucket.lose(KEY, version_id)
    with pytest.raises(BlobNotFoundError):
        bucket.get(KEY, version_id=version_id, max_bytes=1)


def test_the_remover_takes_key_slots_and_nothing_else(
    bucket: MemoryLockedBlobs,
) -> None:
    remover = MemorySlotRemover(bucket)
    lock = lock_for(bucket, 60, LockMode.GOVERNANCE)
    slot = bucket.put_locked("keys/d/0.0", b"1", lock=lock)
    pack = bucket.put_locked(KEY, b"1", lock=lock)

    assert remover.remove("keys/d/0.0", version_id=slot)
    assert not remover.remove("keys/d/0.0", version_id=slot)
    with pytest.raises(PreconditionError) as caught:
        remover.remove(KEY, version_id=pack)

    assert caught.value.reason is Reason.STORE_ACCESS_DENIED


def test_a_lock_is_weakened_by_who_may_bypass_governance_alone(
    bucket: MemoryLockedBlobs,
) -> None:
    lock = lock_for(bucket, 60, LockMode.GOVERNANCE)
    version_id = bucket.put_locked(KEY, b"1", lock=lock)
    shorter = Lock(lock.mode, lock.until_s - 30)
    writer = MemoryLockAttempts(bucket)

    with pytest.raises(PreconditionError):
        writer.relock(KEY, version_id=version_id, lock=shorter, may_bypass=True)
    strong = MemoryLockAttempts(bucket, frozenset({"relock", "bypass"}))
    strong.relock(KEY, version_id=version_id, lock=shorter, may_bypass=True)

    assert bucket.lock_of(KEY, version_id=version_id) == shorter
