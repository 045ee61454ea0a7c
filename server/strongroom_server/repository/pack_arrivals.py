# SPDX-License-Identifier: Apache-2.0
"""Whole packs on their way from the store to the disk, for which no reader waits.

Whoever wants bytes of a pack that has come takes them from memory; a thread puts it on
the disk meanwhile. If that falls behind, who reads all of a pack at once does not wait:
the oldest packs go no further. Who reads a little of it, and will come again for more,
waits for the disk, or the same pack would be fetched again and again; a second thread
helps then. A pack that is dropped is read no more, and its file is gone once its thread
has noticed.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from strongroom_server.ports import PackCache
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.buffers import BufferPool

#: What a pack that is fetched whole takes of the memory: all but the rarest do.
PACK_BYTES: Final = 17 * 1024 * 1024
#: Packs that wait for the disk.
MAX_WAITING: Final = 4
#: Threads that put packs on the disk while somebody waits for it; else one does, and
#: leaves the processors to who reads.
WRITERS: Final = 2
#: Packs in memory and on their way there, as long as all who fetch them can wait.
MAX_AHEAD: Final = MAX_WAITING + 1
#: The memory of packs that have gone is kept for so many others.
_KEPT_PACKS: Final = 4
#: How long the end of the process waits for the pack that is being written.
_END_S: Final = 10.0


@dataclass(slots=True, eq=False)
class Arrival:
    """A pack in memory, or on its way there; `PackArrivals` locks it."""

    pack: str
    #: Gives its memory back.
    memory: ExitStack
    here: threading.Event = field(default_factory=threading.Event)
    #: Nothing before it is here.
    data: memoryview | None = None
    #: Who still looks at the memory.
    user_count: int = 1
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is to be put on the disk."""

    arrival: Arrival
    data: memoryview
    is_right: Callable[[memoryview], bool]
    tell: Callable[[bool], None]


