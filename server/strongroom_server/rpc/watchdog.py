# SPDX-License-Identifier: Apache-2.0
"""The watchdog: ends calls whose peer takes or sends nothing, or that run too long.

gRPC's threads wait for the peer inside gRPC, where no servicer can look at a
clock; only cancelling the call from another thread frees them.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Self

from strongroom.errors import Reason, StrongroomError
from strongroom_server.ports import Clock

#: How often the watchdog looks.
INTERVAL_S: Final = 1.0
#: A call that is past its deadline should end by itself before it is cancelled.
GRACE_S: Final = 5.0


class Watch:
    """One watched call, for as long as its context lasts.

    Attributes:
        verdict: Why the watchdog cancelled the call; None if it did not.
        refusal: Why the call may not go on, though it was let in; None if it may.
    """

    def __init__(
        self,
        cancel: Callable[[], object],
        *,
        clock: Clock,
        deadline_s: float,
        watches: "set[Watch]",
    ) -> None:
        self.verdict: Reason | None = None
        self.refusal: StrongroomError | None = None
        self._refused_s = 0.0
        self._cancel = cancel
        self._clock = clock
        self._deadline_s = deadline_s
        self._waiting_since: float | None = None
        self._watches = watches

    def __enter__(self) -> Self:
        """Begin; sets take and give single things whole, without a lock."""
        self._watches.add(self)
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        self._watches.discard(self)

    def wait_for_peer(self) -> None:
        """Say that from now on only the peer can make progress."""
        self._waiting_since = self._clock.monotonic()

    def go_on(self) -> None:
        """Say that the peer has made progress."""
        self._waiting_since = None

    def refuse(self, refusal: StrongroomError) -> None:
        """End the call with an error: by itself, or by cancelling it soon after."""
        if self.refusal is None:
            self._refused_s = self._clock.monotonic()
            self.refusal = refusal

    def check(self, stall_s: float) -> None:
        """Cancel the call if its peer has stalled, or its time is long over.

        So it is if it was refused and did not end by itself.
        """
        now = self._clock.monotonic()
        since = self._waiting_since
        if self.verdict is not None:
            return
        if since is not None and now - since > stall_s:
            self.verdict = Reason.STALLED
        elif now > self._deadline_s + GRACE_S:
            self.verdict = Reason.DEADLINE_EXCEEDED
        elif self.refusal is not None and now > self._refused_s + GRACE_S:
            self.verdict = self.refusal.reason
        if self.verdict is not None:
            self._cancel()


class Watchdog:
    """Looks at all running calls once a second, in a thread of its own."""

    def __init__(self, *, clock: Clock, stall_s: float) -> None:
        self.stall_s = stall_s
        self._clock = clock
        self._watches: set[Watch] = set()
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the thread for as long as the context lasts."""
        thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def watch(self, cancel: Callable[[], object], *, deadline_s: float) -> Watch:
        """Watch a call, which `cancel` ends; `deadline_s` is monotonic time."""
        return Watch(
            cancel, clock=self._clock, deadline_s=deadline_s, watches=self._watches
        )

    def check(self) -> None:
        """Look at every running call once."""
        for watch in self._watches.copy():
            watch.check(self.stall_s)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self.check()
