# SPDX-License-Identifier: Apache-2.0
"""Waiting for a fetch: a second one if the first takes unusually long, and an end.

One stalled connection among many must not hold up a reader: whichever fetch
answers first counts. Both read the same immutable bytes, so two can do no harm.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from statistics import median
from typing import Final, Generic, TypeVar

from strongroom.errors import Reason, StrongroomError, UnavailableError
from strongroom_server.ports import Clock

Item = TypeVar("Item")

#: A fetch is tried a second time after this, or this many times the median.
MIN_DELAY_S: Final = 1.0
MEDIANS: Final = 4.0
#: A fetch is given up after this: before the caller gives up on us.
DEADLINE_S: Final = 50.0
#: How many fetches the median is of.
_KEPT: Final = 32
#: How long to look at one of two fetches, before looking at the other.
_LOOK_S: Final = 0.05


class Pace:
    """How long fetches have taken of late. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def note(self, seconds: float) -> None:
        """Note how long a fetch took."""
        with self._lock:
            self._seconds.append(seconds)

    @property
    def delay_s(self) -> float:
        """After how long a fetch takes unusually long."""
        with self._lock:
            usual = median(self._seconds) if self._seconds else 0.0
        return max(MIN_DELAY_S, MEDIANS * usual)


class Fetch(Generic[Item]):
    """Something on its way from the store. Waited for by one thread."""

    def __init__(
        self, begin: Callable[[], Future[Item]], *, pace: Pace, clock: Clock
    ) -> None:
        """Begin the first fetch.

        Args:
            begin: Begins a fetch on the executor; called at most twice.
            pace: How long fetches take; learns from this one.
            clock: Measures how long this one takes.
        """
        self._begin = begin
        self._pace = pace
        self._clock = clock
        self._started_s = clock.monotonic()
        self._first = begin()
        # Not a method of ours: a future that held us would form a cycle, and keep
        # its result, a whole chunk, until the garbage collector looks.
        self._first.add_done_callback(partial(_note, pace, clock, self._started_s))
        self._second: Future[Item] | None = None

    @property
    def hedged(self) -> bool:
        """Whether a second fetch was begun."""
        return self._second is not None

    def cancel(self) -> None:
        """Let go of what has not begun."""
        self._first.cancel()
        if self._second is not None:
            self._second.cancel()

    def result(self) -> Item:
        """Return what came first, within DEADLINE_S.

        Raises:
            UnavailableError: Nothing came in time (STALLED).
            StrongroomError: What both fetches, or the only one, raised.
        """
        waiting_since_s = self._clock.monotonic()
        left_s = self._pace.delay_s - (waiting_since_s - self._started_s)
        if _is_done(self._first, max(left_s, 0.0)):
            return self._first.result()
        self._second = self._begin()
        deadline_s = waiting_since_s + DEADLINE_S
        error: StrongroomError | None = None
        waiting = [self._first, self._second]
        while waiting and self._clock.monotonic() < deadline_s:
            for future in tuple(waiting):
                if not _is_done(future, _LOOK_S):
                    continue
                try:
                    return future.result()
                except StrongroomError as failure:
                    error = error or failure
                    waiting.remove(future)
        if error is not None:
            raise error
        self.cancel()
        raise UnavailableError(
            f"the store sent nothing for {DEADLINE_S:g} seconds, to two requests",
            reason=Reason.STALLED,
            hint="Try again; if it lasts, `strongroom doctor` looks for the cause.",
            seconds=f"{DEADLINE_S:g}",
        )


def _note(pace: Pace, clock: Clock, started_s: float, future: Future[Item]) -> None:
    if not future.cancelled() and future.exception() is None:
        pace.note(clock.monotonic() - started_s)


def _is_done(future: Future[Item], timeout_s: float) -> bool:
    """Wait for a future; return whether it is done, well or not."""
    try:
        future.exception(timeout=timeout_s)
    except TimeoutError:
        return future.done()
    return True