class PackArrivals:
    """Packs in memory before a disk. Safe to use from many threads.

    Args:
        cache: The disk.
        budget: The memory of packs, from before they are fetched until they have gone.
    """

    def __init__(self, cache: PackCache, budget: ByteBudget) -> None:
        self._cache = cache
        self._budget = budget
        self._buffers = BufferPool(_KEPT_PACKS * PACK_BYTES)
        self._changed = threading.Condition()
        self._arrivals: dict[str, Arrival] = {}
        self._waiting: deque[_Waiting] = deque()
        #: Threads, which run only while there is something to put on the disk.
        self._writer_count = 0
        #: Who waits for the disk.
        self._waiter_count = 0
        self._is_closed = False

    def read_into(self, pack: str, *, offset_bytes: int, buffer: memoryview) -> bool:
        """Fill `buffer` from memory or the disk; return whether the pack was there."""
        with self._changed:
            arrival = self._arrivals.get(pack)
            data = None if arrival is None else arrival.data
            if arrival is not None and data is not None:
                arrival.user_count += 1
        if arrival is None or data is None:
            return self._cache.read_into(pack, offset_bytes=offset_bytes, buffer=buffer)
        try:
            with data[offset_bytes : offset_bytes + len(buffer)] as part:
                if len(part) != len(buffer):
                    return False
                buffer[:] = part
                return True
        finally:
            self.leave(arrival)

    def drop(self, pack: str) -> bool:
        """Forget a pack, wherever it is; return whether it was there."""
        with self._changed:
            arrival = self._arrivals.pop(pack, None)
            if arrival is not None:
                self._changed.notify_all()
                # Who fetches it, or puts it on the disk, looks at this at the end.
                arrival.is_dropped = True
        return self._cache.drop(pack) or arrival is not None

    def begin(self, pack: str, *, wait_s: float = 0.0) -> tuple[Arrival | None, bool]:
        """Return a pack that is on its way, and whether the caller is to fetch it.

        It is then brought by `lend` and `arrived`, and `leave` is called in any case.
        Nothing is returned where there is no memory for it.

        Args:
            pack: Its name.
            wait_s: How long to wait for the disk if it is behind. Nothing is returned
                if it still is; without time to wait, others' packs give way.
        """
        with self._changed:
            if wait_s and not self._wait_for_room(pack, wait_s):
                return None, False
            arrival = self._arrivals.get(pack)
            if arrival is not None or self._is_closed:
                return arrival, False
            while not self._budget.try_take(PACK_BYTES):
                if not self._waiting:
                    return None, False
                self._give_up_oldest()
            arrival = Arrival(pack, ExitStack())
            arrival.memory.callback(self._budget.give_back, PACK_BYTES)
            self._arrivals[pack] = arrival
            return arrival, True

    @property
    def is_behind(self) -> bool:
        """Whether the disk has as many packs before it as it may have."""
        with self._changed:
            return len(self._arrivals) >= MAX_AHEAD

    def lend(self, arrival: Arrival, size_bytes: int) -> memoryview:
        """Return memory for a pack that is being fetched; good until `leave`."""
        return arrival.memory.enter_context(self._buffers.lend(size_bytes))

    def arrived(
        self,
        arrival: Arrival,
        data: memoryview,
        is_right: Callable[[memoryview], bool],
        tell: Callable[[bool], None],
    ) -> None:
        """Let a pack be read, and put it on the disk by and by.

        Args:
            arrival: What `begin` returned to its caller.
            data: What `lend` returned, with the pack in it.
            is_right: Says whether it is what its name says; only that goes to the disk.
            tell: Called with whether the disk kept it, if that was tried.
        """
        with self._changed:
            arrival.data = data
            if not arrival.is_dropped and not self._is_closed:
                while len(self._waiting) >= MAX_WAITING:
                    self._give_up_oldest()
                arrival.user_count += 1
                self._waiting.append(_Waiting(arrival, data, is_right, tell))
                self._run_soon()
            else:
                self._forget(arrival)
            arrival.here.set()

    def leave(self, arrival: Arrival) -> None:
        """Look at a pack's memory no more; the last one gives it back."""
        with self._changed:
            if arrival.data is None:  # It did not come: nobody must wait for it.
                self._forget(arrival)
                arrival.here.set()
            self._count_out(arrival)

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits for the disk; return whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._writer_count, timeout_s)

    def close(self) -> None:
        """Put nothing more on the disk."""
        with self._changed:
            self._is_closed = True
            while self._waiting:
                self._give_up_oldest()
        self.settle(_END_S)

    # Under the lock.

    def _wait_for_room(self, pack: str, wait_s: float) -> bool:
        if self._may_begin(pack):
            return True
        self._waiter_count += 1
        try:
            if self._waiting:
                self._run_soon()
            return self._changed.wait_for(lambda: self._may_begin(pack), wait_s)
        finally:
            self._waiter_count -= 1

    def _run_soon(self) -> None:
        if self._writer_count >= (WRITERS if self._waiter_count else 1):
            return
        try:
            threading.Thread(target=self._run, name="packs", daemon=True).start()
            self._writer_count += 1
        except RuntimeError:  # No thread to be had.
            while self._waiting and not self._writer_count:
                self._give_up_oldest()

    def _may_begin(self, pack: str) -> bool:
        is_free = len(self._arrivals) < MAX_AHEAD
        return self._is_closed or pack in self._arrivals or is_free

    def _give_up_oldest(self) -> None:
        oldest = self._waiting.popleft()
        self._forget(oldest.arrival)
        self._count_out(oldest.arrival)

    def _forget(self, arrival: Arrival) -> None:
        if self._arrivals.get(arrival.pack) is arrival:
            del self._arrivals[arrival.pack]
            self._changed.notify_all()

    def _count_out(self, arrival: Arrival) -> None:
        arrival.user_count -= 1
        if not arrival.user_count:
            arrival.data = None
            arrival.memory.close()

    # In the thread.

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._put(item)
        except BaseException:
            with self._changed:  # The next pack that comes begins anew.
                while self._waiting:
                    self._give_up_oldest()
                self._writer_count -= 1
                self._changed.notify_all()
            raise

    def _next(self) -> _Waiting | None:
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._writer_count -= 1
            self._changed.notify_all()
            return None

    def _put(self, item: _Waiting) -> None:
        arrival = item.arrival
        try:
            if not arrival.is_dropped and item.is_right(item.data):
                # Told before memory forgets it: who reads next is not to fetch it all.
                item.tell(self._cache.put(arrival.pack, item.data))
        finally:
            with self._changed:
                self._forget(arrival)
                is_dropped = arrival.is_dropped
            if is_dropped:
                self._cache.drop(arrival.pack)
            self.leave(arrival)
