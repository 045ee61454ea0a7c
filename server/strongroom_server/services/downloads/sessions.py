# SPDX-License-Identifier: Apache-2.0
"""Sessions: many small reads of one version, answered in the order asked.

A session fetches ahead what was asked for, window by window. Its memory is bounded by
the windows that are under way, whatever was asked for.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Final, Self

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    OutOfRangeError,
    StrongroomError,
)
from strongroom_server.core.filetable import MAX_FOUND_CHUNKS, FileEntry, check_found
from strongroom_server.core.records import VersionRecord
from strongroom_server.core.selection import MAX_PATHS
from strongroom_server.ports import SharedRead
from strongroom_server.services.downloads.download import BLOCK_BYTES, damaged_file
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.fetches import Range
from strongroom_server.services.downloads.hedging import Pace
from strongroom_server.services.downloads.tables import FileTable
from strongroom_server.services.downloads.windows import Shared, Window, piece_bytes

#: A window has so many bytes and pieces, or one piece that is larger.
WINDOW_BYTES: Final = 4 * 1024 * 1024
WINDOW_PIECES: Final = 1024
#: Windows of a session that are under way.
AHEAD_WINDOWS: Final = 4
#: Requests whose answers may wait; who asks for more waits.
MAX_WAITING: Final = 4


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or a range of it, that somebody wants; a length of 0 is all the rest."""

    path: str
    offset_bytes: int = 0
    length_bytes: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of the file is wanted, whatever its size."""
        return not (self.offset_bytes or self.length_bytes)


@dataclass(frozen=True, slots=True)
class Found:
    """Pieces of what was asked for, in order.

    Attributes:
        lengths: Of each piece, in bytes.
        unfinished: The numbers of pieces whose file goes on with the next one.
        shared: Where they lie, if in memory that the reader sees.
        data: Their bytes, if not; good until the next ones are asked for.
        digests: Of the files that end here and were wanted as a whole; none, if the
            reader does not compare them.
        file_count: How many files, or ranges, end here.
    """

    lengths: list[int]
    unfinished: list[int]
    shared: Shared | None
    data: list[memoryview]
    digests: list[str]
    file_count: int


@dataclass(frozen=True, slots=True)
class _Step:
    """A piece of a file that was asked for; None has no bytes."""

    entry: FileEntry
    wanted: Range | None
    is_last: bool
    is_whole: bool


@dataclass(frozen=True, slots=True)
class _Begun:
    window: Window
    steps: list[_Step]


class Session:
    """Many reads of one version. Used by one thread; a context manager.

    Args:
        engine: Reads chunks.
        table: The version's files.
        pace: How long windows of sessions take.
        room: Memory that the reader sees; closed with the session.
    """

    def __init__(
        self, engine: Engine, table: FileTable, *, pace: Pace, room: SharedRead | None
    ) -> None:
        self._engine = engine
        self._table = table
        self._pace = pace
        self._room = room
        self._waiting: deque[Iterator[_Step]] = deque()
        #: How many chunks their files have, which are in memory for so long.
        self._waiting_chunks: deque[int] = deque()
        self._next: _Step | None = None
        self._windows: deque[_Begun] = deque()
        #: A window for which there was no memory yet.
        self._held: _Begun | None = None
        #: Fetches that took so long that a second one was begun.
        self.hedged_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def version(self) -> VersionRecord:
        """The version that is read."""
        return self._table.version

    @property
    def may_ask(self) -> bool:
        """Whether more can be asked for before there are answers."""
        return not self._waiting or (
            len(self._waiting) < MAX_WAITING
            and sum(self._waiting_chunks) <= MAX_FOUND_CHUNKS
        )

    def ask(self, parts: Sequence[Part]) -> None:
        """Ask for files, or ranges of them; `answers` begins to fetch them.

        Raises:
            NotFoundError: There is no such file (PATH_NOT_FOUND).
            OutOfRangeError: A range starts past the end of its file.
            InvalidArgumentError: There are no parts, or too many, or one is malformed.
            ExhaustedError: Their files have too many chunks together (TOO_LARGE).
        """
        _check(parts)
        entries = self._table.find([part.path for part in parts])
        distinct = {entry.path: entry for entry in entries}.values()
        check_found(distinct)
        ranges = [
            _range_of(entry, part) for entry, part in zip(entries, parts, strict=True)
        ]
        found = zip(entries, ranges, parts, strict=True)
        self._waiting_chunks.append(sum(len(entry.chunks) for entry in distinct))
        self._waiting.append(
            chain.from_iterable(
                _steps(entry, *span, is_whole=part.is_whole)
                for entry, span, part in found
            )
        )

    def answers(self) -> Iterator[Found]:
        """Yield what was asked for, until nothing more is; more may be meanwhile.

        Raises:
            IntegrityError: Stored bytes do not authenticate; names the file.
            StrongroomError: The version may not be read any more, or cannot be.
        """
        self._begin_windows()
        while self._windows:
            begun = self._windows[0]
            try:
                # Before it is told, too: what was fetched ahead of a shredding is not
                # handed out behind it.
                self._check_readable()
                found, shared = begun.window.take()
                self.hedged_count += begun.window.hedged_count
                for item, step in zip(found, begun.steps, strict=True):
                    if isinstance(item, StrongroomError):
                        raise self._damaged(item, step.entry.path)
                self._begin_windows()
                if shared is not None:
                    yield _told(begun.steps, shared)
                else:
                    pieces = [item for item in found if isinstance(item, memoryview)]
                    yield from self._sent(begun.steps, pieces)
            finally:
                begun.window.close()
                if self._windows:  # or the session was closed first
                    self._windows.popleft()
            self._begin_windows()

    def close(self) -> None:
        """Stop, and give back all that was taken."""
        while self._windows:
            self._windows.popleft().window.close()
        self._held = None
        self._waiting.clear()
        self._waiting_chunks.clear()
        if self._room is not None:
            self._room.close()

    def _sent(
        self, steps: Sequence[_Step], pieces: Sequence[memoryview]
    ) -> Iterator[Found]:
        gathered, size_bytes = _Gathered(digests=self._room is None), 0
        for step, piece in zip(steps, pieces, strict=True):
            for start in range(0, max(len(piece), 1), BLOCK_BYTES):
                block = piece[start : start + BLOCK_BYTES]
                if size_bytes and size_bytes + len(block) > BLOCK_BYTES:
                    self._check_readable()
                    yield gathered.found
                    gathered, size_bytes = _Gathered(digests=self._room is None), 0
                ends = start + BLOCK_BYTES >= len(piece)
                gathered.add(step, block, ends=ends)
                size_bytes += len(block)
        self._check_readable()
        yield gathered.found

    def _check_readable(self) -> None:
        self._engine.check_readable(self.version.name, self._table.scope)

    def _damaged(self, error: StrongroomError, path: str) -> StrongroomError:
        if isinstance(error, IntegrityError):
            return damaged_file(error, self.version, path)
        return error

    def _begin_windows(self) -> None:
        while len(self._windows) < AHEAD_WINDOWS:
            begun = self._held or self._cut_window()
            self._held = None
            if begun is None:
                return
            if not begun.window.begin(self._room, self._pace, alone=not self._windows):
                self._held = begun
                return
            self._windows.append(begun)

    def _cut_window(self) -> _Begun | None:
        """Return the next window; None at the end of what was asked for."""
        steps: list[_Step] = []
        size_bytes = 0
        while len(steps) < WINDOW_PIECES:
            step = self._next or self._next_step()
            self._next = None
            if step is None:
                break
            size_bytes += piece_bytes(step.wanted)
            if steps and size_bytes > WINDOW_BYTES:
                self._next = step
                break
            steps.append(step)
        if not steps:
            return None
        wanted = [step.wanted for step in steps]
        return _Begun(Window(self._engine, self._table.scope, wanted), steps)

    def _next_step(self) -> _Step | None:
        while self._waiting:
            step = next(self._waiting[0], None)
            if step is not None:
                return step
            self._waiting.popleft()
            self._waiting_chunks.popleft()
        return None


class _Gathered:
    """Pieces that are sent in one answer."""

    def __init__(self, *, digests: bool) -> None:
        self._has_digests = digests
        self._count = 0
        self._lengths: list[int] = []
        self._unfinished: list[int] = []
        self._data: list[memoryview] = []
        self._digests: list[str] = []

    def add(self, step: _Step, block: memoryview, *, ends: bool) -> None:
        if not (ends and step.is_last):
            self._unfinished.append(len(self._lengths))
        else:
            self._count += 1
            if step.is_whole and self._has_digests:
                self._digests.append(step.entry.digest)
        self._lengths.append(len(block))
        self._data.append(block)

    @property
    def found(self) -> Found:
        return Found(
            self._lengths,
            self._unfinished,
            None,
            self._data,
            self._digests,
            self._count,
        )


def _told(steps: Sequence[_Step], shared: Shared) -> Found:
    lengths = [step.wanted.length_bytes if step.wanted else 0 for step in steps]
    unfinished = [index for index, step in enumerate(steps) if not step.is_last]
    count = len(steps) - len(unfinished)
    return Found(lengths, unfinished, shared, [], [], count)


def _check(parts: Sequence[Part]) -> None:
    if not 1 <= len(parts) <= MAX_PATHS:
        message = f"{len(parts)} files cannot be asked for at once: 1 to {MAX_PATHS}"
        raise InvalidArgumentError(message, field="paths")
    for part in parts:
        if part.offset_bytes < 0 or part.length_bytes < 0:
            message = "offset_bytes and length_bytes must not be negative"
            raise InvalidArgumentError(message, path=part.path)


def _range_of(entry: FileEntry, part: Part) -> tuple[int, int]:
    """Return start and length of what is wanted of a file."""
    rest = entry.size_bytes - part.offset_bytes
    if rest < 0:
        raise OutOfRangeError(
            f"offset {part.offset_bytes} lies past the end of {entry.path!r}, "
            f"{entry.size_bytes} bytes",
            offset_bytes=part.offset_bytes,
            size_bytes=entry.size_bytes,
            path=entry.path,
        )
    return part.offset_bytes, min(part.length_bytes or rest, rest)


def _steps(
    entry: FileEntry, start: int, length: int, *, is_whole: bool
) -> Iterator[_Step]:
    left = length
    for ref, offset, size in entry.ranges(start, length):
        left -= size
        yield _Step(entry, Range(ref, offset, size), not left, is_whole)
    if not length:
        yield _Step(entry, None, is_last=True, is_whole=is_whole)
