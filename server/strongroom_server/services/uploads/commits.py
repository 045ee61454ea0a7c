# SPDX-License-Identifier: Apache-2.0
"""Entering a version into its artifact's journal: once, and behind every sweep.

A sweep may have condemned what an upload shares while it went on. Its fence in the
journal makes the commit look again: docs/adr/0010.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
)
from strongroom.format.names import ArtifactName
from strongroom_server.core import canonical, history
from strongroom_server.core.history import Committed, Created, History
from strongroom_server.core.lineage import NO_LINEAGE, Lineage, check_lineage
from strongroom_server.core.manifest import Manifest
from strongroom_server.core.modes import modes_digest_of
from strongroom_server.core.records import Action, Caller, Kind
from strongroom_server.core.write_results import CommitResult
from strongroom_server.repository.content_writer import ContentWriter, StoredContent
from strongroom_server.repository.creating import created_entry, creating_info
from strongroom_server.repository.journals import JournalId, NumberTakenError, contended
from strongroom_server.repository.projects import Project
from strongroom_server.repository.repository import (
    Repository,
    artifact_of,
    scope_of,
)
from strongroom_server.repository.requests import check_kind
from strongroom_server.repository.sweeps import SweepView

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
    resumable: bool = False
    base_version: int = 0
    exclusive: bool = False
    lineage: Lineage = NO_LINEAGE


class Commit:
    """Enters one upload into its journal. Used by one thread."""

    def __init__(  # noqa: PLR0917 -- made by Uploads.begin only
        self,
        repository: Repository,
        start: UploadStart,
        caller: Caller,
        project: Project,
        journal: JournalId,
        past: History,
        view: SweepView,
        *,
        writers: AbstractSet[str] = frozenset(),
    ) -> None:
        """Say what is to be entered where.

        Args:
            repository: Where the journal is.
            start: What the upload said first.
            caller: Who uploads.
            project: The artifact's project.
            journal: The artifact's journal.
            past: The journal as it was before the view was taken.
            view: What sweeps had condemned when the upload began.
            writers: Who may have digested files of it, beside the caller.
        """
        self._repository = repository
        self._start = start
        self._caller = caller
        self._project = project
        self._journal = journal
        self._view = view
        self._writers = writers
        #: The key domain that the content is written in.
        self._scope = scope_of(project, past)
        # A journal that was made after the view may have escaped a sweep's fence.
        self._seen_before_view = bool(past.entries)

    def check_alive(self) -> None:
        """Check that neither artifact nor project was shredded meanwhile.

        Raises:
            PreconditionError: It was (KEY_SHREDDED).
        """
        self._repository.keyring.graves.check(self._scope)

    def run(self, content: ContentWriter, digest: str) -> CommitResult:
        """Make everything durable, then the journal entry, unless it is there.

        Raises:
            ConflictError: Other writers won every attempt, or one has made the
                artifact in another key domain (JOURNAL_CONTENDED); or a sweep
                condemned what the content shares (SWEEP_OVERTOOK), or a repair
                found it damaged (CHUNK_MISSING).
            UnavailableError: S3 or Vault failed. Repeating the same request id
                tells whether the version was made.
        """
        past = self._load()
        finished = self._finished(past, content, digest)
        return finished or self._enter(content, content.finish())

    def _enter(self, content: ContentWriter, stored: StoredContent) -> CommitResult:
        for _ in range(_COMMIT_ATTEMPTS):
            past = self._load()
            finished = self._finished(past, content, stored.digest)
            if finished is not None:
                return finished
            self._look_at_sweeps(past, content)
            self._look_at_damage(content)
            try:
                if not past.entries:
                    self._append(past, self._created())
                    continue
                name, said = self._start.artifact, self._start.kind
                check_kind(name, said=said, kind=past.created.kind)
                past = self._append(past, self._committed(past, stored))
            except NumberTakenError:
                continue
            return self._result(past, past.versions[-1], unchanged=False)
        raise contended(self._journal)

    def _load(self) -> History:
        """Return the journal as it is now, if the content has its key domain.

        An artifact that was not there when the upload began may have been made with
        another one since. Nobody could read what would be committed there.
        """
        past = self._repository.journals.load(self._journal)
        if scope_of(self._project, past).domain != self._scope.domain:
            raise ConflictError(
                f"{self._start.artifact.short} was made meanwhile, in another key "
                "domain than the upload",
                reason=Reason.JOURNAL_CONTENDED,
                hint="Push again.",
                artifact=self._start.artifact.short,
            )
        return past

    def _look_at_sweeps(self, past: History, content: ContentWriter) -> None:
        """See to it that what is committed now is not condemned.

        A sweeper publishes what it condemns before it lists the journals and
        fences them. So a fence behind our view, and a journal that we have not
        seen before it, both tell to look again.
        """
        known = self._seen_before_view or not past.entries
        if past.fence <= self._view.epoch and known:
            return
        self._view = self._repository.sweeps.renew(self._view, at_least=past.fence)
        self._seen_before_view = bool(past.entries)
        if content.uses(self._view):
            raise ConflictError(
                "a sweep condemned what the upload shares, before it was committed",
                reason=Reason.SWEEP_OVERTOOK,
                hint="Push again.",
                request_id=self._start.request_id,
            )

    def _look_at_damage(self, content: ContentWriter) -> None:
        """See to it that no repair found anything damaged that is committed now.

        It did not know of this version, and has said what it mended.
        """
        if content.uses_damaged():
            raise ConflictError(
                "what the upload shares was found damaged before it was committed",
                reason=Reason.CHUNK_MISSING,
                hint="Push again.",
                request_id=self._start.request_id,
            )

    def _finished(
        self, past: History, content: ContentWriter, digest: str
    ) -> CommitResult | None:
        """Return the result if this request, or this content, is there already."""
        done = past.requests.get((Action.COMMIT, "", self._start.request_id))
        if done is not None and isinstance(done.entry, Committed):
            if done.entry.digest != digest or not self._has_modes(
                past, done.entry, content
            ):
                # An OK would promise that this content is stored, and it is not.
                raise InvalidArgumentError(
                    "this request_id has made a version of other content",
                    reason=Reason.ARGUMENT_INVALID,
                    hint="Use a new request id for each push.",
                    version=done.entry.version,
                )
            return self._result(past, done.entry, unchanged=False)
        newest = past.newest
        if newest is not None and self._is_unchanged(newest, content, digest):
            return self._result(past, newest, unchanged=True)
        return None

    def _append(self, past: History, entry: Created | Committed) -> History:
        return self._repository.journals.append(
            self._journal, self._scope, entry, behind=past
        )

    def _created(self) -> Created:
        info = creating_info(
            self._repository,
            self._caller,
            self._start.request_id,
            sweep_epoch=self._view.epoch,
        )
        return created_entry(info, self._start.artifact, self._start.kind, self._scope)

    def _committed(self, past: History, content: StoredContent) -> Committed:
        return Committed(
            self._info(),
            past.next_version,
            content.digest,
            content.manifest,
            content.manifest_version,
            content.file_count,
            content.size_bytes,
            content.stored_bytes,
            self._start.message,
            self._start.metadata,
            digested_by=self._digested_by(past, content.writers),
            lineage=self._start.lineage,
        )

    def _digested_by(self, past: History, tags: frozenset[bytes]) -> tuple[str, ...]:
        """Return by whom files were digested whose chunks have these tags."""
        if not tags:
            return ()
        keys = self._repository.keyring.open_newest(self._scope)
        known = {self._caller.principal, *self._writers}
        known.update(name for version in past.versions for name in version.digested_by)
        found = {keys.writer_tag(self._journal.artifact, name): name for name in known}
        return tuple(sorted(found[tag] for tag in tags))

    def _info(self) -> history.EntryInfo:
        return history.make_info(
            Action.COMMIT,
            self._caller,
            time=self._repository.clock.now(),
            request_id=self._start.request_id,
            sweep_epoch=self._view.epoch,
        )

    def _is_unchanged(
        self, newest: Committed, content: ContentWriter, digest: str
    ) -> bool:
        if newest.digest != digest:
            return False
        try:
            return self._is_same_and_whole(newest, content)
        except IntegrityError:
            # What is stored of it is damaged. The bytes at hand are not, so they
            # become a version that can be read.
            return False

    def _is_same_and_whole(self, version: Committed, content: ContentWriter) -> bool:
        # Modes are not part of the digest, so that it can be recomputed with
        # coreutils; a version that differs only in modes is a new one. So is one
        # whose packs are gone: "unchanged" would promise what nobody can read.
        scope, manifests = self._scope, self._repository.manifests
        manifest = manifests.load(scope, self._journal.artifact, version)
        # Nor do bytes at hand count for nothing because somebody said what they are.
        return self._modes_digest(manifest) == content.modes_digest and all(
            map(content.may_adopt, manifests.entries(scope, manifest))
        )

    def _has_modes(
        self, past: History, version: Committed, content: ContentWriter
    ) -> bool:
        """Return whether a version has the modes of what came; if that can be told."""
        if version.version in past.purged:
            return True
        try:
            manifest = self._repository.manifests.load(
                self._scope, self._journal.artifact, version
            )
            return self._modes_digest(manifest) == content.modes_digest
        except IntegrityError:
            return True  # It was made, and is damaged now: a pull says so.

    def _modes_digest(self, manifest: Manifest) -> bytes:
        entries = self._repository.manifests.entries(self._scope, manifest)
        return modes_digest_of(entry.path for entry in entries if entry.executable)

    def _result(
        self, past: History, version: Committed, *, unchanged: bool
    ) -> CommitResult:
        artifact = artifact_of(self._start.artifact, self._journal, past, self._project)
        return CommitResult(artifact.version_record(version), unchanged)


def check_start(start: UploadStart) -> None:
    """Check what an upload says first.

    Raises:
        InvalidArgumentError: A field is out of range (ARGUMENT_INVALID).
    """
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
    check_lineage(start.lineage)
