# SPDX-License-Identifier: Apache-2.0
"""Writing a version: files in, chunks and packs out, one journal entry at the end.

Nothing of an upload shows before its journal entry stands; what a crash or an
abort leaves behind is garbage that nothing points at, or, of a resumable upload,
what another attempt goes on from.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
)
from strongroom.format.digest import parse_digest, path_order
from strongroom_server.core.codec_choice import choice_of
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed, History
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.policy import Cuts
from strongroom_server.core.records import Caller, Kind
from strongroom_server.core.scope import Scope
from strongroom_server.repository.content_writer import ContentWriter
from strongroom_server.repository.creating import project_of
from strongroom_server.repository.journals import JournalId
from strongroom_server.repository.parents import ParentFiles
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.requests import check_kind
from strongroom_server.services.uploads.commits import (
    Commit,
    CommitResult,
    UploadStart,
    check_start,
)
from strongroom_server.services.uploads.progress import Position, UploadProgress


class Uploads:
    """Begins uploads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def begin(self, start: UploadStart, *, caller: Caller) -> "Upload":
        """Check what can be checked before any byte is accepted.

        Raises:
            InvalidArgumentError: A field is out of range.
            NotFoundError: The project does not exist and may not be created.
            PreconditionError: The artifact is of another kind (KIND_MISMATCH).
            UnavailableError: Vault or S3 cannot be reached.
        """
        repository = self._repository
        check_start(start)
        # Commits need Vault: better refused now than after many gigabytes.
        repository.keyring.check_ready()
        project = project_of(
            repository,
            start.artifact,
            may_create=start.may_create_project,
            caller=caller,
            request_id=start.request_id,
        )
        journal = repository.projects.journal_of(project, start.artifact)
        past = repository.journals.load(journal)
        kind = start.kind or Kind.DATASET
        if past.entries:
            check_kind(start.artifact, said=start.kind, kind=past.created.kind)
            kind = past.created.kind
        view = repository.sweeps.view(at_least=past.fence)
        keys = repository.keyring.open_newest(project.scope)
        repository.chunk_index.refresh(keys)
        newest = self._manifest_of(project.scope, journal, past.newest)
        parent = ParentFiles(repository, project.scope, newest) if newest else None
        content = ContentWriter(
            repository,
            keys,
            journal.artifact,
            view=view,
            choice=choice_of(past.policy.codec, kind),
            cuts=Cuts(past.policy.cuts),
            parent=parent,
            remembers_entries=start.resumable,
        )
        progress = None
        if start.resumable:
            progress = UploadProgress(
                repository,
                keys,
                journal.artifact,
                start.request_id,
                content,
                sweep_epoch=view.epoch,
            )
        return Upload(
            content,
            Commit(repository, start, caller, project, journal, past, view),
            progress,
            self._base_files(start, project.scope, journal, past),
        )

    def _manifest_of(
        self, scope: Scope, journal: JournalId, version: Committed | None
    ) -> Manifest | None:
        """Return a version's manifest, if there is one that can be read."""
        if version is None:
            return None
        try:
            return self._repository.manifests.load(scope, journal.artifact, version)
        except IntegrityError:
            return None  # nothing to build on; the bytes at hand do not need it

    def _base_files(
        self, start: UploadStart, scope: Scope, journal: JournalId, past: History
    ) -> Iterator[FileEntry]:
        """Yield the files of the version that the upload says it builds on."""
        number = start.base_version
        if not 0 < number <= len(past.versions) or not past.is_live(number):
            return
        manifest = self._manifest_of(scope, journal, past.versions[number - 1])
        if manifest is not None:
            yield from self._repository.manifests.entries(scope, manifest)


