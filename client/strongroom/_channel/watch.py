# SPDX-License-Identifier: Apache-2.0
"""Ends a stream on which nothing has moved for too long."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_TICKS: Final = 8


class StallWatch:
    """Counts the time that a stream waits for its peer; never that of its user.

    Time counts only inside `waiting()` and outside `working()`: a full disk queue
    or a slow reader of ours is no stalled peer.
    """

    def __init__(self, limit_s: float, on_stall: Callable[[], object]) -> None:
        self._interval_s = limit_s / _TICKS
        self._on_stall = on_stall
        self._waiting = False
        self._working = False
        self._idle_ticks = 0
        self._stopped = threading.Event()
        self.stalled = False
        self._thread = threading.Thread(
            target=self._run, name="strongroom-stall-watch", daemon=True
        )
        self._thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count, while the block waits for a message of the peer."""
        self._idle_ticks = 0
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do not count, while the block makes the next message for the peer."""
        self._working = True
        try:
            yield
        finally:
            self._idle_ticks = 0
            self._working = False

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            counted = self._waiting and not self._working
            self._idle_ticks = self._idle_ticks + 1 if counted else 0
            if self._idle_ticks >= _TICKS:
                self.stalled = True
                self._on_stall()
                return
