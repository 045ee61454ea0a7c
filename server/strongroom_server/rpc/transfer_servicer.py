# SPDX-License-Identifier: Apache-2.0
"""TransferService: the bytes of versions, in and out."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterable, Iterator
from typing import Final

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.frames import FRAMED_BYTES, BlockFrame
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    parse_artifact_name,
    parse_version_name,
)
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.v1 import transfer_service_pb2_grpc as pb_grpc
from strongroom_server.core.access import AccessAction
from strongroom_server.core.records import FileBlock, FileEnded, TransferItem
from strongroom_server.ports import Clock
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.showing import seen_version
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.uploads import Upload, Uploads, UploadStart

#: A message of files holds at most this much data and this many items.
MAX_BATCH_BYTES: Final = 1024 * 1024
MAX_BATCH_ITEMS: Final = 1000
#: Progress is told about twice a second.
PROGRESS_S: Final = 0.5


class TransferServicer(pb_grpc.TransferServiceServicer):
    """Carries bytes; the guard has decided who may move them."""

    def __init__(self, uploads: Uploads, downloads: Downloads, *, clock: Clock) -> None:
        self._uploads = uploads
        self._downloads = downloads
        self._clock = clock

    def WriteVersion(
        self,
        request_iterator: Iterator[pb.WriteVersionRequest | BlockFrame],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.WriteVersionResponse]:
        """Write a version: all of its files, then the commit.

        Raises:
            InvalidArgumentError: The requests are out of order, or as `Upload`.
        """
        call = current_call()
        start = _upload_start(_start_of(next(request_iterator)), call)
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
        call = current_call()
        with self._downloads.open(
            parse_version_name(request.name),
            paths=request.paths,
            offset_bytes=request.offset_bytes,
            length_bytes=request.length_bytes,
        ) as download:
            call.count("version", download.version.number)
            version = convert.version_message(seen_version(download.version))
            yield pb.ReadVersionResponse(version=version)
            try:
                yield from _responses(_counted(download.items, call))
            finally:
                if download.hedged_count:
                    call.count("hedged", download.hedged_count)


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


def _counted(items: Iterator[TransferItem], call: CallView) -> Iterator[TransferItem]:
    for item in items:
        if isinstance(item, FileBlock):
            call.count("bytes", len(item.data))
        elif isinstance(item, FileEnded):
            call.count("files", 1)
        yield item


def _responses(
    items: Iterator[TransferItem],
) -> Iterator[pb.ReadVersionResponse | BlockFrame]:
    """Put many small items into one message, and send large blocks by themselves."""
    response = pb.ReadVersionResponse()
    response_bytes = 0
    for item in items:
        if isinstance(item, FileBlock) and len(item.data) >= FRAMED_BYTES:
            if response_bytes:
                yield response
                response, response_bytes = pb.ReadVersionResponse(), 0
            yield BlockFrame(item.offset_bytes, item.data)
            continue
        size_bytes = convert.max_transfer_bytes(item)
        batch = response.items.items
        if batch and response_bytes + size_bytes > MAX_BATCH_BYTES:
            yield response
            response, response_bytes = pb.ReadVersionResponse(), 0
            batch = response.items.items
        # In place: a message put into another is copied, with all of its bytes.
        convert.set_transfer(batch.add(), item)
        response_bytes += size_bytes
        if len(batch) == MAX_BATCH_ITEMS:
            yield response
            response, response_bytes = pb.ReadVersionResponse(), 0
    if response_bytes:
        yield response
