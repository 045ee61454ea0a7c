# SPDX-License-Identifier: Apache-2.0
"""Backups by the clock, and alarms: late ones, and ones that end soon.

Any server may take one; a lease keeps the others from doing the same at the same time.
If two do so all the same, both are right.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar

from strongroom.errors import (
    CancelledError,
    InternalError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.ports import Clock
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.repository.leases import Lease, Leases
from strongroom_server.services.backups.backups import Backups
from strongroom_server.services.backups.results import TakenBackup
from strongroom_server.services.backups.taking import MAX_SKEW_S, Asked

#: Between two looks at which backups there are.
LOOK_S: Final = 60.0
#: Before a backup that failed is tried again.
RETRY_S: Final = 600.0
#: For how long others wait for a server that died while it took one.
LEASE_S: Final = 900
LEASE: Final = "backup"
ACTION: Final = "backup.create"

_LOG: Final = logging.getLogger("strongroom_server.backups")


class Run(Protocol):
    """One run in the audit log; see `services.auditing.own_runs`."""

    @property
    def trace_id(self) -> str:
        """As a call's."""
        ...

    @property
    def audit_id(self) -> str:
        """Of the entry that was written before anything happened."""
        ...

    @property
    def detail(self) -> MutableMapping[str, str]:
        """What the last entry says beside."""
        ...


RunT = TypeVar("RunT", bound=Run)


class RunLog(Protocol[RunT]):
    """Where it is recorded what a server does by itself."""

    def begin(self, action: str) -> RunT:
        """Write that a run begins.

        Raises:
            UnavailableError: It cannot be made durable (AUDIT_UNAVAILABLE).
        """
        ...

    def end(self, run: RunT, failure: StrongroomError | None = None) -> None:
        """Write what has become of a run; errors as `begin`."""
        ...


