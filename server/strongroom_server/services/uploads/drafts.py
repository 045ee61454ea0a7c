# SPDX-License-Identifier: Apache-2.0
"""Drafts: versions that several processes write, each a part, through any server.

A part is durable, whole, when its caller is told so, and shows nowhere. One commit
makes a version of all of them; see `draft_commits`.
"""

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName
from strongroom_server.core.draft_record import (
    MAX_FILES,
    MAX_REMOVED,
    DraftRecord,
    DraftStep,
    check_draft_id,
    check_removed,
    draft_request,
)
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.records import Caller, Kind
from strongroom_server.core.selectors import resolve
from strongroom_server.core.write_results import CommitResult, PartResult
from strongroom_server.repository.content_writer import ContentWriter
from strongroom_server.repository.draft_records import (
    StoredDraft,
    check_open,
    closed,
)
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.sharing import Sharing
from strongroom_server.services.uploads.draft_commits import (
    DraftCommitStart,
    check_same_domain,
    commit_draft,
    committed_as,
    end_record,
    find_draft,
)
from strongroom_server.services.uploads.places import Place, find_place

#: As long as any other request id.
_MAX_PART_CHARS: Final = 128


@dataclass(frozen=True, slots=True)
class PartStart:
    """What a part says first; see WriteStart in the proto."""

    artifact: ArtifactName
    draft_id: str
    request_id: str
    kind: Kind | None = None
    replaces: bool = False
    after_part: int = 0
    may_create_project: bool = False
    exclusive: bool = False


