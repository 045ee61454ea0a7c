# SPDX-License-Identifier: Apache-2.0
"""What a round of replication finds wrong, and whose journals wait because of it."""

import threading
from dataclasses import dataclass
from typing import Final

from strongroom_server.core.scope import Scope

#: Findings that are told one by one; more are counted.
MAX_TOLD: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One object that could not be copied as it is.

    Attributes:
        key: Of the object.
        problem: What is wrong with it, as a sentence without its end.
    """

    key: str
    problem: str


class Findings:
    """What was found in one round. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: list[Finding] = []
        self._held: set[tuple[bytes, bytes]] = set()
        self._is_all_held = False
        self.count = 0
        self.vanished_count = 0

    def add(self, key: str, problem: str) -> None:
        """Take a finding; it is told, and no journal waits."""
        with self._lock:
            self.count += 1
            if len(self._told) < MAX_TOLD:
                self._told.append(Finding(key, problem))

    def hold(self, scope: Scope | None) -> None:
        """Let the journals of a key domain wait; of all, if nobody knows whose."""
        with self._lock:
            if scope is None:
                self._is_all_held = True
            else:
                self._held.add((scope.project, scope.domain))

    def note_vanished(self) -> None:
        """Count an object that was removed between listing and reading."""
        with self._lock:
            self.vanished_count += 1

    def is_held(self, scope: Scope) -> bool:
        """Return whether the journals of a key domain wait."""
        with self._lock:
            return self._is_all_held or (scope.project, scope.domain) in self._held

    def told(self) -> tuple[Finding, ...]:
        """Return what was found, the first hundred."""
        with self._lock:
            return tuple(self._told)
