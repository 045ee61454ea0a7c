# SPDX-License-Identifier: Apache-2.0
"""Downloads of what the store holds, with the keys of its domains: central's."""

from collections.abc import Sequence

from strongroom.format.names import VersionName
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed
from strongroom_server.core.selection import check_selection
from strongroom_server.ports import SharedRead
from strongroom_server.repository.contents import (
    find_files,
    load_manifest,
    select_files,
)
from strongroom_server.repository.repository import Artifact, Repository
from strongroom_server.services.downloads.download import Download
from strongroom_server.services.downloads.hedging import Pace
from strongroom_server.services.downloads.sessions import Session
from strongroom_server.services.downloads.source import DownloadSource, open_download
from strongroom_server.services.downloads.tables import FileTable


class Downloads:
    """Opens versions for reading."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._pace = Pace()
        self._session_pace = Pace()

    def open(
        self,
        name: VersionName,
        *,
        paths: Sequence[str],
        offset_bytes: int = 0,
        length_bytes: int = 0,
        room: SharedRead | None = None,
    ) -> Download:
        """See `DownloadSource`."""
        check_selection(paths, offset_bytes, length_bytes)
        repository = self._repository
        artifact, version = repository.version(name)
        load_manifest(repository, artifact, version)
        entries = select_files(repository, artifact, version, paths)
        return open_download(
            repository,
            artifact.version_record(version),
            artifact.scope,
            entries,
            offset_bytes,
            length_bytes,
            pace=self._pace,
            room=room,
        )

    def open_session(
        self, name: VersionName, *, room: SharedRead | None = None
    ) -> Session:
        """See `DownloadSource`."""
        artifact, version = self._repository.version(name)
        load_manifest(self._repository, artifact, version)
        table = StoredTable(self._repository, artifact, version)
        pace = self._session_pace
        return Session(self._repository, table, pace=pace, room=room)


class StoredTable:
    """The files of a stored version."""

    def __init__(
        self, repository: Repository, artifact: Artifact, version: Committed
    ) -> None:
        self._repository = repository
        self._artifact = artifact
        self._version = version
        self.version = artifact.version_record(version)
        self.scope = artifact.scope

    def find(self, paths: Sequence[str]) -> list[FileEntry]:
        """See `FileTable`."""
        return find_files(self._repository, self._artifact, self._version, paths)


_table: type[FileTable] = StoredTable
_source: type[DownloadSource] = Downloads