class Drafts:
    """Takes in parts, and ends drafts. Safe to use from many threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def begin_part(self, start: PartStart, *, caller: Caller) -> "DraftPart":
        """Check what can be checked before any byte is accepted.

        Raises:
            InvalidArgumentError: A field is out of range.
            NotFoundError: The project does not exist and may not be created, or
                parts that the caller knows of are gone (DRAFT_NOT_FOUND).
            PreconditionError: The draft has ended (DRAFT_CLOSED), or the artifact is
                of another kind (KIND_MISMATCH).
            UnavailableError: Vault or S3 cannot be reached.
        """
        place = self.find(start, caller=caller)
        return self.begin_part_at(place, start, caller=caller)

    def find(self, start: PartStart, *, caller: Caller) -> Place:
        """Return where a part goes; errors as `begin_part`."""
        check_draft_id(start.draft_id)
        if not 0 < len(start.request_id) <= _MAX_PART_CHARS:
            raise _invalid("request_id is missing or too long")
        return find_place(
            self._repository,
            start.artifact,
            kind=start.kind,
            may_create=start.may_create_project,
            exclusive=start.exclusive,
            caller=caller,
            request_id=start.request_id,
        )

    def begin_part_at(
        self, place: Place, start: PartStart, *, caller: Caller, writer: bytes = b""
    ) -> "DraftPart":
        """Begin a part at a place; `writer` is the tag of who writes by grant."""
        if committed_as(place.past, start.draft_id) is not None:
            raise closed(start.draft_id)
        draft = self._find(place, start.draft_id, start.after_part)
        check_open(draft)
        content = place.writer(self._repository, is_part=True, writer=writer)
        return DraftPart(self._repository, start, caller, place, draft, content)

    def commit(self, start: DraftCommitStart, *, caller: Caller) -> CommitResult:
        """Make one version of all parts; see `commit_draft`."""
        return commit_draft(self._repository, start, caller=caller)

    def discard(self, artifact: ArtifactName, draft_id: str, *, caller: Caller) -> None:
        """End a draft without a version; its parts go with the next sweeps.

        Raises:
            NotFoundError: The project does not exist.
            PreconditionError: The draft was committed, or is being (DRAFT_CLOSED).
            UnavailableError: S3 failed at every attempt.
        """
        check_draft_id(draft_id)
        place = find_place(
            self._repository,
            artifact,
            kind=None,
            may_create=False,
            caller=caller,
            request_id=draft_id,
        )
        if committed_as(place.past, draft_id) is not None:
            raise closed(draft_id)  # Its records may be swept by now.
        records = self._repository.draft_records
        try:
            draft = self._find(place, draft_id, 0)
        except NotFoundError:
            return  # A sweep is at it already.
        record = end_record(place, draft_id, DraftStep.DISCARD, caller)
        records.end(place.keys, draft, record)

    def _find(self, place: Place, draft_id: str, after_part: int) -> StoredDraft:
        return find_draft(self._repository, place, draft_id, after_part)


class DraftPart:
    """One part of a draft being written; used by one thread.

    A context manager: what was not finished when it ends is aborted.
    """

    def __init__(  # noqa: PLR0917 -- made by Drafts.begin_part only
        self,
        repository: Repository,
        start: PartStart,
        caller: Caller,
        place: Place,
        draft: StoredDraft,
        content: ContentWriter,
    ) -> None:
        self._repository = repository
        self._start = start
        self._caller = caller
        self._place = place
        self._draft = draft
        self._content = content
        self._removed: list[str] = []

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
    def sharing(self) -> Sharing:
        """What it may share."""
        return self._content.sharing

    @property
    def received_bytes(self) -> int:
        """How many bytes of files are there so far."""
        return self._content.received_bytes

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        return self._content.stored_bytes

    def check_pace(self) -> None:
        """Check, at every sign of life, that a slow sender keeps nobody waiting.

        Raises:
            DeadlineExceededError: It does (STALLED).
        """
        self._content.check_pace()

    def start_file(
        self, path: str, *, size_bytes: int | None, executable: bool
    ) -> None:
        """Begin the next file; see `ContentWriter.start_file`."""
        self._check_room()
        self._content.start_file(path, size_bytes=size_bytes, executable=executable)

    def write(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file; see `ContentWriter.write`."""
        self.check_alive()
        self._content.write(data, offset_bytes=offset_bytes)

    def end_file(self, digest: str | None) -> str:
        """End the open file and return its digest; see `ContentWriter.end_file`."""
        return self._content.end_file(digest)

    def take_file(self, entry: FileEntry, *, stored_bytes: int) -> None:
        """Take in the next file, which its writer has stored by grant."""
        self._check_room()
        self._content.take(entry, stored_bytes=stored_bytes)

    def copy_file(self, path: str, *, version: str, source_path: str) -> None:
        """Take in a file of a stored version of the same artifact, by reference.

        Raises:
            NotFoundError: There is no such version or file.
            PreconditionError: The version is in the trash, or gone.
            IntegrityError: What is stored of the file is damaged, or about to go.
        """
        self._check_room()
        place, manifests = self._place, self._repository.manifests
        if not place.past.entries:
            raise _no_file(place.name, version, source_path)
        found = resolve(place.past, version)
        manifest = manifests.load(place.scope, place.journal.artifact, found)
        entries = manifests.entries(place.scope, manifest, path=source_path)
        entry = next(entries, None)
        if entry is None or entry.path != source_path:
            raise _no_file(place.name, version, source_path)
        self._content.check_ended()
        self._content.adopt(replace(entry, path=path))

    def remove(self, path: str) -> None:
        """Let go of a file, or of all below a folder, before the part's files come.

        Raises:
            InvalidArgumentError: The path is malformed, or there are too many.
        """
        check_removed(path)
        if len(self._removed) == MAX_REMOVED:
            raise _invalid(f"a part removes more than {MAX_REMOVED} paths")
        self._removed.append(path)

    def finish(self, *, file_count: int) -> PartResult:
        """Make the part durable: its files, then its record.

        Raises:
            InvalidArgumentError: A file is open, or the count differs.
            PreconditionError: The draft has ended (DRAFT_CLOSED), maybe just now:
                then the part may be in its version all the same.
            NotFoundError: Some of the draft's records are gone (DRAFT_NOT_FOUND).
            ConflictError: A sweep condemned what the part shares (SWEEP_OVERTOOK),
                or a repair found it damaged (CHUNK_MISSING).
            UnavailableError: S3 or Vault failed. Repeating the same request id is
                safe.
        """
        content = self._content
        content.check_ended()
        if file_count != content.file_count:
            raise _invalid(f"{content.file_count} files came whole, not {file_count}")
        entries = content.finish_part()
        self._look_again()
        record = DraftRecord(
            self._place.journal.artifact,
            draft_request(self._start.draft_id),
            self._start.request_id,
            DraftStep.PART,
            self._caller.principal,
            self._caller.audit_id,
            self._place.view.epoch,
            content.stored_bytes,
            self._start.replaces,
            tuple(self._removed),
            tuple(entries),
        )
        number = self._repository.draft_records.add(
            self._place.keys, self._draft, record
        )
        return PartResult(
            number, len(entries), content.size_bytes, content.stored_bytes
        )

    def _look_again(self) -> None:
        """See to it that what was shared is still there for the commit to share.

        For liveness only: a commit looks at what is condemned by itself.
        """
        now = self._place.again(self._repository)
        check_same_domain(self._place, now)
        if committed_as(now.past, self._start.draft_id) is not None:
            raise closed(self._start.draft_id)
        if self._content.uses(now.view):
            raise _overtaken("a sweep condemned what it shares", Reason.SWEEP_OVERTOOK)
        if self._content.uses_damaged():
            raise _overtaken("what it shares was found damaged", Reason.CHUNK_MISSING)

    def check_alive(self) -> None:
        """Check that nothing it is written to was shredded.

        Raises:
            PreconditionError: It was (KEY_SHREDDED).
        """
        self._repository.keyring.graves.check(self._place.scope)

    def _check_room(self) -> None:
        self.check_alive()
        if self._content.file_count == MAX_FILES:
            raise _invalid(
                f"a part of a draft has at most {MAX_FILES} files; begin another part"
            )


def _no_file(name: ArtifactName, version: str, path: str) -> NotFoundError:
    return NotFoundError(
        f"{name.short}@{version} has no file {path!r}",
        reason=Reason.PATH_NOT_FOUND,
        hint=f"See `strongroom ls {name.short}@{version}`.",
        path=path,
    )


def _overtaken(problem: str, reason: Reason) -> ConflictError:
    return ConflictError(
        f"the part was not kept: {problem}", reason=reason, hint="Put the files again."
    )


def _invalid(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
