# SPDX-License-Identifier: Apache-2.0
"""Restoring into the store that is being served: adds and mends, moves no ref.

What the store has lost of an artifact's records is put back as it was; damage is
mended from the backup as repairs mend it; and a version that the store no longer has
comes back as a new one, with the same digest.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from strongroom.errors import IntegrityError
from strongroom.format.names import LATEST, ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.history import Committed, History
from strongroom_server.core.records import Caller
from strongroom_server.core.restore_records import (
    RestoredVersion,
    RestorePlan,
    RestoreProgress,
    RestoreTarget,
    Selection,
)
from strongroom_server.core.stored_objects import max_bytes
from strongroom_server.core.verify_records import StoreFinding, StoreProgress
from strongroom_server.ports import BlobExistsError, KeyService
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.inventory_view import InventoryCopy
from strongroom_server.repository.numbered_blobs import first_version
from strongroom_server.repository.repository import Repository
from strongroom_server.services.restoring.backups import OpenedBackups
from strongroom_server.services.restoring.choosing import (
    ChosenVersion,
    chosen_versions,
)
from strongroom_server.services.restoring.entries import JournalEntries
from strongroom_server.services.restoring.parts import (
    Mending,
    RestoreItem,
    VersionWriter,
)
from strongroom_server.services.restoring.planning import plan_folder
from strongroom_server.services.restoring.tally import Tally


@dataclass(frozen=True, slots=True)
class LivingRequest:
    """What is to be restored into the living store.

    Attributes:
        artifact: Of which artifact.
        selector: Which version, as the backup has it; "" is its `latest`.
        backup: From which backup, by number; 0 for none in particular.
        as_of: From the newest backup that was begun no later.
        request_id: Repeating a request with the same one restores once.
        max_bytes_per_second: How fast to read; 0 means as fast as possible.
    """

    artifact: ArtifactName
    selector: str = ""
    backup: int = 0
    as_of: datetime | None = None
    request_id: str = ""
    max_bytes_per_second: int = 0

    @property
    def selection(self) -> Selection:
        """What of the backup is meant."""
        name = self.artifact
        return Selection(name.project, name.artifact, self.selector or LATEST)


class LivingRestore:
    """Restores versions into the store. Safe to use from many threads.

    Args:
        repository: The store.
        backups: What there is to restore from.
        key_service: Tells which KEKs there are.
        mends: Makes what reads the store back and mends it from one backup.
        writer: Writes what has to come back as a new version.
    """

    def __init__(
        self,
        repository: Repository,
        backups: OpenedBackups,
        *,
        key_service: KeyService,
        mends: Callable[[InventoryCopy], Mending],
        writer: VersionWriter,
    ) -> None:
        self._repository = repository
        self._backups = backups
        self._key_service = key_service
        self._mends = mends
        self._writer = writer

    @property
    def _executor(self) -> Executor:
        return self._repository.executor

    def plan(self, request: LivingRequest) -> RestorePlan:
        """Return what a restore would do at most; changes nothing.

        Raises:
            NotFoundError: There is no such backup, or no such version in it.
        """
        engine = self._open(request)
        return plan_folder(
            engine,
            request.selection,
            key_service=self._key_service,
            executor=self._executor,
        )

    def run(self, request: LivingRequest, *, caller: Caller) -> Iterator[RestoreItem]:
        """Restore; progress comes now and then, last the report.

        Raises:
            NotFoundError: There is no such backup, or no such version in it.
            PreconditionError: The artifact was shredded (KEY_SHREDDED), or its
                journal went on otherwise than the backup's (STORE_UNSUITABLE).
            IntegrityError: A record in the backup is damaged.
            UnavailableError: S3, Vault or the backup bucket failed.
        """
        engine = self._open(request)
        tally = Tally(
            self._repository.clock,
            RestoreTarget.LIVING,
            engine.saved,
            request.selection,
        )
        chosen = next(chosen_versions(engine, request.selection, tally.damage))
        tally.total_bytes = chosen.version.size_bytes
        yield tally.progress("records")
        self._put_back(engine, chosen, tally)
        yield from self._mend(engine, request, tally)
        yield from self._bring_back(engine, chosen, request, caller, tally)
        yield tally.report()

    def _open(self, request: LivingRequest) -> BackupEngine:
        saved = self._backups.find(
            request.selection, number=request.backup, as_of=request.as_of
        )
        return self._backups.open(saved)

    def _put_back(
        self, engine: BackupEngine, chosen: ChosenVersion, tally: Tally
    ) -> None:
        """Put back records that are gone: keys before what they open, journal last."""
        project = engine.repository.projects.get(
            ProjectName(chosen.artifact.name.project)
        )
        self._repository.keyring.graves.check(chosen.artifact.scope)
        prefixes = (
            layout.slots_prefix(project.scope.domain),
            layout.slots_prefix(chosen.artifact.scope.domain),
            layout.project_key(project.scope.project),
        )
        entries = JournalEntries(self._repository, engine, chosen.artifact)
        entries.compare()
        for prefix in dict.fromkeys(prefixes):
            for row in engine.view.rows.after(prefix):
                if first_version(self._repository.blobs, row.key) is not None:
                    continue
                data = engine.view.get(
                    row.key, version_id=row.version_id, max_bytes=max_bytes(row.key)
                )
                with contextlib.suppress(BlobExistsError):
                    self._repository.blobs.put_new(row.key, data)
                    tally.copied_count += 1
                    tally.copied_bytes += len(data)
        entries.put_back(tally)

    def _mend(
        self, engine: BackupEngine, request: LivingRequest, tally: Tally
    ) -> Iterator[RestoreProgress]:
        copy = InventoryCopy(f"backup {engine.saved.number}", engine.view)
        rate = request.max_bytes_per_second
        for item in self._mends(copy).verify(
            request.artifact, repair=True, max_bytes_per_second=rate
        ):
            if isinstance(item, StoreFinding) and item.repaired:
                tally.copied_count += 1
            elif isinstance(item, StoreFinding) and not item.mended:
                tally.damage(item.object, IntegrityError(item.message))
            if isinstance(item, StoreProgress):
                yield tally.progress(f"mending: {item.stage}")

    def _bring_back(
        self,
        engine: BackupEngine,
        chosen: ChosenVersion,
        request: LivingRequest,
        caller: Caller,
        tally: Tally,
    ) -> Iterator[RestoreProgress]:
        version = chosen.version
        number = _same(self._living(request.artifact), version)
        if not number:
            for number in self._writer.write(  # noqa: B007 -- the last one counts
                engine,
                request.artifact,
                version,
                caller=caller,
                request_id=request.request_id,
            ):
                yield tally.progress(f"writing {chosen.told} anew")
            tally.copied_bytes += version.size_bytes
            tally.copied_count += version.file_count
        tally.restored(
            RestoredVersion(
                chosen.told,
                version.digest,
                version.file_count,
                version.size_bytes,
                number if number != version.version else 0,
            )
        )

    def _living(self, name: ArtifactName) -> History:
        return self._repository.artifact(name).history


def _same(history: History, version: Committed) -> int:
    """Return which living version has the content: itself, or the newest; else 0."""
    if history.is_live(version.version):
        return version.version
    same = [item for item in history.live_versions() if item.digest == version.digest]
    return same[-1].version if same else 0
