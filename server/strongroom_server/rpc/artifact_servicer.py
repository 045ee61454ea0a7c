# SPDX-License-Identifier: Apache-2.0
"""ArtifactService: projects, artifacts, versions, refs and their history."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from strongroom.format.names import (
    ArtifactName,
    parse_artifact_name,
    parse_project_name,
    parse_ref_name,
    parse_version_name,
)
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom_server.core.access import AccessAction
from strongroom_server.core.records import ProjectRecord
from strongroom_server.core.version_readers import VersionReader
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.lineage_calls import LineageCalls
from strongroom_server.rpc.protecting import ProtectedDates
from strongroom_server.rpc.showing import (
    MAX_ANSWER_BYTES,
    seen_artifact,
    seen_change,
    seen_version,
    sendable,
)
from strongroom_server.services.artifacts import Artifacts
from strongroom_server.services.diffs import Diffs
from strongroom_server.services.lineage import Lineages
from strongroom_server.services.refs import Refs
from strongroom_server.services.retention import Retention

Listing = TypeVar("Listing", bound=Message)
#: Names of shredded artifacts in one answer.
MAX_SHREDDED: Final = 1000


class ArtifactServicer(LineageCalls):
    """Answers from the use cases; the guard has decided who may ask."""

    def __init__(
        self,
        artifacts: Artifacts,
        refs: Refs,
        diffs: Diffs,
        retention: Retention,
        lineages: Lineages,
        *,
        protected: ProtectedDates | None = None,
    ) -> None:
        super().__init__(retention, lineages)
        self._protected = protected or ProtectedDates()
        self._artifacts = artifacts
        self._refs = refs
        self._diffs = diffs

    def CreateProject(
        self, request: pb.CreateProjectRequest, context: grpc.ServicerContext
    ) -> pb.Project:
        """Create a project."""
        record = self._artifacts.create_project(
            request.project_id,
            caller=current_call().caller,
            request_id=request.request_id,
        )
        return convert.project_message(record)

    def ListProjects(
        self, request: pb.ListProjectsRequest, context: grpc.ServicerContext
    ) -> pb.ListProjectsResponse:
        """List the projects whose artifacts the caller may list."""
        call = current_call()

        def visible(record: ProjectRecord) -> bool:
            return call.may(AccessAction.ARTIFACT_LIST, record.name.resource)

        page = self._artifacts.list_projects(
            page_size=request.page_size,
            page_token=request.page_token,
            visible=visible,
        )
        return pb.ListProjectsResponse(
            projects=[convert.project_message(item) for item in page.items],
            next_page_token=page.next_page_token,
        )

    def ListArtifacts(
        self, request: pb.ListArtifactsRequest, context: grpc.ServicerContext
    ) -> pb.ListArtifactsResponse:
        """List the artifacts of a project that the caller may get."""
        call = current_call()
        parent = parse_project_name(request.parent)

        def visible(name: ArtifactName) -> bool:
            return call.may(AccessAction.ARTIFACT_GET, name.resource)

        def list_page(page_size: int) -> pb.ListArtifactsResponse:
            page = self._artifacts.list_artifacts(
                parent,
                page_size=page_size,
                page_token=request.page_token,
                visible=visible,
            )
            found = [
                convert.artifact_message(seen_artifact(item)) for item in page.items
            ]
            for artifact in found:
                self._protected.date_artifact(artifact)
            return pb.ListArtifactsResponse(
                artifacts=found,
                next_page_token=page.next_page_token,
                shredded=shredded,
            )

        dead = [] if request.page_token else self._artifacts.shredded(parent)
        shredded = [name.resource for name in filter(visible, dead)][:MAX_SHREDDED]
        return _fitting(list_page, request.page_size, lambda page: len(page.artifacts))

    def CreateArtifact(
        self, request: pb.CreateArtifactRequest, context: grpc.ServicerContext
    ) -> pb.Artifact:
        """Create an artifact that has no version yet."""
        call, project = current_call(), parse_project_name(request.parent)
        record = self._artifacts.create_artifact(
            ArtifactName(project.project, request.artifact_id),
            kind=convert.parse_kind(request.kind),
            exclusive=request.exclusive,
            may_create_project=call.may(AccessAction.PROJECT_CREATE, project.resource),
            caller=call.caller,
            request_id=request.request_id,
        )
        return sendable(convert.artifact_message(seen_artifact(record)))

    def GetArtifact(
        self, request: pb.GetArtifactRequest, context: grpc.ServicerContext
    ) -> pb.Artifact:
        """Get an artifact with the refs that the caller may see."""
        record = self._artifacts.get_artifact(parse_artifact_name(request.name))
        artifact = convert.artifact_message(seen_artifact(record))
        self._protected.date_artifact(artifact)
        return sendable(artifact)

    def GetVersion(
        self, request: pb.GetVersionRequest, context: grpc.ServicerContext
    ) -> pb.Version:
        """Get a version, by number or selector."""
        record = self._artifacts.get_version(parse_version_name(request.name))
        current_call().count("version", record.number)
        version = convert.version_message(seen_version(record))
        self._protected.date_versions(record.artifact, [version])
        return sendable(version)

    def ListVersions(
        self, request: pb.ListVersionsRequest, context: grpc.ServicerContext
    ) -> pb.ListVersionsResponse:
        """List the versions of an artifact, newest first."""
        parent = parse_artifact_name(request.parent)

        def list_page(page_size: int) -> pb.ListVersionsResponse:
            page = self._artifacts.list_versions(
                parent, page_size=page_size, page_token=request.page_token
            )
            found = [convert.version_message(seen_version(item)) for item in page.items]
            self._protected.date_versions(parent, found)
            return pb.ListVersionsResponse(
                versions=found,
                next_page_token=page.next_page_token,
            )

        return _fitting(list_page, request.page_size, lambda page: len(page.versions))

    def ListFiles(
        self, request: pb.ListFilesRequest, context: grpc.ServicerContext
    ) -> pb.ListFilesResponse:
        """List the files of a version, in byte order of path."""
        parent = parse_version_name(request.parent)

        def list_page(page_size: int) -> pb.ListFilesResponse:
            version, page = self._artifacts.list_files(
                parent,
                path=request.path,
                page_size=page_size,
                page_token=request.page_token,
            )
            return pb.ListFilesResponse(
                version=convert.version_message(seen_version(version)),
                files=[convert.file_message(item) for item in page.items],
                next_page_token=page.next_page_token,
            )

        response = _fitting(list_page, request.page_size, lambda page: len(page.files))
        current_call().count("version", response.version.number)
        return response

    def ListJournalEntries(
        self, request: pb.ListJournalEntriesRequest, context: grpc.ServicerContext
    ) -> pb.ListJournalEntriesResponse:
        """List what happened to an artifact, newest first."""
        parent = parse_artifact_name(request.parent)

        def list_page(page_size: int) -> pb.ListJournalEntriesResponse:
            page = self._artifacts.list_journal(
                parent, page_size=page_size, page_token=request.page_token
            )
            return pb.ListJournalEntriesResponse(
                entries=[convert.journal_message(item) for item in page.items],
                next_page_token=page.next_page_token,
            )

        return _fitting(list_page, request.page_size, lambda page: len(page.entries))

    def DiffVersions(
        self, request: pb.DiffVersionsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.DiffVersionsResponse]:
        """Compare two versions of an artifact."""
        changes = self._diffs.diff(
            parse_version_name(request.base),
            parse_version_name(request.target),
            include_unchanged=request.include_unchanged,
            check=current_call().check,
        )
        for change in changes:
            yield sendable(convert.diff_message(seen_change(change)))

    def MoveRef(
        self, request: pb.MoveRefRequest, context: grpc.ServicerContext
    ) -> pb.Ref:
        """Move a ref to a version, or create it."""
        call = current_call()
        record = self._refs.move(
            parse_ref_name(request.name),
            version=request.version,
            etag=request.etag,
            reason=request.reason,
            request_id=request.request_id,
            validate_only=request.validate_only,
            caller=call.caller,
        )
        call.count("version", record.version)
        return convert.ref_message(record)

    def ListReaders(
        self, request: pb.ListReadersRequest, context: grpc.ServicerContext
    ) -> pb.ListReadersResponse:
        """Say who reads a version now, through this server or by its grants."""
        call = current_call()
        record = self._artifacts.get_version(parse_version_name(request.parent))
        call.count("version", record.number)
        found = call.readers(record.name)
        return sendable(
            pb.ListReadersResponse(
                version=convert.version_message(seen_version(record)),
                readers=map(_reader_message, found.readers),
                incomplete=not found.is_complete,
            )
        )


def _reader_message(reader: VersionReader) -> pb.VersionReader:
    return pb.VersionReader(
        principal=reader.principal,
        since=convert.timestamp(reader.since),
        until=convert.timestamp(reader.until) if reader.until else None,
        count=reader.count,
    )


def _fitting(
    list_page: Callable[[int], Listing],
    page_size: int,
    count: Callable[[Listing], int],
) -> Listing:
    """Return a page that fits into one message, shorter than asked for if need be."""
    page = list_page(page_size)
    while page.ByteSize() > MAX_ANSWER_BYTES and count(page) > 1:
        page = list_page(count(page) // 2)
    return sendable(page)
