# SPDX-License-Identifier: Apache-2.0
"""Versions and parts of drafts that a sidecar writes by grant.

Central checks and enters them; here their bytes are cut, digested and stored.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Self

from strongroom.errors import InternalError
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.records import Caller
from strongroom_server.core.write_results import CommitResult, PartResult, Position
from strongroom_server.core.write_steps import CopiedFile, RemovedPath, SameFile
from strongroom_server.ports import Clock, Entropy, GrantedWrite, PackPutter
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.buffers import BufferPool
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.granted_content import GrantedContent
from strongroom_server.repository.granted_parents import GrantedParent
from strongroom_server.repository.write_engine import WriteEngine
from strongroom_server.services.uploads.commits import UploadStart
from strongroom_server.services.uploads.drafts import PartStart
from strongroom_server.services.uploads.shape import PartSource, UploadSource


@dataclass(frozen=True, slots=True)
class GrantedWriteEngine:
    """What a sidecar's writes run on. Safe to use from many threads."""

    clock: Clock
    entropy: Entropy
    executor: Executor
    chunks: ChunkReader
    write_budget: ByteBudget
    open_budget: ByteBudget
    header_lock: Lock
    book: GrantBook
    putter: PackPutter
    buffers: BufferPool

    def content(self, write: GrantedWrite, artifact: ArtifactName) -> GrantedContent:
        """Return what takes in the files of a write."""
        grant = write.grant
        parent = None
        if grant.delta_base:
            name = VersionName(artifact, str(grant.delta_base))
            parent = GrantedParent(self.book, self.chunks, grant.scope, name)
        return GrantedContent(
            self, write, putter=self.putter, buffers=self.buffers, parent=parent
        )


class GrantedIntake:
    """What versions and parts have alike; used by one thread.

    A context manager: what was not ended before is given up.
    """

    def __init__(self, write: GrantedWrite, content: GrantedContent) -> None:
        self._write = write
        self._content = content

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._content.abort()

    @property
    def received_bytes(self) -> int:
        """How many bytes of files are there so far."""
        return self._content.received_bytes

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        return self._content.stored_bytes

    def check_pace(self) -> None:
        """See `GrantedContent.check_pace`."""
        self._content.check_pace()

    def start_file(
        self, path: str, *, size_bytes: int | None, executable: bool
    ) -> None:
        """Begin the next file; see `ContentWriter.start_file`."""
        self._content.start_file(path, size_bytes=size_bytes, executable=executable)

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file; see `ContentWriter.write`."""
        self._content.write(data, offset_bytes=offset_bytes)

    def end_file(self, digest: str | None) -> str:
        """End the open file and return its digest; see `ContentWriter.end_file`."""
        return self._content.end_file(digest)


class GrantedUpload(GrantedIntake):
    """A version being written; see `Upload`."""

    def __init__(self, write: GrantedWrite, content: GrantedContent) -> None:
        super().__init__(write, content)
        #: Where it goes on, if it is resumable.
        self.position = Position()

    @property
    def received_bytes(self) -> int:
        """How many bytes of files are there so far, those of other attempts too."""
        return self.position.received_bytes + self._content.received_bytes

    def resume(self) -> Iterator[None]:
        """See `Upload.resume`."""
        for position in self._write.resume():
            if position is not None:
                self.position = position
            yield

    def same_file(
        self, path: str, *, size_bytes: int, executable: bool, digest: str
    ) -> None:
        """Take in a file that the base version has as well; central looks."""
        self._content.add(SameFile(path, size_bytes, digest, executable))

    def commit(self, *, file_count: int, digest: str) -> CommitResult:
        """See `Upload.commit`.

        Raises:
            StrongroomError: As that; or the store or central failed before.
        """
        self._content.finish()
        result = self._write.commit(file_count=file_count, digest=digest)
        if not isinstance(result, CommitResult):
            raise _mixed_up()
        return result


class GrantedPart(GrantedIntake):
    """A part of a draft being written; see `DraftPart`."""

    def copy_file(self, path: str, *, version: str, source_path: str) -> None:
        """See `DraftPart.copy_file`; central looks."""
        self._content.add(CopiedFile(path, version, source_path))

    def remove(self, path: str) -> None:
        """See `DraftPart.remove`; central looks."""
        self._content.add(RemovedPath(path))

    def finish(self, *, file_count: int) -> PartResult:
        """See `DraftPart.finish`.

        Raises:
            StrongroomError: As that; or the store or central failed before.
        """
        self._content.finish()
        result = self._write.commit(file_count=file_count, digest="")
        if not isinstance(result, PartResult):
            raise _mixed_up()
        return result


class GrantedUploads:
    """An `UploadSource`, and `PartSource`, of the one write that was granted."""

    def __init__(self, engine: GrantedWriteEngine, write: GrantedWrite) -> None:
        self._engine = engine
        self._write = write

    def begin(self, start: UploadStart, *, caller: Caller) -> GrantedUpload:  # noqa: ARG002
        """Begin it; central has checked what can be checked."""
        content = self._engine.content(self._write, start.artifact)
        return GrantedUpload(self._write, content)

    def begin_part(self, start: PartStart, *, caller: Caller) -> GrantedPart:  # noqa: ARG002
        """Begin it; central has checked what can be checked."""
        content = self._engine.content(self._write, start.artifact)
        return GrantedPart(self._write, content)


def _mixed_up() -> InternalError:
    return InternalError(
        "central ended a write as what it is not",
        hint="Bring sidecar and central to the same release.",
    )


_engine: type[WriteEngine] = GrantedWriteEngine
_uploads: type[UploadSource] = GrantedUploads
_parts: type[PartSource] = GrantedUploads
