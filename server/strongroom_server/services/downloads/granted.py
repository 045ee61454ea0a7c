# SPDX-License-Identifier: Apache-2.0
"""Downloads of what central has granted: a sidecar's."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from strongroom.format.names import VersionName
from strongroom_server.core.scope import Scope
from strongroom_server.core.selection import check_selection
from strongroom_server.ports import Clock, SharedRead
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.services.downloads.download import Download
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.hedging import Pace
from strongroom_server.services.downloads.source import DownloadSource, open_download


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


_engine: type[Engine] = GrantedEngine
_source: type[DownloadSource] = GrantedDownloads
