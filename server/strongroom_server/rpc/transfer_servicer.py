# SPDX-License-Identifier: Apache-2.0
"""TransferService: the bytes of versions, in and out."""

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
    parse_artifact_name,
)
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.core.access import AccessAction
from strongroom_server.ports import Clock, SharedMemory
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.draft_calls import DraftCalls
from strongroom_server.rpc.showing import seen_version
from strongroom_server.rpc.version_reads import VersionReads
from strongroom_server.services.downloads import DownloadSource
from strongroom_server.services.uploads import Drafts, Upload, Uploads, UploadStart

#: Progress is told about twice a second.
PROGRESS_S: Final = 0.5


class TransferServicer(DraftCalls):
    """Carries bytes; the guard has decided who may move them."""

    def __init__(
        self,
        uploads: Uploads,
        drafts: Drafts,
        downloads: DownloadSource,
        *,
        clock: Clock,
        memory: SharedMemory | None = None,
    ) -> None:
        super().__init__(drafts, clock)
        self._uploads = uploads
        self._reads = VersionReads(downloads, clock=clock, memory=memory)

    def WriteVersion(
        self,
        request_iterator: Iterator[pb.WriteVersionRequest | BlockFrame],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.WriteVersionResponse]:
        """Write a version, or a part of a draft: all files, then the commit.

        Raises:
            InvalidArgumentError: The requests are out of order, or as `Upload`.
        """
        call = current_call()
        first = _start_of(next(request_iterator))
        if first.draft_id:
            yield from self.write_part(first, request_iterator)
            return
        start = _upload_start(first, call)
        with self._uploads.begin(start, caller=call.caller) as upload:
            if start.resumable:
                yield from self._resume(upload, call)
            told_s = self._clock.monotonic()
            for request in request_iterator:
                upload.check_pace()
                if isinstance(request, BlockFrame):
                    upload.write(request.data, offset_bytes=request.offset_bytes)
                    call.count("bytes", len(request.data))
                elif request.WhichOneof("part") == "commit":
                    yield _commit(upload, request.commit, call)
                    return
                else:
                    _take(upload, _items(request), call)
                now_s = self._clock.monotonic()
                if now_s - told_s >= PROGRESS_S:
                    told_s = now_s
                    yield _progress(upload)
        raise InvalidArgumentError(
            "the stream ended without `commit`; nothing was changed"
        )

    def _resume(
        self, upload: Upload, call: CallView
    ) -> Iterator[pb.WriteVersionResponse]:
        """Take up what is durable, with signs of life, and say where to go on."""
        told_s = self._clock.monotonic()
        for _ in upload.resume():
            now_s = self._clock.monotonic()
            if now_s - told_s >= PROGRESS_S:
                told_s = now_s
                call.check()
                yield _progress(upload)
        position = upload.position
        call.count("resumed_bytes", position.received_bytes)
        yield pb.WriteVersionResponse(
            position=pb.WritePosition(
                file_count=position.file_count,
                last_path=position.last_path,
                open_path=position.open_path,
                offset_bytes=position.offset_bytes,
                received_bytes=position.received_bytes,
                modes_digest=position.modes_digest,
            )
        )

    def ReadVersion(  # type: ignore[override]  # the guard encodes frames, too
        self, request: pb.ReadVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadVersionResponse | BlockFrame]:
        """Read files of a version, in byte order of path."""
        yield from self._reads.read(request, context)


def _start_of(request: pb.WriteVersionRequest | BlockFrame) -> pb.WriteStart:
    if isinstance(request, BlockFrame):
        message = "a block came where `start` belongs"
        raise InvalidArgumentError(message)
    return request.start


def _upload_start(start: pb.WriteStart, call: CallView) -> UploadStart:
    artifact = parse_artifact_name(start.parent)
    return UploadStart(
        artifact=artifact,
        kind=convert.parse_kind(start.kind),
        message=start.message,
        metadata=dict(start.metadata),
        request_id=start.request_id,
        may_create_project=_may_create_project(artifact, call),
        resumable=start.resumable,
        base_version=start.base_version,
        exclusive=start.exclusive,
    )


def _may_create_project(artifact: ArtifactName, call: CallView) -> bool:
    resource = ProjectName(artifact.project).resource
    return call.may(AccessAction.PROJECT_CREATE, resource)


def _items(request: pb.WriteVersionRequest) -> Iterable[pb.TransferItem]:
    part = request.WhichOneof("part")
    if part != "items":
        message = f"{part or 'nothing'} came where `items` or `commit` belongs"
        raise InvalidArgumentError(message)
    return request.items.items


def _take(upload: Upload, items: Iterable[pb.TransferItem], call: CallView) -> None:
    for item in items:
        match item.WhichOneof("item"):
            case "start":
                upload.start_file(
                    item.start.path,
                    size_bytes=item.start.size_bytes,
                    executable=item.start.executable,
                )
            case "block":
                data = item.block.data  # protobuf copies at each access
                upload.write(data, offset_bytes=item.block.offset_bytes)
                call.count("bytes", len(data))
            case "end":
                upload.end_file(item.end.digest)
                call.count("files", 1)
            case "same":
                upload.same_file(
                    item.same.path,
                    size_bytes=item.same.size_bytes,
                    executable=item.same.executable,
                    digest=item.same.digest,
                )
                call.count("same_files", 1)
            case _:
                message = "an item is neither start, block, end nor same"
                raise InvalidArgumentError(message)


def _commit(
    upload: Upload, commit: pb.WriteCommit, call: CallView
) -> pb.WriteVersionResponse:
    result = upload.commit(file_count=commit.file_count, digest=commit.digest)
    call.count("version", result.version.number)
    return pb.WriteVersionResponse(
        result=pb.WriteResult(
            version=convert.version_message(seen_version(result.version)),
            unchanged=result.unchanged,
        )
    )


def _progress(upload: Upload) -> pb.WriteVersionResponse:
    return pb.WriteVersionResponse(
        progress=pb.WriteProgress(
            received_bytes=upload.received_bytes, stored_bytes=upload.stored_bytes
        )
    )
