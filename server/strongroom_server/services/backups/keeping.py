# SPDX-License-Identifier: Apache-2.0
"""Keeping backups: checked against their roots, locked for longer, held.

Nothing here ends a lock sooner. Locks are extended before it is signed that they are,
and a hold is lifted only from what no other held backup needs.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    Reason,
    UnavailableError,
)
from strongroom_server.core import layout
from strongroom_server.core.backup_root import PageEntry
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.scope import format_id
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobVersion,
    Lock,
    LockedBlobs,
    LockMode,
)
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.copying import Task, in_order
from strongroom_server.repository.inventory_view import read_object
from strongroom_server.repository.locked_objects import extend_lock
from strongroom_server.repository.repository import Repository
from strongroom_server.services.backups.placing import lock_of
from strongroom_server.services.backups.results import (
    BackupFinding,
    BackupProgress,
    BackupReport,
    ExtendedBackup,
)
from strongroom_server.services.backups.stages import Listing

#: Nobody can end a lock sooner, so nobody sets one by mistake for an age.
MAX_LOCK_S: Final = 10 * 366 * 86_400
_IN_FLIGHT: Final = 16
_PROGRESS_OBJECTS: Final = 200


@dataclass(frozen=True, slots=True)
class _Place:
    """An object of a backup: a row, a page, or one of its records."""

    key: str
    version_id: str


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of an object."""

    problem: str = ""
    until_s: float = 0.0
    read_bytes: int = 0
    key: str = ""
    is_shredded: bool = False


@dataclass(slots=True)
class _Tally:
    """What a check has come to so far."""

    object_count: int = 0
    problem_count: int = 0
    read_bytes: int = 0
    shredded_count: int = 0
    earliest_s: float | None = None

    def add(self, looked: _Looked) -> Iterator[BackupFinding]:
        """Count what was seen of an object; yield what is wrong with it."""
        self.read_bytes += looked.read_bytes
        self.shredded_count += looked.is_shredded
        if looked.problem:
            yield self.found(BackupFinding(looked.key, looked.problem))
        elif not looked.is_shredded:
            self.earliest_s = min(self.earliest_s or looked.until_s, looked.until_s)

    def found(self, finding: BackupFinding) -> BackupFinding:
        """Count a finding."""
        self.problem_count += 1
        return finding

    def report(self, number: int) -> BackupReport:
        """Return what it came to."""
        until = (
            None
            if self.earliest_s is None
            else datetime.fromtimestamp(self.earliest_s, UTC)
        )
        return BackupReport(
            number,
            self.object_count,
            self.read_bytes,
            self.problem_count,
            until,
            self.shredded_count,
        )


