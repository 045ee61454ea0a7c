# SPDX-License-Identifier: Apache-2.0
"""Writing a version: files in, chunks and packs out, one journal entry at the end.

Nothing of an upload shows before its journal entry stands; what a crash or an
abort leaves behind is garbage that nothing points at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from strongroom.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.digest import parse_digest
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import canonical, history
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.history import Committed, Created, History
from strongroom_server.core.records import Action, Caller, Kind, VersionRecord
from strongroom_server.core.trees import TreeCheck
from strongroom_server.repository.content_writer import (
    ContentWriter,
    StoredContent,
    modes_digest_of,
)
from strongroom_server.repository.journals import JournalId, NumberTakenError, contended
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import Artifact, Repository

MAX_MESSAGE_CHARS: Final = 1000
MAX_METADATA_KEYS: Final = 64
MAX_METADATA_KEY_CHARS: Final = 128
MAX_METADATA_VALUE_CHARS: Final = 1024
#: Message and metadata together, as the journal entry will hold them: escaped
#: control characters count six.
MAX_DESCRIPTION_BYTES: Final = 128 * 1024
_COMMIT_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class UploadStart:
    """What an upload says first; see WriteStart in the proto."""

    artifact: ArtifactName
    kind: Kind | None
    message: str
    metadata: Mapping[str, str]
    request_id: str
    may_create_project: bool = False


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The version, and whether it equals the one that was newest before."""

    version: VersionRecord
    unchanged: bool


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
        _check_start(start)
        # Commits need Vault: better refused now than after many gigabytes.
        self._repository.keyring.check_ready()
        project = self._project(start, caller)
        journal = self._repository.projects.journal_of(project, start.artifact)
        past = self._repository.journals.load(journal)
        if past.entries:
            _check_kind(start, past.created.kind)
        keys = self._repository.keyring.open(project.scope)
        self._repository.chunk_index.refresh(keys)
        return Upload(self._repository, start, caller, project, journal, keys)

    def _project(self, start: UploadStart, caller: Caller) -> Project:
        name = ProjectName(start.artifact.project)
        try:
            return self._repository.projects.get(name)
        except NotFoundError:
            if not start.may_create_project:
                raise
        try:
            return self._repository.projects.create(name, caller, start.request_id)
        except AlreadyExistsError:
            # Another push came first; theirs is as good as ours.
            return self._repository.projects.get(name)


