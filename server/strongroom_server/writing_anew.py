# SPDX-License-Identifier: Apache-2.0
"""Writing versions of a backup anew: an upload of what a download of it reads."""

from collections.abc import Iterator

from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.history import Committed
from strongroom_server.core.records import (
    Caller,
    FileBlock,
    FileEnded,
    FileStarted,
)
from strongroom_server.repository.backup_engine import BackupEngine
from strongroom_server.repository.repository import Repository
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.restoring import VersionWriter
from strongroom_server.services.uploads import Uploads, UploadStart


class StoredAnew:
    """Writes versions of a backup into the store as a push would."""

    def __init__(self, repository: Repository) -> None:
        self._uploads = Uploads(repository)

    def write(
        self,
        engine: BackupEngine,
        artifact: ArtifactName,
        version: Committed,
        *,
        caller: Caller,
        request_id: str,
    ) -> Iterator[int]:
        """See `VersionWriter`."""
        name = VersionName(artifact, str(version.version))
        start = UploadStart(
            artifact,
            None,
            version.message,
            version.metadata,
            request_id,
            lineage=version.lineage,
        )
        with (
            self._uploads.begin(start, caller=caller) as upload,
            Downloads(engine.repository).open(name, paths=()) as read,
        ):
            for item in read.items:
                match item:
                    case FileStarted(path, size_bytes, executable):
                        upload.start_file(
                            path, size_bytes=size_bytes, executable=executable
                        )
                    case FileBlock(offset_bytes, data):
                        upload.write(data, offset_bytes=offset_bytes)
                        yield 0
                    case FileEnded(digest):
                        upload.end_file(digest)
                    case _:  # nobody shares memory here
                        raise AssertionError(item)
            result = upload.commit(file_count=version.file_count, digest=version.digest)
        yield result.version.number


_writer: type[VersionWriter] = StoredAnew
