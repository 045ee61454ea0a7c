# SPDX-License-Identifier: Apache-2.0
"""What every `LockedBlobs` must do, whoever makes it.

A subclass gives two fixtures: `bucket`, empty and for this test alone, and `behind`,
which does to the same keys what somebody with every right in the bucket could.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Lock,
    LockedBlobs,
    LockMode,
    ReadBuffer,
)

KEY = "packs/ab/1"
RACES = 20


class BehindLocks(Protocol):
    """The bucket, behind our back; with the right to bypass governance."""

    def overwrite(self, key: str, data: bytes) -> str: ...

    def add_delete_marker(self, key: str) -> str: ...

    def delete(self, key: str, version_id: str, *, may_bypass: bool) -> None:
        """Delete a version; PermissionError if it is refused."""


def lock_for(
    bucket: LockedBlobs,
    seconds: int,
    mode: LockMode = LockMode.COMPLIANCE,
    *,
    is_held: bool = False,
) -> Lock:
    return Lock(mode, float(int(bucket.time_s()) + seconds), is_held)


class LockedAsStore:
    """A backup bucket as the store that its reading half is; what it puts is locked."""

    def __init__(self, bucket: LockedBlobs) -> None:
        self._bucket = bucket
        self.get = bucket.get
        self.read_into = bucket.read_into
        self.subfolders = bucket.subfolders
        self.time_s = bucket.time_s
        self.check_ready = bucket.check_ready

    def put_new(self, key: str, data: ReadBuffer) -> str:
        return self._bucket.put_locked(key, data, lock=lock_for(self._bucket, 60))

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        return self._bucket.first_versions(prefix, start_after=start_after)


_store: type[BlobStore] = LockedAsStore


class LockedBlobsSuite:
    """The contract of `strongroom_server.ports.LockedBlobs`, as tests."""

    @pytest.mark.parametrize("mode", LockMode)
    def test_what_is_put_is_locked_as_was_asked(
        self, bucket: LockedBlobs, mode: LockMode
    ) -> None:
        lock = lock_for(bucket, 60, mode)

        version_id = bucket.put_locked(KEY, b"first", lock=lock)

        assert bucket.lock_of(KEY, version_id=version_id) == lock
        assert bucket.get(KEY, version_id=version_id, max_bytes=5) == b"first"

    def test_what_is_put_under_a_hold_is_held(self, bucket: LockedBlobs) -> None:
        lock = lock_for(bucket, 60, is_held=True)

        version_id = bucket.put_locked(KEY, b"first", lock=lock)

        assert bucket.lock_of(KEY, version_id=version_id) == lock

    def test_a_key_that_is_taken_is_refused(self, bucket: LockedBlobs) -> None:
        lock = lock_for(bucket, 60)
        first = bucket.put_locked(KEY, b"first", lock=lock)

        with pytest.raises(BlobExistsError):
            bucket.put_locked(KEY, b"second", lock=lock)

        assert [item.version_id for item in bucket.versions("")] == [first]

    def test_what_is_put_over_leaves_what_was_there(self, bucket: LockedBlobs) -> None:
        lock = lock_for(bucket, 60)
        first = bucket.put_locked(KEY, b"first", lock=lock)

        second = bucket.put_over(KEY, b"second", lock=lock)

        assert bucket.get(KEY, version_id=first, max_bytes=9) == b"first"
        assert bucket.get(KEY, version_id=second, max_bytes=9) == b"second"
        assert bucket.lock_of(KEY, version_id=second) == lock
        assert [item.version_id for item in bucket.versions("")] == [second, first]
        assert [item.version_id for item in bucket.first_versions("")] == [first]

    def test_every_version_is_listed_but_no_delete_marker(
        self, bucket: LockedBlobs, behind: BehindLocks
    ) -> None:
        lock = lock_for(bucket, 60)
        first = bucket.put_locked("packs/ab/1", b"1", lock=lock)
        behind.add_delete_marker("packs/ab/1")
        second = bucket.put_locked("packs/ab/1", b"22", lock=lock)
        behind.add_delete_marker("packs/ab/1")
        other = bucket.put_locked("packs/ab/2", b"333", lock=lock)

        listed = list(bucket.versions("packs/"))

        assert [(item.key, item.version_id, item.size_bytes) for item in listed] == [
            ("packs/ab/1", second, 2),
            ("packs/ab/1", first, 1),
            ("packs/ab/2", other, 3),
        ]
        rest = bucket.versions("packs/", start_after="packs/ab/1")
        assert [item.version_id for item in rest] == [other]

    @pytest.mark.parametrize("mode", LockMode)
    def test_a_lock_is_extended_and_keeps_its_mode(
        self, bucket: LockedBlobs, mode: LockMode
    ) -> None:
        lock = lock_for(bucket, 60, mode)
        version_id = bucket.put_locked(KEY, b"first", lock=lock)

        longer = bucket.extend(KEY, version_id=version_id, until_s=lock.until_s + 60)

        assert longer == Lock(mode, lock.until_s + 60)
        assert bucket.lock_of(KEY, version_id=version_id) == longer
        assert bucket.get(KEY, version_id=version_id, max_bytes=5) == b"first"

    def test_a_later_date_stays(self, bucket: LockedBlobs) -> None:
        lock = lock_for(bucket, 120)
        version_id = bucket.put_locked(KEY, b"first", lock=lock)

        kept = bucket.extend(KEY, version_id=version_id, until_s=lock.until_s - 60)

        assert kept == lock
        assert bucket.lock_of(KEY, version_id=version_id) == lock

    def test_a_hold_outlives_an_extension(self, bucket: LockedBlobs) -> None:
        lock = lock_for(bucket, 60, is_held=True)
        version_id = bucket.put_locked(KEY, b"first", lock=lock)

        bucket.extend(KEY, version_id=version_id, until_s=lock.until_s + 60)

        held = Lock(lock.mode, lock.until_s + 60, is_held=True)
        assert bucket.lock_of(KEY, version_id=version_id) == held

    def test_an_extension_and_a_hold_at_once_both_count(
        self, bucket: LockedBlobs
    ) -> None:
        lock = lock_for(bucket, 60)
        keys = [f"packs/ab/{number}" for number in range(RACES)]
        version_ids = [bucket.put_locked(key, b"1", lock=lock) for key in keys]
        barrier = threading.Barrier(3)

        def extend(key: str, version_id: str, seconds: int) -> None:
            barrier.wait(timeout=30)
            until_s = lock.until_s + seconds
            seen = bucket.extend(key, version_id=version_id, until_s=until_s)
            assert seen.until_s >= until_s

        def hold(key: str, version_id: str) -> None:
            barrier.wait(timeout=30)
            bucket.set_hold(key, version_id=version_id, is_held=True)

        with ThreadPoolExecutor(3) as pool:
            for place in zip(keys, version_ids, strict=True):
                futures = [
                    pool.submit(extend, *place, 60),
                    pool.submit(extend, *place, 30),
                    pool.submit(hold, *place),
                ]
                for future in futures:
                    future.result()

        expected = Lock(lock.mode, lock.until_s + 60, is_held=True)
        for key, version_id in zip(keys, version_ids, strict=True):
            assert bucket.lock_of(key, version_id=version_id) == expected

    def test_what_was_never_locked_is_not_extended(
        self, bucket: LockedBlobs, behind: BehindLocks
    ) -> None:
        version_id = behind.overwrite(KEY, b"squatter")

        assert bucket.lock_of(KEY, version_id=version_id) is None
        with pytest.raises(PreconditionError) as caught:
            bucket.extend(KEY, version_id=version_id, until_s=bucket.time_s() + 60)

        assert caught.value.reason is Reason.STORE_UNSUITABLE

    def test_a_hold_comes_and_goes(self, bucket: LockedBlobs) -> None:
        lock = lock_for(bucket, 60)
        version_id = bucket.put_locked(KEY, b"first", lock=lock)

        for _ in range(2):
            bucket.set_hold(KEY, version_id=version_id, is_held=True)
        held = bucket.lock_of(KEY, version_id=version_id)
        for _ in range(2):
            bucket.set_hold(KEY, version_id=version_id, is_held=False)

        assert held == Lock(lock.mode, lock.until_s, is_held=True)
        assert bucket.lock_of(KEY, version_id=version_id) == lock

    def test_a_hold_needs_no_date(
        self, bucket: LockedBlobs, behind: BehindLocks
    ) -> None:
        version_id = behind.overwrite(KEY, b"squatter")

        bucket.set_hold(KEY, version_id=version_id, is_held=True)

        held = Lock(LockMode.GOVERNANCE, 0.0, is_held=True)
        assert bucket.lock_of(KEY, version_id=version_id) == held
        with pytest.raises(PermissionError):
            behind.delete(KEY, version_id, may_bypass=True)
        bucket.set_hold(KEY, version_id=version_id, is_held=False)
        assert bucket.lock_of(KEY, version_id=version_id) is None

    def test_a_version_that_is_not_there_is_told(self, bucket: LockedBlobs) -> None:
        lock = lock_for(bucket, 60)
        version_id = bucket.put_locked(KEY, b"first", lock=lock)
        late_s = lock.until_s + 60

        with pytest.raises(BlobNotFoundError):
            bucket.lock_of("packs/ab/2", version_id=version_id)
        with pytest.raises(BlobNotFoundError):
            bucket.extend("packs/ab/2", version_id=version_id, until_s=late_s)
        with pytest.raises(BlobNotFoundError):
            bucket.set_hold("packs/ab/2", version_id=version_id, is_held=True)

    def test_a_date_that_is_over_locks_nothing(self, bucket: LockedBlobs) -> None:
        for put in (bucket.put_locked, bucket.put_over):
            with pytest.raises(PreconditionError) as caught:
                put(KEY, b"first", lock=lock_for(bucket, -60))
            assert caught.value.reason is Reason.STORE_UNSUITABLE

        assert list(bucket.versions("")) == []

    @pytest.mark.parametrize("mode", LockMode)
    def test_a_locked_version_cannot_be_deleted(
        self, bucket: LockedBlobs, behind: BehindLocks, mode: LockMode
    ) -> None:
        version_id = bucket.put_locked(KEY, b"1", lock=lock_for(bucket, 60, mode))

        with pytest.raises(PermissionError):
            behind.delete(KEY, version_id, may_bypass=False)

        assert bucket.get(KEY, version_id=version_id, max_bytes=1) == b"1"

    def test_only_governance_can_be_bypassed(
        self, bucket: LockedBlobs, behind: BehindLocks
    ) -> None:
        strict = bucket.put_locked(KEY, b"1", lock=lock_for(bucket, 60))
        lock = lock_for(bucket, 60, LockMode.GOVERNANCE)
        lax = bucket.put_over(KEY, b"2", lock=lock)
        held = bucket.put_over(KEY, b"3", lock=Lock(lock.mode, lock.until_s, True))  # noqa: FBT003

        behind.delete(KEY, lax, may_bypass=True)
        for version_id in (strict, held):
            with pytest.raises(PermissionError):
                behind.delete(KEY, version_id, may_bypass=True)

        assert [item.version_id for item in bucket.versions("")] == [held, strict]