class Upload:
    """One version being written; used by one thread.

    A context manager: what was not committed when it ends is aborted.
    """

    def __init__(  # noqa: PLR0917 -- made by Uploads.begin only
        self,
        repository: Repository,
        start: UploadStart,
        caller: Caller,
        project: Project,
        journal: JournalId,
        keys: DomainKeys,
    ) -> None:
        self._repository = repository
        self._start = start
        self._caller = caller
        self._project = project
        self._journal = journal
        self._keys = keys
        self._content = ContentWriter(repository, keys, journal.artifact)
        self._tree = TreeCheck()

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
        """How many bytes of files came so far."""
        return self._content.received_bytes

    @property
    def stored_bytes(self) -> int:
        """How many bytes of packs are durable so far."""
        return self._content.stored_bytes

    def start_file(self, path: str, *, size_bytes: int, executable: bool) -> None:
        """Begin the next file; see `ContentWriter.start_file` and `TreeCheck`."""
        self._content.start_file(path, size_bytes=size_bytes, executable=executable)
        self._tree.add(path)

    def write(self, data: bytes, *, offset_bytes: int) -> None:
        """Take in the next bytes of the open file; see `ContentWriter.write`."""
        self._content.write(data, offset_bytes=offset_bytes)

    def end_file(self, digest: str) -> None:
        """End the open file; see `ContentWriter.end_file`."""
        self._content.end_file(digest)

    def commit(self, *, file_count: int, digest: str) -> CommitResult:
        """Make the version: everything durable, then one journal entry.

        Raises:
            InvalidArgumentError: A file is open, or the count differs.
            IntegrityError: The digest differs (DIGEST_MISMATCH).
            ConflictError: Other writers won every attempt (JOURNAL_CONTENDED).
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
        past = self._repository.journals.load(self._journal)
        return self._finished(past, found) or self._enter(self._content.finish())

    def _enter(self, content: StoredContent) -> CommitResult:
        journals = self._repository.journals
        for _ in range(_COMMIT_ATTEMPTS):
            past = journals.load(self._journal)
            finished = self._finished(past, content.digest)
            if finished is not None:
                return finished
            try:
                if not past.entries:
                    self._append(past, self._created())
                    continue
                _check_kind(self._start, past.created.kind)
                past = self._append(past, self._committed(past, content))
            except NumberTakenError:
                continue
            return self._result(past, past.versions[-1], unchanged=False)
        raise contended(self._journal)

    def _finished(self, past: History, digest: str) -> CommitResult | None:
        """Return the result if this request, or this content, is there already."""
        done = past.requests.get((Action.COMMIT, "", self._start.request_id))
        if done is not None and isinstance(done.entry, Committed):
            if done.entry.digest != digest:
                # An OK would promise that this content is stored, and it is not.
                raise InvalidArgumentError(
                    "this request_id has made a version of other content",
                    reason=Reason.ARGUMENT_INVALID,
                    hint="Use a new request id for each push.",
                    version=done.entry.version,
                )
            return self._result(past, done.entry, unchanged=False)
        if self._is_unchanged(past, digest):
            return self._result(past, past.versions[-1], unchanged=True)
        return None

    def _append(self, past: History, entry: Created | Committed) -> History:
        return self._repository.journals.append(
            self._journal, self._project.scope, entry, behind=past
        )

    def _created(self) -> Created:
        return Created(
            self._info(Action.CREATE, f"{self._start.request_id}/create"),
            self._start.artifact,
            self._start.kind or Kind.DATASET,
            self._project.scope.domain,
        )

    def _committed(self, past: History, content: StoredContent) -> Committed:
        return Committed(
            self._info(Action.COMMIT, self._start.request_id),
            past.latest + 1,
            content.digest,
            content.manifest,
            content.manifest_version,
            content.file_count,
            content.size_bytes,
            content.stored_bytes,
            self._start.message,
            self._start.metadata,
        )

    def _info(self, action: Action, request_id: str) -> history.EntryInfo:
        return history.make_info(
            action,
            self._caller,
            time=self._repository.clock.now(),
            request_id=request_id,
        )

    def _is_unchanged(self, past: History, digest: str) -> bool:
        if not past.versions or past.versions[-1].digest != digest:
            return False
        try:
            return self._is_same_and_whole(past.versions[-1])
        except IntegrityError:
            # What is stored of it is damaged. The bytes at hand are not, so they
            # become a version that can be read.
            return False

    def _is_same_and_whole(self, version: Committed) -> bool:
        # Modes are not part of the digest, so that it can be recomputed with
        # coreutils; a version that differs only in modes is a new one. So is one
        # whose packs are gone: "unchanged" would promise what nobody can read.
        scope, manifests = self._project.scope, self._repository.manifests
        manifest = manifests.load(scope, self._journal.artifact, version)
        executable = (
            entry.path
            for entry in manifests.entries(scope, manifest)
            if entry.executable
        )
        return modes_digest_of(executable) == self._content.modes_digest and all(
            self._content.may_share(ref)
            for entry in manifests.entries(scope, manifest)
            for ref in entry.chunks
        )

    def _result(
        self, past: History, version: Committed, *, unchanged: bool
    ) -> CommitResult:
        artifact = Artifact(
            self._start.artifact, self._journal, past, self._project.scope
        )
        return CommitResult(artifact.version_record(version), unchanged)


def _check_kind(start: UploadStart, kind: Kind) -> None:
    if start.kind is not None and start.kind is not kind:
        raise PreconditionError(
            f"artifact {start.artifact.short} holds {kind.value}, "
            f"not {start.kind.value}",
            reason=Reason.KIND_MISMATCH,
            hint="Leave the kind out, or choose another artifact.",
            artifact=start.artifact.short,
            kind=kind.value,
        )


def _check_start(start: UploadStart) -> None:
    problem = ""
    if not start.request_id or len(start.request_id) > MAX_METADATA_KEY_CHARS:
        problem = "request_id is missing or too long"
    elif len(start.message) > MAX_MESSAGE_CHARS:
        problem = f"message has more than {MAX_MESSAGE_CHARS} characters"
    elif len(start.metadata) > MAX_METADATA_KEYS:
        problem = f"metadata has more than {MAX_METADATA_KEYS} keys"
    elif any(
        not key
        or len(key) > MAX_METADATA_KEY_CHARS
        or len(value) > MAX_METADATA_VALUE_CHARS
        for key, value in start.metadata.items()
    ):
        problem = "a metadata key or value is too long"
    elif len(canonical.encode([start.message, dict(start.metadata)])) > (
        MAX_DESCRIPTION_BYTES
    ):
        problem = f"message and metadata have more than {MAX_DESCRIPTION_BYTES} bytes"
    if problem:
        raise InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID)
