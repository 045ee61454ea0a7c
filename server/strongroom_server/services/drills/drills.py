# SPDX-License-Identifier: Apache-2.0
"""Drills: a backup is restored for real, and a signed report says what came of it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.core import layout
from strongroom_server.core.canary import canary_digest
from strongroom_server.core.drill import (
    CanaryResult,
    CanaryState,
    DrilledBackup,
    DrillFinding,
    DrillReport,
    note_of_part,
)
from strongroom_server.core.drill_sample import SEED_BYTES
from strongroom_server.core.records import Caller
from strongroom_server.ports import LockedBlobs
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.drill_records import DrillRecords, SavedDrill
from strongroom_server.repository.repository import Repository
from strongroom_server.services.drills.drilling import (
    Drilling,
    DrillLimits,
    DrillProgress,
)
from strongroom_server.services.drills.engine import (
    CountedBucket,
    EngineParts,
    open_backup,
)
from strongroom_server.services.drills.restoring import Restoring, object_of

DEFAULT_PAGE: Final = 20
MAX_PAGE: Final = 100

#: Sees to it that the store has its canary; returns since when it has, or None if it
#: cannot have one any more.
MakeCanary = Callable[[Caller], datetime | None]


@dataclass(frozen=True, slots=True)
class DrillPage:
    """Drills, the newest first; `next_before` of 0 is the end."""

    drills: tuple[SavedDrill, ...]
    next_before: int


class Drills:
    """Runs drills and keeps their reports. Safe to use from many threads; one a time.

    The store itself is asked for two things only: whether something was shredded
    since, and to keep the canary and the report. What is restored comes from the
    backup bucket and Vault.
    """

    def __init__(
        self,
        repository: Repository,
        backups: BackupRecords,
        bucket: LockedBlobs,
        records: DrillRecords,
        parts: EngineParts,
        *,
        limits: DrillLimits,
        make_canary: MakeCanary,
    ) -> None:
        """`repository` is that of the store, `parts` what the backup's is made of."""
        self._repository = repository
        self._backups = backups
        self._bucket = bucket
        self._parts = parts
        self._limits = limits
        self._running = threading.Lock()
        self.records = records
        self.make_canary = make_canary

    def run(
        self,
        number: int = 0,
        *,
        caller: Caller,
        scheduled: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[DrillProgress | SavedDrill]:
        """Restore from a backup, and yield how far it is; last, the report.

        A drill that fails has a report, too: failing is not raised.

        Args:
            number: Of the backup; 0 means the newest one of the whole store, or, if
                there is none, the newest.
            caller: Who has it done.
            scheduled: Whether nobody asked for it.
            check: Called in between; what it raises ends the drill.

        Raises:
            NotFoundError: There is no backup, or not this one, or nothing is in it
                (BACKUP_NOT_FOUND).
            ExhaustedError: This server runs a drill already (TOO_MANY_CALLS).
            UnavailableError: The backup bucket, the store or Vault cannot be reached.
        """
        if not self._running.acquire(blocking=False):
            raise ExhaustedError(
                "this server runs a drill already",
                reason=Reason.TOO_MANY_CALLS,
                hint="Wait for it: strongroom drill ls",
            )
        try:
            run = _Run(self._parts, number, caller, scheduled=scheduled)
            for item in self._drill(run):
                check()
                yield item
            run.check_restored()
            yield self.records.write(run.report(self._repository.keyring.store))
        finally:
            self._running.release()

    def get(self, number: int) -> SavedDrill:
        """Return a drill.

        Raises:
            NotFoundError: There is none (DRILL_NOT_FOUND).
            IntegrityError: Its report is damaged, or none of ours.
        """
        return self.records.load(number)

    def list(self, *, page_size: int, before: int = 0) -> DrillPage:
        """Return drills, the newest first, those before a number if one is given."""
        size = min(page_size or DEFAULT_PAGE, MAX_PAGE)
        found: list[SavedDrill] = []
        newest = self.records.newest(before=before) if before else self.records.newest()
        for saved in newest:
            if len(found) == size:
                return DrillPage(tuple(found), found[-1].report.number)
            found.append(saved)
        return DrillPage(tuple(found), 0)

    def _drill(self, run: "_Run") -> Iterator[DrillProgress]:
        canary_time = self.make_canary(run.caller)
        saved = self._find(run)
        if saved is None:
            return
        run.saved = saved
        self._repository.shreds.refresh()
        yield DrillProgress("open", 0, saved.root.size_bytes)
        bucket = CountedBucket(self._bucket)
        run.bucket = bucket
        try:
            repository = open_backup(self._parts, bucket, saved)
        except (IntegrityError, PreconditionError) as error:
            run.fail(error, saved.number)
            return
        drilling = Drilling(
            repository,
            saved.root,
            Restoring(repository, self._parts.scratch),
            seed=run.seed,
            limits=self._limits,
            is_dead=self._is_dead,
            canary_time=canary_time,
        )
        run.begin_restoring(drilling)
        yield from drilling.run()
        run.end_restoring()

    def _find(self, run: "_Run") -> SavedBackup | None:
        """Return the backup to drill; None if its root is no root."""
        if not run.number:
            return self._newest(run)
        try:
            return self._backups.load(run.number)
        except IntegrityError as error:
            run.fail(error, run.number)
            return None

    def _newest(self, run: "_Run") -> SavedBackup:
        """Return the newest backup of the whole store, else the newest there is.

        One of a part says nothing of what a disaster needs.
        """
        part: SavedBackup | None = None
        bad = 0
        for number in reversed(self._backups.numbers()):
            try:
                saved = self._backups.load(number)
            except (NotFoundError, IntegrityError):
                bad = bad or number
                continue
            except PreconditionError as error:
                if error.reason is not Reason.FORMAT_UNSUPPORTED:
                    raise
                bad = bad or number
                continue
            part = part or saved
            if saved.root.is_whole:
                part = saved
                break
        if part is None:
            raise NotFoundError(
                "there is no backup to restore from",
                reason=Reason.BACKUP_NOT_FOUND,
                hint="Make one: strongroom backup create",
            )
        if bad > part.number:
            run.notes.append(
                f"what lies under {layout.backup_prefix(bad)} is no backup "
                "of this store, or rotten; an older one was restored from"
            )
        return part

    def _is_dead(self, project: bytes, artifact: bytes) -> bool:
        graves = self._repository.keyring.graves
        if graves.of_project(project) or graves.of_artifact(project, artifact):
            return True
        self._repository.shreds.refresh()
        is_project = graves.of_project(project) is not None
        return is_project or graves.of_artifact(project, artifact) is not None


class _Run:
    """What one drill has come to. Used by one thread."""

    def __init__(
        self, parts: EngineParts, number: int, caller: Caller, *, scheduled: bool
    ) -> None:
        self._clock = parts.clock
        self._scheduled = scheduled
        self._begin_time = parts.clock.now()
        self._begin_s = parts.clock.monotonic()
        self._open_s = 0.0
        self._restore_s = 0.0
        self._open_bytes = 0
        self._drilling: Drilling | None = None
        self._failure: DrillFinding | None = None
        self.number = number
        self.caller = caller
        self.seed = parts.entropy.token_bytes(SEED_BYTES)
        self.saved: SavedBackup | None = None
        self.bucket: CountedBucket | None = None
        self.notes: list[str] = []

    def fail(self, error: StrongroomError, number: int) -> None:
        """Take note that there is nothing to restore from."""
        self._open_s = self._clock.monotonic() - self._begin_s
        key = object_of(error) or layout.backup_key(number)
        self._failure = DrillFinding(key, error.reason.value, error.message)

    def begin_restoring(self, drilling: Drilling) -> None:
        """Take the time at which the backup can be read from."""
        self._drilling = drilling
        self._open_s = self._clock.monotonic() - self._begin_s
        self._open_bytes = self.bucket.read_bytes if self.bucket is not None else 0

    def end_restoring(self) -> None:
        """Take the time at which all is restored."""
        self._restore_s = self._clock.monotonic() - self._begin_s - self._open_s

    def check_restored(self) -> None:
        """Check that there was anything to restore; else nothing is proved.

        Raises:
            NotFoundError: There was not (BACKUP_NOT_FOUND).
        """
        drilling = self._drilling
        if drilling is None or drilling.restoring.finding_count:
            return
        is_good = drilling.canary.state is CanaryState.GOOD
        if self.saved is not None and not (is_good or drilling.version_count):
            raise NotFoundError(
                f"backup {self.saved.number} holds nothing that could be restored: "
                "neither a version nor the canary",
                reason=Reason.BACKUP_NOT_FOUND,
                hint="The store has its canary now: strongroom backup create",
                number=self.saved.number,
            )

    def report(self, store: bytes) -> DrillReport:
        """Return the report; the records number it."""
        backup, drilling, bucket = self._backup(), self._drilling, self.bucket
        canary = CanaryResult(CanaryState.ABSENT, canary_digest(store))
        findings: Sequence[DrillFinding] = ()
        if self._failure is not None:
            findings = (self._failure,)
        finding_count = len(findings)
        if drilling is not None:
            canary = drilling.canary
            findings = drilling.restoring.findings
            finding_count = drilling.restoring.finding_count
        restoring = drilling.restoring if drilling is not None else None
        return DrillReport(
            store=store,
            number=0,
            backup=backup,
            seed=self.seed,
            begin_time=self._begin_time,
            end_time=self._clock.now(),
            requester=self.caller.principal,
            trace_id=self.caller.trace_id,
            audit_id=self.caller.audit_id,
            scheduled=self._scheduled,
            passed=finding_count == 0,
            canary=canary,
            versions=tuple(drilling.versions) if drilling is not None else (),
            version_count=drilling.version_count if drilling is not None else 0,
            findings=tuple(findings),
            finding_count=finding_count,
            file_count=restoring.file_count if restoring is not None else 0,
            restored_bytes=restoring.restored_bytes if restoring is not None else 0,
            read_bytes=bucket.read_bytes if bucket is not None else 0,
            request_count=bucket.request_count if bucket is not None else 0,
            open_ms=_ms(self._open_s),
            restore_ms=_ms(self._restore_s),
            recovery_time_ms=self._recovery_ms(),
            recovery_point_s=self._recovery_point_s(),
            notes=tuple(self._all_notes()),
        )

    def _backup(self) -> DrilledBackup:
        saved = self.saved
        if saved is None:
            return DrilledBackup(self.number)
        root = saved.root
        return DrilledBackup(
            saved.number,
            saved.root_digest,
            root.create_time,
            root.newest_commit_time,
            saved.protected_until,
            root.object_count,
            root.size_bytes,
        )

    def _recovery_ms(self) -> int:
        """Return what all of the backup would take, as long as it took by the byte."""
        bucket, saved = self.bucket, self.saved
        read_bytes = (bucket.read_bytes if bucket else 0) - self._open_bytes
        if saved is None or read_bytes <= 0:
            return 0
        share = max(saved.root.size_bytes / read_bytes, 1.0)
        return _ms(self._open_s + self._restore_s * share)

    def _recovery_point_s(self) -> int:
        newest = self.saved.root.newest_commit_time if self.saved else None
        if newest is None:
            return 0
        return max(int((self._begin_time - newest).total_seconds()), 0)

    def _all_notes(self) -> Iterator[str]:
        if self.saved is not None and not self.saved.root.is_whole:
            yield note_of_part(self.saved.root)
        yield from self.notes
        drilling = self._drilling
        if drilling is None:
            return
        if drilling.canary.state is CanaryState.ABSENT:
            yield (
                "the backup is from before there was a canary, or of other projects: "
                "the next backup of the whole store has it"
            )
        if drilling.passed_over:
            yield f"{drilling.passed_over} versions drawn were shredded meanwhile"
        if not drilling.version_count:
            yield "the backup holds no version beside the canary"
        yield (
            "recovery_time_ms is reckoned from what was restored here, by one server; "
            "a restore of everything may be faster, or wait for more"
        )


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 0)
