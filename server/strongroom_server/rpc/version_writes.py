# SPDX-License-Identifier: Apache-2.0
"""WriteVersion: files in, as a version or as a part of a draft, whoever stores them."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.frames import UNKNOWN_SIZE, BlockFrame
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    VersionName,
    parse_artifact_name,
)
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.core.access import AccessAction
from strongroom_server.ports import Clock, SharedMemory
from strongroom_server.rpc import convert, failures
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.convert_lineage import parse_lineage
from strongroom_server.rpc.file_sources import FileSources, sources_of
from strongroom_server.rpc.write_ends import (
    commit_version,
    finish_part,
    position_message,
)
from strongroom_server.services.uploads import PartStart, UploadStart
from strongroom_server.services.uploads.shape import (
    FileIntake,
    PartIntake,
    PartSource,
    UploadSource,
    VersionIntake,
)

#: Progress is told about twice a second.
PROGRESS_S: Final = 0.5

Request = pb.WriteVersionRequest | BlockFrame
Take = Callable[[pb.TransferItem], None]
Intake = VersionIntake | PartIntake
Responses = Generator[pb.WriteVersionResponse, None, pb.WriteCommit | None]


class VersionWrites:
    """Takes in versions and parts of drafts.

    Args:
        uploads: Begins versions.
        parts: Begins parts.
        clock: Says when progress is due.
        memory: Whose lanes hand files over, if anything is shared with writers.
    """

    def __init__(
        self,
        uploads: UploadSource,
        parts: PartSource,
        *,
        clock: Clock,
        memory: SharedMemory | None = None,
    ) -> None:
        self._uploads = uploads
        self._parts = parts
        self._clock = clock
        self._memory = memory

    def write(
        self, requests: Iterator[Request], context: grpc.ServicerContext
    ) -> Iterator[pb.WriteVersionResponse]:
        """Write a version, or a part of a draft: all files, then the commit.

        Args:
            requests: What comes.
            context: Its metadata may name a lane, along which files are handed over.

        Raises:
            InvalidArgumentError: The requests are out of order, or as `Upload`.
        """
        call = current_call()
        first = _start_of(next(requests))
        with closing(sources_of(self._memory, context, call)) as sources:
            write = _Write(requests, sources, call)
            if first.draft_id:
                yield from self._write_part(first, write)
            else:
                yield from self._write_version(first, write)

    def _write_version(
        self, first: pb.WriteStart, write: "_Write"
    ) -> Iterator[pb.WriteVersionResponse]:
        call = write.call
        start = upload_start(first, call)
        with self._uploads.begin(start, caller=call.caller) as upload:
            if start.resumable:
                yield from self._resume(upload, write)
            take = partial(_take_of_version, upload, call=call)
            commit = yield from self._take_in(upload, write, take)
            if commit is not None:
                result = commit_version(upload, commit, call)
                yield pb.WriteVersionResponse(result=result)
                return
        raise InvalidArgumentError(
            "the stream ended without `commit`; nothing was changed"
        )

    def _write_part(
        self, first: pb.WriteStart, write: "_Write"
    ) -> Iterator[pb.WriteVersionResponse]:
        call = write.call
        start = part_start(first, call)
        with self._parts.begin_part(start, caller=call.caller) as part:
            # Who writes what it cannot send twice waits until it is let in.
            yield _progress(part, takes_sources=write.sources.are_taken)
            take = partial(_take_of_part, part, call=call, artifact=start.artifact)
            commit = yield from self._take_in(part, write, take)
            if commit is not None:
                finished = finish_part(part, commit)
                yield pb.WriteVersionResponse(draft_part=finished)
                return
        raise InvalidArgumentError(
            "the stream ended without `commit`; nothing of the part is kept"
        )

    def _take_in(self, intake: Intake, write: "_Write", take: Take) -> Responses:
        """Take in files, telling progress; return the commit, if one came."""
        pace = _Pace(self._clock)
        for request in write.requests:
            intake.check_pace()
            if isinstance(request, BlockFrame):
                intake.write(request.data, offset_bytes=request.offset_bytes)
                write.call.count("bytes", len(request.data))
            elif request.WhichOneof("part") == "commit":
                return request.commit
            else:
                for item in _items(request):
                    if item.WhichOneof("item") == "source":
                        yield from _read(intake, write, item.source, pace)
                    else:
                        take(item)
            if pace.is_due():
                yield _progress(intake)
        return None

    def _resume(
        self, upload: VersionIntake, write: "_Write"
    ) -> Iterator[pb.WriteVersionResponse]:
        """Take up what is durable, with signs of life, and say where to go on."""
        pace = _Pace(self._clock)
        for _ in upload.resume():
            if pace.is_due():
                write.call.check()
                yield _progress(upload)
        position = upload.position
        write.call.count("resumed_bytes", position.received_bytes)
        told = position_message(position, takes_sources=write.sources.are_taken)
        yield pb.WriteVersionResponse(position=told)


@dataclass(frozen=True, slots=True)
class _Write:
    """What one call sends, and what it hands over."""

    requests: Iterator[Request]
    sources: FileSources
    call: CallView


class _Pace:
    """Says twice a second that progress is due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_s = clock.monotonic()

    def is_due(self) -> bool:
        now_s = self._clock.monotonic()
        if now_s - self._told_s < PROGRESS_S:
            return False
        self._told_s = now_s
        return True


