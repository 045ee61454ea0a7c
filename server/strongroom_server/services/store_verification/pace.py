# SPDX-License-Identifier: Apache-2.0
"""Pace: how fast a long run may read, and how often it says how far it has come."""

from collections.abc import Iterator
from typing import Final

from strongroom_server.core.verify_records import StoreProgress
from strongroom_server.ports import Clock
from strongroom_server.repository.throttle import Throttle

#: Progress is told after so many bytes, and after so many seconds at the latest.
PROGRESS_BYTES: Final = 64 * 1024 * 1024
PROGRESS_S: Final = 5.0


class Pace:
    """Keeps the limit, exactly over time, and counts. Used by one thread.

    Attributes:
        stage: What is being done, in words.
        token: With it a later run goes on from here.
        total_bytes: What there is to read, as far as known.
        object_count: Objects read.
        verified_bytes: Bytes read.
    """

    def __init__(self, clock: Clock, *, max_bytes_per_second: int) -> None:
        self._clock = clock
        self._throttle = Throttle(clock, max_bytes_per_second=max_bytes_per_second)
        self._told_s = clock.monotonic()
        self._told_bytes = 0
        self.stage = ""
        self.token = ""
        self.total_bytes = 0
        self.object_count = 0
        self.verified_bytes = 0

    def spend(self, size_bytes: int, objects: int = 0) -> Iterator[StoreProgress]:
        """Count what was read, wait until so much may have been read, and tell.

        Time in which nothing was read is not made up for.
        """
        self.verified_bytes += size_bytes
        self.object_count += objects
        for _ in self._throttle.waits(size_bytes):
            yield from self.tell()
        yield from self.tell()

    def tell(self) -> Iterator[StoreProgress]:
        """Yield how far it has come, if it is time to tell."""
        now = self._clock.monotonic()
        due = now - self._told_s >= PROGRESS_S
        if due or self.verified_bytes - self._told_bytes >= PROGRESS_BYTES:
            yield self.progress()

    def progress(self) -> StoreProgress:
        """Return how far it has come."""
        self._told_s = self._clock.monotonic()
        self._told_bytes = self.verified_bytes
        total_bytes = max(self.total_bytes, self.verified_bytes)
        return StoreProgress(self.stage, self.verified_bytes, total_bytes, self.token)
