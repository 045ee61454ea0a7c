# SPDX-License-Identifier: Apache-2.0
"""One call of ReadFiles: files of a version, answered in the order asked."""

import hashlib
import queue
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from strongroom._channel.caller import Caller, Headers
from strongroom._channel.methods import READ_FILES
from strongroom._shared.lane import LaneRead
from strongroom.errors import IntegrityError, Reason, StrongroomError
from strongroom.format.lanes import LANE_HEADER
from strongroom.format.names import VersionName
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import FileRange

#: A request has so many files at most.
MAX_FILES: Final = 1000


class FileSession:
    """One call; used by one thread.

    Bytes come through memory shared with the server, where it is on this machine and
    there is room. What `answers` yields is good until `give_back`.
    """

    def __init__(self, caller: Caller, version: VersionName) -> None:
        """Start the call.

        Args:
            caller: Makes it.
            version: By number, so that a further call reads the same one.

        Raises:
            StrongroomError: The certificate files are unusable.
        """
        self._lanes = caller.lanes
        self._lane: LaneRead | None = caller.lanes.begin()
        self._requests = queue.SimpleQueue[pb.ReadFilesRequest | None]()
        start = pb.ReadFilesStart(name=version.resource)
        self._requests.put(pb.ReadFilesRequest(start=start))
        #: Blocks of shared memory: how many files had ended with each, and its bytes.
        self._held: deque[tuple[int, int, list[memoryview]]] = deque()
        #: How many bytes of shared memory were not given back.
        self.held_bytes = 0
        #: How many files have come.
        self.file_count = 0
        #: Asked for, and not answered.
        self._owed: deque[FileRange] = deque()
        self._has_begun = False
        #: The pieces of the file that is not whole yet.
        self._begun: list[bytes] = []
        headers: Headers = ()
        if self._lane is not None:
            headers = ((LANE_HEADER, self._lane.name),)
        try:
            requests = iter(self._requests.get, None)
            self._stream = caller.exchange(READ_FILES, requests, headers, may_idle=True)
        except BaseException:
            self._end_lane()
            raise

    def ask(self, wanted: Sequence[FileRange]) -> None:
        """Ask for files."""
        for start in range(0, len(wanted), MAX_FILES):
            self._ask(wanted[start : start + MAX_FILES])

    def _ask(self, wanted: Sequence[FileRange]) -> None:
        request = pb.ReadFilesRequest()
        message = request.wanted
        message.paths.extend([item.path for item in wanted])
        if any(item.offset or item.length for item in wanted):
            message.offset_bytes.extend([item.offset for item in wanted])
            message.length_bytes.extend([item.length or 0 for item in wanted])
        self._owed.extend(wanted)
        self._requests.put(request)

    def answers(self) -> Iterator[list[memoryview]]:
        """Yield the files that were asked for, in that order, as they come.

        Ends when the server has ended the call, with or without having answered.

        Raises:
            IntegrityError: A file is not what it should be (DIGEST_MISMATCH), or the
                server sent what was not asked for (MANIFEST_CORRUPT).
            StrongroomError: As `Stream`, or the shared memory did not come
                (TRANSPORT).
        """
        for response in self._stream:
            if response.HasField("version"):
                if self._lane is None:
                    self._lanes.tell_problem()
                continue
            yield self._files_of(response.found)

    def give_back(self, file_count: int) -> None:
        """Let go of what holds the first so many files, and no others."""
        if self._lane is None:
            return
        while self._held and self._held[0][0] <= file_count:
            _, size_bytes, views = self._held.popleft()
            for view in views:
                # Somebody may look still, and was told that it is good no more.
                with suppress(BufferError):
                    view.release()
            self.held_bytes -= size_bytes
            self._lane.done(size_bytes)
        self._lane.say_done()

    def close(self) -> None:
        """End the call: well, if nothing is owed."""
        try:
            self._requests.put(None)
            if not self._owed:
                # All was answered: what goes wrong now takes nothing back.
                with suppress(StrongroomError):
                    for _ in self._stream:
                        pass
        finally:
            self._stream.close()
            self._end_lane()

    def cancel(self) -> None:
        """End the call at once."""
        self._requests.put(None)
        self._stream.close()
        self._end_lane()

    def _files_of(self, found: pb.FoundFiles) -> list[memoryview]:
        lengths = list(found.length_bytes)
        is_shared = found.HasField("shared")
        if is_shared:
            pieces = self._shared(found.shared, lengths)
        else:
            pieces = _cut(found.data, lengths)
            if self._lane is not None:
                self._lanes.count(sent_bytes=sum(lengths))
        files = self._join(pieces, frozenset(found.unfinished))
        self.file_count += len(files)
        if is_shared:
            self.held_bytes += sum(lengths)
            self._held.append((self.file_count, sum(lengths), pieces))
        if len(files) > len(self._owed):
            raise _mismatch(f"{len(files)} files came")
        wanted = [self._owed.popleft() for _ in files]
        for item, data in zip(wanted, files, strict=True):
            if item.length is not None and len(data) > item.length:
                raise _mismatch(f"{len(data)} bytes of {item.path} came")
        if self._lane is None:
            _check_digests(wanted, files, found.sha256)
        return files

    def _shared(self, place: pb.SharedPieces, lengths: list[int]) -> list[memoryview]:
        if self._lane is None:
            message = "the server named shared memory, and gave none"
            raise IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
        offsets = list(place.segment_offset_bytes)
        if len(offsets) != len(lengths):
            raise _mismatch(f"{len(offsets)} places of {len(lengths)} pieces came")
        views = self._lane.views(place.segment, offsets, lengths)
        self._lanes.count(shared_bytes=sum(lengths))
        return views

    def _join(
        self, pieces: list[memoryview], unfinished: frozenset[int]
    ) -> list[memoryview]:
        """Return the files that end here; keep the beginning of one that does not."""
        if not unfinished and not self._has_begun:
            return pieces
        files: list[memoryview] = []
        for index, piece in enumerate(pieces):
            if index in unfinished:
                self._begun.append(bytes(piece))
            elif self._begun:
                files.append(memoryview(b"".join((*self._begun, piece))))
                self._begun = []
            else:
                files.append(piece)
        self._has_begun = bool(self._begun)
        return files

    def _end_lane(self) -> None:
        lane, self._lane = self._lane, None  # what is given back is given back once
        if lane is not None:
            lane.end()


def _cut(data: bytes, lengths: list[int]) -> list[memoryview]:
    if sum(lengths) != len(data) or min(lengths, default=0) < 0:
        raise _mismatch(f"{len(data)} bytes came as {len(lengths)} pieces")
    pieces, position = [], 0
    with memoryview(data) as view:
        for length in lengths:
            pieces.append(view[position : position + length])
            position += length
    return pieces


def _check_digests(
    wanted: Sequence[FileRange], files: Sequence[memoryview], digests: bytes
) -> None:
    whole = [
        (item, data)
        for item, data in zip(wanted, files, strict=True)
        if not item.offset and item.length is None
    ]
    size = hashlib.sha256().digest_size
    if len(digests) != size * len(whole):
        raise _mismatch(f"{len(digests)} bytes of digests came")
    for index, (item, data) in enumerate(whole):
        expected = digests[index * size : (index + 1) * size]
        if hashlib.sha256(data).digest() != expected:
            message = f"{item.path} is not what its digest says"
            raise IntegrityError(
                message,
                reason=Reason.DIGEST_MISMATCH,
                hint="`strongroom verify` tells whether it is stored so.",
                path=item.path,
            )


def _mismatch(problem: str) -> IntegrityError:
    message = f"of the files that were asked for, {problem}"
    return IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
