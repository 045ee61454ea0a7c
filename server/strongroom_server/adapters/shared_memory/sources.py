# SPDX-License-Identifier: Apache-2.0
"""Files that writers hand over by descriptor: kept until taken, read, never mapped.

What is read goes into memory of ours, so that a file which shrinks kills nobody, and
one which changes does so before its bytes are hashed or after, never between.
"""

import fcntl
import os
import stat
import threading
from typing import Final

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    InvalidArgumentError,
    Reason,
    UnavailableError,
)
from strongroom.format.lanes import MAX_SOURCES
from strongroom_server.adapters.shared_memory.closing import Closing
from strongroom_server.adapters.shared_memory.file_systems import is_local
from strongroom_server.ports import ToldFile

#: Descriptors of all lanes together; a process has about a thousand.
MAX_ALL_SOURCES: Final = 256


class Sources:
    """The descriptors that one lane handed over. Safe to use from many threads.

    Args:
        room: How many more may be open, for all lanes together.
        closing: Closes what nobody has looked at.
    """

    def __init__(self, room: threading.BoundedSemaphore, closing: Closing) -> None:
        self._room = room
        self._closing = closing
        self._changed = threading.Condition()
        #: By the number of the call and of the source; None: there was no room.
        self._waiting: dict[tuple[int, int], Descriptor | None] = {}
        self._is_closed = False

    def note(self, call: int, source: int, descriptor: int | None) -> None:
        """Keep what a lane brought; the descriptor is ours from now on.

        Raises:
            IntegrityError: There are too many, or it came before (RECORD_CORRUPT).
        """
        kept = None
        if descriptor is not None:
            if self._room.acquire(blocking=False):
                kept = Descriptor(descriptor, self._room, self._closing)
            else:
                self._closing.close(descriptor)
        with self._changed:
            is_new = (call, source) not in self._waiting
            has_room = len(self._waiting) < MAX_SOURCES
            if not self._is_closed and is_new and has_room:
                self._waiting[call, source] = kept
                self._changed.notify_all()
                return
            is_closed = self._is_closed
        if kept is not None:
            kept.discard()
        if not is_closed:
            message = f"a writer handed over source {source} of call {call} out of turn"
            raise IntegrityError(message, reason=Reason.RECORD_CORRUPT)

    def take(self, call: int, source: int, timeout_s: float) -> "Descriptor | None":
        """Return a descriptor, to be closed; None if it does not come in time."""
        key = (call, source)
        with self._changed:
            self._changed.wait_for(
                lambda: key in self._waiting or self._is_closed, timeout_s
            )
            return self._waiting.pop(key, None)

    def end(self, call: int) -> None:
        """Close what a call handed over and nobody took."""
        with self._changed:
            keys = [key for key in self._waiting if key[0] == call]
            ended = [self._waiting.pop(key) for key in keys]
        _close_all(ended)

    def close(self) -> None:
        """Close everything that nobody took; what comes later is closed at once."""
        with self._changed:
            self._is_closed = True
            ended = list(self._waiting.values())
            self._waiting.clear()
            self._changed.notify_all()
        _close_all(ended)


class Descriptor:
    """One descriptor that counts as long as it is open. Closed once, by one thread."""

    def __init__(
        self, number: int, room: threading.BoundedSemaphore, closing: Closing
    ) -> None:
        self.number = number
        self._room = room
        self._closing = closing

    def close(self) -> None:
        """Close what is known to be local; a second time nothing happens."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)
            self._room.release()

    def discard(self) -> None:
        """Have it closed, whatever it is; its place comes back once it is."""
        number, self.number = self.number, -1
        if number >= 0:
            self._closing.close(number, self._room.release)


class HandedFile:
    """See `ports.HandedFile`.

    Args:
        descriptor: Of what was handed over; closed with this.
        told: What is said of it.

    Raises:
        InvalidArgumentError: It is no file that is read here (FILE_UNSUPPORTED).
        ConflictError: It is not as was said (SOURCE_CHANGED).
    """

    def __init__(self, descriptor: Descriptor, told: ToldFile) -> None:
        self._descriptor = descriptor
        self._told = told
        self._path = told.path
        try:
            self._before = self._check()
        except BaseException:
            descriptor.discard()
            raise

    def read_into(self, buffer: memoryview, offset_bytes: int) -> int:
        """See `ports.HandedFile`."""
        left_bytes = self._told.size_bytes - offset_bytes
        view = buffer[: min(len(buffer), left_bytes)]
        start = self._told.offset_bytes + offset_bytes
        try:
            count = os.preadv(self._descriptor.number, [view], start)
        except OSError as error:
            raise self._unreadable(error) from error
        if not count and view:
            raise self._changed("ended early")
        return count

    def check_unchanged(self) -> None:
        """See `ports.HandedFile`."""
        if _state_of(self._status()) != self._before:
            raise self._changed("changed")

    def close(self) -> None:
        """See `ports.HandedFile`."""
        self._descriptor.close()

    def _check(self) -> tuple[int, int]:
        number = self._descriptor.number
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        if flags & os.O_PATH or flags & os.O_ACCMODE == os.O_WRONLY:
            raise self._unsupported("is not open for reading")
        # Before anything else is asked of it: another might never answer.
        if not is_local(number):
            raise self._unsupported("lies in a file system that is not read here")
        status = self._status()
        if not stat.S_ISREG(status.st_mode):
            raise self._unsupported("is no regular file")
        told = self._told
        is_short = status.st_size < told.offset_bytes + told.size_bytes
        if is_short or status.st_mtime_ns != told.modify_time_ns:
            raise self._changed("changed")
        return _state_of(status)

    def _status(self) -> os.stat_result:
        try:
            return os.fstat(self._descriptor.number)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unsupported(self, problem: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"what was handed over as {self._path!r} {problem}",
            reason=Reason.FILE_UNSUPPORTED,
            hint="Send its bytes instead.",
            path=self._path,
        )

    def _unreadable(self, error: OSError) -> UnavailableError:
        return UnavailableError(
            f"what was handed over as {self._path!r} cannot be read: {error.strerror}",
            reason=Reason.TRANSPORT,
            hint="Send its bytes instead.",
            path=self._path,
        )

    def _changed(self, problem: str) -> ConflictError:
        return ConflictError(
            f"{self._path!r} {problem} while it was being read",
            reason=Reason.SOURCE_CHANGED,
            hint="Nothing was stored. Push again when nobody writes to it.",
            path=self._path,
        )


def _close_all(descriptors: list[Descriptor | None]) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            descriptor.discard()


def _state_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
