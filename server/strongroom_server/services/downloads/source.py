# SPDX-License-Identifier: Apache-2.0
"""Opening versions for reading, wherever the keys come from; and which part is read."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from strongroom.errors import OutOfRangeError
from strongroom.format.names import VersionName
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.records import VersionRecord
from strongroom_server.core.scope import Scope
from strongroom_server.ports import SharedRead
from strongroom_server.services.downloads.download import Download
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.hedging import Pace
from strongroom_server.services.downloads.sessions import Session


class DownloadSource(Protocol):
    """Opens versions for reading. Safe to use from many threads."""

    def open(
        self,
        name: VersionName,
        *,
        paths: Sequence[str],
        offset_bytes: int = 0,
        length_bytes: int = 0,
        room: SharedRead | None = None,
    ) -> Download:
        """Resolve a version and what to read of it.

        Args:
            name: The version.
            paths: Files, or directories with a trailing slash; empty means all.
            offset_bytes: Where to start; only with exactly one file.
            length_bytes: How many bytes; 0 means to the end.
            room: Memory that the reader sees, to be used as far as it goes; closed
                with the download.

        Raises:
            NotFoundError: The version or a path does not exist.
            OutOfRangeError: The offset lies past the end of the file.
            InvalidArgumentError: The paths or the range are malformed.
        """
        ...

    def open_session(
        self, name: VersionName, *, room: SharedRead | None = None
    ) -> Session:
        """Resolve a version of which many files will be asked for.

        Args:
            name: The version.
            room: Memory that the reader sees; closed with the session.

        Raises:
            NotFoundError: The version does not exist.
        """
        ...


def open_download(  # noqa: PLR0917 -- what is opened, in the order of `Download`
    engine: Engine,
    version: VersionRecord,
    scope: Scope,
    entries: Iterator[FileEntry],
    offset_bytes: int,
    length_bytes: int,
    *,
    pace: Pace,
    room: SharedRead | None = None,
) -> Download:
    """Begin to read some files, or a range of the only one.

    Raises:
        OutOfRangeError: The offset lies past the end of the file.
    """
    if not offset_bytes and not length_bytes:
        return Download(engine, version, scope, entries, None, pace=pace, room=room)
    entry = next(entries)
    if offset_bytes > entry.size_bytes:
        raise OutOfRangeError(
            f"offset {offset_bytes} lies past the end of {entry.path!r}, "
            f"{entry.size_bytes} bytes",
            offset_bytes=offset_bytes,
            size_bytes=entry.size_bytes,
            path=entry.path,
        )
    rest = entry.size_bytes - offset_bytes
    length = min(length_bytes, rest) if length_bytes else rest
    part = (offset_bytes, length)
    return Download(engine, version, scope, iter([entry]), part, pace=pace, room=room)
