# SPDX-License-Identifier: Apache-2.0
"""Downloads of what the store holds, with the keys of its domains: central's."""

from collections.abc import Sequence

from strongroom.format.names import VersionName
from strongroom_server.core.selection import check_selection
from strongroom_server.ports import SharedRead
from strongroom_server.repository.contents import load_manifest, select_files
from strongroom_server.repository.repository import Repository
from strongroom_server.services.downloads.download import Download
from strongroom_server.services.downloads.hedging import Pace
from strongroom_server.services.downloads.source import DownloadSource, open_download


class Downloads:
    """Opens versions for reading."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
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


_source: type[DownloadSource] = Downloads
