# SPDX-License-Identifier: Apache-2.0
"""One lane to the server's data socket: memory that it writes and we only read."""

import fcntl
import mmap
import os
import socket
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from strongroom.errors import (
    IntegrityError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.lanes import (
    MAX_ADDRESS_BYTES,
    MESSAGE_BYTES,
    LaneKind,
    LaneMessage,
    name_read,
)

#: What comes along the lane is on its way before its call says so.
_WAIT_S: Final = 5.0
#: Memory that may shrink under a reader kills it.
_NEEDED_SEALS: Final = fcntl.F_SEAL_SHRINK
#: Blocks are given back once they are so much: each message wakes the server.
_TOGETHER_BYTES: Final = 1 << 20
_MAX_SEGMENTS: Final = 64
_MAX_DESCRIPTORS: Final = 4


class Lane:
    """A lane of this process. Safe to use from many threads, not in a fork's child.

    Args:
        path: The data socket.

    Raises:
        UnavailableError: Nobody answers there, or not in time (TRANSPORT).
        IntegrityError: What answers is no data socket of ours (RECORD_CORRUPT).
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._segments: dict[int, memoryview] = {}
        #: What came and nobody has asked for yet; a file may come several times.
        self._mappings: defaultdict[int, list[mmap.mmap]] = defaultdict(list)
        self.is_open = True
        self._connection = _connect(path)
        try:
            welcome, _ = self._receive()
            if welcome.kind is not LaneKind.WELCOME:
                raise _out_of_turn(welcome)
        except StrongroomError:
            self.close()
            raise
        #: What calls name the lane by; whoever knows it may have bytes put into it.
        self.token = welcome.token

    def __repr__(self) -> str:
        return f"Lane(is_open={self.is_open})"

    def begin(self) -> "LaneRead":
        """Return a read with a number of its own."""
        return LaneRead(self, next(self._numbers))

    def begin_write(self) -> "LaneWrite":
        """Return a write with a number of its own."""
        return LaneWrite(self, next(self._numbers))

    def close(self) -> None:
        """Hang up; what is mapped stays readable until nobody looks at it."""
        self.is_open = False
        self._connection.close()

    def forget(self) -> None:
        """Leave the parent's lane alone, in the child of a fork."""
        self.close()
        self._segments.clear()

    def segment(self, number: int) -> memoryview:
        """Return a segment's memory.

        Raises:
            UnavailableError: It did not come (TRANSPORT); the lane is closed.
        """
        with self._lock:
            while number not in self._segments:
                self._take_in()
            return self._segments[number]

    def mapping(self, number: int) -> memoryview:
        """Return the memory of a whole file; the server is told when it is let go.

        Raises:
            UnavailableError: As `segment`.
        """
        with self._lock:
            while not self._mappings[number]:
                self._take_in()
            return memoryview(self._mappings[number].pop())

    def send(self, message: LaneMessage) -> None:
        """Tell the server something; if it is gone, the lane is closed."""
        try:
            self._connection.sendall(message.encode())
        except OSError:
            self.close()

    def hand_over(self, message: LaneMessage, descriptor: int) -> None:
        """Give the server a descriptor of its own.

        Raises:
            UnavailableError: It is gone (TRANSPORT); the lane is closed.
        """
        try:
            socket.send_fds(self._connection, [message.encode()], [descriptor])
        except OSError as error:
            self.close()
            raise _gone(f"takes no files: {error.strerror or error}") from error

    def _unmapped(self, number: int, process: int) -> None:
        # A child that a fork gave the memory does not count.
        if os.getpid() == process and self.is_open:
            self.send(LaneMessage(LaneKind.UNMAPPED, number))

    def _take_in(self) -> None:
        message, descriptors = self._receive()
        with _closed_at_the_end(descriptors):
            is_memory = message.kind in {LaneKind.SEGMENT, LaneKind.MAPPING}
            if not is_memory or len(descriptors) != 1:
                self.close()
                raise _out_of_turn(message)
            memory = _map(descriptors[0], message)
        if message.kind is LaneKind.MAPPING:
            number = message.number
            let_go = weakref.finalize(memory, self._unmapped, number, os.getpid())
            let_go.atexit = False  # The lane ends with the process.
            self._mappings[number].append(memory)
            return
        if len(self._segments) >= _MAX_SEGMENTS:
            self.close()
            raise _out_of_turn(message)
        self._segments[message.number] = memoryview(memory)

    def _receive(self) -> tuple[LaneMessage, list[int]]:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._connection, MESSAGE_BYTES + 1, _MAX_DESCRIPTORS
            )
        except OSError as error:
            self.close()
            raise _gone(f"did not answer: {error.strerror or error}") from error
        if not data:
            self.close()
            raise _gone("hung up")
        try:
            return LaneMessage.parse(data), descriptors
        except IntegrityError:
            self.close()
            for descriptor in descriptors:
                os.close(descriptor)
            raise


