# SPDX-License-Identifier: Apache-2.0
"""Windows of a session: pieces fetched at the same time, and told of together.

All pieces of a window share one lease of memory that the reader sees, if there is
room. Pieces of one pack are read by one thread, neighbours by one request.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.core.chunk import room_bytes
from strongroom_server.core.scope import Scope
from strongroom_server.ports import Lease, SharedRead
from strongroom_server.repository.chunks import are_neighbours
from strongroom_server.services.downloads.engine import Engine
from strongroom_server.services.downloads.fetches import (
    MIN_SHARED_BYTES,
    WAIT_S,
    Range,
    read_alone,
)
from strongroom_server.services.downloads.hedging import Fetch, Pace

#: Threads that read one window, at most.
TASKS: Final = 8
#: Neighbours are fetched together up to so many bytes, so that threads share a window.
RUN_BYTES: Final = 1024 * 1024
#: Pieces in shared memory start at a multiple of this.
_LINE_BYTES: Final = 64
#: Room that so much more is decrypted into than is wanted is not the reader's.
_ROOMY: Final = 2

#: Of a piece: its plaintext, where it starts in its room, or why it cannot be read.
_Read = memoryview | int | StrongroomError
_Run = list[int]


@dataclass(frozen=True, slots=True)
class Shared:
    """Where a window's pieces lie in memory that the reader sees.

    Attributes:
        segment: The number of the segment.
        offsets: Where each piece starts in it.
    """

    segment: int
    offsets: list[int]


@dataclass(slots=True, eq=False)
class Window:
    """Pieces on their way; used by one thread.

    Args:
        engine: Reads chunks.
        scope: The key domain.
        wanted: What is wanted, in order; None stands for a piece without bytes.
    """

    engine: Engine
    scope: Scope
    wanted: Sequence[Range | None]
    _places: list[int] = field(init=False)
    _ranges: list[Range] = field(init=False)
    _fetches: list[tuple[list[_Run], Fetch[list[_Read]]]] = field(
        init=False, default_factory=list
    )
    _futures: list[Future[list[_Read]]] = field(init=False, default_factory=list)
    _room: SharedRead | None = field(init=False, default=None)
    _lease: Lease | None = field(init=False, default=None)
    #: Where the room of each range starts in the lease.
    _starts: list[int] = field(init=False, default_factory=list)
    _taken_bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._places = [
            index for index, item in enumerate(self.wanted) if item is not None
        ]
        self._ranges = [item for item in self.wanted if item is not None]

    @property
    def hedged_count(self) -> int:
        """How many fetches took so long that a second one was begun."""
        return sum(fetch.hedged for _, fetch in self._fetches)

    def begin(self, room: SharedRead | None, pace: Pace, *, alone: bool) -> bool:
        """Begin to fetch, if there is memory for it.

        Args:
            room: Memory that the reader sees.
            pace: How long fetches take.
            alone: Whether nothing else of the session is under way: it goes on then,
                with memory or without.

        Returns:
            Whether it has begun.

        Raises:
            RuntimeError: The threads have ended, and with them the server.
        """
        if not self._ranges:
            return True
        rooms = [_own_bytes(item) for item in self._ranges]
        total_bytes = sum(rooms)
        if room is not None and total_bytes >= MIN_SHARED_BYTES:
            self._room, self._lease = room, _take(room, total_bytes, alone=alone)
            if self._lease is None and not alone:
                return False
        if self._lease is not None:
            self._starts = list(accumulate(rooms, initial=0))
        elif self.engine.read_budget.try_take(total_bytes):
            self._taken_bytes = total_bytes
        elif not alone:
            return False
        self._start(pace)
        return True

    def take(self) -> "tuple[list[memoryview | StrongroomError], Shared | None]":
        """Wait for all pieces; return them, or where they lie if the reader sees them.

        What lies in shared memory is the reader's from then on. Everything else is
        good until `close`.

        Raises:
            StrongroomError: The store sent nothing for too long.
        """
        found: list[memoryview | StrongroomError] = [memoryview(b"")] * len(self.wanted)
        offsets = [0] * len(self.wanted)
        for runs, fetch in self._fetches:
            index = 0
            results = fetch.result()
            for run in runs:
                for number in run:
                    result = results[index]
                    index += 1
                    place = self._places[number]
                    if isinstance(result, int):
                        offsets[place] = self._starts[number] + result
                        found[place] = self._view(offsets[place], number)
                    else:
                        found[place] = result
        return found, self._tell(offsets, found)

    def close(self) -> None:
        """Give back all that the reader was not told of, once nobody writes to it."""
        futures, self._futures = self._futures, []
        for _, fetch in self._fetches:
            fetch.cancel()
        lease, room, self._lease = self._lease, self._room, None
        if lease is not None and room is not None:
            _GiveBack(room, lease, len(futures)).after(futures)
        self.engine.read_budget.give_back(self._taken_bytes)
        self._taken_bytes = 0

    def _start(self, pace: Pace) -> None:
        try:
            for runs in _share_out(_find_runs(self._ranges)):
                begin = partial(self._submit, runs)
                fetch = Fetch(begin, pace=pace, clock=self.engine.clock)
                self._fetches.append((runs, fetch))
        except RuntimeError:
            self.close()
            raise

    def _submit(self, runs: list[_Run]) -> "Future[list[_Read]]":
        # A second fetch has no room: the first one may write to its own for long.
        is_first = all(runs is not begun for begun, _ in self._fetches)
        lease = self._lease if is_first else None
        wanted = [[self._ranges[number] for number in run] for run in runs]
        rooms: list[list[memoryview]] = []
        if lease is not None:
            rooms = [[self._own_room(lease, number) for number in run] for run in runs]
        read = partial(_read, self.engine, self.scope, wanted, rooms)
        future = self.engine.executor.submit(read)
        if lease is not None:
            self._futures.append(future)
        return future

    def _own_room(self, lease: Lease, number: int) -> memoryview:
        start, item = self._starts[number], self._ranges[number]
        return lease.buffer[start : start + _room_of(item)]

    def _view(self, offset: int, number: int) -> memoryview:
        if self._lease is None:
            return memoryview(b"")
        return self._lease.buffer[offset : offset + self._ranges[number].length_bytes]

    def _tell(
        self, offsets: list[int], found: Sequence[memoryview | StrongroomError]
    ) -> Shared | None:
        lease, room = self._lease, self._room
        is_whole = not self.hedged_count and not any(
            isinstance(item, StrongroomError) for item in found
        )
        # Where a second fetch was begun, the first one may still be writing.
        if lease is None or room is None or not is_whole:
            return None
        self._lease = None
        self._futures = []
        room.tell(lease)
        return Shared(lease.segment, [lease.offset_bytes + start for start in offsets])


def _take(room: SharedRead, size_bytes: int, *, alone: bool) -> Lease | None:
    """Take room; wait for the reader if nothing else is under way."""
    lease = room.take(size_bytes)
    while lease is None and alone and room.wait(WAIT_S):
        lease = room.take(size_bytes)
    return lease


class _GiveBack:
    """Gives a lease back after the last of those who write to it."""

    def __init__(self, room: SharedRead, lease: Lease, count: int) -> None:
        self._room = room
        self._lease = lease
        self._left_count = count
        self._lock = threading.Lock()

    def after(self, futures: "Sequence[Future[list[_Read]]]") -> None:
        if not futures:
            self._room.give_back(self._lease)
        for future in futures:
            future.add_done_callback(self._note)

    def _note(self, _: "Future[list[_Read]]") -> None:
        with self._lock:
            self._left_count -= 1
            if self._left_count:
                return
        self._room.give_back(self._lease)


def piece_bytes(wanted: Range | None) -> int:
    """Return how much memory it takes to read a piece."""
    return _own_bytes(wanted) if wanted is not None else 0


def _room_of(wanted: Range) -> int:
    """Return the room of a piece: what is decrypted, if that is not much more."""
    ref, length = wanted.ref, wanted.length_bytes
    direct = room_bytes(ref, wanted.offset_bytes, length)
    return direct if direct <= _ROOMY * length else length


def _own_bytes(wanted: Range) -> int:
    return -(-_room_of(wanted) // _LINE_BYTES) * _LINE_BYTES


def _find_runs(ranges: Sequence[Range]) -> list[_Run]:
    """Return what one request fetches, pack by pack, by the places of ranges."""
    order = sorted(range(len(ranges)), key=lambda number: _place(ranges[number]))
    runs: list[_Run] = []
    size_bytes = 0
    last: Range | None = None
    for number in order:
        item = ranges[number]
        size_bytes += item.length_bytes
        fits = last is not None and size_bytes <= RUN_BYTES and _is_beside(last, item)
        if fits:
            runs[-1].append(number)
        else:
            runs.append([number])
            size_bytes = item.length_bytes
        last = item
    return runs


def _place(item: Range) -> tuple[str, str, int, int]:
    ref = item.ref
    return ref.pack, ref.pack_version, ref.offset_bytes, item.offset_bytes


def _is_beside(last: Range, item: Range) -> bool:
    return last.is_whole and item.is_whole and are_neighbours(last.ref, item.ref)


def _share_out(runs: list[_Run]) -> list[list[_Run]]:
    """Return what each thread reads; what lies in one pack stays together."""
    size = -(-len(runs) // TASKS)
    return [runs[start : start + size] for start in range(0, len(runs), size)]


def _read(
    engine: Engine,
    scope: Scope,
    runs: list[list[Range]],
    rooms: list[list[memoryview]],
) -> list[_Read]:
    found: list[_Read] = []
    for index, run in enumerate(runs):
        own = rooms[index] if rooms else []
        if len(run) == 1:
            found.append(_read_one(engine, scope, run[0], own))
            continue
        refs = [item.ref for item in run]
        views = engine.chunks.read_run(scope, refs, own)
        for view in views:
            is_told = bool(own) and not isinstance(view, StrongroomError)
            found.append(0 if is_told else view)
    return found


def _read_one(
    engine: Engine, scope: Scope, wanted: Range, rooms: list[memoryview]
) -> _Read:
    ref, offset, length = wanted.ref, wanted.offset_bytes, wanted.length_bytes
    try:
        if not rooms:
            return read_alone(engine, scope, wanted)
        [room] = rooms
        if len(room) == room_bytes(ref, offset, length):
            return engine.chunks.read_range_into(scope, ref, offset, length, room)
        room[:] = engine.chunks.read_range(scope, ref, offset, length)
    except StrongroomError as error:
        return error
    return 0
