# SPDX-License-Identifier: Apache-2.0
"""The probe of the backup bucket: that it keeps its locks, and who might break them.

A lock is worth what the store makes of it, and a credential that could delete is
stolen with the server. Each check makes real requests, those that must be refused
too. What is proven is what a backup rests on: it is refused where a check fails.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core import layout
from strongroom_server.core.records import CheckResult
from strongroom_server.ports import (
    Clock,
    Entropy,
    Lock,
    LockAttempts,
    LockedBlobs,
    LockMode,
)
from strongroom_server.repository.probing import Check, run_checks, unsuitable

#: What a probe writes where key slots lie, for what only the shredder's credential may.
SLOT_PREFIX: Final = f"{layout.KEYS}{layout.PROBE}"
#: How long what a run wrote stays locked, from the bucket's own time on.
_LOCK_S: Final = 300
_LONGER_S: Final = 60
#: Locks begin at the bucket's time and are planned by ours.
MAX_SKEW_S: Final = 300.0

_CREDENTIAL: Final = (
    "Take the right away from the credential: docs/operations.md has its policy."
)
_OTHER_STORE: Final = "Use a store with Object Lock that passes."


class BackupProbe:
    """Proves what backups rely on. Writes below `probe/` of their bucket only."""

    def __init__(
        self,
        *,
        bucket: LockedBlobs,
        attempts: LockAttempts,
        slot_attempts: LockAttempts | None = None,
        mode: LockMode,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """Say what is probed.

        Args:
            bucket: The backup bucket.
            attempts: With the same credential as `bucket`.
            slot_attempts: With that of the backup shredder; None if there is none.
            mode: How objects are to be locked.
            clock: Ours.
            entropy: For names.
        """
        self._bucket = bucket
        self._attempts = attempts
        self._slot_attempts = slot_attempts
        self._mode = mode
        self._clock = clock
        self._entropy = entropy

    def run(self) -> tuple[CheckResult, ...]:
        """Run every check; a failed one does not stop the others."""
        return tuple(result for result, _ in self._results())

    def require(self) -> None:
        """Check that the bucket keeps its locks, and that we could not break them.

        Raises:
            PreconditionError: One of it is not so; names the check
                (STORE_UNSUITABLE).
            UnavailableError: The bucket cannot be asked (STORE_UNAVAILABLE).
        """
        for result, cause in self._results():
            if isinstance(cause, UnavailableError):
                raise cause
            if not result.ok:
                raise PreconditionError(
                    f"the backup bucket fails check {result.check}: {result.detail}",
                    reason=Reason.STORE_UNSUITABLE,
                    hint=result.hint,
                    check=result.check,
                )

    def _results(self) -> Iterator[tuple[CheckResult, StrongroomError | None]]:
        checks: list[Check] = [
            ("backup.clock", self._clock_agrees, "Mend the clock that is wrong (NTP)."),
            ("backup.lock", self._locks, _OTHER_STORE),
            ("backup.lock_extend", self._extends, _OTHER_STORE),
            ("backup.lock_shorten", self._keeps_dates, _OTHER_STORE),
            ("backup.lock_delete", self._keeps_locked, _OTHER_STORE),
            ("backup.bypass", self._cannot_bypass, _CREDENTIAL),
            ("backup.delete", self._cannot_delete, _CREDENTIAL),
            ("backup.hide", self._cannot_hide, _CREDENTIAL),
            ("backup.configure", self._cannot_configure, _CREDENTIAL),
        ]
        if self._slot_attempts is not None:
            shredder = partial(self._removes_slots_only, self._slot_attempts)
            checks.append(("backup.shredder", shredder, _CREDENTIAL))
        return run_checks(checks, self._entropy)

    def _clock_agrees(self, _key: str) -> str:
        skew_s = self._bucket.time_s() - self._clock.now().timestamp()
        if abs(skew_s) > MAX_SKEW_S:
            raise unsuitable(
                f"its clock is {abs(skew_s):.0f} seconds "
                f"{'ahead of' if skew_s > 0 else 'behind'} this server's"
            )
        return f"its clock and this server's are {abs(skew_s):.1f} seconds apart"

    def _locks(self, key: str) -> str:
        lock = self._lock(self._mode)
        version_id = self._bucket.put_locked(key, b"1", lock=lock)
        found = self._bucket.lock_of(key, version_id=version_id)
        if found != lock:
            raise unsuitable(
                f"a write that was to be {_told(lock)} is {_told(found)}"
                + ("" if found is None else ", or until another date")
            )
        return f"a write is {_told(lock)}"

    def _extends(self, key: str) -> str:
        lock, version_id = self._put(key, self._mode)
        until_s = lock.until_s + _LONGER_S
        self._bucket.extend(key, version_id=version_id, until_s=until_s)
        found = self._bucket.lock_of(key, version_id=version_id)
        if found is None or found.until_s != until_s or found.mode is not lock.mode:
            raise unsuitable(f"a lock that was extended is {_told(found)}")
        return "a lock can be extended"

    def _keeps_dates(self, key: str) -> str:
        for mode in LockMode:
            lock, version_id = self._put(f"{key}/{mode.value}", mode)
            shorter = replace(lock, until_s=lock.until_s - _LONGER_S)
            relock = partial(self._attempts.relock, f"{key}/{mode.value}")
            self._refused(
                partial(relock, version_id=version_id, lock=shorter),
                f"a lock of mode {mode.value} can be shortened",
            )
        place = f"{key}/weaker"
        lock, version_id = self._put(place, LockMode.COMPLIANCE)
        weaker = replace(lock, mode=LockMode.GOVERNANCE)
        self._refused(
            lambda: self._attempts.relock(place, version_id=version_id, lock=weaker),
            "compliance can be turned into governance",
        )
        return "a lock can be neither shortened nor weakened"

    def _keeps_locked(self, key: str) -> str:
        for mode in LockMode:
            where = f"{key}/{mode.value}"
            _, version_id = self._put(where, mode)
            self._refused(
                partial(self._attempts.delete, where, version_id=version_id),
                f"a version that is locked by {mode.value} can be deleted",
            )
            self._bucket.get(where, version_id=version_id, max_bytes=1)
        return "a locked version cannot be deleted"

    def _cannot_bypass(self, key: str) -> str:
        lock, version_id = self._put(key, LockMode.GOVERNANCE)
        shorter = replace(lock, until_s=lock.until_s - _LONGER_S)
        self._refused(
            lambda: self._attempts.relock(
                key, version_id=version_id, lock=shorter, may_bypass=True
            ),
            "the credential may bypass governance, and shorten what it locks",
        )
        self._refused(
            lambda: self._attempts.delete(key, version_id=version_id, may_bypass=True),
            "the credential may bypass governance, and delete what it locks",
        )
        return "the credential may not bypass governance"

    def _cannot_delete(self, key: str) -> str:
        # Who may delete is told that something was deleted that never was there.
        _, version_id = self._put(f"{key}/other", self._mode)
        self._refused(
            lambda: self._attempts.delete(f"{key}/none", version_id=version_id),
            "the credential may delete versions whose locks are over",
        )
        return "the credential may not delete versions"

    def _cannot_hide(self, key: str) -> str:
        self._refused(
            lambda: self._attempts.delete(key),
            "the credential may hide objects under delete markers",
        )
        return "the credential may not hide objects"

    def _cannot_configure(self, _key: str) -> str:
        self._refused(
            self._attempts.keep_versions,
            "the credential may change the bucket's versioning",
        )
        return "the credential may not change the bucket's versioning"

    def _removes_slots_only(self, shredder: LockAttempts, key: str) -> str:
        slot = f"{SLOT_PREFIX}{key.removeprefix(layout.PROBE)}"
        places = {
            f"{slot}/{LockMode.COMPLIANCE.value}": LockMode.COMPLIANCE,
            key: LockMode.GOVERNANCE,
        }
        # Here at last a lock stands against somebody who may delete.
        for place, mode in places.items():
            _, version_id = self._put(place, mode)
            self._refused(
                partial(shredder.delete, place, version_id=version_id, may_bypass=True),
                "the shredder's credential may delete what is no key slot, or is "
                "locked by compliance",
            )
        place = f"{slot}/{LockMode.GOVERNANCE.value}"
        _, version_id = self._put(place, LockMode.GOVERNANCE)
        self._refused(
            lambda: shredder.delete(place, version_id=version_id),
            "a version that is locked by governance can be deleted like any other",
        )
        shredder.delete(place, version_id=version_id, may_bypass=True)
        return "the shredder's credential may delete key slots, and nothing else"

    def _put(self, key: str, mode: LockMode) -> tuple[Lock, str]:
        lock = self._lock(mode)
        return lock, self._bucket.put_locked(key, b"1", lock=lock)

    def _lock(self, mode: LockMode) -> Lock:
        return Lock(mode, float(int(self._bucket.time_s()) + _LOCK_S))

    def _refused(self, attempt: Callable[[], None], problem: str) -> None:
        """Check that what is attempted is refused.

        Raises:
            PreconditionError: It was not (STORE_UNSUITABLE), or for another reason.
        """
        try:
            attempt()
        except PreconditionError as error:
            if error.reason is Reason.STORE_ACCESS_DENIED:
                return
            raise
        raise unsuitable(problem)


def _told(lock: Lock | None) -> str:
    return "not locked" if lock is None else f"locked by {lock.mode.value}"
