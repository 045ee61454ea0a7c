# SPDX-License-Identifier: Apache-2.0
"""Files of one write that a server on this machine reads by itself.

Their digests come back from it, in the order in which they were handed over; so what
is to be told of files in path order waits behind them here.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, NoReturn, Self

from strongroom._channel.caller import Headers
from strongroom._shared.handing import (
    HandedFile,
    is_worth_handing,
    is_worth_staging,
    staged,
)
from strongroom._shared.lane import LaneWrite
from strongroom._shared.lanes import Lanes
from strongroom.errors import (
    CancelledError,
    DeadlineExceededError,
    IntegrityError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.lanes import LANE_HEADER
from strongroom.v1 import transfer_service_pb2 as pb

#: Files that the server has been handed and has not read: while it reads one, the
#: next is on its way.
_AHEAD: Final = 4

#: Told of each file, in path order: path, size in bytes, digest, if it was handed over.
Settle = Callable[[str, int, str, bool], None]


@dataclass(slots=True)
class _File:
    path: str
    size_bytes: int
    #: Empty until the server has told it.
    digest: str = ""
    source: int = 0


def _ignore(_path: str, _size_bytes: int, _digest: str, _was_handed: bool) -> None:  # noqa: FBT001 - as `Settle`
    pass


class Handover:
    """What one call hands over; a context manager around the call.

    Its requests are made by one thread; `hear` and `stop` are called by another.

    Args:
        lanes: The process's lane.
        stall_s: How long the server may say nothing while it is waited for.
        wanted: Whether there is anything to hand over.
    """

    def __init__(self, lanes: Lanes, *, stall_s: float, wanted: bool) -> None:
        self._lanes = lanes
        self._lane: LaneWrite | None = lanes.begin_write() if wanted else None
        self._stall_s = stall_s
        self._changed = threading.Condition()
        self._taken: deque[pb.FileTaken] = deque()
        self._heard_count = 0
        self._received_bytes = 0
        self._is_offered = False
        self._is_stopped = False
        self._is_gone = False
        #: In path order; those that were handed over have no digest yet.
        self._files: deque[_File] = deque()
        #: Those that were handed over, and nothing was heard of.
        self._handed: deque[_File] = deque()
        #: How many files were handed over, or were to be.
        self.handed_count = 0
        #: Who is told of files, and of how many bytes the server has received.
        self.settle: Settle = _ignore
        self.progressed: Callable[[str, int], None] = lambda _path, _bytes: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._lane is not None:
            self._lane.end()

    @property
    def headers(self) -> Headers:
        """What the call says of the lane, in its metadata."""
        return () if self._lane is None else ((LANE_HEADER, self._lane.name),)

    def hear(self, response: pb.WriteVersionResponse) -> None:
        """Note an answer of the server."""
        if self._lane is None:
            return
        with self._changed:
            if response.HasField("taken"):
                self._taken.append(response.taken)
            elif response.HasField("position"):
                self._is_offered |= response.position.takes_sources
            elif response.HasField("progress"):
                self._is_offered |= response.progress.takes_sources
                self._received_bytes = response.progress.received_bytes
            self._heard_count += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End all waiting: the call is over."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def await_offer(self) -> None:
        """Wait until the server has answered, if there is a lane.

        Raises:
            DeadlineExceededError: It says nothing (STALLED).
        """
        with self._changed:
            if self._lane is not None and not self._changed.wait_for(
                lambda: self._heard_count or self._is_stopped, self._stall_s
            ):
                self._refuse_silence()

    def takes(self, file: HandedFile) -> bool:
        """Tell whether a file is to be handed over."""
        return self._is_offered and is_worth_handing(file)

    def takes_bytes(self, size_bytes: int) -> bool:
        """Tell whether bytes in memory are to be handed over."""
        return self._is_offered and is_worth_staging(size_bytes)

    def staged(self, data: memoryview) -> AbstractContextManager[HandedFile]:
        """Lend a file in memory with a copy of `data`."""
        return staged(data)

    def hand(self, path: str, file: HandedFile, *, executable: bool) -> pb.TransferItem:
        """Hand a file over, and return the item that says so.

        Its descriptor may be closed then.

        Raises:
            UnavailableError: The server is not at the other end (TRANSPORT).
            DeadlineExceededError: It says nothing (STALLED).
            StrongroomError: What else `settle` and `progressed` raise.
        """
        lane = self._lane
        if lane is None:
            message = "there is no lane to hand a file over"
            raise AssertionError(message)
        while len(self._handed) >= _AHEAD:
            self._wait()
        self.handed_count += 1
        try:
            source = lane.hand_over(file.descriptor)
        except UnavailableError:
            self._is_gone = True
            raise
        entry = _File(path, file.size_bytes, source=source)
        self._files.append(entry)
        self._handed.append(entry)
        self._lanes.count(handed_bytes=file.size_bytes)
        return pb.TransferItem(
            source=pb.FileSource(
                path=path,
                size_bytes=file.size_bytes,
                executable=executable,
                source=source,
                offset_bytes=file.offset_bytes,
                modify_time_ns=file.modify_time_ns,
            )
        )

    def add(self, path: str, size_bytes: int, digest: str) -> None:
        """Note the next file, which was not handed over."""
        self._files.append(_File(path, size_bytes, digest))
        self._settle()

    def finish(self) -> None:
        """Wait until the server has read everything; errors as `hand`."""
        while self._handed:
            self._wait()
        self._settle()

    def was_in_vain(self, error: StrongroomError) -> bool:
        """Tell whether what was handed over could not be given, got or read.

        That is no failure of the write: the bytes can be sent. A connection that broke
        is another thing; its error names no file.
        """
        is_lost = error.reason is Reason.TRANSPORT and "path" in error.metadata
        is_refused = error.reason is Reason.FILE_UNSUPPORTED
        return self._is_gone or bool(self.handed_count and (is_lost or is_refused))

    def _wait(self) -> None:
        """Wait until the server has read the next file."""
        taken = None
        while taken is None:
            with self._changed:
                heard_count = self._heard_count
                if not self._taken and not self._changed.wait_for(
                    lambda: self._is_stopped or self._heard_count != heard_count,  # noqa: B023 - called at once
                    self._stall_s,
                ):
                    self._refuse_silence()
                if self._is_stopped:
                    raise _over()
                taken = self._taken.popleft() if self._taken else None
                received_bytes = self._received_bytes
            self.progressed(self._handed[0].path, received_bytes)
        file = self._handed.popleft()
        if taken.source != file.source or not taken.digest:
            raise IntegrityError(
                f"the server read source {taken.source}, not {file.source}",
                reason=Reason.RECORD_CORRUPT,
                hint="Both sides must be of the same release of Strongroom.",
            )
        file.digest = taken.digest
        self._settle()

    def _settle(self) -> None:
        while self._files and self._files[0].digest:
            file = self._files.popleft()
            self.settle(file.path, file.size_bytes, file.digest, bool(file.source))

    def _refuse_silence(self) -> NoReturn:
        message = f"the server sent nothing for {self._stall_s:g} seconds"
        raise DeadlineExceededError(
            message,
            reason=Reason.STALLED,
            hint="Try again; if it lasts, `strongroom doctor` looks for the cause.",
            stall_timeout_s=self._stall_s,
        )


def _over() -> CancelledError:
    return CancelledError("the call has ended")
