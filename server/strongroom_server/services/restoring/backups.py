# SPDX-License-Identifier: Apache-2.0
"""Finding the backup that somebody means, and opening it as a store."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from strongroom.errors import (
    InvalidArgumentError,
    NotFoundError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import ProjectName
from strongroom_server.core.restore_records import Selection
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.services.restoring.choosing import chosen_versions

_ALL: Final = Selection()


class OpenedBackups:
    """The backups that there are. Safe to use from many threads."""

    def __init__(
        self, records: BackupRecords, opens: Callable[[SavedBackup], BackupEngine]
    ) -> None:
        self._records = records
        self._opens = opens

    def find(
        self,
        selection: Selection = _ALL,
        *,
        number: int = 0,
        as_of: datetime | None = None,
    ) -> SavedBackup:
        """Return the backup of a number, the last one of a time, or the newest.

        Backups of a part of the store are passed over, unless they have what is
        wanted of it.

        Args:
            selection: What is wanted of it.
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
        bad: dict[int, StrongroomError] = {}
        parts = 0
        for saved in self._records.newest_first(bad):
            if as_of is not None and saved.root.create_time > as_of:
                continue
            if saved.root.is_whole or self._has(saved, selection):
                return saved
            parts += 1
        raise _none_found(as_of, parts, len(bad))

    def _has(self, saved: SavedBackup, selection: Selection) -> bool:
        """Return whether a backup of a part has what is wanted."""
        if selection.is_all:
            return False
        engine = self._opens(saved)
        try:
            engine.repository.projects.get(ProjectName(selection.project))
            next(chosen_versions(engine, selection, lambda *_: None), None)
        except NotFoundError:
            return False
        return True

    def open(self, saved: SavedBackup) -> BackupEngine:
        """Open a backup for reading; errors as `open_backup_engine`.

        What was shredded since is dead in it: its keys are gone, or are to go.
        """
        engine = self._opens(saved)
        engine.repository.shreds.refresh()
        newest = self._records.newest()  # Those of parts have all tombstones, too.
        if newest is None or newest.number <= saved.number:
            return engine
        later = self._opens(newest)
        later.repository.shreds.refresh()
        for tombstone in later.repository.keyring.graves.all():
            engine.repository.keyring.graves.bury(tombstone)
        return replace(engine, later=later)


def _none_found(as_of: datetime | None, parts: int, bad: int) -> NotFoundError:
    when = "" if as_of is None else f" from {as_of:%Y-%m-%d %H:%M:%SZ} or before"
    unsigned = f"; {bad} are not signed as they must be" if bad else ""
    passed = f"; {parts} of other parts of the store were passed over" if parts else ""
    return NotFoundError(
        f"there is no backup{when}{' of that' if parts else ''}{passed}{unsigned}",
        reason=Reason.BACKUP_NOT_FOUND,
        hint="`strongroom backup ls` lists what there is; look at [backup] in the "
        "settings.",
    )
