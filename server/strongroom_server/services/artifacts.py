# SPDX-License-Identifier: Apache-2.0
"""Listing and finding: projects, artifacts, versions, files and their history."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.names import ArtifactName, ProjectName, VersionName, check_path
from strongroom_server.core.history import (
    Committed,
    Created,
    Fenced,
    HoldSet,
    NumberedEntry,
    PolicySet,
    RefMoved,
)
from strongroom_server.core.records import (
    ArtifactRecord,
    Caller,
    FileRecord,
    JournalRecord,
    Kind,
    Page,
    ProjectRecord,
    VersionRecord,
)
from strongroom_server.repository.artifact_names import ArtifactNames
from strongroom_server.repository.contents import files_of
from strongroom_server.repository.creating import make_artifact, project_of
from strongroom_server.repository.manifests import path_not_found
from strongroom_server.repository.repository import Repository
from strongroom_server.repository.requests import check_request

Item = TypeVar("Item")

DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000
DEFAULT_FILES_PAGE: Final = 1000
MAX_FILES_PAGE: Final = 10_000
MAX_REQUEST_ID_CHARS: Final = 128
_MAX_NUMBER_DIGITS: Final = 20


class Artifacts:
    """Answers what there is."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._names = ArtifactNames(repository)

    def create_project(
        self, project_id: str, *, caller: Caller, request_id: str
    ) -> ProjectRecord:
        """Create a project; the same request id gives the same answer.

        Raises:
            AlreadyExistsError: Another request made it (PROJECT_EXISTS).
        """
        if not request_id or len(request_id) > MAX_REQUEST_ID_CHARS:
            raise InvalidArgumentError(
                "request_id is missing or too long", reason=Reason.ARGUMENT_INVALID
            )
        name = ProjectName(project_id)
        return self._repository.projects.create(name, caller, request_id).record

    def list_projects(
        self,
        *,
        page_size: int,
        page_token: str,
        visible: Callable[[ProjectRecord], bool] = lambda _: True,
    ) -> Page[ProjectRecord]:
        """List the projects that are visible, by name."""
        records = [project.record for project in self._repository.projects.all()]
        shown = sorted(filter(visible, records), key=lambda record: record.name)
        return _page(shown, page_size, page_token, lambda item: item.name.project)

    def list_artifacts(
        self,
        parent: ProjectName,
        *,
        page_size: int,
        page_token: str,
        visible: Callable[[ArtifactName], bool] = lambda _: True,
    ) -> Page[ArtifactRecord]:
        """List the artifacts of a project that are visible, by name.

        Only the journals of those that are returned are read, and once each of
        those whose names are not known yet.
        """
        names = self._names.of(self._repository.projects.get(parent))
        shown = [name for name in names if visible(name)]
        page = _page(shown, page_size, page_token, lambda item: item.artifact)
        records = tuple(self.get_artifact(name) for name in page.items)
        return Page(records, page.next_page_token)

    def shredded(self, parent: ProjectName) -> list[ArtifactName]:
        """Return the artifacts of a project that were shredded alone, by name.

        As far as this server has heard of it, within seconds.
        """
        project = self._repository.projects.get(parent)
        found = self._repository.shreds.artifacts(project.scope.project)
        return sorted(ArtifactName(parent.project, name) for name in found)

    def create_artifact(
        self,
        name: ArtifactName,
        *,
        kind: Kind | None,
        exclusive: bool,
        may_create_project: bool,
        caller: Caller,
        request_id: str,
    ) -> ArtifactRecord:
        """See to it that an artifact exists.

        Args:
            name: The artifact.
            kind: What it holds; None: what it holds already, or a data set.
            exclusive: Whether it is to have a key domain of its own.
            may_create_project: Whether its project may be made, too.
            caller: Who asks.
            request_id: Names the request.

        Raises:
            NotFoundError: Its project does not exist, and may not be made.
            PreconditionError: It is of another kind (KIND_MISMATCH), shares its
                project's key domain (DOMAIN_SHARED), or is dead (KEY_SHREDDED).
            ConflictError: Other writers won every attempt.
        """
        check_request("", request_id)
        project = project_of(
            self._repository,
            name,
            may_create=may_create_project,
            caller=caller,
            request_id=request_id,
        )
        make_artifact(
            self._repository,
            project,
            name,
            kind=kind,
            exclusive=exclusive,
            caller=caller,
            request_id=request_id,
        )
        return self.get_artifact(name)

    def get_artifact(self, name: ArtifactName) -> ArtifactRecord:
        """Return an artifact with its refs."""
        return self._repository.artifact(name).record

    def get_version(self, name: VersionName) -> VersionRecord:
        """Return the version that a selector names."""
        artifact, version = self._repository.version(name)
        return artifact.version_record(version)

    def list_versions(
        self, parent: ArtifactName, *, page_size: int, page_token: str
    ) -> Page[VersionRecord]:
        """List an artifact's versions, newest first."""
        artifact = self._repository.artifact(parent)
        newest_first = artifact.history.versions[::-1]
        page = _page_down(
            newest_first, page_size, page_token, lambda item: item.version
        )
        records = tuple(artifact.version_record(item) for item in page.items)
        return Page(records, page.next_page_token)

    def list_files(
        self, parent: VersionName, *, path: str, page_size: int, page_token: str
    ) -> tuple[VersionRecord, Page[FileRecord]]:
        """List a version's files, in byte order of path.

        Args:
            parent: The version.
            path: Only this file, or, with a trailing slash, those below it.
            page_size: At most this many; 0 means 1000.
            page_token: The last path of the page before.

        Raises:
            NotFoundError: Nothing lies under the path (PATH_NOT_FOUND).
        """
        if path:
            check_path(path.removesuffix("/"))
        size = _size(page_size, DEFAULT_FILES_PAGE, MAX_FILES_PAGE)
        artifact, version = self._repository.version(parent)
        files: list[FileRecord] = []
        token = ""
        entries = files_of(
            self._repository, artifact, version, path=path, after=page_token
        )
        for entry in entries:
            if len(files) == size:
                token = files[-1].path
                break
            files.append(
                FileRecord(entry.path, entry.size_bytes, entry.digest, entry.executable)
            )
        if path and not files and not page_token:
            raise path_not_found(path)
        return artifact.version_record(version), Page(tuple(files), token)

    def list_journal(
        self, parent: ArtifactName, *, page_size: int, page_token: str
    ) -> Page[JournalRecord]:
        """List what happened to an artifact, newest first."""
        artifact = self._repository.artifact(parent)
        newest_first = artifact.history.entries[::-1]
        page = _page_down(newest_first, page_size, page_token, lambda item: item.number)
        records = tuple(_journal_record(item) for item in page.items)
        return Page(records, page.next_page_token)


