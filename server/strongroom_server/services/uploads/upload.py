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
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.records import Caller
from strongroom_server.core.write_results import CommitResult, Position
from strongroom_server.repository.content_writer import ContentWriter
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.sharing import Sharing
from strongroom_server.services.uploads.commits import (
    Commit,
    UploadStart,
    check_start,
)
from strongroom_server.services.uploads.places import Place, find_place
from strongroom_server.services.uploads.progress import UploadProgress


class Uploads:
    """Begins uploads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def begin(self, start: UploadStart, *, caller: Caller) -> "Upload":
        """Check what can be checked before any byte is accepted.

        Raises:
            InvalidArgumentError: A field is out of range.
            NotFoundError: The project does not exist and may not be created.
            PreconditionError: The artifact is of another kind (KIND_MISMATCH), shares
                its project's key domain (DOMAIN_SHARED), or was shredded
                (KEY_SHREDDED).
            UnavailableError: Vault or S3 cannot be reached.
        """
        return self.begin_at(self.find(start, caller=caller), start, caller=caller)

    def find(self, start: UploadStart, *, caller: Caller) -> Place:
        """Return where an upload goes; errors as `begin`."""
        check_start(start)
        return find_place(
            self._repository,
            start.artifact,
            kind=start.kind,
            may_create=start.may_create_project,
            exclusive=start.exclusive,
            caller=caller,
            request_id=start.request_id,
        )

    def begin_at(
        self, place: Place, start: UploadStart, *, caller: Caller, writer: bytes = b""
    ) -> "Upload":
        """Begin an upload to a place; `writer` is the tag of who writes by grant."""
        repository = self._repository
        content = place.writer(
            repository, remembers_entries=start.resumable, writer=writer
        )
        progress = None
        if start.resumable:
            progress = UploadProgress(
                repository,
                place.keys,
                place.journal.artifact,
                start.request_id,
                content,
                sweep_epoch=place.view.epoch,
            )
        commit = Commit(
            repository,
            start,
            caller,
            place.project,
            place.journal,
            place.past,
            place.view,
        )
        return Upload(content, commit, progress, self._base_files(start, place))

    def _base_files(self, start: UploadStart, place: Place) -> Iterator[FileEntry]:
        """Yield the files of the version that the upload says it builds on."""
        number, past = start.base_version, place.past
        if not 0 < number <= len(past.versions) or not past.is_live(number):
            return
        manifest = place.manifest_of(self._repository, past.versions[number - 1])
        if manifest is not None:
            yield from self._repository.manifests.entries(place.scope, manifest)


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
    def sharing(self) -> Sharing:
        """What it may share."""
        return self._content.sharing

    @property
    def has_open_file(self) -> bool:
        """Whether an earlier attempt has left a file that can be gone on with."""
        return self._progress is not None and self._progress.has_open_file

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

    def end_file(self, digest: str | None) -> str:
        """End the open file and return its digest; see `ContentWriter.end_file`."""
        self._check_not_reopened()
        found = self._content.end_file(digest)
        if self._progress is not None:
            self._progress.record_if_due()
        return found

    def check_alive(self) -> None:
        """Check that nothing it is written to was shredded; see `Commit`."""
        self._commit.check_alive()

    def take_file(self, entry: FileEntry, *, stored_bytes: int) -> None:
        """Take in the next file, which its writer has stored by grant."""
        self._check_not_reopened()
        self._commit.check_alive()
        self._content.take(entry, stored_bytes=stored_bytes)
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
