# SPDX-License-Identifier: Apache-2.0
"""ReadVersion: a version's files as answers, or in memory shared with the reader."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import grpc

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.frames import FRAMED_BYTES, BlockFrame
from strongroom.format.names import parse_version_name
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.core.records import (
    FileBlock,
    FileEnded,
    MappedFile,
    SharedBlock,
    TransferItem,
)
from strongroom_server.ports import Clock, SharedMemory
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.lane_rooms import find_room
from strongroom_server.rpc.showing import seen_version
from strongroom_server.services.downloads import Download, DownloadSource

#: A message of files holds at most this much data and this many items.
MAX_BATCH_BYTES: Final = 1024 * 1024
MAX_BATCH_ITEMS: Final = 1000
#: While memory is filled, something is said about twice a second.
PROGRESS_S: Final = 0.5


class VersionReads:
    """Reads versions for callers.

    Args:
        downloads: Opens them.
        clock: Says when a sign of life is due.
        memory: What is shared with readers on this machine, if anything is.
    """

    def __init__(
        self,
        downloads: DownloadSource,
        *,
        clock: Clock,
        memory: SharedMemory | None = None,
    ) -> None:
        self._downloads = downloads
        self._clock = clock
        self._memory = memory

    def read(
        self, request: pb.ReadVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadVersionResponse | BlockFrame]:
        """Read files of a version, in byte order of path.

        Args:
            request: Which files.
            context: Its metadata may name a lane.

        Raises:
            InvalidArgumentError: `map` is asked for anything but one whole file.
            StrongroomError: As `DownloadSource.open` and `Download.items`.
        """
        call = current_call()
        _check_map(request)
        room = find_room(self._memory, context, call.caller.principal)
        try:
            download = self._downloads.open(
                parse_version_name(request.name),
                paths=request.paths,
                offset_bytes=request.offset_bytes,
                length_bytes=request.length_bytes,
                room=room,
            )
        except BaseException:
            if room is not None:
                room.close()
            raise
        with download:
            yield from self._answers(request, download, call)

    def _answers(
        self, request: pb.ReadVersionRequest, download: Download, call: CallView
    ) -> Iterator[pb.ReadVersionResponse | BlockFrame]:
        call.count("version", download.version.number)
        version = convert.version_message(seen_version(download.version))
        yield pb.ReadVersionResponse(version=version)
        try:
            if request.map:
                yield from self._mapped(download, call)
            else:
                yield from _responses(_counted(download.items, call))
        finally:
            if download.hedged_count:
                call.count("hedged", download.hedged_count)

    def _mapped(
        self, download: Download, call: CallView
    ) -> Iterator[pb.ReadVersionResponse | BlockFrame]:
        items: list[TransferItem] = []
        told_s = self._clock.monotonic()
        with closing(download.mapped()) as steps:
            for item in steps:
                if item is not None:
                    items.append(item)
                now_s = self._clock.monotonic()
                if now_s - told_s >= PROGRESS_S:
                    told_s = now_s
                    call.check()
                    yield pb.ReadVersionResponse(items=pb.TransferItems())
        yield from _responses(_counted(iter(items), call))


def _check_map(request: pb.ReadVersionRequest) -> None:
    one_file = len(request.paths) == 1 and not request.paths[0].endswith("/")
    if request.map and (not one_file or request.offset_bytes or request.length_bytes):
        message = "`map` needs exactly one file, and all of it"
        raise InvalidArgumentError(message, reason=Reason.ARGUMENT_INVALID)


def _counted(items: Iterator[TransferItem], call: CallView) -> Iterator[TransferItem]:
    for item in items:
        match item:
            case FileBlock():
                call.count("bytes", len(item.data))
            case SharedBlock():
                call.count("bytes", item.length_bytes)
            case MappedFile():
                call.count("bytes", item.size_bytes)
            case FileEnded():
                call.count("files", 1)
            case _:
                pass
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
        is_full = response_bytes >= MAX_BATCH_BYTES or len(batch) == MAX_BATCH_ITEMS
        if is_full:
            yield response
            response, response_bytes = pb.ReadVersionResponse(), 0
    if response_bytes:
        yield response
