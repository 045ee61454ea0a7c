# SPDX-License-Identifier: Apache-2.0
"""How far a replica is behind, between two rounds, too."""

import threading

from strongroom_server.ports import Clock
from strongroom_server.services.replication.rounds import RoundReport


class LagMeter:
    """How far the replica is behind, as of now. Safe to use from many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._current_s = clock.monotonic()
        self.missing_count = 0
        self.finding_count = 0

    def note(self, report: RoundReport, began_s: float) -> None:
        """Take what a round did that began then, by the monotonic clock."""
        with self._lock:
            if report.is_complete:
                self._current_s = began_s
            self.missing_count = report.missing_count
            self.finding_count = report.finding_count

    def lag_s(self) -> float:
        """Return for how long nobody has seen that the replica has everything.

        Whatever was committed before then is there: that is the recovery point.
        """
        with self._lock:
            return self._clock.monotonic() - self._current_s
