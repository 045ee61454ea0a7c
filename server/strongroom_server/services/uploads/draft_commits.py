# SPDX-License-Identifier: Apache-2.0
"""Committing drafts: end it, merge its parts in path order, one journal entry.

What can be refused is refused before the draft is ended, so that it can be mended.
Nothing is uploaded any more: files are taken over as they are stored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from strongroom.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName
from strongroom_server.core.draft_record import (
    DraftFiles,
    DraftRecord,
    DraftStep,
    check_draft_id,
    draft_request,
)
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed, History
from strongroom_server.core.lineage import NO_LINEAGE, Lineage
from strongroom_server.core.records import Action, Caller, Kind
from strongroom_server.core.selectors import resolve
from strongroom_server.core.write_results import CommitResult
from strongroom_server.repository.content_writer import ContentWriter, StoredContent
from strongroom_server.repository.draft_records import StoredDraft, closed
from strongroom_server.repository.journals import contended
from strongroom_server.repository.repository import Repository, artifact_of, scope_of
from strongroom_server.services.uploads.commits import (
    Commit,
    UploadStart,
    check_start,
)
from strongroom_server.services.uploads.places import Place, find_place

_ATTEMPTS: Final = 20
#: Files whose packs are asked for ahead.
_AHEAD_FILES: Final = 256
#: Paths that are named where two parts have the same ones.
_MAX_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class DraftCommitStart:
    """What a commit of a draft says; see CommitDraftRequest in the proto.

    `check` is called now and then, and raises if nobody waits any more.
    """

    artifact: ArtifactName
    draft_id: str
    kind: Kind | None = None
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    base_version: int = 0
    base_newest: bool = False
    expected_file_count: int | None = None
    after_part: int = 0
    lineage: Lineage = NO_LINEAGE
    check: Callable[[], None] = lambda: None


class _BaseMovedError(Exception):
    """The newest version is not the one any more that the content builds on."""


def commit_draft(
    repository: Repository, start: DraftCommitStart, *, caller: Caller
) -> CommitResult:
    """Make one version of a draft's parts and of its base, once.

    Raises:
        InvalidArgumentError: A field is out of range.
        NotFoundError: The draft has no parts, or some are gone (DRAFT_NOT_FOUND);
            or there is no such project or base version.
        PreconditionError: It was discarded (DRAFT_CLOSED), makes another number of
            files (DRAFT_INCOMPLETE), or the artifact is of another kind.
        ConflictError: Two parts have the same path (PATH_DUPLICATE); or as
            `Commit.run`.
        IntegrityError: What is stored of a file, or of the base, is damaged.
        UnavailableError: S3 or Vault failed. Repeating the call tells whether the
            version was made.
    """
    check_draft_id(start.draft_id)
    upload = UploadStart(
        start.artifact,
        start.kind,
        start.message,
        start.metadata,
        draft_request(start.draft_id),
        lineage=start.lineage,
    )
    check_start(upload)
    place = find_place(
        repository,
        start.artifact,
        kind=start.kind,
        may_create=False,
        caller=caller,
        request_id=upload.request_id,
    )
    return _DraftCommit(repository, start, upload, caller).run(place)


class _DraftCommit:
    """One call of `commit_draft`. Used by one thread."""

    def __init__(
        self,
        repository: Repository,
        start: DraftCommitStart,
        upload: UploadStart,
        caller: Caller,
    ) -> None:
        self._repository = repository
        self._start = start
        self._upload = upload
        self._caller = caller

    def run(self, place: Place) -> CommitResult:
        done = committed_as(place.past, self._start.draft_id)
        if done is not None:
            return _result(place, done)
        draft = self._find(place)
        if draft.end is not None:
            end = self._repository.draft_records.load(place.keys, draft.end)
            if end.step is DraftStep.DISCARD:
                raise closed(self._start.draft_id)
            # The listing may have passed a part's place before the part came.
            draft = self._find(place)
        if not draft.parts:
            raise _empty(self._start.draft_id)
        for _ in range(_ATTEMPTS):
            content = place.merger(self._repository)
            try:
                with self._repository.draft_records.merging(draft):
                    result, draft = self._attempt(place, draft, content)
            except _BaseMovedError:
                result = None
            finally:
                content.abort()
            if result is not None:
                return result
            now = place.again(self._repository)
            check_same_domain(place, now)
            place = now
        raise contended(place.journal)

    def _attempt(
        self, place: Place, draft: StoredDraft, content: ContentWriter
    ) -> tuple[CommitResult | None, StoredDraft]:
        """Commit what is there; or return None with a draft that has more parts."""
        records = self._repository.draft_records
        check = self._start.check
        parts = list(records.read(place.keys, draft))
        files = DraftFiles.of(parts, check)
        if files.twice:
            raise _duplicate(
                self._start.draft_id, files.twice, is_ended=draft.end is not None
            )
        self._adopt(content, files.merged(self._base(place)))
        self._check_count(content, is_ended=draft.end is not None)
        if draft.end is None:
            record = end_record(
                place, self._start.draft_id, DraftStep.COMMIT, self._caller
            )
            records.end(place.keys, draft, record)
            ended = self._find(place)
            if len(ended.parts) != len(draft.parts):
                return None, ended
            draft = ended
        commit = _Entering(
            self._repository,
            self._upload,
            self._caller,
            place,
            follows_newest=self._start.base_newest,
            stored_bytes=files.stored_bytes,
            writers=frozenset(part.actor for part in parts),
        )
        return commit.run(content, content.digest), draft

    def _find(self, place: Place) -> StoredDraft:
        start = self._start
        return find_draft(self._repository, place, start.draft_id, start.after_part)

    def _base(self, place: Place) -> Iterator[FileEntry]:
        """Yield the files of the version that the new one builds on."""
        version: Committed | None = None
        if self._start.base_newest:
            version = place.past.newest
        elif self._start.base_version:
            version = _version(place, self._start.base_version)
        if version is None:
            return
        manifests = self._repository.manifests
        manifest = manifests.load(place.scope, place.journal.artifact, version)
        yield from manifests.entries(place.scope, manifest)

    def _adopt(self, content: ContentWriter, entries: Iterable[FileEntry]) -> None:
        following = iter(entries)
        while batch := list(islice(following, _AHEAD_FILES)):
            self._start.check()
            content.sharing.expect(ref for entry in batch for ref in entry.chunks)
            for entry in batch:
                content.adopt(entry)

    def _check_count(self, content: ContentWriter, *, is_ended: bool) -> None:
        expected = self._start.expected_file_count
        if expected is not None and expected != content.file_count:
            raise PreconditionError(
                f"the draft {self._start.draft_id} makes a version of "
                f"{content.file_count} files, not {expected}",
                reason=Reason.DRAFT_INCOMPLETE,
                hint="Parts came while it was committed, and none can come any more: "
                "commit it with the number that it has, or begin another draft."
                if is_ended
                else "Put what is missing, or remove what is too much, then commit.",
                draft_id=self._start.draft_id,
                file_count=content.file_count,
                expected=expected,
            )


class _Entering(Commit):
    """Enters a draft into its journal: once, whatever its content was then."""

    def __init__(
        self,
        repository: Repository,
        start: UploadStart,
        caller: Caller,
        place: Place,
        *,
        follows_newest: bool,
        stored_bytes: int,
        writers: frozenset[str],
    ) -> None:
        super().__init__(
            repository,
            start,
            caller,
            place.project,
            place.journal,
            place.past,
            place.view,
            writers=writers,
        )
        self._place = place
        self._follows_newest = follows_newest
        self._stored_bytes = stored_bytes

    def _finished(
        self, past: History, content: ContentWriter, digest: str
    ) -> CommitResult | None:
        done = past.requests.get((Action.COMMIT, "", self._start.request_id))
        if done is not None and isinstance(done.entry, Committed):
            return self._result(past, done.entry, unchanged=False)
        return super()._finished(past, content, digest)

    def _committed(self, past: History, content: StoredContent) -> Committed:
        if self._follows_newest and past.newest != self._place.past.newest:
            raise _BaseMovedError
        entry = super()._committed(past, content)
        # With what its parts stored before.
        return replace(entry, stored_bytes=entry.stored_bytes + self._stored_bytes)


def find_draft(
    repository: Repository, place: Place, draft_id: str, after_part: int
) -> StoredDraft:
    """Return a draft as it is stored now.

    Args:
        repository: Where it is stored.
        place: Where its content goes.
        draft_id: Its id.
        after_part: How many parts there must be at least.

    Raises:
        NotFoundError: There are fewer, or some are gone (DRAFT_NOT_FOUND).
        UnavailableError: S3 cannot be reached.
    """
    draft = repository.draft_records.find(place.keys, place.journal.artifact, draft_id)
    if len(draft.parts) < after_part:
        raise _empty(draft_id)
    return draft


def committed_as(past: History, draft_id: str) -> Committed | None:
    """Return the version that a draft has become; None if it has not."""
    done = past.requests.get((Action.COMMIT, "", draft_request(draft_id)))
    if done is None or not isinstance(done.entry, Committed):
        return None
    return done.entry


def check_same_domain(before: Place, now: Place) -> None:
    """Check that an artifact was not made meanwhile with another key domain.

    Raises:
        ConflictError: It was (JOURNAL_CONTENDED).
    """
    if scope_of(now.project, now.past).domain != before.scope.domain:
        raise ConflictError(
            f"{before.name.short} was made meanwhile, with a key domain of its own",
            reason=Reason.JOURNAL_CONTENDED,
            hint="Begin a new draft.",
            artifact=before.name.short,
        )


def end_record(
    place: Place, draft_id: str, step: DraftStep, caller: Caller
) -> DraftRecord:
    """Return the record that ends a draft."""
    return DraftRecord(
        place.journal.artifact,
        draft_request(draft_id),
        "",
        step,
        caller.principal,
        caller.audit_id,
    )


def _result(place: Place, version: Committed) -> CommitResult:
    artifact = artifact_of(place.name, place.journal, place.past, place.project)
    return CommitResult(artifact.version_record(version), unchanged=False)


def _version(place: Place, number: int) -> Committed:
    if number < 1 or not place.past.entries:
        raise InvalidArgumentError(
            f"{place.name.short} has no version {number} to build on",
            reason=Reason.ARGUMENT_INVALID,
            field="base_version",
        )
    return resolve(place.past, str(number))


def _empty(draft_id: str) -> NotFoundError:
    return NotFoundError(
        f"the draft {draft_id} has no parts, or not those any more that were put",
        reason=Reason.DRAFT_NOT_FOUND,
        hint="Put every file again, into a new draft.",
        draft_id=draft_id,
    )


def _duplicate(draft_id: str, paths: set[str], *, is_ended: bool) -> ConflictError:
    named = sorted(paths)[:_MAX_NAMED]
    told = ", ".join(repr(path) for path in named)
    more = f" and {len(paths) - len(named)} more" if len(paths) > len(named) else ""
    return ConflictError(
        f"two parts of the draft {draft_id} have the same path: {told}{more}",
        reason=Reason.PATH_DUPLICATE,
        hint="One came while the draft was committed, and none can come any more: "
        "begin another draft."
        if is_ended
        else "Put the right one again with replace, then commit.",
        draft_id=draft_id,
        paths=told,
    )
