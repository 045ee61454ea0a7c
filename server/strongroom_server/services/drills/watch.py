# SPDX-License-Identifier: Apache-2.0
"""When drills are due, what the last ones came to, and who has to hear of it.

Every server looks; of those that find one due, the holder of the lease runs it. What
others ran, each learns from the reports that are kept.
"""

import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core.drill import DrillReport
from strongroom_server.core.records import Caller
from strongroom_server.ports import Clock
from strongroom_server.repository.drill_records import SavedDrill
from strongroom_server.repository.leases import Lease, Leases
from strongroom_server.services.drills.drills import Drills

#: Between two looks.
LOOK_S: Final = 30.0
#: How long others wait for a server that died in the middle of a drill.
LEASE_S: Final = 300
#: Good drills are due every so often; without one for twice as long, it is told.
OVERDUE: Final = 2
#: Reports that are read at a start; older ones say nothing of today.
_MAX_READ: Final = 64
_MAX_REFUSED: Final = 10_000
#: Parts of the store whose drills are told apart.
_MAX_PARTS: Final = 256
_LEASE: Final = "drill"
#: After one that could not be run, another is tried no sooner.
RETRY_S: Final = 600.0
#: What a server waits for a drill that it was told to give up.
_JOIN_S: Final = 2.0

_LOG: Final = logging.getLogger("strongroom_server.drills")


@dataclass(slots=True)
class OwnDrill:
    """A drill that a server runs by itself, as the audit log knows it."""

    caller: Caller
    detail: dict[str, str] = field(default_factory=dict)


#: Writes that a drill begins, and at the end of the context what came of it.
Audited = Callable[[], AbstractContextManager[OwnDrill]]


