# SPDX-License-Identifier: Apache-2.0
"""Admission: how many calls run at once, in all and of one principal."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from strongroom_server.rpc import failures


class Admission:
    """Counts the calls that run. Safe to use from many threads.

    A person's call counts for the program that it comes by and for the person.

    Args:
        max_calls: Calls at once, of everybody.
        max_own_calls: Calls at once of one principal; 0: as many as in all.
        max_watches: Calls at once that only wait for news; half of them of one
            principal. They count for nothing else.
    """

    def __init__(
        self, max_calls: int, max_own_calls: int = 0, max_watches: int = 0
    ) -> None:
        self._max_calls = max_calls
        self._max_own_calls = max_own_calls or max_calls
        self._max_watches = max_watches
        self._watches: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._total = 0
        self._running: Counter[str] = Counter()
        self._is_draining = False

    def drain(self) -> None:
        """Refuse new calls; those that run go on."""
        self._is_draining = True

    def inside(
        self, program: str, *, watches: bool = False
    ) -> AbstractContextManager[None]:
        """Let a call in for as long as the context lasts; errors as for `enter`.

        Args:
            program: The principal.
            watches: Whether the call only waits for news.
        """
        return self._watching(program) if watches else _Place(self, program)

    @contextmanager
    def _watching(self, program: str) -> Iterator[None]:
        with self._lock:
            if self._is_draining:
                raise failures.draining()
            if self._watches.total() >= self._max_watches:
                raise failures.too_many_watches(self._max_watches)
            # Nobody alone keeps everybody else from hearing.
            own = max(self._max_watches // 2, 1)
            if self._watches[program] >= own:
                raise failures.too_many_watches(own)
            self._watches[program] += 1
        try:
            yield
        finally:
            with self._lock:
                self._watches[program] -= 1
                if not self._watches[program]:
                    del self._watches[program]

    @contextmanager
    def counting(self, person: str) -> Iterator[None]:
        """Count a call that was let in for a person, too.

        Raises:
            ExhaustedError: The person has as many calls as may be
                (TOO_MANY_OWN_CALLS).
        """
        with self._lock:
            self._add(person)
        try:
            yield
        finally:
            with self._lock:
                self._remove(person)

    def enter(self, principal: str) -> None:
        """Let a program's call in, to be let out by `leave`.

        Raises:
            UnavailableError: The server is shutting down (DRAINING).
            ExhaustedError: The principal, or everybody together, has as many calls
                as may be (TOO_MANY_OWN_CALLS, TOO_MANY_CALLS).
        """
        with self._lock:
            if self._is_draining:
                raise failures.draining()
            if self._total >= self._max_calls:
                raise failures.too_many_calls(self._max_calls)
            self._add(principal)
            self._total += 1

    def leave(self, principal: str) -> None:
        """Let a call out."""
        with self._lock:
            self._remove(principal)
            self._total -= 1

    def _add(self, principal: str) -> None:
        if self._running[principal] >= self._max_own_calls:
            raise failures.too_many_own_calls(self._max_own_calls, principal)
        self._running[principal] += 1

    def _remove(self, principal: str) -> None:
        self._running[principal] -= 1
        # Principals come and go; only those that call are remembered.
        if not self._running[principal]:
            del self._running[principal]


class _Place(AbstractContextManager[None]):
    """The place of one call among those that run."""

    __slots__ = ("_admission", "_program")

    def __init__(self, admission: Admission, program: str) -> None:
        self._admission = admission
        self._program = program

    def __enter__(self) -> None:
        self._admission.enter(self._program)

    def __exit__(self, *_error: object) -> None:
        self._admission.leave(self._program)
