# SPDX-License-Identifier: Apache-2.0
"""Which key domains are dead, as far as this server knows; asked before each use."""

import threading
from collections.abc import Callable

from strongroom_server.core.scope import STORE_PROJECT, Scope
from strongroom_server.core.tombstone import Tombstone, shredded

Find = Callable[[bytes], Tombstone | None]


class Graves:
    """Refuses what would open a dead domain. Safe to use from many threads.

    What it knows, `Shreds` has told it. For the rest it is asked once more where a
    domain's keys are found to be gone, since that is how a shredded one looks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Replaced and never changed, so that readers need no lock.
        self._dead: dict[bytes, Tombstone] = {}
        self._find: Find | None = None

    def ask(self, find: Find) -> None:
        """Have `find` look for the tombstone of a project that is not known."""
        self._find = find

    def bury(self, tombstone: Tombstone) -> bool:
        """Refuse a domain from now on; return whether that is new."""
        project = tombstone.scope.project
        with self._lock:
            if project in self._dead:
                return False
            self._dead = {**self._dead, project: tombstone}
        return True

    def of_project(self, project: bytes) -> Tombstone | None:
        """Return the tombstone of a project, if one is known."""
        return self._dead.get(project)

    def all(self) -> tuple[Tombstone, ...]:
        """Return every tombstone that is known."""
        return tuple(self._dead.values())

    def check(self, scope: Scope) -> None:
        """Check that a domain is not known to be dead.

        Raises:
            PreconditionError: It is (KEY_SHREDDED).
        """
        self.check_project(scope.project)

    def check_project(self, project: bytes) -> None:
        """Check that a project is not known to be dead; errors as `check`."""
        tombstone = self._dead.get(project)
        if tombstone is not None:
            raise shredded(tombstone)

    def look(self, scope: Scope) -> None:
        """Look whether a domain whose keys cannot be had is dead; errors as `check`."""
        if self._find is None or scope.project == STORE_PROJECT:
            return
        tombstone = self._find(scope.project)
        if tombstone is not None:
            raise shredded(tombstone)