class LaneRead:
    """One read of a lane: its blocks, in the order told. Used by one thread."""

    def __init__(self, lane: Lane, number: int) -> None:
        self._lane = lane
        self._count = 0
        self._unsaid_bytes = 0
        self._is_ended = False
        self._number = number

    @property
    def name(self) -> bytes:
        """What the call says of lane and read, in its metadata."""
        return name_read(self._lane.token, self._number)

    def view(self, segment: int, offset_bytes: int, length_bytes: int) -> memoryview:
        """Return the next block's bytes; they are good until `done`.

        Raises:
            IntegrityError: There is no such place (MANIFEST_CORRUPT).
            UnavailableError: The memory did not come (TRANSPORT).
        """
        memory = self._lane.segment(segment)
        end = offset_bytes + length_bytes
        if not 0 <= offset_bytes <= end <= len(memory):
            message = f"a block at bytes {offset_bytes} to {end} of a segment"
            raise IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
        return memory[offset_bytes:end]

    def views(
        self, segment: int, offsets: Sequence[int], lengths: Sequence[int]
    ) -> list[memoryview]:
        """Return the bytes of the next block's pieces; errors as `view`."""
        memory = self._lane.segment(segment)
        for start, length in zip(offsets, lengths, strict=True):
            if not 0 <= start <= start + length <= len(memory):
                message = f"a piece at bytes {start} to {start + length} of a segment"
                raise IntegrityError(message, reason=Reason.MANIFEST_CORRUPT)
        return [
            memory[start : start + length]
            for start, length in zip(offsets, lengths, strict=True)
        ]

    def mapping(self, number: int) -> memoryview:
        """Return the memory of the file that the read asked for."""
        return self._lane.mapping(number)

    def done(self, size_bytes: int) -> None:
        """Give the oldest block back, of so many bytes; small ones go together."""
        self._count += 1
        self._unsaid_bytes += size_bytes
        if self._unsaid_bytes >= _TOGETHER_BYTES:
            self._unsaid_bytes = 0
            self._lane.send(LaneMessage(LaneKind.DONE, self._number, self._count))

    def say_done(self) -> None:
        """Give back at once what `done` was called for."""
        if self._unsaid_bytes:
            self._unsaid_bytes = 0
            self._lane.send(LaneMessage(LaneKind.DONE, self._number, self._count))

    def end(self) -> None:
        """Give back whatever the read was given, whether we heard of it or not."""
        if not self._is_ended:
            self._is_ended = True
            self._lane.send(LaneMessage(LaneKind.ENDED, self._number))


class LaneWrite:
    """One write of a lane: what it hands over. Used by one thread."""

    def __init__(self, lane: Lane, number: int) -> None:
        self._lane = lane
        self._number = number
        self._source = 0

    @property
    def name(self) -> bytes:
        """What the call says of lane and write, in its metadata."""
        return name_read(self._lane.token, self._number)

    def hand_over(self, descriptor: int) -> int:
        """Give the server a descriptor of its own; return the source's number.

        Raises:
            UnavailableError: It is gone (TRANSPORT).
        """
        self._source += 1
        message = LaneMessage(LaneKind.SOURCE, self._number, self._source)
        self._lane.hand_over(message, descriptor)
        return self._source

    def end(self) -> None:
        """Say that the write is over: the server closes what it has not read."""
        self._lane.send(LaneMessage(LaneKind.ENDED, self._number))


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(_WAIT_S)
        if len(bytes(path)) <= MAX_ADDRESS_BYTES:
            connection.connect(str(path))
            return connection
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
    except OSError as error:
        connection.close()
        raise _gone(f"cannot be reached: {error.strerror or error}") from error
    return connection


def _map(descriptor: int, message: LaneMessage) -> mmap.mmap:
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        size_bytes = os.fstat(descriptor).st_size
        if not seals & _NEEDED_SEALS or size_bytes != message.value:
            raise _out_of_turn(message)
        return mmap.mmap(
            descriptor, size_bytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ
        )
    except (OSError, ValueError) as error:
        raise _out_of_turn(message) from error


@contextmanager
def _closed_at_the_end(descriptors: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)


def _gone(problem: str) -> UnavailableError:
    return UnavailableError(
        f"the server's data socket {problem}",
        reason=Reason.TRANSPORT,
        hint="Reads go on without shared memory. `strongroom doctor` looks for the "
        "cause.",
    )


def _out_of_turn(message: LaneMessage) -> IntegrityError:
    return IntegrityError(
        f"the server sent {message!r} along a lane, which is out of turn",
        reason=Reason.RECORD_CORRUPT,
        hint="Both sides must be of the same release of Strongroom.",
    )
