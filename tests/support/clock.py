# SPDX-License-Identifier: Apache-2.0
"""A clock that stands still until it is told to go on; to sleep is to go on."""

import threading
from datetime import UTC, datetime, timedelta

from strongroom_server.ports import Clock

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


class ManualClock:
    """Time that the test makes; safe to use from many threads."""

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.Lock()
        self._start = start
        self._elapsed_s = 0.0
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        with self._lock:
            return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        with self._lock:
            return self._elapsed_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._elapsed_s += seconds
            self.sleeps.append(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, without anybody having slept."""
        with self._lock:
            self._elapsed_s += seconds


def clock_of_today() -> ManualClock:
    """Return one that begins now: real stores refuse signatures of another time."""
    return ManualClock(datetime.now(UTC))


_clock: type[Clock] = ManualClock
