# SPDX-License-Identifier: Apache-2.0
"""A reader: many small reads of one version, in one call that stays open."""

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Final, Self

from strongroom import _lineage
from strongroom._channel.caller import Caller
from strongroom._transfer.file_session import MAX_FILES, FileSession
from strongroom._transfer.resuming import Resumption, is_passing
from strongroom.errors import (
    CancelledError,
    DeadlineExceededError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import VersionName
from strongroom.values import FileRange, Version

#: What is asked for: a path, or a range of a file.
Wanted = str | FileRange
#: Calls that may end one after another without any answer.
_MAX_EMPTY_CALLS: Final = 3
#: Of shared memory, no more is held for a batch that has not come as a whole.
_MAX_HELD_BYTES: Final = 32 << 20


class Reader:
    """Reads files of one version, in one call; a context manager.

    The call begins with the first read, ends when nothing was read for a while, and
    begins again by itself. Safe for threads, which take turns; a child of a fork has
    a call of its own.
    """

    def __init__(self, caller: Caller, version: Version) -> None:
        """Name the version; nothing is sent.

        Args:
            caller: Makes the calls.
            version: As `show` returns it.
        """
        #: The version, by number.
        self.version = version
        self._caller = caller
        self._name = VersionName(version.artifact, str(version.number))
        self._lock = threading.Lock()
        self._turn: _Turn | None = None
        self._session: FileSession | None = None
        _READERS.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except StrongroomError as late:
            if error is None:
                raise
            error.add_note(f"and the reader could not be closed: {late}")

    def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return a file, or a range of it; arguments as of `FileRange`.

        Raises:
            StrongroomError: As `read_many`.
        """
        return self.read_many([FileRange(path, offset=offset, length=length)])[0]

    def read_many(self, wanted: Iterable[Wanted]) -> list[bytes]:
        """Return files, or ranges of files, in the order wanted.

        Whole files are compared with their digests, unless the server shares memory
        with us: it is on this machine then, and has authenticated every byte.

        Args:
            wanted: Paths, and `FileRange`s.

        Raises:
            IntegrityError: Stored bytes are damaged.
            NotFoundError: There is no such file.
            OutOfRangeError: A range starts past the end of its file.
            PreconditionError: This thread is reading batches of this reader.
            DeadlineExceededError: Another one is, and was not done in time.
            StrongroomError: What else the server refused.
        """
        parts = _ranges_of(wanted)
        batches = [
            parts[start : start + MAX_FILES]
            for start in range(0, len(parts), MAX_FILES)
        ]
        return [bytes(view) for views in self.read_batches(batches) for view in views]

    def read_batches(
        self, batches: Iterable[Sequence[Wanted]], *, ahead: int = 2
    ) -> Iterator[list[memoryview]]:
        """Yield the files of each batch, as read-only memory.

        The memory is shared with the server where that is possible, and good until
        the next batch is asked for: copy what is to stay. Until all batches were
        read, or this is closed, other threads wait.

        Args:
            batches: Of at most 1000 paths or `FileRange`s each.
            ahead: How many further batches are asked for before one is yielded, at
                most.

        Raises:
            InvalidArgumentError: A batch is too large.
            PreconditionError: This thread is reading other batches of this reader; or
                the reader was closed meanwhile.
            StrongroomError: As `read_many`.
        """
        # At each read: the call may have begun before the run that reads now.
        _lineage.note_version(self._caller.settings.endpoint, self.version)
        with self._take_turn() as turn:
            yield from self._batches(iter(batches), max(ahead, 0), turn)

    def close(self) -> None:
        """End the call, if there is one; a further read begins another.

        Batches that this thread is reading end, too; those of others are waited for.

        Raises:
            DeadlineExceededError: Another thread was not done with its batches in time.
        """
        turn = self._turn
        if turn is not None and turn.owner == threading.get_ident():
            self._drop()
            self._end_turn(turn)
            return
        with self._take_turn():
            session, self._session = self._session, None
            if session is not None:
                session.close()

    @contextmanager
    def _take_turn(self) -> Iterator["_Turn"]:
        """Wait for other threads; a thread that waited for itself would for ever."""
        mine, now = _Turn(threading.get_ident()), self._turn
        if now is not None and now.owner == mine.owner:
            message = "batches of this reader are being read"
            raise PreconditionError(
                message, reason=Reason.ARGUMENT_INVALID, hint="Make a reader for each."
            )
        timeout_s = self._caller.settings.transfer_timeout_s
        if not self._lock.acquire(timeout=timeout_s):
            message = f"another thread read batches for {timeout_s:g} seconds"
            raise DeadlineExceededError(
                message, hint="Use up or close them, or make a reader for each thread."
            )
        self._turn = mine
        try:
            yield mine
        finally:
            self._end_turn(mine)

    def _end_turn(self, turn: "_Turn") -> None:
        if self._turn is turn:
            self._turn = None
            self._lock.release()

    def _batches(
        self, batches: Iterator[Sequence[Wanted]], ahead: int, turn: "_Turn"
    ) -> Iterator[list[memoryview]]:
        asked: deque[list[FileRange]] = deque()
        stream = _Answers(self._open, asked)
        try:
            while True:
                # Several at once: small batches share requests and answers.
                if len(asked) <= ahead // 2:
                    more = islice(batches, ahead + 1 - len(asked))
                    stream.ask([_check(_ranges_of(batch)) for batch in more])
                if not asked:
                    return
                yield stream.take()
                self._check_turn(turn)
                stream.give_back()
        except Exception:
            self._drop_of(turn)
            raise
        finally:
            # Who stops in the middle does not want what was asked for.
            if asked:
                self._drop_of(turn)
            elif self._turn is turn:
                stream.give_back()

    def _drop_of(self, turn: "_Turn") -> None:
        if self._turn is turn:  # or what is open is somebody else's
            self._drop()

    def _check_turn(self, turn: "_Turn") -> None:
        if self._turn is not turn:
            message = "the reader was closed while batches of it were being read"
            raise PreconditionError(message, reason=Reason.ARGUMENT_INVALID)

    def _open(self, *, anew: bool) -> FileSession:
        if anew:
            self._drop()
        if self._session is None:
            self._session = FileSession(self._caller, self._name)
        return self._session

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.cancel()

    def _before_fork(self) -> None:
        """End an idle call: an open one does not survive."""
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _after_fork(self) -> None:
        self._lock, self._turn = threading.Lock(), None
        if self._session is not None:
            # Its threads are the parent's; taking it apart here would wait for them.
            _ABANDONED.append(self._session)
            self._session = None


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """The time in which one thread reads."""

    owner: int


class _Answers:
    """The answers to batches, from one call after another."""

    def __init__(
        self,
        open_session: "Callable[..., FileSession]",
        asked: deque[list[FileRange]],
    ) -> None:
        self._open = open_session
        self._asked = asked
        self._resumption = Resumption()
        self._session = open_session(anew=False)
        self._answers = self._session.answers()
        self._empty_count = 0
        #: Whether each batch is asked for when its turn comes, and not before.
        self._is_careful = False
        #: What has come of the next batches.
        self._come: deque[memoryview] = deque()
        #: How many files of the call were handed out.
        self._taken_count = self._session.file_count

    def ask(self, batches: Sequence[list[FileRange]]) -> None:
        self._asked.extend(batches)
        if not self._is_careful:
            self._session.ask(_needed(batches))

    def take(self) -> list[memoryview]:
        """Return the first batch; what lies in shared memory until `give_back`."""
        batch = self._asked[0]
        needed = len(_needed([batch]))
        if self._is_careful:
            self._session.ask(_needed([batch]))
        while len(self._come) < needed:
            try:
                files = next(self._answers, None)
            except StrongroomError as error:
                self._note(error)
                files = None
            if files is None:
                self._begin_again()
            else:
                self._resumption.progressed()
                self._empty_count = 0
                self._come.extend(files)
                self._relieve()
        self._asked.popleft()
        self._taken_count += needed
        return [
            self._come.popleft() if _is_needed(item) else memoryview(b"")
            for item in batch
        ]

    def _note(self, error: StrongroomError) -> None:
        """See whether to go on, or raise the error if there is nothing to try."""
        if isinstance(error, CancelledError):
            return  # a server that stops ends the calls of those who want nothing
        may_pass = is_passing(error) or error.reason is Reason.STALLED
        if may_pass or self._is_careful or len(self._asked) == 1:
            self._resumption.wait_after(error)
        # It may be a later batch that is refused: those before it are to come.
        self._is_careful = not may_pass

    def give_back(self) -> None:
        """Let go of the batches that were taken."""
        self._session.give_back(self._taken_count)

    def _relieve(self) -> None:
        """Copy a large batch, so that there is room for the rest of it."""
        if self._session.held_bytes > _MAX_HELD_BYTES:
            self._come = deque(memoryview(bytes(view)) for view in self._come)
            self._session.give_back(self._session.file_count)

    def _begin_again(self) -> None:
        """Ask another call for all that was not answered."""
        self._empty_count += 1
        if self._empty_count > _MAX_EMPTY_CALLS:
            message = "the server ended the call again and again without an answer"
            raise UnavailableError(message, reason=Reason.TRANSPORT)
        self._come.clear()
        self._session = self._open(anew=True)
        self._answers = self._session.answers()
        self._taken_count = 0
        again = [self._asked[0]] if self._is_careful else self._asked
        self._session.ask(_needed(again))


def _ranges_of(wanted: Iterable[object]) -> list[FileRange]:
    if isinstance(wanted, str):
        message = f"{wanted[:200]!r} is one path, and several are read here"
        raise InvalidArgumentError(message, hint=f"Give a list: [{wanted[:200]!r}].")
    return [_range_of(item) for item in wanted]


def _range_of(item: object) -> FileRange:
    if isinstance(item, FileRange):
        return item
    if isinstance(item, str):
        return FileRange(item)
    message = f"{type(item).__name__} is neither a path nor a FileRange"
    raise InvalidArgumentError(
        message, hint="Give FileRange(path, offset=…, length=…)."
    )


def _check(batch: list[FileRange]) -> list[FileRange]:
    if len(batch) > MAX_FILES:
        message = f"{len(batch)} files in one batch: at most {MAX_FILES}"
        raise InvalidArgumentError(message)
    for item in batch:
        if item.offset < 0 or (item.length or 0) < 0:
            message = f"{item.path} has no {item.length} bytes from {item.offset} on"
            raise InvalidArgumentError(message, path=item.path)
    return batch


def _is_needed(item: FileRange) -> bool:
    return item.length is None or item.length > 0


def _needed(batches: Iterable[Sequence[FileRange]]) -> list[FileRange]:
    """Return what the server is asked for: a length of 0 means something else there."""
    return [item for batch in batches for item in batch if _is_needed(item)]


_READERS: Final = weakref.WeakSet[Reader]()
_ABANDONED: Final[list[FileSession]] = []


def _before_fork() -> None:
    for reader in list(_READERS):
        reader._before_fork()  # noqa: SLF001


def _after_fork() -> None:
    for reader in list(_READERS):
        reader._after_fork()  # noqa: SLF001


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
