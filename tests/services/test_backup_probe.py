# SPDX-License-Identifier: Apache-2.0
"""The probe of the backup bucket refuses what keeps no locks, and too many rights."""

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.memory_locked import (
    MemoryLockAttempts,
    MemoryLockedBlobs,
)
from strongroom_server.ports import (
    BlobNotFoundError,
    Lock,
    LockAttempts,
    LockMode,
    ReadBuffer,
)
from strongroom_server.services.backup_probe import BackupProbe
from tests.support.clock import ManualClock
from tests.support.entropy import SeededEntropy

SLOTS = ("keys/", "repairs/objects/keys/")
SHREDDER = frozenset({"delete", "bypass"})
WRITER = frozenset({"relock"})


def probe_of(
    bucket: MemoryLockedBlobs,
    attempts: LockAttempts | None = None,
    slot_attempts: LockAttempts | None = None,
    clock: ManualClock | None = None,
) -> BackupProbe:
    return BackupProbe(
        bucket=bucket,
        attempts=attempts or MemoryLockAttempts(bucket),
        slot_attempts=slot_attempts
        or MemoryLockAttempts(bucket, SHREDDER, prefixes=SLOTS),
        mode=LockMode.COMPLIANCE,
        clock=clock or ManualClock(),
        entropy=SeededEntropy(),
    )


def failed(probe: BackupProbe) -> set[str]:
    results = probe.run()
    assert all(result.hint for result in results if not result.ok)
    return {result.check for result in results if not result.ok}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def bucket(clock: ManualClock) -> MemoryLockedBlobs:
    return MemoryLockedBlobs(clock)


def test_a_bucket_that_keeps_its_locks_passes(bucket: MemoryLockedBlobs) -> None:
    probe = probe_of(bucket)

    assert failed(probe) == set()
    probe.require()


def test_what_it_writes_is_below_its_own_folders(bucket: MemoryLockedBlobs) -> None:
    probe_of(bucket).run()

    keys = [version.key for version, _ in bucket.objects()]
    assert keys
    assert all(key.startswith(("probe/", "keys/probe/")) for key in keys)


@pytest.mark.parametrize(
    ("right", "checks"),
    [
        ("bypass", {"backup.bypass"}),
        ("delete", {"backup.delete"}),
        ("hide", {"backup.hide"}),
        ("configure", {"backup.configure"}),
    ],
)
def test_a_right_too_many_is_named(
    bucket: MemoryLockedBlobs, right: str, checks: set[str]
) -> None:
    probe = probe_of(bucket, MemoryLockAttempts(bucket, WRITER | {right}))

    assert failed(probe) == checks
    with pytest.raises(PreconditionError, match=checks.pop()) as caught:
        probe.require()
    assert caught.value.reason is Reason.STORE_UNSUITABLE
    assert "operations.md" in caught.value.hint


@pytest.mark.parametrize(
    ("rights", "prefixes"),
    [
        (SHREDDER, ("",)),
        (frozenset({"delete"}), SLOTS),
        (frozenset[str](), SLOTS),
    ],
)
def test_a_shredder_with_other_rights_is_refused(
    bucket: MemoryLockedBlobs, rights: frozenset[str], prefixes: tuple[str, ...]
) -> None:
    shredder = MemoryLockAttempts(bucket, rights, prefixes=prefixes)

    assert failed(probe_of(bucket, slot_attempts=shredder)) == {"backup.shredder"}


class Forgetful(MemoryLockedBlobs):
    """Takes locks, and forgets them."""

    def put_locked(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        return self.attack_overwrite(key, bytes(data))


class Strict(MemoryLockedBlobs):
    """Takes each lock for one of compliance."""

    def put_locked(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        strict = Lock(LockMode.COMPLIANCE, lock.until_s)
        return super().put_locked(key, data, lock=strict)


class Rewritable(MemoryLockedBlobs):
    """Lets everybody put another lock in place of the one that is there."""

    def attack_lock(
        self, key: str, version_id: str, lock: Lock, *, may_bypass: bool = False
    ) -> None:
        self._set_lock(key, version_id, lock)


class Lossy(MemoryLockedBlobs):
    """Refuses to delete what is locked, and loses it."""

    def attack_delete(
        self, key: str, version_id: str, *, may_bypass: bool = False
    ) -> bool:
        try:
            return super().attack_delete(key, version_id, may_bypass=may_bypass)
        except PreconditionError:
            self.lose(key, version_id)
            raise


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (Forgetful, "backup.lock"),
        (Strict, "backup.shredder"),
        (Rewritable, "backup.lock_shorten"),
    ],
)
def test_a_store_that_does_not_keep_its_word_is_named(
    kind: type[MemoryLockedBlobs], check: str, clock: ManualClock
) -> None:
    assert check in failed(probe_of(kind(clock)))


def test_a_version_that_a_refused_deletion_lost_is_noticed(
    clock: ManualClock,
) -> None:
    bucket = Lossy(clock)
    attempts = MemoryLockAttempts(bucket, WRITER | {"delete"})

    assert "backup.lock_delete" in failed(probe_of(bucket, attempts))
    with pytest.raises(BlobNotFoundError):
        bucket.get("probe/x", version_id="b1", max_bytes=1)


@pytest.mark.parametrize("skew_s", [301, -301])
def test_a_clock_five_minutes_off_is_refused(skew_s: int, clock: ManualClock) -> None:
    bucket = MemoryLockedBlobs(ManualClock(clock.now()))
    bucket.advance(skew_s)
    probe = probe_of(bucket, clock=clock)

    assert failed(probe) == {"backup.clock"}
    with pytest.raises(PreconditionError, match=r"backup\.clock"):
        probe.require()


def test_a_bucket_that_does_not_answer_is_not_called_unsuitable(
    clock: ManualClock,
) -> None:
    class Silent(MemoryLockedBlobs):
        def put_locked(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
            message = "S3 did not complete PutObject: timeout"
            raise UnavailableError(message, reason=Reason.STORE_UNAVAILABLE)

    with pytest.raises(UnavailableError):
        probe_of(Silent(clock)).require()