class BackupSchedule(Generic[RunT]):
    """Looks every minute, and takes a backup when one is due. One thread's."""

    def __init__(
        self,
        backups: Backups,
        leases: Leases,
        own_runs: RunLog[RunT],
        *,
        clock: Clock,
        interval_s: float = LOOK_S,
    ) -> None:
        self._backups = backups
        self._leases = leases
        self._own_runs = own_runs
        self._clock = clock
        self._interval_s = interval_s
        self._begin_s = clock.monotonic()
        self._seen_s = self._begin_s
        self._stop = threading.Event()
        #: Why the last look, and the last run, failed.
        self._look_failure: StrongroomError | None = None
        self._run_failure: StrongroomError | None = None
        self._failed_s = self._begin_s
        #: How much that is none of ours was told.
        self._planted_told = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look and take backups in a thread for as long as the context lasts."""
        thread = threading.Thread(target=self._run, name="backups", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            # Daemon: a bucket that hangs must not keep a server from ending.
            thread.join(self._interval_s)

    def tick(self) -> None:
        """Look once; take a backup if one is due and nobody else takes it."""
        try:
            self._backups.look()
            self._look_failure = None
            self._seen_s = self._clock.monotonic()
            self._tell_planted()
            if self._newest() and self.age_s() < self._seen_s - self._failed_s:
                self._run_failure = None  # Somebody has taken one since.
            if self._is_due():
                with self._leases.hold(LEASE, lifetime_s=LEASE_S) as lease:
                    # Another server may have taken it since the look.
                    self._backups.look()
                    if lease is not None and self._is_due():
                        self._take(lease)
        except Exception as error:  # noqa: BLE001 - the alarm tells
            failure = _known(error)
            self._tell("backup_look_failed", failure, self._look_failure)
            self._look_failure = failure

    def check(self) -> None:
        """Check that backups are not late, and that the newest does not end soon.

        Raises:
            StrongroomError: It cannot be told; the last one by schedule failed; or it
                is so (BACKUP_OVERDUE).
        """
        for failure in (self._run_failure, self._look_failure):
            if failure is not None:
                # Raised at every look: it must not grow by a traceback each time.
                raise failure.with_traceback(None)
        self._backups.protection.check()
        newest, rules = self._newest(), self._backups.rules
        if rules.every_s and self._is_of_the_future():
            raise _overdue("the last backup is dated in the future", newest)
        if rules.every_s and self.age_s() > rules.every_s + rules.margin_s:
            since = (
                "never" if newest is None else f"{newest.root.create_time:%F %T} UTC"
            )
            raise _overdue(f"the last backup was taken {since}", newest)
        if newest is not None and self.time_left_s() < rules.margin_s:
            until = f"{newest.protected_until:%F %T} UTC"
            raise _overdue(
                f"what backup {newest.number} holds is locked until {until} only",
                newest,
            )

    def age_s(self) -> float:
        """Return how old the newest backup is; without one, how old this server."""
        newest = self._newest()
        if newest is None:
            return self._clock.monotonic() - self._begin_s
        return (self._now() - newest.root.create_time).total_seconds()

    def time_left_s(self) -> float:
        """Return for how long the newest backup is locked; 0 if there is none."""
        newest = self._newest()
        if newest is None:
            return 0.0
        left = newest.protected_until - self._now()
        return max(left.total_seconds(), 0.0)

    def planted_count(self) -> float:
        """Return how much lies among the records of backups that is none of ours."""
        state = self._backups.protection.state
        return 0.0 if state is None else float(state.planted_count)

    def _tell_planted(self) -> None:
        count = int(self.planted_count())
        if count > self._planted_told:
            line = {"event": "backup_planted", "count": count}
            _LOG.error("%s", json.dumps(line))
        self._planted_told = count

    def _now(self) -> datetime:
        """Return the backup bucket's time, as it went on since the last look."""
        state = self._backups.protection.state
        passed = timedelta(seconds=self._clock.monotonic() - self._seen_s)
        return self._clock.now() if state is None else state.seen_time + passed

    def _newest(self) -> SavedBackup | None:
        state = self._backups.protection.state
        return None if state is None else state.newest

    def _is_due(self) -> bool:
        every_s = self._backups.rules.every_s
        newest = self._newest()
        since_s = self._clock.monotonic() - self._failed_s
        if not every_s or (self._run_failure is not None and since_s < RETRY_S):
            return False
        # One of a part of the store is none for the schedule.
        if newest is None or not newest.root.is_whole:
            return True
        return self.age_s() >= every_s or self._is_of_the_future()

    def _is_of_the_future(self) -> bool:
        """Return whether the newest backup's date is no measure of its age."""
        return self.age_s() < -MAX_SKEW_S

    def _take(self, lease: Lease) -> None:
        run = self._own_runs.begin(ACTION)
        failure: StrongroomError | None = None
        try:
            self._create(run, lease)
        except Exception as error:  # noqa: BLE001 - the alarm tells
            failure = _known(error)
        if failure is not None and not isinstance(failure, CancelledError):
            self._tell("backup_failed", failure, self._run_failure)
            self._run_failure = failure
            self._failed_s = self._clock.monotonic()
        self._own_runs.end(run, failure)

    def _create(self, run: RunT, lease: Lease) -> None:
        asked = Asked(
            trace_id=run.trace_id, audit_id=run.audit_id, check=self._check_running
        )
        for item in self._backups.create(asked):
            lease.renew()
            if isinstance(item, TakenBackup):
                self._run_failure = None
                note_backup(lambda key, text: run.detail.update({key: text}), item)
                line = {
                    "event": "backup",
                    "number": item.backup.number,
                    "root": item.backup.root_digest,
                    "copied_bytes": item.copied_bytes,
                    "notes": len(item.notes),
                }
                _LOG.info("%s", json.dumps(line))

    def _check_running(self) -> None:
        if self._stop.is_set():
            message = "the server ends: the next one goes on with the backup"
            raise CancelledError(message)

    def _tell(
        self, event: str, error: StrongroomError, before: StrongroomError | None
    ) -> None:
        if before is None or before.message != error.message:
            line = {
                "event": event,
                "reason": error.reason.value,
                "message": error.message,
            }
            _LOG.error("%s", json.dumps(line))

    def _run(self) -> None:
        self.tick()
        while not self._stop.wait(self._interval_s):
            self.tick()


def note_backup(note: Callable[[str, str], None], taken: TakenBackup) -> None:
    """Say in an audit entry which backup was taken: its signed root's digest."""
    note("backup", str(taken.backup.number))
    note("root", taken.backup.root_digest)
    note("copied_bytes", str(taken.copied_bytes))


def _known(error: Exception) -> StrongroomError:
    """Return an error that can be told; what is none of ours is a bug of ours."""
    if isinstance(error, StrongroomError):
        return error
    known = InternalError(f"a backup ended with {type(error).__qualname__}")
    known.__cause__ = error
    return known


def _overdue(problem: str, newest: SavedBackup | None) -> PreconditionError:
    return PreconditionError(
        problem,
        reason=Reason.BACKUP_OVERDUE,
        hint="Take one with `strongroom backup create`; see the server's log for why "
        "none was taken.",
        backup=newest.number if newest else 0,
    )
