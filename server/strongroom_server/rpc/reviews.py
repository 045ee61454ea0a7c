# SPDX-License-Identifier: Apache-2.0
"""Reviews: running calls are asked again, every few seconds, whether they may run.

Access is decided when a call comes; a transfer may run for hours after that. Who
loses a right, or is revoked, has the call ended: with an error at its next message,
or cancelled by the watchdog where no message comes.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.errors import InternalError, StrongroomError
from strongroom_server.rpc.watchdog import Watch

#: Between two rounds. With the time that a changed policy needs to be read, and the
#: watchdog's grace, a call ends well within a minute of the change.
INTERVAL_S: Final = 5.0

Look = Callable[[], object]


class Review:
    """One call that is looked at while the context lasts."""

    __slots__ = ("_look", "_reviewed", "_watch")

    def __init__(self, reviewed: dict[Watch, Look], watch: Watch, look: Look) -> None:
        self._reviewed = reviewed
        self._watch = watch
        self._look = look

    def __enter__(self) -> None:
        # Dictionaries take and give single things whole, without a lock.
        self._reviewed[self._watch] = self._look

    def __exit__(self, *_error: object) -> None:
        del self._reviewed[self._watch]


class Reviews:
    """Looks at all running calls in a thread of its own. Safe to use from many."""

    def __init__(self, *, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._reviewed: dict[Watch, Look] = {}

    def reviewing(self, watch: Watch, look: Look) -> "Review":
        """Have `look` called again and again while the context lasts.

        Args:
            watch: Of the call; told if the call may not go on.
            look: Raises what the call is to end with; quick, and thread-safe.
        """
        return Review(self._reviewed, watch, look)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the thread for as long as the context lasts."""
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stop,), name="reviews", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def review(self) -> None:
        """Look at every running call once."""
        for watch, look in self._reviewed.copy().items():
            try:
                look()
            except StrongroomError as error:
                watch.refuse(error)
            except Exception:  # noqa: BLE001 (a right that cannot be told is none)
                message = "the right of a running call could not be looked at"
                watch.refuse(InternalError(message))

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_s):
            self.review()
