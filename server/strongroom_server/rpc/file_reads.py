# SPDX-License-Identifier: Apache-2.0
"""ReadFiles: many files of one version, as they are asked for."""

from collections.abc import Iterator
from typing import Final

import grpc
from google.protobuf.message import Message

from strongroom.errors import (
    InvalidArgumentError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.digest import parse_digest
from strongroom.format.frames import BlockFrame
from strongroom.format.names import parse_version_name
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom_server.ports import Clock, SharedMemory
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.lane_rooms import find_room
from strongroom_server.rpc.requests import RequestStream
from strongroom_server.rpc.showing import seen_version
from strongroom_server.services.downloads import DownloadSource, Found, Part, Session

#: A call takes no more requests after this, answers those it took, and ends: what it
#: did is in the audit log then.
MAX_S: Final = 900.0


class FileReads:
    """Reads files for callers, in one call each.

    Args:
        downloads: Opens versions.
        clock: Says when a call has lasted long enough.
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
        self,
        requests: Iterator[Message | BlockFrame],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.ReadFilesResponse]:
        """Read what the requests want, in their order.

        Args:
            requests: Of a `RequestStream`, what came already is asked for before what
                came earlier is answered.
            context: Its metadata may name a lane.

        Raises:
            InvalidArgumentError: The requests are out of order or malformed.
            StrongroomError: As `DownloadSource.open_session` and `Session`.
        """
        call = current_call()
        start = _start_of(next(requests))
        room = find_room(self._memory, context, call.caller.principal)
        try:
            name = parse_version_name(start.name)
            session = self._downloads.open_session(name, room=room)
        except BaseException:
            if room is not None:
                room.close()
            raise
        with session:
            call.count("version", session.version.number)
            version = convert.version_message(seen_version(session.version))
            yield pb.ReadFilesResponse(version=version)
            try:
                yield from self._answers(session, requests, call)
            finally:
                if session.hedged_count:
                    call.count("hedged", session.hedged_count)

    def _answers(
        self,
        session: Session,
        requests: Iterator[Message | BlockFrame],
        call: CallView,
    ) -> Iterator[pb.ReadFilesResponse]:
        end_s = self._clock.monotonic() + MAX_S
        while self._clock.monotonic() < end_s:
            try:
                request = next(requests, None)
            except UnavailableError as error:
                # Nothing is asked for, and nothing is owed.
                if error.reason is not Reason.STALLED:
                    raise
                return
            if request is None:
                return
            session.ask(_parts_of(request))
            # What was asked for before something that is refused is answered first.
            refusal: StrongroomError | None = None
            for found in session.answers():
                call.count("files", found.file_count)
                call.count("bytes", sum(found.lengths))
                yield _response(found)
                # Past its end only what was asked for is answered: who asks ahead, and
                # reads slower than this, would keep the call on for ever.
                if (
                    refusal is None
                    and isinstance(requests, RequestStream)
                    and self._clock.monotonic() < end_s
                ):
                    refusal = _ask_waiting(session, requests)
            if refusal is not None:
                raise refusal


def _ask_waiting(session: Session, requests: RequestStream) -> StrongroomError | None:
    """Ask for what the caller wants beside; return why not, if it is refused."""
    while requests.is_waiting and session.may_ask:
        request = next(requests, None)
        if request is None:
            break
        try:
            session.ask(_parts_of(request))
        except StrongroomError as error:
            return error
    return None


def _start_of(request: object) -> pb.ReadFilesStart:
    if (
        not isinstance(request, pb.ReadFilesRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of ReadFiles must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return request.start


def _parts_of(request: object) -> list[Part]:
    if (
        not isinstance(request, pb.ReadFilesRequest)
        or request.WhichOneof("part") != "wanted"
    ):
        message = "only the first request of ReadFiles carries `start`"
        raise InvalidArgumentError(message, field="wanted")
    wanted = request.wanted
    paths, offsets = list(wanted.paths), list(wanted.offset_bytes)
    lengths = list(wanted.length_bytes)
    for name, numbers in (("offset_bytes", offsets), ("length_bytes", lengths)):
        if numbers and len(numbers) != len(paths):
            message = f"{len(paths)} paths, but {len(numbers)} {name}"
            raise InvalidArgumentError(message, field=name)
    if not offsets and not lengths:
        return [Part(path) for path in paths]
    zeros = [0] * len(paths)
    return list(map(Part, paths, offsets or zeros, lengths or zeros))


def _response(found: Found) -> pb.ReadFilesResponse:
    response = pb.ReadFilesResponse()
    message = response.found
    message.length_bytes.extend(found.lengths)
    if found.unfinished:
        message.unfinished.extend(found.unfinished)
    if found.shared is not None:
        message.shared.segment = found.shared.segment
        message.shared.segment_offset_bytes.extend(found.shared.offsets)
        return response
    if found.digests:
        digests = map(parse_digest, found.digests)
        message.sha256 = bytes.fromhex("".join(digests))
    message.data = b"".join(found.data)
    return response
