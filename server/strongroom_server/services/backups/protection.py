# SPDX-License-Identifier: Apache-2.0
"""Until when a version is safe: the latest date of the backups that hold its content.

Read from the signed roots, and remembered: callers are told what was seen last, so
that a backup bucket that cannot be reached keeps nobody from reading.
"""

from collections import Counter
from dataclasses import dataclass, field
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
from strongroom_server.core.backup_root import JournalHead
from strongroom_server.ports import LockedBlobs
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.journals import JournalId
from strongroom_server.services.backups.bases import holds

#: What roots and extensions begin with, and pages do not.
_NUMBERED: Final = layout.BACKUPS + "0"

_Heads = dict[tuple[bytes, bytes], JournalHead]


@dataclass(frozen=True, slots=True)
class _Known:
    """One backup as it was read."""

    saved: SavedBackup
    heads: _Heads = field(repr=False)


@dataclass(frozen=True, slots=True)
class BackupState:
    """What is known of the backups that there are.

    Attributes:
        backups: Those that can be trusted, the newest first.
        untrusted: By number, what lies there and is none, and why.
        seen_time: When that was read, by the backup bucket's clock.
    """

    backups: tuple[SavedBackup, ...]
    untrusted: dict[int, StrongroomError]
    seen_time: datetime

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
        # Replaced and never changed, so that readers need no lock. Latest date first.
        self._dated: tuple[tuple[datetime, _Heads], ...] = ()
        self.state: BackupState | None = None

    def refresh(self, now_s: float) -> BackupState:
        """Read the roots that are there; `now_s` is the backup bucket's time.

        Raises:
            UnavailableError: The backup bucket or Vault cannot be reached.
            PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        """
        known: dict[tuple[int, int], _Known] = {}
        bad: dict[int, StrongroomError] = {}
        for number, count in self._numbers().items():
            found = self._known.get((number, count))
            try:
                known[number, count] = found or self._read(number)
            except (NotFoundError, IntegrityError, PreconditionError) as error:
                is_newer = error.reason is Reason.FORMAT_UNSUPPORTED
                if isinstance(error, PreconditionError) and not is_newer:
                    raise
                bad[number] = error
        now = datetime.fromtimestamp(now_s, UTC)
        backups = sorted(known.items(), reverse=True)
        self._known = known
        dated = [
            (item.saved.protected_until, item.heads)
            for item in known.values()
            if item.saved.protected_until > now
        ]
        self._dated = tuple(sorted(dated, key=_until, reverse=True))
        self.state = BackupState(tuple(item.saved for _, item in backups), bad, now)
        return self.state

    @property
    def is_any(self) -> bool:
        """Whether any backup was seen whose locks have not ended."""
        return bool(self._dated)

    def until(self, journal: JournalId, version: int) -> datetime | None:
        """Return until when a version is locked away; None if no backup holds it."""
        for until, heads in self._dated:
            head = heads.get((journal.project, journal.artifact))
            if head is not None and holds(head, version):
                return until
        return None

    def _numbers(self) -> Counter[int]:
        """Return which numbers there are, and how many objects each has."""
        found = Counter[int]()
        for item in self._bucket.first_versions(_NUMBERED):
            place = layout.backup_place(item.key)
            if place is not None:
                found[place[0]] += 1
        return found

    def _read(self, number: int) -> _Known:
        saved = self._records.load(number)
        heads = {(head.project, head.artifact): head for head in saved.root.journals}
        return _Known(saved, heads)


def _until(dated: tuple[datetime, _Heads]) -> datetime:
    return dated[0]
