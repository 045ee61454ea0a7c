# SPDX-License-Identifier: Apache-2.0
"""Finding the backup that somebody means, and opening it as a store."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from strongroom.errors import InvalidArgumentError, NotFoundError, Reason
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup


class OpenedBackups:
    """The backups that there are. Safe to use from many threads."""

    def __init__(
        self, records: BackupRecords, opens: Callable[[SavedBackup], BackupEngine]
    ) -> None:
        self._records = records
        self._opens = opens

    def find(self, *, number: int = 0, as_of: datetime | None = None) -> SavedBackup:
        """Return the backup of a number, the last one of a time, or the newest.

        Args:
            number: Which one; 0 for none in particular.
            as_of: Only what had been committed by then: the newest backup that was
                begun no later.

        Raises:
            InvalidArgumentError: Both were given.
            NotFoundError: There is none (BACKUP_NOT_FOUND).
            IntegrityError: Its root is not signed by the store's keys.
        """
        if number and as_of is not None:
            raise InvalidArgumentError(
                "a backup is named by its number or by a time, not by both",
                reason=Reason.ARGUMENT_INVALID,
            )
        if number:
            return self._records.load(number)
        good, bad = self._records.survey()
        if as_of is not None:
            good = [item for item in good if item.root.create_time <= as_of]
        if good:
            return good[-1]
        when = "" if as_of is None else f" from {as_of:%Y-%m-%d %H:%M:%SZ} or before"
        unsigned = f"; {len(bad)} are not signed as they must be" if bad else ""
        raise NotFoundError(
            f"there is no backup{when}{unsigned}",
            reason=Reason.BACKUP_NOT_FOUND,
            hint="`strongroom backup ls` lists what there is; look at [backup] in the "
            "settings.",
        )

    def open(self, saved: SavedBackup) -> BackupEngine:
        """Open a backup for reading; errors as `open_backup_engine`.

        What was shredded since is dead in it: its keys are gone, or are to go.
        """
        engine = self._opens(saved)
        engine.repository.shreds.refresh()
        newest = self.find()
        if newest.number == saved.number:
            return engine
        later = self._opens(newest)
        later.repository.shreds.refresh()
        for tombstone in later.repository.keyring.graves.all():
            engine.repository.keyring.graves.bury(tombstone)
        return replace(engine, later=later)
