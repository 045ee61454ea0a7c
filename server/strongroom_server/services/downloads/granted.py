# SPDX-License-Identifier: Apache-2.0
"""Downloads of what central has granted: a sidecar's."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from strongroom.format.names import VersionName
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.scope import Scope
from strongroom_server.core.selection import check_selection
from strongroom_server.ports import Clock, SharedRead
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook, Opening
from strongroom_server.repository.manifests import path_not_found
from strongroom_server.services.downloads.download import Download
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.hedging import Pace
from strongroom_server.services.downloads.sessions import Session
from strongroom_server.services.downloads.source import DownloadSource, open_download
from strongroom_server.services.downloads.tables import FileTable

#: A version with no more files is granted at once to who asks for many of them.
MAX_WHOLE_FILES: Final = 40_000


@dataclass(frozen=True, slots=True)
class GrantedEngine:
    """What a sidecar's downloads run on."""

    book: GrantBook
    chunks: ChunkReader
    executor: Executor
    read_budget: ByteBudget
    clock: Clock

    def check_readable(self, name: VersionName, _scope: Scope) -> None:
        """See `Engine`."""
        self.book.check_readable(name)


class GrantedDownloads:
    """Opens versions for reading, with grants."""

    def __init__(self, engine: GrantedEngine) -> None:
        self._engine = engine
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
        """See `DownloadSource`.

        Raises:
            UnavailableError: It is not open yet, and central cannot be reached.
        """
        check_selection(paths, offset_bytes, length_bytes)
        opened = self._engine.book.open(name, paths=paths)
        return open_download(
            self._engine,
            opened.version,
            opened.scope,
            opened.entries,
            offset_bytes,
            length_bytes,
            pace=self._pace,
            room=room,
        )

    def open_session(
        self, name: VersionName, *, room: SharedRead | None = None
    ) -> Session:
        """See `DownloadSource`; errors also as `open`."""
        book = self._engine.book
        opened = book.open(name, paths=(), max_files=MAX_WHOLE_FILES)
        table = GrantedTable(book, opened)
        return Session(self._engine, table, pace=self._session_pace, room=room)


class GrantedTable:
    """The files of a granted version: all at once if they are few, else as asked."""

    def __init__(self, book: GrantBook, opened: Opening) -> None:
        self._book = book
        self.version = opened.version
        self.scope = opened.scope
        self._is_whole = opened.version.file_count <= MAX_WHOLE_FILES
        self._files = {entry.path: entry for entry in opened.entries}

    def find(self, paths: Sequence[str]) -> list[FileEntry]:
        """See `FileTable`."""
        missing = [path for path in dict.fromkeys(paths) if path not in self._files]
        for path in missing:
            if self._is_whole or path.endswith("/"):
                raise path_not_found(path)
        if missing:
            if len(self._files) + len(missing) > MAX_WHOLE_FILES:
                self._files = {
                    path: self._files[path] for path in paths if path in self._files
                }
            check_selection(missing)
            opened = self._book.open(self.version.name, paths=missing)
            self._files.update((entry.path, entry) for entry in opened.entries)
        return [self._files[path] for path in paths]


_table: type[FileTable] = GrantedTable
_engine: type[Engine] = GrantedEngine
_source: type[DownloadSource] = GrantedDownloads