class Upload:
    """One version being written; used by one thread.

    A context manager: what was not committed when it ends is aborted.
    """

    def __init__(
        self,
        content: ContentWriter,
        commit: Commit,
        progress: UploadProgress | None,
        base: Iterator[FileEntry],
    ) -> None:
        self._content = content
        self._commit = commit
        self._progress = progress
        self._base = base
        self._base_next: FileEntry | None = None
        #: Where an upload that was taken up goes on; to be called before the first
        #: file, and only if it is resumable.
        self.position = Position()
        self._reopened = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._content.abort()
        if self._progress is not None:
            self._progress.end()

    @property
    def received_bytes(self) -> int:
        """How many bytes of files are there so far, those of other attempts too."""
        return self.position.received_bytes + self._content.received_bytes

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        return self._content.stored_bytes

    def resume(self) -> Iterator[None]:
        """Take up what earlier attempts made durable; `position` tells how much.

        To be run to its end before the first file, of a resumable upload only.

        Raises:
            ConflictError: Another attempt goes on at the same time
                (UPLOAD_CONFLICT).
            UnavailableError: S3 failed.
        """
        if self._progress is None:
            return
        yield from self._progress.resume()
        self.position = self._progress.position
        self._reopened = self.position.open_path

    def check_pace(self) -> None:
        """Check, at every sign of life, that a slow sender keeps nobody waiting.

        Raises:
            DeadlineExceededError: It does (STALLED).
        """
        self._content.check_pace()

    def start_file(self, path: str, *, size_bytes: int, executable: bool) -> None:
        """Begin the next file, or go on with the one that was open.

        Raises:
            InvalidArgumentError: The path is malformed, out of order or below a
                file, or a file is open.
            ConflictError: It is not the file that was open (SOURCE_CHANGED).
        """
        if not self._reopened:
            self._content.start_file(path, size_bytes=size_bytes, executable=executable)
            return
        opened = self._content.open_file_position()
        found = opened and (opened.path, opened.size_bytes, opened.executable)
        if found != (path, size_bytes, executable):
            raise ConflictError(
                f"{path!r} is not the file that the upload was at, {self._reopened!r}, "
                "or not of its size or mode any more",
                reason=Reason.SOURCE_CHANGED,
                hint="Push again with a new request id.",
                path=path,
                expected=self._reopened,
            )
        self._reopened = ""

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file; see `ContentWriter.write`."""
        self._check_not_reopened()
        self._commit.check_alive()
        self._content.write(data, offset_bytes=offset_bytes)
        if self._progress is not None:
            self._progress.record_if_due()

    def end_file(self, digest: str) -> None:
        """End the open file; see `ContentWriter.end_file`."""
        self._check_not_reopened()
        self._content.end_file(digest)
        if self._progress is not None:
            self._progress.record_if_due()

    def same_file(
        self, path: str, *, size_bytes: int, executable: bool, digest: str
    ) -> None:
        """Take in a file that the base version has as well; no bytes are needed.

        Raises:
            ConflictError: It has no such file, or none that may be shared
                (BASE_MISMATCH).
            InvalidArgumentError: The path is out of order, or a file is open.
        """
        self._check_not_reopened()
        entry = self._find_base(path)
        found = entry and (entry.size_bytes, entry.executable, entry.digest)
        if (
            entry is None
            or found != (size_bytes, executable, digest)
            or not self._content.may_adopt(entry)
        ):
            raise ConflictError(
                f"the version that the upload builds on has no such file {path!r}",
                reason=Reason.BASE_MISMATCH,
                hint="Push again, and send every file.",
                path=path,
            )
        self._content.adopt(entry)
        if self._progress is not None:
            self._progress.record_if_due()

    def commit(self, *, file_count: int, digest: str) -> CommitResult:
        """Make the version: everything durable, then one journal entry.

        Raises:
            InvalidArgumentError: A file is open, or the count differs.
            IntegrityError: The digest differs (DIGEST_MISMATCH).
            ConflictError: Other writers won every attempt (JOURNAL_CONTENDED), or
                a sweep condemned what it shares (SWEEP_OVERTOOK).
            UnavailableError: S3 or Vault failed. Repeating the same request id
                tells whether the version was made.
        """
        self._content.check_ended()
        if file_count != self._content.file_count:
            raise InvalidArgumentError(
                f"{self._content.file_count} files came whole, not {file_count}",
                reason=Reason.ARGUMENT_INVALID,
            )
        found = self._content.digest
        if parse_digest(digest) != parse_digest(found):
            raise IntegrityError(
                "the version was damaged on the way: its digest differs",
                reason=Reason.DIGEST_MISMATCH,
                hint="Push again.",
                expected=digest,
                found=found,
            )
        result = self._commit.run(self._content, found)
        self._progress = None  # done: there is nothing to go on from
        return result

    def _check_not_reopened(self) -> None:
        if self._reopened:
            raise InvalidArgumentError(
                f"file {self._reopened!r}, which was open, must start again first",
                reason=Reason.ARGUMENT_INVALID,
            )

    def _find_base(self, path: str) -> FileEntry | None:
        wanted = path_order(path)
        while self._base_next is None or path_order(self._base_next.path) < wanted:
            try:
                self._base_next = next(self._base, None)
            except IntegrityError:
                self._base = iter(())  # damaged: all that follows is to be sent
                self._base_next = None
            if self._base_next is None:
                return None
        return self._base_next if self._base_next.path == path else None
