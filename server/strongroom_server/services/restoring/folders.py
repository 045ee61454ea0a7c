# SPDX-License-Identifier: Apache-2.0
"""Restoring to a folder: files decrypted, checked, written once, never overwritten.

Files lie at `project/artifact/number/path`. What is damaged is told and left out; a
run that was cut off goes on where it was, since files come whole or not at all.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from strongroom.errors import IntegrityError, NotFoundError, Reason
from strongroom.format.digest import format_digest, path_order
from strongroom.format.names import VersionName
from strongroom_server.core import canonical
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.records import FileBlock, FileEnded, FileStarted
from strongroom_server.core.restore_records import (
    RestoredVersion,
    RestoreProgress,
    RestoreReport,
    RestoreTarget,
    Selection,
)
from strongroom_server.ports import RestoreFolder
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.contents import files_of
from strongroom_server.services.restoring.choosing import (
    ChosenVersion,
    chosen_versions,
)
from strongroom_server.services.restoring.parts import ContentSource
from strongroom_server.services.restoring.tally import Tally

#: Files that are looked for in the folder, and opened together.
BATCH_FILES: Final = 500


@dataclass(slots=True)
class _Sums:
    """What was restored of one version."""

    file_count: int = 0
    size_bytes: int = 0
    is_whole: bool = True


class FolderRestore:
    """Restores a backup's versions as plain files. Used by one thread."""

    def __init__(
        self, engine: BackupEngine, source: ContentSource, folder: RestoreFolder
    ) -> None:
        self._engine = engine
        self._source = source
        self._folder = folder

    def run(self, selection: Selection) -> Iterator[RestoreProgress | RestoreReport]:
        """Restore; progress comes after each batch of files, last the report.

        Raises:
            AlreadyExistsError: The folder holds something else (TARGET_EXISTS).
            NotFoundError: The backup has no such thing.
            IntegrityError: What was asked for by name cannot be found for damage.
            UnavailableError: The backup bucket, Vault or the disk failed.
        """
        clock = self._engine.repository.clock
        tally = Tally(clock, RestoreTarget.FOLDER, self._engine.saved, selection)
        self._folder.begin(_mark(self._engine, selection))
        for chosen in chosen_versions(self._engine, selection, tally.damage):
            yield from self._version(chosen, selection.path, tally)
        yield tally.report()

    def _version(
        self, chosen: ChosenVersion, path: str, tally: Tally
    ) -> Iterator[RestoreProgress]:
        sums = _Sums()
        entries = files_of(
            self._engine.repository, chosen.artifact, chosen.version, path=path
        )
        try:
            while batch := list(islice(entries, BATCH_FILES)):
                self._batch(chosen, batch, tally, sums)
                yield tally.progress(chosen.told)
        except IntegrityError as error:
            # Its file table is damaged from here on.
            tally.damage(chosen.told, error)
            sums.is_whole = False
        if path and not sums.file_count and sums.is_whole:
            raise NotFoundError(
                f"{chosen.told} has no file {path!r}",
                reason=Reason.PATH_NOT_FOUND,
                hint="A folder ends with a slash.",
                path=path,
            )
        if sums.is_whole:
            tally.restored(
                RestoredVersion(
                    chosen.told,
                    chosen.version.digest,
                    sums.file_count,
                    sums.size_bytes,
                )
            )

    def _batch(
        self,
        chosen: ChosenVersion,
        batch: Sequence[FileEntry],
        tally: Tally,
        sums: _Sums,
    ) -> None:
        wanted = [
            entry
            for entry in batch
            if not self._is_there(_place(chosen, entry.path), entry, tally)
        ]
        sums.file_count += len(batch)
        sums.size_bytes += sum(entry.size_bytes for entry in batch)
        while wanted:
            try:
                self._write(chosen, wanted, tally)
            except IntegrityError as error:
                damaged = str(error.metadata.get("path", wanted[0].path))
                if damaged not in {item.path for item in wanted}:
                    damaged = wanted[0].path  # Or it would be tried for ever.
                tally.damage(f"{chosen.told}/{damaged}", error)
                sums.is_whole = False
                last = path_order(damaged)
                wanted = [item for item in wanted if path_order(item.path) > last]
            else:
                return

    def _is_there(self, place: str, entry: FileEntry, tally: Tally) -> bool:
        is_there = self._folder.has(
            place,
            size_bytes=entry.size_bytes,
            executable=entry.executable,
            digest=entry.digest,
        )
        if is_there:
            tally.there_count += 1
            tally.there_bytes += entry.size_bytes
        return is_there

    def _write(
        self, chosen: ChosenVersion, wanted: Sequence[FileEntry], tally: Tally
    ) -> None:
        name = VersionName(chosen.artifact.name, str(chosen.version.version))
        paths = [entry.path for entry in wanted]
        with self._source.open(name, paths=paths) as read:
            items = read.items
            for item in items:
                if isinstance(item, FileStarted):
                    self._file(chosen, item, items)
                    tally.copied_count += 1
                    tally.copied_bytes += item.size_bytes

    def _file(
        self, chosen: ChosenVersion, start: FileStarted, items: Iterator[object]
    ) -> None:
        """Write one file; it is there only if all of it has its digest."""
        hasher = hashlib.sha256()
        place = _place(chosen, start.path)
        with self._folder.create(place, executable=start.executable) as sink:
            for item in items:
                if isinstance(item, FileBlock):
                    hasher.update(item.data)
                    sink.write(item.data)
                if isinstance(item, FileEnded):
                    break
            if format_digest(hasher.digest()) != start.digest:
                raise IntegrityError(
                    f"file {start.path!r} of {chosen.told} has another digest than "
                    "was stored",
                    reason=Reason.DIGEST_MISMATCH,
                    hint="Use an older backup: `strongroom backup ls`.",
                    path=start.path,
                )


def _place(chosen: ChosenVersion, path: str) -> str:
    name = chosen.artifact.name
    return f"{name.project}/{name.artifact}/{chosen.version.version}/{path}"


def _mark(engine: BackupEngine, selection: Selection) -> bytes:
    body = {
        "store": engine.saved.root.store.hex(),
        "root": engine.saved.root_digest,
        "selection": selection.shown(),
    }
    return canonical.encode(body)
