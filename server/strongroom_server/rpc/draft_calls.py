# SPDX-License-Identifier: Apache-2.0
"""The calls of TransferService about drafts: parts in, one commit, or none."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterable, Iterator
from typing import Final

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.frames import BlockFrame
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    VersionName,
    parse_artifact_name,
)
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2_grpc as pb_grpc
from strongroom_server.core.access import AccessAction
from strongroom_server.ports import Clock
from strongroom_server.rpc import convert, failures
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.showing import seen_version
from strongroom_server.services.uploads import (
    DraftCommitStart,
    DraftPart,
    Drafts,
    PartStart,
)

#: Progress is told about twice a second.
PROGRESS_S: Final = 0.5
#: `FileStart.size_bytes` of a file whose size is not known yet.
UNKNOWN_SIZE: Final = -1

PartRequest = pb.WriteVersionRequest | BlockFrame


class DraftCalls(pb_grpc.TransferServiceServicer):
    """Answers from the use case `Drafts`; the guard has decided who may ask."""

    def __init__(self, drafts: Drafts, clock: Clock) -> None:
        self._drafts = drafts
        self._clock = clock

    def write_part(
        self, start: pb.WriteStart, requests: Iterator[PartRequest]
    ) -> Iterator[pb.WriteVersionResponse]:
        """Take in a part of a draft: what WriteVersion does with a `draft_id`.

        Raises:
            InvalidArgumentError: The requests are out of order, or as `DraftPart`.
        """
        call = current_call()
        items = _PartItems(parse_artifact_name(start.parent), call)
        with self._drafts.begin_part(
            _part_start(start, call), caller=call.caller
        ) as part:
            # Who writes what it cannot send twice waits until it is let in.
            yield _progress(part)
            told_s = self._clock.monotonic()
            for request in requests:
                part.check_pace()
                if isinstance(request, BlockFrame):
                    part.write(request.data, offset_bytes=request.offset_bytes)
                    call.count("bytes", len(request.data))
                elif request.WhichOneof("part") == "commit":
                    yield _finish(part, request.commit)
                    return
                else:
                    items.take(part, request)
                now_s = self._clock.monotonic()
                if now_s - told_s >= PROGRESS_S:
                    told_s = now_s
                    yield _progress(part)
        raise InvalidArgumentError(
            "the stream ended without `commit`; nothing of the part is kept"
        )

    def CommitDraft(
        self, request: pb.CommitDraftRequest, context: grpc.ServicerContext
    ) -> pb.CommitDraftResponse:
        """Make one version of the parts of a draft."""
        call = current_call()
        expected = None
        if request.HasField("expected_file_count"):
            expected = request.expected_file_count
        if request.base_version < 0:
            message = f"base_version {request.base_version} is no version"
            raise InvalidArgumentError(message, field="base_version")
        _check_base(request, call)
        start = DraftCommitStart(
            parse_artifact_name(request.parent),
            request.draft_id,
            kind=convert.parse_kind(request.kind),
            message=request.message,
            metadata=dict(request.metadata),
            base_version=request.base_version,
            base_newest=request.base_newest,
            expected_file_count=expected,
            after_part=request.after_part,
            check=call.check,
        )
        result = self._drafts.commit(start, caller=call.caller)
        call.count("version", result.version.number)
        return pb.CommitDraftResponse(
            version=convert.version_message(seen_version(result.version)),
            unchanged=result.unchanged,
        )

    def DiscardDraft(
        self, request: pb.DiscardDraftRequest, context: grpc.ServicerContext
    ) -> pb.DiscardDraftResponse:
        """End a draft without a version."""
        call = current_call()
        artifact = parse_artifact_name(request.parent)
        self._drafts.discard(artifact, request.draft_id, caller=call.caller)
        return pb.DiscardDraftResponse()


class _PartItems:
    """Takes the items of requests into a part."""

    def __init__(self, artifact: ArtifactName, call: CallView) -> None:
        self._artifact = artifact
        self._call = call

    def take(self, part: DraftPart, request: pb.WriteVersionRequest) -> None:
        found = request.WhichOneof("part")
        if found != "items":
            message = f"{found or 'nothing'} came where `items` or `commit` belongs"
            raise InvalidArgumentError(message)
        self._take_all(part, request.items.items)

    def _take_all(self, part: DraftPart, items: Iterable[pb.TransferItem]) -> None:
        for item in items:
            match item.WhichOneof("item"):
                case "start":
                    size_bytes = item.start.size_bytes
                    part.start_file(
                        item.start.path,
                        size_bytes=None if size_bytes == UNKNOWN_SIZE else size_bytes,
                        executable=item.start.executable,
                    )
                case "block":
                    data = item.block.data  # protobuf copies at each access
                    part.write(data, offset_bytes=item.block.offset_bytes)
                    self._call.count("bytes", len(data))
                case "end":
                    part.end_file(item.end.digest)
                    self._call.count("files", 1)
                case "copy":
                    self._copy(part, item.copy)
                case "removal":
                    part.remove(item.removal.path)
                    self._call.count("removed_paths", 1)
                case _:
                    message = (
                        "an item of a part is neither start, block, end, copy nor "
                        "removal"
                    )
                    raise InvalidArgumentError(message)

    def _copy(self, part: DraftPart, copy: pb.FileCopy) -> None:
        _check_taken(VersionName(self._artifact, copy.version), self._call)
        part.copy_file(copy.path, version=copy.version, source_path=copy.source_path)
        self._call.count("copied_files", 1)


def _check_base(request: pb.CommitDraftRequest, call: CallView) -> None:
    selector = "latest" if request.base_newest else str(request.base_version)
    if selector != "0":
        _check_taken(VersionName(parse_artifact_name(request.parent), selector), call)


def _check_taken(source: VersionName, call: CallView) -> None:
    """Check that the caller may read what a new version takes over.

    That tells whether there is such a file, and makes it outlive its version.
    """
    if not call.may(AccessAction.VERSION_READ, source.resource):
        principal = call.caller.principal
        raise failures.denied(AccessAction.VERSION_READ, source.resource, principal)


def _part_start(start: pb.WriteStart, call: CallView) -> PartStart:
    if start.message or start.metadata or start.resumable or start.base_version:
        message = (
            "a part of a draft has no message, metadata, resumable or base_version: "
            "what a version is told with comes with CommitDraft"
        )
        raise InvalidArgumentError(message, field="draft_id")
    artifact = parse_artifact_name(start.parent)
    return PartStart(
        artifact,
        start.draft_id,
        start.request_id,
        kind=convert.parse_kind(start.kind),
        replaces=start.replaces,
        after_part=start.after_part,
        exclusive=start.exclusive,
        may_create_project=call.may(
            AccessAction.PROJECT_CREATE, ProjectName(artifact.project).resource
        ),
    )


def _finish(part: DraftPart, commit: pb.WriteCommit) -> pb.WriteVersionResponse:
    if commit.digest:
        message = "the digest of a part of a draft is told with each of its files"
        raise InvalidArgumentError(message, field="digest")
    result = part.finish(file_count=commit.file_count)
    return pb.WriteVersionResponse(
        draft_part=pb.DraftPart(
            number=result.number,
            file_count=result.file_count,
            size_bytes=result.size_bytes,
            stored_bytes=result.stored_bytes,
        )
    )


def _progress(part: DraftPart) -> pb.WriteVersionResponse:
    return pb.WriteVersionResponse(
        progress=pb.WriteProgress(
            received_bytes=part.received_bytes, stored_bytes=part.stored_bytes
        )
    )