def _read(
    intake: Intake, write: _Write, source: pb.FileSource, pace: _Pace
) -> Iterator[pb.WriteVersionResponse]:
    """Take in a file that was handed over, telling progress, then its digest."""
    digest = ""
    for step in write.sources.read(intake, source):
        digest = step
        if pace.is_due():
            yield _progress(intake)
    taken = pb.FileTaken(source=source.source, digest=digest)
    yield pb.WriteVersionResponse(taken=taken)


def check_taken(source: VersionName, call: CallView) -> None:
    """Check that the caller may read what a new version takes over.

    That tells whether there is such a file, and makes it outlive its version.
    """
    if not call.may(AccessAction.VERSION_READ, source.resource):
        principal = call.caller.principal
        raise failures.denied(AccessAction.VERSION_READ, source.resource, principal)


def _start_of(request: Request) -> pb.WriteStart:
    if isinstance(request, BlockFrame):
        message = "a block came where `start` belongs"
        raise InvalidArgumentError(message)
    return request.start


def upload_start(start: pb.WriteStart, call: CallView) -> UploadStart:
    """Return what a version's writer says first."""
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
        lineage=parse_lineage(start.lineage),
    )


def part_start(start: pb.WriteStart, call: CallView) -> PartStart:
    """Return what the writer of a part says first.

    Raises:
        InvalidArgumentError: It says what only a version is told with.
    """
    told = start.message or start.metadata or start.HasField("lineage")
    if told or start.resumable or start.base_version:
        message = (
            "a part of a draft has no message, metadata, lineage, resumable or "
            "base_version: what a version is told with comes with CommitDraft"
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
        may_create_project=_may_create_project(artifact, call),
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


def _take_of_version(
    upload: VersionIntake, item: pb.TransferItem, *, call: CallView
) -> None:
    match item.WhichOneof("item"):
        case "start":
            upload.start_file(
                item.start.path,
                size_bytes=item.start.size_bytes,
                executable=item.start.executable,
            )
        case "same":
            upload.same_file(
                item.same.path,
                size_bytes=item.same.size_bytes,
                executable=item.same.executable,
                digest=item.same.digest,
            )
            call.count("same_files", 1)
        case found:
            if not _take_bytes(upload, item, found, call):
                message = "an item is neither start, block, end, same nor source"
                raise InvalidArgumentError(message)


def _take_of_part(
    part: PartIntake, item: pb.TransferItem, *, call: CallView, artifact: ArtifactName
) -> None:
    match item.WhichOneof("item"):
        case "start":
            size_bytes = item.start.size_bytes
            part.start_file(
                item.start.path,
                size_bytes=None if size_bytes == UNKNOWN_SIZE else size_bytes,
                executable=item.start.executable,
            )
        case "copy":
            copy = item.copy
            check_taken(VersionName(artifact, copy.version), call)
            part.copy_file(
                copy.path, version=copy.version, source_path=copy.source_path
            )
            call.count("copied_files", 1)
        case "removal":
            part.remove(item.removal.path)
            call.count("removed_paths", 1)
        case found:
            if not _take_bytes(part, item, found, call):
                message = (
                    "an item of a part is neither start, block, end, copy, removal nor "
                    "source"
                )
                raise InvalidArgumentError(message)


def _take_bytes(
    intake: FileIntake, item: pb.TransferItem, found: str | None, call: CallView
) -> bool:
    """Take in what files of versions and of parts have alike, if it is that."""
    match found:
        case "block":
            data = item.block.data  # protobuf copies at each access
            intake.write(data, offset_bytes=item.block.offset_bytes)
            call.count("bytes", len(data))
        case "end":
            intake.end_file(item.end.digest)
            call.count("files", 1)
        case _:
            return False
    return True


def _progress(
    intake: FileIntake, *, takes_sources: bool = False
) -> pb.WriteVersionResponse:
    return pb.WriteVersionResponse(
        progress=pb.WriteProgress(
            received_bytes=intake.received_bytes,
            stored_bytes=intake.stored_bytes,
            takes_sources=takes_sources,
        )
    )
