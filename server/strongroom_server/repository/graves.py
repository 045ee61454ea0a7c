# SPDX-License-Identifier: Apache-2.0
"""Which key domains are dead, as far as this server knows; asked before each use."""

import threading
from collections.abc import Callable

from strongroom_server.core.scope import STORE_PROJECT, Scope
from strongroom_server.core.tombstone import Tombstone, shredded

#: Looks for the tombstone of a project, or of one domain in it.
Find = Callable[[bytes, bytes], Tombstone | None]
#: The domain of tombstones that are of a whole project.
_ALL: bytes = b""


class Graves:
    """Refuses what would open a dead domain. Safe to use from many threads.

    What it knows, `Shreds` has told it. For the rest it is asked once more where a
    domain's keys are found to be gone, since that is how a shredded one looks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Replaced and never changed, so that readers need no lock.
        self._dead: dict[tuple[bytes, bytes], Tombstone] = {}
        self._find: Find | None = None

    def ask(self, find: Find) -> None:
        """Have `find` look for tombstones that are not known."""
        self._find = find

    def bury(self, tombstone: Tombstone) -> bool:
        """Refuse a project or a domain from now on; return whether that is new."""
        scope = tombstone.scope
        place = (scope.project, tombstone.own_domain)
        with self._lock:
            if place in self._dead:
                return False
            self._dead = {**self._dead, place: tombstone}
        return True

    def of_project(self, project: bytes) -> Tombstone | None:
        """Return the tombstone of a project, if one is known."""
        return self._dead.get((project, _ALL))

    def of_domain(self, project: bytes, domain: bytes) -> Tombstone | None:
        """Return the tombstone of a domain's project, or of itself, if known."""
        dead = self._dead
        return dead.get((project, _ALL)) or dead.get((project, domain))

    def of_artifact(self, project: bytes, artifact: bytes) -> Tombstone | None:
        """Return the tombstone of one artifact, by its id, if one is known."""
        for (owner, _), tombstone in self._dead.items():
            if owner == project and artifact and tombstone.artifact == artifact:
                return tombstone
        return None

    def all(self) -> tuple[Tombstone, ...]:
        """Return every tombstone that is known."""
        return tuple(self._dead.values())

    def check(self, scope: Scope) -> None:
        """Check that a domain is not known to be dead.

        Raises:
            PreconditionError: It is, or its project is (KEY_SHREDDED).
        """
        dead = self._dead
        if dead:
            tombstone = self.of_domain(scope.project, scope.domain)
            if tombstone is not None:
                raise shredded(tombstone)

    def check_project(self, project: bytes) -> None:
        """Check that a project is not known to be dead; errors as `check`."""
        tombstone = self.of_project(project)
        if tombstone is not None:
            raise shredded(tombstone)

    def look(self, scope: Scope) -> None:
        """Look whether a domain whose keys cannot be had is dead; errors as `check`."""
        if self._find is None or scope.project == STORE_PROJECT:
            return
        tombstone = self._find(scope.project, scope.domain)
        if tombstone is not None:
            raise shredded(tombstone)
