# SPDX-License-Identifier: Apache-2.0
"""A throttle: how many bytes a second a copy may move."""

from collections.abc import Callable, Iterator
from typing import Final

from strongroom_server.ports import Clock

#: Nobody waits for longer without being asked whether to go on.
_STEP_S: Final = 5.0


def _go_on() -> None:
    """Nobody asks."""


class Throttle:
    """Keeps a rate, exactly over time. Used by one thread.

    Time in which nothing was moved is not made up for.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_bytes_per_second: int = 0,
        on_wait: Callable[[], None] = _go_on,
    ) -> None:
        """Make a throttle.

        Args:
            clock: Time.
            max_bytes_per_second: The rate; 0 is as fast as possible.
            on_wait: Called every few seconds of a wait; what it raises ends it.
        """
        self._clock = clock
        self._rate = max_bytes_per_second
        self._on_wait = on_wait
        self._due_s = clock.monotonic()

    def spend(self, size_bytes: int) -> None:
        """Wait until so many bytes may have been moved."""
        for _ in self.waits(size_bytes):
            self._on_wait()

    def waits(self, size_bytes: int) -> Iterator[None]:
        """Wait as `spend` does; yield every few seconds of it."""
        if not self._rate:
            return
        start = max(self._due_s, self._clock.monotonic())
        self._due_s = start + size_bytes / self._rate
        while (wait := self._due_s - self._clock.monotonic()) > 0:
            self._clock.sleep(min(wait, _STEP_S))
            yield
