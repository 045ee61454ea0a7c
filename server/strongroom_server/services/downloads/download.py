# SPDX-License-Identifier: Apache-2.0
"""Reading a version: authenticated bytes, fetched ahead of the reader.

How far ahead depends on the others: all downloads share one budget of bytes. One
that finds nothing left goes on alone, a small piece at a time, so that no reader,
however slow, keeps another from reading. A reader that shares memory with us gets
what there is room for there, and the rest like everybody else.
"""

import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Self

from strongroom.errors import IntegrityError
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.records import (
    FileBlock,
    FileEnded,
    FileStarted,
    MappedFile,
    SharedBlock,
    TransferItem,
    VersionRecord,
)
from strongroom_server.core.scope import Scope
from strongroom_server.ports import SharedRead
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.fetches import (
    MIN_SHARED_BYTES,
    WAIT_S,
    Fetches,
    Filled,
    Range,
)
from strongroom_server.services.downloads.hedging import Fetch, Pace
from strongroom_server.services.downloads.mapping import WholeFile, map_file
from strongroom_server.services.downloads.pieces import RUN_BYTES, Piece, Run

BLOCK_BYTES: Final = 1024 * 1024
#: What one download fetches ahead of its reader: it begins nothing further once it
#: holds so many bytes of plaintext, so many steps, or so many fetches.
AHEAD_BYTES: Final = 48 * 1024 * 1024
AHEAD_STEPS: Final = 1024
AHEAD_FETCHES: Final = 24
#: The bytes of a piece for which the budget had no room.
SMALL_PIECE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One piece of a run."""

    piece: Piece
    run: Run
    index: int


#: What comes next, of which file.
_Step = tuple[FileEntry, FileStarted | FileEnded | Piece]


class Download:
    """A version being read. Used by one thread; a context manager."""

    def __init__(
        self,
        engine: Engine,
        version: VersionRecord,
        scope: Scope,
        entries: Iterator[FileEntry],
        part: tuple[int, int] | None,
        *,
        pace: Pace,
        room: SharedRead | None = None,
    ) -> None:
        self._engine = engine
        self._scope = scope
        self._pace = pace
        self._room = room
        self._steps = _steps(entries, part)
        self._not_begun: deque[_Step] = deque()
        self._ahead: deque[tuple[FileEntry, FileStarted | FileEnded | _Fetch]] = deque()
        self._ahead_bytes = 0
        self._fetch_count = 0
        self.version = version
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
    def items(self) -> Iterator[TransferItem]:
        """The files, each as a start, blocks of at most 1 MiB, and an end.

        What lies in shared memory is told as one block a piece, of any size.

        Raises:
            IntegrityError: Stored bytes do not authenticate; names the file and
                version. Nothing unverified was handed out before.
        """
        self._fetch_ahead()
        while self._ahead:
            entry, item = self._ahead[0]
            if isinstance(item, _Fetch):
                yield from self._blocks(entry, item)
                self._forget(item)
            else:
                yield item
            self._ahead.popleft()
            self._fetch_ahead()

    def mapped(self) -> Generator[TransferItem | None]:
        """Yield the only file as memory: its start, the mapping, its end.

        None is a sign of life while the memory is filled. The mapping is missing if
        there is no room, or nothing to map.

        Raises:
            IntegrityError: As `items`.
        """
        steps = list(self._steps)
        entry, started = steps[0]
        pieces = [item for _, item in steps if isinstance(item, Piece)]
        if isinstance(started, FileStarted):
            yield started
        if self._room is not None and pieces and entry.digest:
            check = partial(self._engine.check_readable, self.version.name, self._scope)
            file = WholeFile(
                _mapping_key(self._scope, entry),
                self._scope,
                entry.size_bytes,
                [item.wanted for item in pieces],
                check,
            )
            try:
                for number in map_file(self._engine, self._room, file):
                    if number:
                        check()
                    yield MappedFile(number, entry.size_bytes) if number else None
            except IntegrityError as error:
                raise damaged_file(error, self.version, entry.path) from error
        yield FileEnded(entry.digest)

    def close(self) -> None:
        """Stop fetching ahead, and give back what was taken of the budget."""
        for _, item in self._ahead:
            if isinstance(item, _Fetch):
                item.run.fetch.cancel()
                self._forget(item)
        self._ahead.clear()
        if self._room is not None:
            self._room.close()

    def _fetch_ahead(self) -> None:
        while (
            len(self._ahead) < AHEAD_STEPS
            and self._ahead_bytes < AHEAD_BYTES
            and self._fetch_count < AHEAD_FETCHES
        ):
            steps = self._next_steps()
            if not steps:
                return
            pieces = [item for _, item in steps if isinstance(item, Piece)]
            if not pieces:
                self._ahead.extend(_without_pieces(steps))
                continue
            run, rest = self._begin(pieces)
            if run is None:
                self._not_begun.extendleft(reversed(steps))
                return
            self._append(steps, run, rest)

    def _next_steps(self) -> list[_Step]:
        """Return the next step; with a piece, all steps up to the last one beside it.

        Empty at the end.
        """
        steps: list[_Step] = []
        last: Piece | None = None
        size_bytes = 0
        while len(steps) < AHEAD_STEPS:
            step = self._not_begun.popleft() if self._not_begun else None
            step = step or next(self._steps, None)
            if step is None:
                break
            item = step[1]
            if isinstance(item, Piece):
                size_bytes += item.length_bytes
                is_beside = last is not None and last.is_beside(item)
                fits = last is None or (is_beside and size_bytes <= RUN_BYTES)
                if not fits:
                    self._not_begun.appendleft(step)
                    break
                last = item
            steps.append(step)
        return steps

    def _begin(self, pieces: Sequence[Piece]) -> tuple[Run | None, Piece | None]:
        """Fetch pieces, or what may be fetched of one; return what is left of it."""
        wanted = [piece.wanted for piece in pieces]
        fetches = Fetches(self._engine, self._scope, wanted, self._room)
        usual = sum(piece.length_bytes for piece in pieces) // len(pieces)
        if self._room is not None and usual >= MIN_SHARED_BYTES:
            if self._take_room(fetches, self._room):
                return self._start(fetches, pieces, 0), None
            if self._fetch_count:
                return None, None
        rest = None
        taken_bytes = sum(piece.length_bytes for piece in pieces)
        if not self._engine.read_budget.try_take(taken_bytes):
            if self._fetch_count:
                return None, None
            # Nothing is under way, and others' readers may be slow: go on alone.
            taken_bytes = 0
            if len(pieces) == 1:
                first, rest = pieces[0].split(SMALL_PIECE_BYTES)
                pieces = [first]
        wanted = [piece.wanted for piece in pieces]
        fetches = Fetches(self._engine, self._scope, wanted, None)
        return self._start(fetches, pieces, taken_bytes), rest

    def _take_room(self, fetches: Fetches, room: SharedRead) -> bool:
        """Take room; wait for the reader if nothing else is under way."""
        while not fetches.take():
            if self._fetch_count or not room.wait(WAIT_S):
                return False
        return True

    def _start(
        self, fetches: Fetches, pieces: Sequence[Piece], taken_bytes: int
    ) -> Run:
        try:
            fetch = Fetch(fetches.begin, pace=self._pace, clock=self._engine.clock)
        except RuntimeError:  # The threads have ended, and with them the server.
            self._engine.read_budget.give_back(taken_bytes)
            raise
        self._fetch_count += 1
        self._ahead_bytes += sum(piece.length_bytes for piece in pieces)
        return Run(fetches, fetch, taken_bytes, len(pieces))

    def _append(self, steps: Sequence[_Step], run: Run, rest: Piece | None) -> None:
        """Put steps behind those that come first; the rest of a piece comes next."""
        index = 0
        for place, (entry, item) in enumerate(steps):
            if not isinstance(item, Piece):
                self._ahead.append((entry, item))
                continue
            piece = item
            if rest is not None:
                piece = item.split(item.length_bytes - rest.length_bytes)[0]
            self._ahead.append((entry, _Fetch(piece, run, index)))
            index += 1
            if rest is not None:
                self._not_begun.extendleft(reversed(steps[place + 1 :]))
                self._not_begun.appendleft((entry, rest))
                return

    def _forget(self, fetch: _Fetch) -> None:
        run = fetch.run
        self._ahead_bytes -= fetch.piece.length_bytes
        run.left_count -= 1
        if not run.left_count:
            self._fetch_count -= 1
            self._engine.read_budget.give_back(run.taken_bytes)
            run.fetches.settle()

    def _blocks(
        self, entry: FileEntry, fetch: _Fetch
    ) -> Iterator[FileBlock | SharedBlock]:
        is_first = not fetch.run.is_waited_for
        try:
            plaintext = fetch.run.result(fetch.index)
        except IntegrityError as error:
            raise damaged_file(error, self.version, entry.path) from error
        finally:
            self.hedged_count += is_first and fetch.run.fetch.hedged
        if isinstance(plaintext, Filled):
            yield self._tell(fetch, plaintext)
            return
        for start in range(0, len(plaintext), BLOCK_BYTES):
            # What was fetched ahead of a shredding is not handed out behind it.
            self._engine.check_readable(self.version.name, self._scope)
            block = plaintext[start : start + BLOCK_BYTES]
            yield FileBlock(fetch.piece.file_offset_bytes + start, block)

    def _tell(self, fetch: _Fetch, filled: Filled) -> SharedBlock:
        """Leave a piece to the reader, in the memory that both see."""
        self._engine.check_readable(self.version.name, self._scope)
        lease, piece = filled.lease, fetch.piece
        fetch.run.fetches.tell(lease)
        return SharedBlock(
            piece.file_offset_bytes,
            piece.length_bytes,
            lease.segment,
            lease.offset_bytes + filled.start_bytes,
        )


def _without_pieces(
    steps: Sequence[_Step],
) -> Iterator[tuple[FileEntry, FileStarted | FileEnded]]:
    for entry, item in steps:
        if not isinstance(item, Piece):
            yield entry, item


def damaged_file(
    error: IntegrityError, version: VersionRecord, path: str
) -> IntegrityError:
    """Return an integrity error that says which file of which version it hit."""
    return IntegrityError(
        f"file {path!r} of {version.name.short} cannot be read: {error.message}",
        reason=error.reason,
        hint=f"Run `strongroom verify {version.name.short}`; restore the pack from "
        "a backup, or roll the ref back.",
        **{**error.metadata, "path": path, "version": version.name.short},
    )


def _steps(
    entries: Iterator[FileEntry], part: tuple[int, int] | None
) -> Iterator[_Step]:
    for entry in entries:
        yield (
            entry,
            FileStarted(entry.path, entry.size_bytes, entry.executable, entry.digest),
        )
        start, length = part or (0, entry.size_bytes)
        position = start
        for ref, offset, size in entry.ranges(start, length):
            yield entry, Piece(Range(ref, offset, size), position)
            position += size
        yield entry, FileEnded("" if part else entry.digest)


def _mapping_key(scope: Scope, entry: FileEntry) -> str:
    """Return what names the content of a file for all who may read its domain.

    A digest that only a writer computed speaks for that writer's chunks alone.
    """
    named = b"".join(ref.chunk_id for ref in entry.chunks if ref.writer)
    by_writer = f" {hashlib.sha256(named).hexdigest()}" if named else ""
    return f"{scope.domain_header.hex()} {entry.digest}{by_writer}"
