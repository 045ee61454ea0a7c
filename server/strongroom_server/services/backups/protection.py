# SPDX-License-Identifier: Apache-2.0
"""Until when a version is safe: the latest date of the backups that hold its content.

Read from the signed roots, and remembered: callers are told what was seen last, so
that a backup bucket that cannot be reached keeps nobody from reading.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.core import layout
from strongroom_server.core.backup_root import JournalHead, head_of
from strongroom_server.ports import LockedBlobs
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.signed_extensions import MAX_PLANTED
from strongroom_server.repository.signed_records import bare

#: What roots and extensions begin with, and pages do not.
_NUMBERED: Final = layout.BACKUPS + "0"
#: Before what is no backup is read again: it may have been Vault that was behind.
BAD_AGAIN_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class _Known:
    """One backup as it was read: without the bytes, pages and journals of its root.

    Attributes:
        saved: What it says of itself.
        counts: Of artifacts and of versions.
        heads: Of its journals, in order; none once it is locked no longer. Equal
            ones of several backups are the same object.
    """

    saved: SavedBackup
    counts: tuple[int, int]
    heads: tuple[JournalHead, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Bad:
    """What is no backup, and why; and when that was seen, in Unix seconds."""

    error: StrongroomError
    seen_s: float


@dataclass(frozen=True, slots=True)
class _Dated:
    """The backups that are locked still, the latest date first."""

    backups: tuple[_Known, ...] = ()
    #: By journal that somebody asked for: its different heads, the latest date first.
    asked: dict[JournalId, dict[JournalHead, datetime]] = field(default_factory=dict)

    def of(self, journal: JournalId) -> Mapping[JournalHead, datetime]:
        """Return until when which heads of a journal are locked away."""
        found = self.asked.get(journal)
        if found is None:
            found = {}
            for item in self.backups:
                head = head_of(item.heads, journal.project, journal.artifact)
                if head is not None:
                    found.setdefault(head, item.saved.protected_until)
            self.asked[journal] = found
        return found


@dataclass(frozen=True, slots=True)
class BackupState:
    """What is known of the backups that there are.

    Attributes:
        backups: Those that can be trusted, the newest first; of their roots without
            pages and journals, and without the stored bytes.
        counts: By number, of how many artifacts and versions they are.
        untrusted: By number, what lies there and is none, and why.
        lost: In words, which ones are gone though they were locked.
        seen_time: When that was read, by the backup bucket's clock.
        planted_count: Of objects where roots and extensions lie that are none of ours,
            nor of a newer release.
    """

    backups: tuple[SavedBackup, ...]
    counts: Mapping[int, tuple[int, int]]
    untrusted: dict[int, StrongroomError]
    lost: tuple[str, ...]
    seen_time: datetime
    planted_count: int = 0

    @property
    def newest(self) -> SavedBackup | None:
        """The newest of the whole store; of any part, if there is none."""
        whole = (saved for saved in self.backups if saved.root.is_whole)
        return next(whole, self.backups[0] if self.backups else None)


class Protection:
    """What backups protect. One thread looks, any may ask.

    Attributes:
        state: What was seen last; None before the first look.
    """

    def __init__(self, records: BackupRecords, bucket: LockedBlobs) -> None:
        self._records = records
        self._bucket = bucket
        # By number and by how much is signed of it: then it says the same.
        self._known: dict[tuple[int, int], _Known] = {}
        self._bad: dict[tuple[int, int], _Bad] = {}
        # By number: what was there, locked, and is not there any more.
        self._gone: dict[int, SavedBackup] = {}
        # Replaced and never changed, so that readers need no lock.
        self._dated = _Dated()
        self.state: BackupState | None = None

    def refresh(self, now_s: float) -> BackupState:
        """Read the roots that are there; `now_s` is the backup bucket's time.

        Raises:
            UnavailableError: The backup bucket or Vault cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        """
        known: dict[tuple[int, int], _Known] = {}
        bad: dict[tuple[int, int], _Bad] = {}
        heads = _Heads(self._known.values())
        now = datetime.fromtimestamp(now_s, UTC)
        for place in self._numbers().items():
            seen = self._bad.get(place)
            if seen is not None and 0 <= now_s - seen.seen_s < BAD_AGAIN_S:
                bad[place] = seen
                continue
            try:
                found = self._known.get(place)
                if (
                    found is None
                    or _is_short(found, now)
                    or _is_crowded(place[1], found)
                ):
                    found = self._read(place[0], heads)
                known[place] = found if _is_locked(found, now) else _shorten(found)
            except (NotFoundError, IntegrityError, PreconditionError) as error:
                is_newer = error.reason is Reason.FORMAT_UNSUPPORTED
                if isinstance(error, PreconditionError) and not is_newer:
                    raise
                bad[place] = _Bad(bare(error), now_s)
        self._note_gone(known, now)
        self._known, self._bad = known, bad
        dated = [item for item in known.values() if _is_locked(item, now)]
        self._dated = _Dated(tuple(sorted(dated, key=_until, reverse=True)))
        backups = tuple(known[place].saved for place in sorted(known, reverse=True))
        newer = {
            number
            for (number, _), item in bad.items()
            if item.error.reason is Reason.FORMAT_UNSUPPORTED
        }
        gaps = _gaps(backups, newer, now)
        lost = (*map(_show_gone, self._gone.values()), *gaps)
        self.state = BackupState(
            backups,
            {number: item.counts for (number, _), item in known.items()},
            {number: item.error for (number, _), item in bad.items()},
            lost,
            now,
            sum(_planted(count, item) for (_, count), item in known.items())
            + sum(count for number, count in bad if number not in newer),
        )
        return self.state

    def check(self) -> None:
        """Check that no backup is gone before its date.

        Raises:
            IntegrityError: One is (RECORD_CORRUPT).
        """
        lost = () if self.state is None else self.state.lost
        if lost:
            raise IntegrityError(
                f"{lost[0]}: locks of the backup bucket did not hold",
                reason=Reason.RECORD_CORRUPT,
                hint="Find out who removed it; strongroom backup create --read-all "
                "takes another one.",
                count=len(lost),
            )

    @property
    def is_any(self) -> bool:
        """Whether any backup was seen whose locks have not ended."""
        return bool(self._dated.backups)

    def until(self, journal: JournalId, version: int) -> datetime | None:
        """Return until when a version is locked away; None if no backup holds it."""
        for head, until in self._dated.of(journal).items():
            if head.holds(version):
                return until
        return None

    def _note_gone(
        self, known: Mapping[tuple[int, int], _Known], now: datetime
    ) -> None:
        """Remember which backups are gone, until their date."""
        there = {number for number, _ in known}
        before = {
            **self._gone,
            **{number: item.saved for (number, _), item in self._known.items()},
        }
        self._gone = {
            number: saved
            for number, saved in before.items()
            if number not in there and (saved.is_held or saved.protected_until > now)
        }

    def _numbers(self) -> Counter[int]:
        """Return which numbers there are, and how many objects each has."""
        found = Counter[int]()
        for item in self._bucket.first_versions(_NUMBERED):
            place = layout.backup_place(item.key)
            if place is not None:
                found[place[0]] += 1
        return found

    def _read(self, number: int, heads: "_Heads") -> _Known:
        saved = self._records.load(number)
        journals = saved.root.journals
        root = replace(saved.root, pages=(), journals=())
        return _Known(
            replace(saved, root=root, data=b""),
            counts_of(journals),
            heads.shared(journals),
        )


class _Heads:
    """Heads of which equal ones are kept once: most journals do not grow each hour."""

    def __init__(self, known: Iterable[_Known]) -> None:
        self._known = known
        self._heads: dict[JournalHead, JournalHead] | None = None

    def shared(self, heads: Iterable[JournalHead]) -> tuple[JournalHead, ...]:
        """Return these heads, each as it is known if it is."""
        if self._heads is None:  # Most looks find nothing new, and need none.
            self._heads = {head: head for item in self._known for head in item.heads}
        return tuple(self._heads.setdefault(head, head) for head in heads)


def counts_of(heads: Sequence[JournalHead]) -> tuple[int, int]:
    """Return how many journals there are, and how many versions are held of them."""
    versions = sum(last - first + 1 for head in heads for first, last in head.versions)
    return len(heads), versions


def _is_locked(item: _Known, now: datetime) -> bool:
    return item.saved.protected_until > now


def _is_short(item: _Known, now: datetime) -> bool:
    """Return whether heads are missing: time went back, or a clock was wrong."""
    return _is_locked(item, now) and len(item.heads) != item.counts[0]


def _is_crowded(count: int, item: _Known) -> bool:
    """Return whether there may be extensions that were not read for what is planted."""
    return _planted(count, item) >= MAX_PLANTED


def _planted(count: int, item: _Known) -> int:
    """Return how many of the objects of a backup are none of its signed records."""
    return max(count - 1 - len(item.saved.extensions), 0)


def _shorten(item: _Known) -> _Known:
    return replace(item, heads=())


def _until(item: _Known) -> datetime:
    return item.saved.protected_until


def _show_gone(saved: SavedBackup) -> str:
    until = f"locked until {saved.protected_until:%F %T} UTC"
    held = "held" if saved.is_held else until
    return f"backup {saved.number} is gone, or was replaced, and it was {held}"


def _gaps(
    backups: Sequence[SavedBackup], newer: Iterable[int], now: datetime
) -> Iterable[str]:
    """Yield which roots name one before them that is gone, and too early.

    Until when that was locked is not known. But it was begun after the ones before
    it: where one of these has a date that is not over, by the shorter retention of
    the two beside it, its own cannot be over. Those of a newer release are there.
    """
    digests = {saved.root_digest for saved in backups}
    older: SavedBackup | None = None
    for saved in reversed(backups):
        root = saved.root
        if older is not None and root.previous and root.previous not in digests:
            kept = min(
                one.protected_until - one.create_time for one in (root, older.root)
            )
            is_newer = any(older.number < number < saved.number for number in newer)
            if older.root.create_time + kept > now and not is_newer:
                yield f"the backup before {saved.number} is gone"
        older = saved
