# SPDX-License-Identifier: Apache-2.0
"""Taking a backup: heads first, then what they need, then journals, the root last.

There is no backup before its root. What an interrupted run has stored is found again
by the next one, and compared, so that a run may be broken off anywhere, and two may
run at once.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from strongroom.errors import (
    IntegrityError,
    InternalError,
    PreconditionError,
    Reason,
)
from strongroom_server.core import inventory, layout
from strongroom_server.core.backup_root import MAX_MISSING, BackupRoot, PageEntry
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.scope import format_id
from strongroom_server.ports import Lock, LockedBlobs, LockMode
from strongroom_server.repository.backup_records import BackupRecords
from strongroom_server.repository.copying import Task, in_order
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.throttle import Throttle
from strongroom_server.services.backups.bases import (
    Bases,
    check_count,
    check_not_overtaken,
)
from strongroom_server.services.backups.heads import Chosen, Heads, read_heads
from strongroom_server.services.backups.lost_projects import (
    LostProjects,
    take_over_projects,
)
from strongroom_server.services.backups.placing import (
    Judge,
    KnownAs,
    Placed,
    Placing,
    Wanted,
    is_whole,
)
from strongroom_server.services.backups.reach import PinnedMarks, Reach
from strongroom_server.services.backups.results import BackupProgress, TakenBackup
from strongroom_server.services.backups.stages import Stage, Stages

#: Of what is taken over unread, so many objects are read back.
SAMPLED: Final = 16
#: Objects under way at once: most are locks that are extended.
IN_FLIGHT: Final = 16
MAX_NOTES: Final = 100
#: Between the clocks of the two buckets; as the probes allow.
MAX_SKEW_S: Final = 300.0
_PROGRESS_OBJECTS: Final = 50


@dataclass(frozen=True, slots=True)
class BackupRules:
    """How backups are taken.

    Attributes:
        mode: How objects are locked, key slots apart.
        retention_s: For how long, in seconds.
        every_s: Between two backups by schedule; 0 if there is none.
        margin_s: How late one may be.
        max_bytes_per_second: What is copied at most; 0 for no limit.
    """

    mode: LockMode = LockMode.COMPLIANCE
    retention_s: int = 35 * 86_400
    every_s: int = 0
    margin_s: int = 86_400
    max_bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a backup, and of what.

    Attributes:
        chosen: Projects and artifacts; none for the whole store.
        trace_id: Of the call.
        audit_id: Of its entry in the audit log.
        allow_rewound: Whether journals may be shorter than in earlier backups: the
            store was restored to an earlier time.
        read_all: Whether everything is read back that earlier backups hold, not only
            a sample.
        check: Called now and then; what it raises ends the backup.
    """

    chosen: Sequence[Chosen] = ()
    trace_id: str = ""
    audit_id: str = ""
    allow_rewound: bool = False
    read_all: bool = False
    check: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Tally:
    """What has come together so far."""

    rows: dict[str, StoredObject] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    new_count: int = 0
    new_bytes: int = 0
    copied_count: int = 0
    copied_bytes: int = 0
    extended_count: int = 0
    rotten_count: int = 0
    #: Some of what was taken over unread, drawn evenly.
    sample: list[Wanted] = field(default_factory=list)

    def add(self, placed: Placed) -> None:
        """Count an object."""
        if placed.note:
            self.notes.append(placed.note)
        if placed.row is None:
            return
        self.rows[placed.row.key] = placed.row
        check_count(len(self.rows))
        if placed.is_missing:
            self.missing.append(placed.row.key)
        if placed.was_known:
            self.extended_count += 1
        else:
            self.new_count += 1
            self.new_bytes += placed.row.size_bytes
        self.rotten_count += placed.was_rotten
        self.copied_count += placed.copied_bytes > 0
        self.copied_bytes += placed.copied_bytes


