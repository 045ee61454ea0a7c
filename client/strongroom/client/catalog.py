# SPDX-License-Identifier: Apache-2.0
"""`Catalog`: what there is, what happened, and refs; everything but bytes."""

from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeVar

from strongroom import _convert, _system
from strongroom._channel import methods
from strongroom._channel.caller import Caller
from strongroom.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    RefName,
    Uri,
    VersionName,
    parse_uri,
)
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import (
    Artifact,
    Diff,
    DiffSummary,
    File,
    FileChange,
    JournalEntry,
    Project,
    Ref,
    Version,
)

#: More than any list has: ten million items at the least that a page holds.
MAX_PAGES: Final = 100_000

_ItemT = TypeVar("_ItemT")


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


_PageT = TypeVar("_PageT", bound=_Page)


class Catalog:
    """The part of `Client` that moves no bytes of files."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    # What there is.

    def list_projects(self) -> Iterator[Project]:
        """Yield the projects that the caller may see, by name."""
        return _pages(
            lambda token: self._caller.unary(
                methods.LIST_PROJECTS, pb.ListProjectsRequest(page_token=token)
            ),
            lambda answer: map(_convert.project_of, answer.projects),
        )

    def list_artifacts(self, project: str) -> Iterator[Artifact]:
        """Yield the artifacts of a project, by name."""
        parent = ProjectName(project.rstrip("/")).resource
        return _pages(
            lambda token: self._caller.unary(
                methods.LIST_ARTIFACTS,
                pb.ListArtifactsRequest(parent=parent, page_token=token),
            ),
            lambda answer: map(_convert.artifact_of, answer.artifacts),
        )

    def artifact(self, artifact: str) -> Artifact:
        """Return an artifact with its refs.

        Raises:
            NotFoundError: There is no such artifact.
        """
        name = parse_artifact(artifact).resource
        return _convert.artifact_of(
            self._caller.unary(methods.GET_ARTIFACT, pb.GetArtifactRequest(name=name))
        )

    def list_files(self, uri: str, *, page_size: int = 0) -> Iterator[File]:
        """Yield the files of a version, or those below `…/dir/`, by path.

        All pages are of one version, even if the ref moves meanwhile.

        Args:
            uri: `project/artifact[@version][/dir/]`.
            page_size: How many the server is asked for at once; 0 leaves it to the
                server.

        Raises:
            NotFoundError: There is no such artifact or version.
        """
        parsed = parse_uri(uri)
        parent = parsed.version.resource

        def fetch(token: str) -> pb.ListFilesResponse:
            nonlocal parent
            answer = self._caller.unary(
                methods.LIST_FILES,
                pb.ListFilesRequest(
                    parent=parent,
                    path=parsed.path,
                    page_size=page_size,
                    page_token=token,
                ),
            )
            _convert.answered_version_of(answer.version, parsed.version)
            parent = answer.version.name
            return answer

        yield from _pages(fetch, lambda answer: map(_convert.file_of, answer.files))

    def find_file(self, uri: str) -> tuple[Version, File]:
        """Return one file, and the version that it is in.

        Raises:
            NotFoundError: There is no such artifact, version or path
                (PATH_NOT_FOUND, or the server's own reason).
        """
        parsed = parse_uri(uri)
        answer = self._caller.unary(
            methods.LIST_FILES,
            pb.ListFilesRequest(
                parent=parsed.version.resource, path=parsed.path, page_size=1
            ),
        )
        version = _convert.answered_version_of(answer.version, parsed.version)
        for found in answer.files:
            if found.path == parsed.path:
                return version, _convert.file_of(found)
        message = f"{version.name} has no file {parsed.path!r}"
        raise NotFoundError(
            message,
            reason=Reason.PATH_NOT_FOUND,
            hint=f"strongroom ls {version.name}",
            path=parsed.path,
        )

    def ls(self, name: str | None = None) -> Iterator[Project | Artifact | File]:
        """Yield what is there: projects, artifacts of a project, or files.

        Args:
            name: Nothing, `project`, or `project/artifact[@version][/dir/]`.
        """
        if not name:
            return self.list_projects()
        if "/" in name.removeprefix("strongroom:").strip("/"):
            return self.list_files(name)
        return self.list_artifacts(name.removeprefix("strongroom:").strip("/"))

    def show(self, uri: str) -> Version:
        """Return a version, by whatever selector.

        Raises:
            NotFoundError: There is no such artifact or version.
        """
        name = parse_uri(uri).version
        request = pb.GetVersionRequest(name=name.resource)
        answer = self._caller.unary(methods.GET_VERSION, request)
        return _convert.answered_version_of(answer, name)

    def list_versions(self, artifact: str) -> Iterator[Version]:
        """Yield the versions of an artifact, newest first."""
        parent = parse_artifact(artifact).resource
        return _pages(
            lambda token: self._caller.unary(
                methods.LIST_VERSIONS,
                pb.ListVersionsRequest(parent=parent, page_token=token),
            ),
            lambda answer: map(_convert.version_of, answer.versions),
        )

    def log(self, artifact: str) -> Iterator[JournalEntry]:
        """Yield what happened to an artifact, newest first."""
        parent = parse_artifact(artifact).resource
        return _pages(
            lambda token: self._caller.unary(
                methods.LIST_JOURNAL_ENTRIES,
                pb.ListJournalEntriesRequest(parent=parent, page_token=token),
            ),
            lambda answer: map(_convert.journal_entry_of, answer.entries),
        )

    def diff(self, base: str, target: str, *, include_unchanged: bool = False) -> Diff:
        """Return how two versions of an artifact differ.

        Args:
            base: The older version: `project/artifact@version`.
            target: The newer one; `@version` means the same artifact.
            include_unchanged: Whether to name unchanged files and tensors, too.

        Raises:
            NotFoundError: There is no such artifact or version.
        """
        *changes, summary = self.iter_diff(
            base, target, include_unchanged=include_unchanged
        )
        files = tuple(part for part in changes if isinstance(part, FileChange))
        if not isinstance(summary, DiffSummary):
            message = "the server ended the comparison without a summary"
            raise InternalError(message)
        return Diff(files, summary)

    def iter_diff(
        self, base: str, target: str, *, include_unchanged: bool = False
    ) -> Iterator[FileChange | DiffSummary]:
        """Yield what `diff` returns as it comes: files by path, last the summary."""
        older = parse_uri(base)
        newer = (
            VersionName(older.artifact, target.removeprefix("@"))
            if target.startswith("@")
            else parse_uri(target).version
        )
        request = pb.DiffVersionsRequest(
            base=older.version.resource,
            target=newer.resource,
            include_unchanged=include_unchanged,
        )
        with self._caller.stream(methods.DIFF_VERSIONS, request) as stream:
            for response in stream:
                if response.HasField("summary"):
                    yield _convert.diff_summary_of(response.summary)
                elif response.HasField("file"):
                    yield _convert.file_change_of(response.file)

    # Changes.

    def create_project(self, project: str, *, request_id: str | None = None) -> Project:
        """Make a project with a key domain of its own.

        Raises:
            AlreadyExistsError: It exists (PROJECT_EXISTS).
        """
        return _convert.project_of(
            self._caller.unary(
                methods.CREATE_PROJECT,
                pb.CreateProjectRequest(
                    project_id=ProjectName(project).project,
                    request_id=request_id or _system.new_request_id(),
                ),
            )
        )

    def move_ref(
        self,
        artifact: str,
        ref: str,
        version: str | int,
        *,
        etag: str = "",
        reason: str = "",
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> Ref:
        """Let a ref point at a version; make the ref if there is none.

        Args:
            artifact: `project/artifact`.
            ref: The ref's name; not `latest`, which moves by itself.
            version: A number or selector.
            etag: If given, the move fails unless the ref still has it; `'""'`
                means that the ref must not exist.
            reason: Why; kept in the journal, at most 1000 characters.
            request_id: A UUID4 that makes the move repeatable.
            validate_only: Whether only to check.

        Raises:
            ConflictError: The ref has moved since (REF_MOVED).
            NotFoundError: There is no such artifact or version.
        """
        name = RefName(parse_artifact(artifact), ref)
        return _convert.ref_of(
            self._caller.unary(
                methods.MOVE_REF,
                pb.MoveRefRequest(
                    name=name.resource,
                    version=VersionName(name.artifact, str(version)).selector,
                    etag=etag,
                    reason=reason,
                    request_id=request_id or _system.new_request_id(),
                    validate_only=validate_only,
                ),
            )
        )


def _pages(
    fetch: Callable[[str], _PageT], items_of: Callable[[_PageT], Iterator[_ItemT]]
) -> Iterator[_ItemT]:
    token = ""
    for _ in range(MAX_PAGES):
        page = fetch(token)
        empty = True
        for item in items_of(page):
            empty = False
            yield item
        if not page.next_page_token:
            return
        if empty or page.next_page_token == token:
            break
        token = page.next_page_token
    raise _endless()


def _endless() -> InternalError:
    message = "the server answers a listing with pages that do not end"
    return InternalError(message, hint="Do not trust this server; report it.")


def parse_artifact(name: str) -> ArtifactName:
    """Return the artifact of `project/artifact`, with nothing behind it."""
    uri = parse_uri(name)
    if uri != Uri(uri.artifact) or "@" in name:
        message = f"{name!r} names more than an artifact; say {uri.artifact.short!r}"
        raise InvalidArgumentError(message, reason=Reason.NAME_MALFORMED, name=name)
    return uri.artifact
