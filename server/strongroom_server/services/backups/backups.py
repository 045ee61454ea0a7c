# SPDX-License-Identifier: Apache-2.0
"""Backups, as callers and the schedule ask for them."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from strongroom.errors import NotFoundError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.ports import LockedBlobs
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.repository import Repository
from strongroom_server.services.backups.keeping import Keeping
from strongroom_server.services.backups.placing import Judge, KnownAs
from strongroom_server.services.backups.protection import BackupState, Protection
from strongroom_server.services.backups.results import (
    BackupFinding,
    BackupProgress,
    BackupReport,
    ExtendedBackup,
    TakenBackup,
)
from strongroom_server.services.backups.taking import Asked, BackupRules, Taking


class Backups:
    """Takes, checks and keeps the backups of one store. Safe for many threads.

    Attributes:
        rules: How they are taken.
        protection: Until when versions are safe.
    """

    def __init__(
        self,
        repository: Repository,
        bucket: LockedBlobs,
        records: BackupRecords,
        rules: BackupRules,
        *,
        require: Callable[[], object],
        judge: Judge,
        known_as: KnownAs,
    ) -> None:
        """Keep backups in a bucket.

        Args:
            repository: The store.
            bucket: Where they lie.
            records: What they say.
            rules: How they are taken.
            require: Raises if the bucket does not keep its locks, or this server's
                credential could break them.
            judge: Holds bytes against the keys that they lie under.
            known_as: By which other ids a version of the store may be pinned.
        """
        self._repository = repository
        self._bucket = bucket
        self._records = records
        self._require = require
        self._judge = judge
        self._known_as = known_as
        self._keeping = Keeping(repository, bucket, records)
        self._looking = threading.Lock()
        self.rules = rules
        self.protection = Protection(records, bucket)

    def create(self, asked: Asked) -> Iterator[BackupProgress | TakenBackup]:
        """Take a backup; yield how far it has come, and at last what was taken.

        Raises:
            PreconditionError: The bucket does not keep its locks, or the credential
                may break them (STORE_UNSUITABLE, STORE_ACCESS_DENIED).
            StrongroomError: As `Taking.run`.
        """
        yield BackupProgress("checking the backup bucket", 0)
        self._require()
        taking = Taking(
            self._repository,
            self._bucket,
            self._records,
            self.rules,
            asked,
            self._judge,
            self._known_as,
        )
        for item in taking.run():
            if isinstance(item, TakenBackup):
                self.look()
            yield item

    def look(self) -> BackupState:
        """Look which backups there are; remembers what they protect.

        Raises:
            UnavailableError: The backup bucket or Vault cannot be reached.
        """
        with self._looking:
            return self.protection.refresh(self._bucket.time_s())

    def find(self, number: int) -> SavedBackup:
        """Return a backup by its number; for 0 the newest, of the whole store if any.

        One of a part says nothing of what a disaster needs.

        Raises:
            NotFoundError: There is none (BACKUP_NOT_FOUND).
            IntegrityError: What lies there is none of ours.
        """
        if number:
            return self._records.load(number)
        newest: SavedBackup | None = None
        for saved in self._records.newest_first():
            newest = newest or saved
            if saved.root.is_whole:
                return saved
        if newest is None:
            raise NotFoundError(
                "there is no backup",
                reason=Reason.BACKUP_NOT_FOUND,
                hint="Take one with `strongroom backup create`.",
            )
        return newest

    def verify(
        self, number: int, *, deep: bool, check: Callable[[], None]
    ) -> Iterator[BackupFinding | BackupProgress | BackupReport]:
        """Check a backup, the newest for 0; see `Keeping.verify`."""
        number = self.find(number).number
        return self._keeping.verify(number, deep=deep, check=check)

    def extend(
        self, number: int, until: datetime, *, check: Callable[[], None]
    ) -> Iterator[BackupProgress | ExtendedBackup]:
        """Lock a backup for longer; see `Keeping.extend`."""
        yield from self._keeping.extend(number, until, check=check)
        self.look()

    def hold(
        self, number: int, *, is_held: bool, check: Callable[[], None]
    ) -> Iterator[BackupProgress | ExtendedBackup]:
        """Hold a backup, or lift that; see `Keeping.hold`."""
        yield from self._keeping.hold(number, is_held=is_held, check=check)
        self.look()

    def dates_of(self, artifact: ArtifactName) -> Callable[[int], datetime | None]:
        """Return what tells until when versions of an artifact are locked away.

        As it was seen last; None for one that no backup holds, or not any longer.
        """
        if not self.protection.is_any:
            return lambda _: None
        project = self._repository.projects.get(ProjectName(artifact.project))
        journal = self._repository.projects.journal_of(project, artifact)
        return partial(self.protection.until, journal)