class Keeping:
    """Checks and keeps backups. Safe to use from many threads."""

    def __init__(
        self, repository: Repository, bucket: LockedBlobs, records: BackupRecords
    ) -> None:
        self._repository = repository
        self._bucket = bucket
        self._records = records

    def verify(
        self, number: int, *, deep: bool, check: Callable[[], None]
    ) -> Iterator[BackupFinding | BackupProgress | BackupReport]:
        """Hold the backup bucket against the root of a backup; last comes the report.

        Every object must be there in the version that the root binds, and be locked as
        it says; but for key slots of what was shredded since. So must the pages of its
        inventory, its root and its extensions. Bytes are read only if `deep`, but for
        those of pages and records.

        Raises:
            NotFoundError: There is no such backup.
            IntegrityError: Its root is none of this store's.
            UnavailableError: The backup bucket or Vault cannot be reached.
        """
        saved = self._records.load(number)
        here = Listing(self._bucket.versions(""))
        tally = _Tally()
        for page in saved.root.pages:
            check()
            rows = self._page(page)
            if isinstance(rows, BackupFinding):
                yield tally.found(rows)
                continue
            key = layout.backup_page_key(page.sha256)
            own = StoredObject(key, page.version_id, page.sha256, page.size_bytes, ())
            yield from tally.add(self._look_at(saved, own, deep=deep))
            tasks = (
                Task(
                    partial(self._look, saved, row, here.at(row.key), deep=deep),
                    row.size_bytes if deep else 0,
                )
                for row in rows
            )
            for looked in in_order(
                tasks, executor=self._repository.executor, in_flight=_IN_FLIGHT
            ):
                tally.object_count += 1
                yield from tally.add(looked)
            yield BackupProgress(
                "checking objects",
                tally.object_count,
                saved.root.object_count,
                tally.read_bytes,
            )
        for place in self._record_places(saved):
            own = StoredObject(place.key, place.version_id, "", 0, ())
            yield from tally.add(self._look_at(saved, own, deep=False))
        yield tally.report(number)

    def extend(
        self, number: int, until: datetime, *, check: Callable[[], None]
    ) -> Iterator[BackupProgress | ExtendedBackup]:
        """Lock all of a backup until a later time.

        Args:
            number: Of the backup.
            until: Until when at least; whole seconds count.
            check: Called now and then; what it raises ends it.

        Raises:
            NotFoundError: There is no such backup.
            InvalidArgumentError: The time is no later one, or too far away.
            IntegrityError: Something of it is gone or was never locked.
            UnavailableError: The backup bucket or Vault cannot be reached.
        """
        saved = self._records.load(number)
        until = until.astimezone(UTC).replace(microsecond=0)
        now_s = self._bucket.time_s()
        if until <= saved.protected_until:
            raise InvalidArgumentError(
                f"backup {number} is locked until {saved.protected_until.isoformat()} "
                "already: a lock never ends sooner",
                reason=Reason.ARGUMENT_INVALID,
                hint="Name a later time.",
            )
        if until.timestamp() > now_s + MAX_LOCK_S:
            raise InvalidArgumentError(
                f"{until:%Y-%m-%d} is more than ten years away, and nobody could take "
                "the lock back",
                reason=Reason.ARGUMENT_INVALID,
                hint="Extend it again later.",
            )
        lock = Lock(LockMode(saved.root.mode), until.timestamp(), saved.is_held)
        yield from self._keep(saved, lock, held=None, check=check)

    def hold(
        self, number: int, *, is_held: bool, check: Callable[[], None]
    ) -> Iterator[BackupProgress | ExtendedBackup]:
        """Put a legal hold on all of a backup, or lift it.

        Raises:
            NotFoundError: There is no such backup.
            IntegrityError: Something of it is gone.
            PreconditionError: The server's credential may not (STORE_ACCESS_DENIED).
            UnavailableError: The backup bucket or Vault cannot be reached; or, to
                lift it, it cannot be told yet whether another backup is held.
        """
        saved = self._records.load(number)
        until_s = max(saved.protected_until.timestamp(), self._bucket.time_s() + 60)
        lock = Lock(LockMode(saved.root.mode), float(int(until_s)), is_held)
        for item in self._keep(saved, lock, held=is_held, check=check):
            if is_held and isinstance(item, ExtendedBackup):
                # Who lifted another hold meanwhile could not know of this one, and took
                # it from what both need. From now on everybody sees it.
                self._hold_all(item.backup, lock, check=check)
            yield item

    def _hold_all(
        self, saved: SavedBackup, lock: Lock, *, check: Callable[[], None]
    ) -> None:
        for _ in self._all(
            Task(partial(self._keep_one, place, lock, may_lift=False))
            for place in self._places(saved)
        ):
            check()

    def _keep(
        self,
        saved: SavedBackup,
        lock: Lock,
        *,
        held: bool | None,
        check: Callable[[], None],
    ) -> Iterator[BackupProgress | ExtendedBackup]:
        """Lock and hold every object of a backup, then sign that it is so."""
        kept_by_others: frozenset[_Place] = frozenset()
        if held is False:
            kept_by_others = frozenset(self._held_by_others(saved))

        def tasks() -> Iterator[Task[None]]:
            for place in self._places(saved):
                check()
                may_lift = held is False and place not in kept_by_others
                yield Task(partial(self._keep_one, place, lock, may_lift=may_lift))

        count = 0
        for _ in self._all(tasks()):
            count += 1
            if count % _PROGRESS_OBJECTS == 0:
                yield BackupProgress("extending locks", count, saved.root.object_count)
        if held is False:
            self._hold_anew(saved, kept_by_others)
        now = datetime.fromtimestamp(self._bucket.time_s(), UTC).replace(microsecond=0)
        until = datetime.fromtimestamp(lock.until_s, UTC)
        fresh = self._records.write_extension(
            saved, protected_until=until, held=held, create_time=now, lock=lock
        )
        yield ExtendedBackup(fresh, count)

    def _all(self, tasks: Iterable[Task[None]]) -> Iterator[None]:
        return in_order(tasks, executor=self._repository.executor, in_flight=_IN_FLIGHT)

    def _hold_anew(self, saved: SavedBackup, known: frozenset[_Place]) -> None:
        """Hold what was lifted here, and another backup was held with meanwhile."""
        others = frozenset(self._held_by_others(saved)) - known
        if not others:
            return
        for place in self._places(saved):
            if place in others:
                self._bucket.set_hold(
                    place.key, version_id=place.version_id, is_held=True
                )

    def _keep_one(self, place: _Place, lock: Lock, *, may_lift: bool) -> None:
        own = lock_of(place.key, lock)
        if not extend_lock(self._bucket, place.key, place.version_id, own):
            if self._is_shredded(place.key):
                return
            raise IntegrityError(
                f"{place.key} of the backup is gone, or was never locked",
                reason=Reason.RECORD_CORRUPT,
                hint="Check it with `strongroom backup verify`, and take another one: "
                "`strongroom backup create --read-all`.",
                key=place.key,
            )
        if may_lift:
            self._bucket.set_hold(place.key, version_id=place.version_id, is_held=False)

    def _is_shredded(self, key: str) -> bool:
        """Return whether an object is the key slot of a domain that was shredded."""
        if key.startswith(layout.REPAIRED_OBJECTS):
            key = layout.copied_key(key)
        place = layout.slot_place(key)
        return place is not None and self._repository.shreds.is_dead(
            format_id(place[0])
        )

    def _places(self, saved: SavedBackup) -> Iterator[_Place]:
        """Yield every object of a backup; its records last."""
        for page in saved.root.pages:
            for row in self._records.read_page(page):
                yield _Place(row.key, row.version_id)
            yield _Place(layout.backup_page_key(page.sha256), page.version_id)
        yield from self._record_places(saved)

    def _record_places(self, saved: SavedBackup) -> Iterator[_Place]:
        """Yield the root of a backup and its extensions."""
        for item in self._bucket.first_versions(layout.backup_prefix(saved.number)):
            place = layout.backup_place(item.key)
            known = {0, *(item.extension for item in saved.extensions)}
            if place is not None and place[1] in known:
                yield _Place(item.key, item.version_id)

    def _held_by_others(self, saved: SavedBackup) -> Iterator[_Place]:
        for other in self._records.newest_first():
            if other.number == saved.number:
                continue
            if other.is_held:
                yield from self._places(other)
            elif other.unread_count:
                raise _not_all_read(other)

    def _page(self, page: PageEntry) -> tuple[StoredObject, ...] | BackupFinding:
        try:
            return self._records.read_page(page)
        except IntegrityError as error:
            return BackupFinding(layout.backup_page_key(page.sha256), error.message)

    def _look(
        self,
        saved: SavedBackup,
        row: StoredObject,
        here: tuple[BlobVersion, ...],
        *,
        deep: bool,
    ) -> _Looked:
        """Hold one object against its row."""
        if not any(
            (item.version_id, item.size_bytes) == (row.version_id, row.size_bytes)
            for item in here
        ):
            if self._is_shredded(row.key):
                return _Looked(is_shredded=True, key=row.key)
            return _Looked("it is gone, or has another size", key=row.key)
        return self._look_at(saved, row, deep=deep)

    def _look_at(self, saved: SavedBackup, row: StoredObject, *, deep: bool) -> _Looked:
        """Hold a version's lock, and its bytes if `deep`, against what is signed."""
        try:
            lock = self._bucket.lock_of(row.key, version_id=row.version_id)
            read_bytes = self._read(row) if deep else 0
        except BlobNotFoundError:
            return _Looked("the version that is to be locked is gone", key=row.key)
        except IntegrityError as error:
            return _Looked(error.message, key=row.key)
        problem = _lock_problem(saved, row, lock)
        until_s = lock.until_s if lock is not None else 0.0
        return _Looked(problem, until_s, read_bytes, row.key)

    def _read(self, row: StoredObject) -> int:
        return len(read_object(self._bucket, row, row.size_bytes))


def _not_all_read(saved: SavedBackup) -> UnavailableError:
    return UnavailableError(
        f"{saved.unread_count} objects among the records of backup {saved.number} were "
        "not read yet: it may be held, and need what would be lifted",
        reason=Reason.STORE_UNAVAILABLE,
        hint="Lift it again: more are read each time. See docs/operations.md, 3.29.",
        backup=saved.number,
    )


def _lock_problem(saved: SavedBackup, row: StoredObject, lock: Lock | None) -> str:
    """Say what is wrong with the lock of an object; "" if nothing is."""
    wanted = lock_of(
        row.key, Lock(LockMode(saved.root.mode), saved.protected_until.timestamp())
    )
    if lock is None:
        return "it is not locked"
    if lock.until_s < wanted.until_s:
        ends = datetime.fromtimestamp(lock.until_s, UTC)
        return f"its lock ends on {ends:%Y-%m-%d %H:%M:%S} UTC, before the backup's"
    if wanted.mode is LockMode.COMPLIANCE and lock.mode is not LockMode.COMPLIANCE:
        return "it is locked by governance only"
    if saved.is_held and not lock.is_held:
        return "the legal hold is not on it"
    return ""