def _journal_record(item: NumberedEntry) -> JournalRecord:
    entry, info = item.entry, item.entry.info
    moved = entry if isinstance(entry, RefMoved) else None
    return JournalRecord(
        item.number,
        info.action,
        info.time,
        info.actor,
        0 if isinstance(entry, Created | PolicySet | Fenced) else entry.version,
        moved.ref if moved else "",
        moved.previous_version if moved else 0,
        entry.message if isinstance(entry, Committed) else info.reason,
        entry.digest if isinstance(entry, Committed) else "",
        item.digest.hex(),
        info.trace_id,
        info.audit_id,
        item.key_ids,
        hold=entry.hold if isinstance(entry, HoldSet) else False,
        policy=entry.policy if isinstance(entry, PolicySet) else None,
        purged_versions=entry.purged if isinstance(entry, Fenced) else (),
        sweep_epoch=info.sweep_epoch,
        approved=info.approved,
    )


def _size(page_size: int, default: int, limit: int) -> int:
    if page_size < 0:
        raise InvalidArgumentError(
            f"page_size {page_size} is negative", reason=Reason.ARGUMENT_INVALID
        )
    return min(page_size or default, limit)


def _page(
    items: Sequence[Item], page_size: int, token: str, key: Callable[[Item], str]
) -> Page[Item]:
    """Cut a page out of items that are sorted by `key`; tokens are keys."""
    size = _size(page_size, DEFAULT_PAGE, MAX_PAGE)
    rest = [item for item in items if not token or key(item) > token]
    page = tuple(rest[:size])
    return Page(page, key(page[-1]) if len(rest) > size else "")


def _page_down(
    items: Sequence[Item], page_size: int, token: str, number: Callable[[Item], int]
) -> Page[Item]:
    """Cut a page out of items with falling numbers; tokens are numbers."""
    if token and not (token.isdecimal() and len(token) <= _MAX_NUMBER_DIGITS):
        raise InvalidArgumentError(
            "page_token is not one that this list gave", reason=Reason.ARGUMENT_INVALID
        )
    size = _size(page_size, DEFAULT_PAGE, MAX_PAGE)
    rest = [item for item in items if not token or number(item) < int(token)]
    page = tuple(rest[:size])
    return Page(page, str(number(page[-1])) if len(rest) > size else "")
