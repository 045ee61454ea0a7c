# SPDX-License-Identifier: Apache-2.0
"""One lane: a client's connection, its segments, and what its calls were told."""

import array
import os
import socket
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom.format.lanes import MESSAGE_BYTES, LaneKind, LaneMessage
from strongroom_server.adapters.shared_memory.closing import Closing
from strongroom_server.adapters.shared_memory.lane_calls import LaneRead, LaneWrite
from strongroom_server.adapters.shared_memory.mappings import Mappings
from strongroom_server.adapters.shared_memory.segments import (
    SEGMENT_BYTES,
    SEGMENT_SEALS,
    MemoryPool,
    Room,
    Segment,
    create_memory,
    seal,
)
from strongroom_server.adapters.shared_memory.sources import (
    MAX_ALL_SOURCES,
    Sources,
)

#: What one reader may have of the pool: what a download fetches ahead, one segment
#: that is being read, and one to spare.
MAX_SEGMENTS: Final = 6
#: What a reader wants in all before it gets its first segment, which costs as much
#: as sending ten times that: its pages are fresh.
WORTHWHILE_BYTES: Final = 1024 * 1024
#: Reads of one lane that are not over.
MAX_READS: Final = 1024
#: Then other readers' turn comes, and that of what must end.
_MESSAGES_AT_ONCE: Final = 64
#: A message brings one descriptor; more are taken only to be closed.
_DESCRIPTORS: Final = 4
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_DESCRIPTORS * 4)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all lanes of a server share."""

    segments: MemoryPool
    mappings: Mappings
    source_room: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(MAX_ALL_SOURCES)
    )
    closing: Closing = field(default_factory=Closing)


@dataclass(slots=True, eq=False)
class _Read:
    """What a read was told and has not given back; its lane locks it."""

    told: deque[Room] = field(default_factory=deque)
    done_count: int = 0
    #: What `done_count` was when there was no room.
    refused_count: int = 0
    #: The reader said that it is over, or the server did.
    is_ended: bool = False
    is_closed: bool = False


class Lane:
    """A reader's lane. Safe to use from many threads.

    Args:
        number: The server's name for it.
        connection: To the reader; non-blocking.
        token: What calls name the lane by.
        shared: Memory for all lanes together.
    """

    def __init__(
        self, number: int, connection: socket.socket, token: bytes, shared: Shared
    ) -> None:
        self.number = number
        self.token = token
        self.connection = connection
        self._shared = shared
        self._changed = threading.Condition()
        self._principal: str | None = None
        self._segments: list[Segment] = []
        self._asked_bytes = 0
        self._reads: dict[int, _Read] = {}
        #: Reads that were over before their call came.
        self._over: OrderedDict[int, None] = OrderedDict()
        self._is_closed = False
        self._sources = Sources(shared.source_room, shared.closing)

    def begin(self, number: int, principal: str) -> "LaneRead | None":
        """Begin a read; see `ports.SharedMemory`."""
        if not self._begin(number, principal):
            return None
        return LaneRead(self, self._shared.mappings, number)

    def begin_write(self, number: int, principal: str) -> "LaneWrite | None":
        """Begin a write; see `ports.SharedMemory`."""
        if not self._begin(number, principal):
            return None
        return LaneWrite(self, self._sources, number)

    def _begin(self, number: int, principal: str) -> bool:
        with self._changed:
            if self._principal is None:
                self._principal = principal
            if (
                self._is_closed
                or self._principal != principal
                or number in self._reads
                or number in self._over
                or len(self._reads) >= MAX_READS
            ):
                return False
            self._reads[number] = _Read()
            return True

    def receive(self) -> bool:
        """Take in what the reader has sent; return whether it is still there.

        Raises:
            IntegrityError: It sent nonsense; the lane must be closed.
        """
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                if self._shared.closing.is_stuck and self._has_descriptors():
                    return False
                data, ancillary, flags, _ = self.connection.recvmsg(
                    MESSAGE_BYTES + 1, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            descriptors = _descriptors_in(ancillary)
            try:
                if not data:
                    return False
                self._take_in(LaneMessage.parse(data), descriptors, flags)
            finally:
                for descriptor in descriptors:
                    self._shared.closing.close(descriptor)
        return True

    def _has_descriptors(self) -> bool:
        """Tell whether the next message brings descriptors, and leave them in it."""
        _, _, flags, _ = self.connection.recvmsg(1, 0, socket.MSG_PEEK)
        return bool(flags & socket.MSG_CTRUNC)

    def close(self) -> None:
        """Hang up, and give the memory back once nobody here writes to it."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._shared.closing.hang_up(self.connection)
            for read in self._reads.values():
                self._release(read, len(read.told))
            self._retire_unused()
            self._changed.notify_all()
        self._sources.close()
        self._shared.mappings.let_go_all(self.number)

    # For reads; each under the lock.

    def take(self, number: int, size_bytes: int) -> Room | None:
        """Return room for a read, in a new segment if need be."""
        with self._changed:
            read = self._reads[number]
            room = None
            if not self._is_closed and not read.is_ended:
                room = self._find_room(size_bytes)
            if room is None:
                read.refused_count = read.done_count
            return room

    def give_back(self, room: Room) -> None:
        """Take room back that was not told."""
        with self._changed:
            self._segment(room).give_back(room)
            if self._is_closed:
                self._retire_unused()
            self._changed.notify_all()

    def tell(self, number: int, room: Room) -> None:
        """Leave room to the reader, unless it is gone."""
        with self._changed:
            read = self._reads[number]
            if not self._is_closed and not read.is_ended:
                read.told.append(room)
                return
        self.give_back(room)

    def wait(self, number: int, timeout_s: float) -> bool:
        """Wait until a read has given something back."""
        with self._changed:
            read = self._reads[number]
            self._changed.wait_for(
                lambda: read.done_count > read.refused_count or not read.told,
                timeout_s,
            )
            return read.done_count > read.refused_count

    def end(self, number: int) -> None:
        """Note that the server tells a read nothing more, and takes nothing."""
        with self._changed:
            read = self._reads[number]
            read.is_closed = True
            if read.is_ended or self._is_closed:
                del self._reads[number]
        self._sources.end(number)

    def hand_over(
        self, kind: LaneKind, number: int, size_bytes: int, descriptor: int
    ) -> bool:
        """Send memory to the reader; return whether it will come."""
        message = LaneMessage(kind, number, size_bytes)
        with self._changed:
            if self._is_closed:
                return False
            try:
                socket.send_fds(self.connection, [message.encode()], [descriptor])
            except OSError:  # It is gone, or reads nothing that is sent to it.
                return False
            return True

    def _take_in(
        self, message: LaneMessage, descriptors: list[int], flags: int
    ) -> None:
        """Take in a message; descriptors that are kept are taken out of the list."""
        is_source = message.kind is LaneKind.SOURCE
        if is_source and flags & socket.MSG_CTRUNC and not descriptors:
            # None is left in this process: the call that wants it is told.
            self._sources.note(message.number, message.value, None)
            return
        if len(descriptors) != is_source:
            raise _out_of_turn(message)
        match message.kind:
            case LaneKind.SOURCE:
                self._note_source(message.number, message.value, descriptors)
            case LaneKind.DONE:
                self._note_done(message.number, message.value)
            case LaneKind.ENDED:
                self._note_ended(message.number)
            case LaneKind.UNMAPPED:
                self._shared.mappings.let_go(message.number, self.number)
            case _:
                raise _out_of_turn(message)

    def _note_source(self, number: int, source: int, descriptors: list[int]) -> None:
        with self._changed:
            read = self._reads.get(number)
            is_late = number in self._over or (read is not None and read.is_closed)
        if not is_late:
            self._sources.note(number, source, descriptors.pop())

    def _note_done(self, number: int, count: int) -> None:
        with self._changed:
            read = self._reads.get(number)
            if read is None:
                return
            new_count = count - read.done_count
            if not 0 <= new_count <= len(read.told):
                raise _out_of_turn(LaneMessage(LaneKind.DONE, number, count))
            self._release(read, new_count)
            self._changed.notify_all()

    def _note_ended(self, number: int) -> None:
        self._sources.end(number)
        with self._changed:
            read = self._reads.get(number)
            if read is None:
                # Its call may still be on its way.
                self._over[number] = None
                if len(self._over) > MAX_READS:
                    self._over.popitem(last=False)
                return
            read.is_ended = True
            self._release(read, len(read.told))
            if read.is_closed:
                del self._reads[number]
            self._changed.notify_all()

    def _release(self, read: _Read, count: int) -> None:
        for _ in range(count):
            room = read.told.popleft()
            self._segment(room).give_back(room)
        read.done_count += count

    def _segment(self, room: Room) -> Segment:
        return next(item for item in self._segments if item.number == room.segment)

    def _find_room(self, size_bytes: int) -> Room | None:
        if not self._segments and size_bytes < WORTHWHILE_BYTES:
            # A process that reads little is gone before its first segment is there.
            self._asked_bytes += size_bytes
            if self._asked_bytes < WORTHWHILE_BYTES:
                return None
        for segment in self._segments:
            room = segment.take(size_bytes)
            if room is not None:
                return room
        if size_bytes > SEGMENT_BYTES or not self._add_segment():
            return None
        return self._segments[-1].take(size_bytes)

    def _add_segment(self) -> bool:
        number = len(self._segments)
        pool = self._shared.segments
        if number == MAX_SEGMENTS or not pool.try_take(SEGMENT_BYTES):
            return False
        try:
            self._segments.append(self._make_segment(number))
        except OSError:  # No memory, no descriptor, or nobody who takes it.
            pool.give_back(SEGMENT_BYTES)
            return False
        return True

    def _make_segment(self, number: int) -> Segment:
        descriptor, memory = create_memory("strongroom-segment", SEGMENT_BYTES)
        try:
            seal(descriptor, SEGMENT_SEALS)
            if not self.hand_over(LaneKind.SEGMENT, number, SEGMENT_BYTES, descriptor):
                raise BrokenPipeError
        finally:
            os.close(descriptor)
        return Segment(number, memory, memoryview(memory))

    def _retire_unused(self) -> None:
        """Let go of the segments of a closed lane that nobody here writes to."""
        unused = [segment for segment in self._segments if not segment.rooms]
        for segment in unused:
            # Unmapped once the last view of it is gone, which is now or very soon.
            self._segments.remove(segment)
            self._shared.segments.give_back(SEGMENT_BYTES)


def _descriptors_in(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found.tolist()


def _out_of_turn(message: LaneMessage) -> IntegrityError:
    return IntegrityError(
        f"a reader sent {message!r}, which is out of turn",
        reason=Reason.RECORD_CORRUPT,
    )