class Taking:
    """Takes one backup. Used by one thread."""

    def __init__(  # noqa: PLR0917 -- the parts of one job
        self,
        repository: Repository,
        bucket: LockedBlobs,
        records: BackupRecords,
        rules: BackupRules,
        asked: Asked,
        judge: Judge,
        known_as: KnownAs,
    ) -> None:
        self._repository = repository
        self._bucket = bucket
        self._records = records
        self._rules = rules
        self._asked = asked
        self._judge = judge
        self._known_as = known_as
        self._tally = _Tally()

    def run(self) -> Iterator[BackupProgress | TakenBackup]:
        """Yield how far it has come, and at last the backup.

        Raises:
            IntegrityError: Something that it needs is damaged or gone, and nobody
                has it; or a journal has lost entries.
            PreconditionError: The clocks of the two buckets differ (STORE_UNSUITABLE).
            ConflictError: Another one came meanwhile, and has more.
            UnavailableError: The store, Vault or the backup bucket cannot be reached.
        """
        repository = self._repository
        now_s = self._bucket.time_s()
        create_time = datetime.fromtimestamp(repository.blobs.time_s(), UTC)
        _check_clocks_agree(create_time.timestamp() - now_s)
        until_s = float(int(now_s) + self._rules.retention_s)
        lock = Lock(self._rules.mode, until_s)
        yield BackupProgress("reading earlier backups", 0)
        bases = Bases(self._records, self._bucket)
        bases.load(may_be_none=self._asked.allow_rewound, check=self._asked.check)
        repository.shreds.refresh()
        lost = take_over_projects(repository, bases)
        self._tally.notes += () if self._asked.chosen else lost.notes
        heads = yield from self._read_heads(lost)
        if not self._asked.allow_rewound:
            bases.check_grown(repository, heads)
        reach = Reach(repository, bases)
        for progress in reach.mark(heads):
            self._asked.check()
            yield progress
        yield from self._copy(bases, heads, reach.marks, lock, lost)
        self._check_slots(reach.marks)
        pages = []
        for page in self._write_pages(lock):
            pages.append(page)
            yield BackupProgress("writing the inventory", len(pages))
        root = self._root(heads, tuple(pages), create_time, lock)
        saved = self._records.write_root(
            root,
            lock=lock,
            after=bases.newest,
            check=partial(check_not_overtaken, repository, heads, create_time),
        )
        tally = self._tally
        yield TakenBackup(
            saved,
            tally.copied_count,
            tally.copied_bytes,
            tally.extended_count,
            tally.extended_count if self._asked.read_all else len(tally.sample),
            tally.rotten_count,
            _first((*bases.notes, *tally.notes)),
        )

    def _read_heads(self, lost: LostProjects) -> Generator[BackupProgress, None, Heads]:
        for item in read_heads(self._repository, self._asked.chosen, lost.unlisted):
            self._asked.check()
            if isinstance(item, Heads):
                return item
            yield item
        message = "the heads of journals were read, and none were told"
        raise InternalError(message)

    def _copy(
        self,
        bases: Bases,
        heads: Heads,
        marks: PinnedMarks,
        lock: Lock,
        lost: LostProjects,
    ) -> Iterator[BackupProgress]:
        placing = Placing(
            self._repository,
            self._bucket,
            bases,
            lock=lock,
            judge=self._judge,
            known_as=self._known_as,
            read_all=self._asked.read_all,
            allow_changed=self._asked.allow_rewound,
        )
        throttle = Throttle(
            self._repository.clock,
            max_bytes_per_second=self._rules.max_bytes_per_second,
            on_wait=self._asked.check,
        )
        stages = Stages(
            self._repository, self._bucket, bases, heads, marks, lost=lost.keys
        )
        for stage in stages.all():
            yield from self._run_stage(stage, placing, throttle)
        yield from self._read_sample(placing)

    def _run_stage(
        self, stage: Stage, placing: Placing, throttle: Throttle
    ) -> Iterator[BackupProgress]:
        def tasks() -> Iterator[Task[Placed]]:
            for wanted in stage.items:
                self._asked.check()
                is_read = self._asked.read_all or not wanted.is_known
                size_bytes = wanted.size_bytes if is_read else 0
                throttle.spend(size_bytes)
                yield Task(partial(placing.place, wanted), size_bytes)

        done = 0
        for placed in in_order(
            tasks(), executor=self._repository.executor, in_flight=IN_FLIGHT
        ):
            self._tally.add(placed)
            if placed.was_known and not self._asked.read_all:
                self._draw(placed.wanted)
            done += 1
            if done % _PROGRESS_OBJECTS == 0 or placed.copied_bytes:
                yield self._progress(stage.label, done, stage.total_count)
        yield self._progress(stage.label, done, stage.total_count)

    def _progress(self, label: str, done: int, total: int) -> BackupProgress:
        return BackupProgress(label, done, total, self._tally.copied_bytes)

    def _draw(self, wanted: Wanted) -> None:
        """Keep an even sample of what was taken over unread."""
        sample, count = self._tally.sample, self._tally.extended_count
        if len(sample) < SAMPLED:
            sample.append(wanted)
            return
        draw = int.from_bytes(self._repository.entropy.token_bytes(8), "big") % count
        if draw < SAMPLED:
            sample[draw] = wanted

    def _read_sample(self, placing: Placing) -> Iterator[BackupProgress]:
        """Read back some of what was taken over, and copy anew what has rotted."""
        for done, wanted in enumerate(self._tally.sample, 1):
            self._asked.check()
            row = self._tally.rows[wanted.key]
            if not is_whole(self._bucket, row):
                self._tally.add(placing.place_anew(wanted))
            yield self._progress("reading a sample back", done, len(self._tally.sample))

    def _check_slots(self, marks: PinnedMarks) -> None:
        """Check that the keys of everything are there, in slots that open.

        Raises:
            IntegrityError: An epoch has no slot (KEY_SLOT_MISSING).
        """
        there = {
            place[:2]
            for key in self._tally.rows
            if (place := layout.slot_place(key)) is not None
        }
        for domain, epoch in sorted(marks.epochs - there):
            raise IntegrityError(
                f"key domain {format_id(domain)} has no whole key slot of epoch "
                f"{epoch}: what it protects could not be read from a backup",
                reason=Reason.KEY_SLOT_MISSING,
                hint="Run `strongroom verify --store --repair`.",
                domain=format_id(domain),
                epoch=epoch,
            )

    def _write_pages(self, lock: Lock) -> Iterator[PageEntry]:
        rows = self._tally.rows
        tasks = (
            Task(partial(self._records.write_page, page, lock))
            for page in inventory.cut_pages(rows[key] for key in sorted(rows))
        )
        yield from in_order(tasks, executor=self._repository.executor)

    def _root(
        self,
        heads: Heads,
        pages: tuple[PageEntry, ...],
        create_time: datetime,
        lock: Lock,
    ) -> BackupRoot:
        tally = self._tally
        missing = sorted(set(tally.missing))
        return BackupRoot(
            store=self._repository.keyring.store,
            number=1,  # Decided, with what came before, when it is written.
            create_time=create_time,
            newest_commit_time=heads.newest_commit_time,
            protected_until=datetime.fromtimestamp(lock.until_s, UTC),
            interval_s=self._rules.every_s,
            mode=lock.mode.value,
            previous="",
            scope=heads.scope,
            pages=pages,
            journals=heads.journals,
            object_count=len(tally.rows),
            size_bytes=sum(row.size_bytes for row in tally.rows.values()),
            new_object_count=tally.new_count,
            new_bytes=tally.new_bytes,
            missing=tuple(missing[:MAX_MISSING]),
            missing_count=len(missing),
            trace_id=self._asked.trace_id,
            audit_id=self._asked.audit_id,
            artifacts=heads.artifacts,
        )


def _check_clocks_agree(skew_s: float) -> None:
    """Check that the store's clock, which dates a backup, is as the backup bucket's.

    Ages are told by the latter: a backup from the future would never be too old.
    """
    if abs(skew_s) > MAX_SKEW_S:
        raise PreconditionError(
            f"the store's clock is {abs(skew_s):.0f} seconds "
            f"{'ahead of' if skew_s > 0 else 'behind'} the backup bucket's",
            reason=Reason.STORE_UNSUITABLE,
            hint="Mend the clock that is wrong (NTP).",
        )


def _first(notes: Sequence[str]) -> tuple[str, ...]:
    if len(notes) <= MAX_NOTES:
        return tuple(notes)
    return (*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES} more")
