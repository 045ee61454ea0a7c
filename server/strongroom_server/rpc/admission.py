# SPDX-License-Identifier: Apache-2.0
"""Admission: how many calls run at once, in all and of one principal."""

import threading
from collections import Counter

from strongroom_server.rpc import failures


class Admission:
    """Counts the calls that run. Safe to use from many threads.

    Args:
        max_calls: Calls at once, of everybody.
        max_own_calls: Calls at once of one principal; 0: as many as in all.
    """

    def __init__(self, max_calls: int, max_own_calls: int = 0) -> None:
        self._max_calls = max_calls
        self._max_own_calls = max_own_calls or max_calls
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._is_draining = False

    def drain(self) -> None:
        """Refuse new calls; those that run go on."""
        self._is_draining = True

    def enter(self, principal: str) -> None:
        """Let a call in, to be let out by `leave`.

        Raises:
            UnavailableError: The server is shutting down (DRAINING).
            ExhaustedError: The principal, or everybody together, has as many calls
                as may be (TOO_MANY_OWN_CALLS, TOO_MANY_CALLS).
        """
        with self._lock:
            if self._is_draining:
                raise failures.draining()
            if self._running.total() >= self._max_calls:
                raise failures.too_many_calls(self._max_calls)
            if self._running[principal] >= self._max_own_calls:
                raise failures.too_many_own_calls(self._max_own_calls, principal)
            self._running[principal] += 1

    def leave(self, principal: str) -> None:
        """Let a call out."""
        with self._lock:
            self._running[principal] -= 1
            # Principals come and go; only those that call are remembered.
            if not self._running[principal]:
                del self._running[principal]