class DrillWatch:
    """Runs drills by a schedule, and knows their state. Safe to use from many threads.

    Args:
        drills: Runs them.
        leases: Of the store.
        audited: How a run of our own is told.
        clock: Time.
        every_s: Between two drills; 0 means that nobody runs one by itself.
    """

    def __init__(
        self,
        drills: Drills,
        leases: Leases,
        audited: Audited,
        *,
        clock: Clock,
        every_s: int = 0,
        look_s: float = LOOK_S,
    ) -> None:
        self._drills = drills
        self._leases = leases
        self._audited = audited
        self._clock = clock
        self._every_s = every_s
        self._look_s = look_s
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._seen = 0
        self._retry_s = 0.0
        #: Numbers at which something lies that is no report.
        self._refused: set[int] = set()
        self._started = clock.now()
        #: By what they are of, the whole store or a part: of the newest backup, the
        #: newest drill that was good; and that which failed, if none has settled it.
        self._good: dict[str, DrillReport] = {}
        self._failed: dict[str, DrillReport] = {}
        self._last_time: datetime | None = None
        self._good_time: datetime | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look again and again, in a thread, for as long as the context lasts."""
        thread = threading.Thread(target=self._run, name="drills", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            # Daemon: a drill under way must not keep a server from ending.
            thread.join(_JOIN_S)

    def look(self) -> None:
        """Learn what others ran; run a drill if one is due.

        Raises:
            StrongroomError: It could not be told, or not be run; the next look tries
                again.
        """
        self.learn()
        if not self._is_due():
            return
        with self._leases.hold(_LEASE, lifetime_s=LEASE_S) as lease:
            # Who held it just now may have run the drill that was due.
            self.learn()
            if lease is not None and self._is_due():
                self._drill(lease)

    def note(self, saved: SavedDrill) -> None:
        """Take in a report; one that failed is told in the server's log."""
        report = saved.report
        self._take_in(report)
        if not report.passed:
            _LOG.error("%s", json.dumps(_failed_line(report)))

    def learn(self) -> None:
        """Take in the reports that other servers have written.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        records = self._drills.records
        with self._lock:
            seen, refused = self._seen, frozenset(self._refused)
        if not seen:
            for saved in itertools.islice(records.newest(), _MAX_READ):
                self._take_in(saved.report)
            return
        for number in records.numbers(after=seen):
            if number in refused:
                continue
            try:
                self._take_in(records.load(number).report)
            except (IntegrityError, NotFoundError):
                # Planted, so that it is not read at each look.
                with self._lock:
                    if len(self._refused) < _MAX_REFUSED:
                        self._refused.add(number)

    def check(self) -> None:
        """Check that no drill failed that a good one has not settled, and they happen.

        Raises:
            IntegrityError: One did (DRILL_FAILED); names the object.
            PreconditionError: No good drill for twice their interval (DRILL_OVERDUE).
        """
        with self._lock:
            deciding = max(self._failed.values(), key=_rank, default=None)
            good = self._good_time
        if deciding is not None:
            raise failed(deciding)
        if not self._every_s:
            return
        age = self._clock.now() - (good or self._started)
        limit = timedelta(seconds=self._every_s * OVERDUE)
        if age > limit:
            since = f"since {good:%Y-%m-%d %H:%M} UTC" if good else "so far"
            raise PreconditionError(
                f"no good drill {since}; one is due every {self._every_s} s",
                reason=Reason.DRILL_OVERDUE,
                hint="strongroom drill run; see `strongroom drill ls` and the log.",
            )

    def age_s(self) -> float:
        """Return how long ago the last good drill ended, in seconds; -1: never."""
        with self._lock:
            good = self._good_time
        return (self._clock.now() - good).total_seconds() if good else -1.0

    def _run(self) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                self.look()
                told = ""
            except Exception as error:  # noqa: BLE001 - the next look tries again
                told = _tell(error, told)
            self._stop.wait(self._look_s)

    def _drill(self, lease: Lease) -> None:
        def check() -> None:
            lease.renew()
            if self._stop.is_set():
                raise UnavailableError("the server ends", reason=Reason.DRAINING)

        self._retry_s = self._clock.monotonic() + RETRY_S
        with self._audited() as own:
            drill = self._drills.run(caller=own.caller, scheduled=True, check=check)
            for item in drill:
                if isinstance(item, SavedDrill):
                    report = item.report
                    own.detail["drill"] = str(report.number)
                    own.detail["backup_root"] = report.backup.root
                    own.detail["passed"] = str(report.passed).lower()
                    self.note(item)

    def _is_due(self) -> bool:
        if not self._every_s or self._clock.monotonic() < self._retry_s:
            return False
        with self._lock:
            last = self._last_time
        if last is None:
            return True
        return self._clock.now() - last >= timedelta(seconds=self._every_s)

    def _take_in(self, report: DrillReport) -> None:
        with self._lock:
            self._seen = max(self._seen, report.number)
            kept = self._good if report.passed else self._failed
            known = kept.get(report.part)
            if known is not None or not report.part or len(kept) < _MAX_PARTS:
                newest = report if known is None else max(known, report, key=_rank)
                kept[report.part] = newest
            good = list(self._good.values())
            for part, bad in list(self._failed.items()):
                if any(_settles(item, bad) for item in good):
                    del self._failed[part]
            if report.part and not report.scheduled:
                return  # Somebody's look at a part is none for the schedule.
            # By the clock of a server that is ahead, none would be due for long.
            end_time = min(report.end_time, self._clock.now())
            self._last_time = max(self._last_time or end_time, end_time)
            if report.passed:
                self._good_time = max(self._good_time or end_time, end_time)


def failed(report: DrillReport) -> IntegrityError:
    """Return the error that says what a drill found wrong."""
    first = report.findings[0] if report.findings else None
    what = f": {first.object_key or first.name} {first.reason}" if first else ""
    return IntegrityError(
        f"drill {report.number} of backup {report.backup.number} failed{what}",
        reason=Reason.DRILL_FAILED,
        hint=f"strongroom drill show {report.number}; docs/operations.md, 3.27",
        drill=report.number,
        backup=report.backup.number,
        key=first.object_key if first else "",
    )


def _tell(error: Exception, told: str) -> str:
    """Log why no drill was run, unless that was told last; return what it is."""
    reason, message = Reason.INTERNAL, type(error).__qualname__
    if isinstance(error, StrongroomError):
        reason, message = error.reason, error.message
    # Said once until it changes; the alarm says in time that drills are overdue.
    if message != told:
        line = {"event": "drill_not_run", "reason": reason.value, "message": message}
        _LOG.warning("%s", json.dumps(line))
    return message


def _rank(report: DrillReport) -> tuple[int, int]:
    return report.backup.number, report.number


def _settles(good: DrillReport, bad: DrillReport) -> bool:
    """Whether a good drill ends the alarm of one that failed.

    That an older backup is good does not mend a newer one, nor does a part the whole.
    """
    if good.backup.number == bad.backup.number:
        return good.number >= bad.number
    is_newer = good.backup.number > bad.backup.number
    return is_newer and good.part in {"", bad.part}


def _failed_line(report: DrillReport) -> dict[str, object]:
    """Return a line of the log: ids of objects, and no names."""
    return {
        "event": "drill_failed",
        "drill": report.number,
        "backup": report.backup.number,
        "canary": report.canary.state.value,
        "finding_count": report.finding_count,
        "objects": [item.object_key for item in report.findings[:8]],
        "reasons": sorted({item.reason for item in report.findings}),
    }
