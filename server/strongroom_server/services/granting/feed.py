# SPDX-License-Identifier: Apache-2.0
"""Telling holders of grants when versions must not be read any more."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from strongroom.errors import (
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import VersionName
from strongroom_server.core.grant import MAX_WATCHED, Revoked
from strongroom_server.core.scope import Scope
from strongroom_server.repository.repository import Repository

#: Between two looks at what this server knows of itself: shreddings.
TICK_S: Final = 0.5
#: Between two looks at the journals, which cost a request to the store each.
LOOK_S: Final = 5.0
#: Without anything to tell, a sign of life.
HEARTBEAT_S: Final = 5.0


class GrantFeed:
    """Watches versions for any number of holders. Safe to use from many threads."""

    def __init__(
        self,
        repository: Repository,
        *,
        tick_s: float = TICK_S,
        look_s: float = LOOK_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._repository = repository
        self._tick_s = tick_s
        self._look_s = look_s
        self._heartbeat_s = heartbeat_s
        self._stop = threading.Event()

    def stop(self) -> None:
        """End all watches; the server stops."""
        self._stop.set()

    def watch(
        self, names: Sequence[VersionName], check: Callable[[], None]
    ) -> Iterator[tuple[Revoked, ...]]:
        """Yield what ended, as soon as it is known; nothing as a sign of life.

        What ended already comes at once. Each version is told of once. While the
        store cannot be looked at there are no signs of life, and shreddings that
        this server knows of are told all the same.

        Args:
            names: The versions, by number; 1 to MAX_WATCHED.
            check: Raises once nobody listens any more.

        Raises:
            InvalidArgumentError: There are none, too many, or not named by number.
            UnavailableError: The server stops (DRAINING).
        """
        _check_names(names)
        watched: dict[VersionName, Scope | None] = dict.fromkeys(names)
        clock = self._repository.clock
        looked_s = told_s = -self._look_s - self._heartbeat_s
        sees = False
        while True:
            check()
            now_s = clock.monotonic()
            revoked = self._shredded(watched)
            if now_s - looked_s >= self._look_s:
                looked_s = now_s
                ended, sees = self._look(watched)
                revoked += ended
            # No sign of life from somebody who cannot look.
            if revoked or (sees and now_s - told_s >= self._heartbeat_s):
                told_s = now_s
                yield tuple(revoked)
            if self._stop.wait(self._tick_s):
                raise _stopping()

    def _shredded(self, watched: dict[VersionName, Scope | None]) -> list[Revoked]:
        """Take out what this server knows to be shredded; makes no request."""
        found = []
        for name, scope in tuple(watched.items()):
            try:
                if scope is not None:
                    self._repository.check_readable(name, scope)
            except PreconditionError as error:
                del watched[name]
                found.append(_revoked(name, error))
        return found

    def _look(
        self, watched: dict[VersionName, Scope | None]
    ) -> tuple[list[Revoked], bool]:
        """Take out what the journals say has ended; and whether all could be read."""
        found = []
        for name in tuple(watched):
            try:
                artifact, _ = self._repository.version(name)
                watched[name] = artifact.scope
            except (PreconditionError, NotFoundError) as error:
                del watched[name]
                found.append(_revoked(name, error))
            except UnavailableError:
                return found, False
        return found, True


def _revoked(name: VersionName, error: StrongroomError) -> Revoked:
    return Revoked(name.resource, error.reason.value, error.message)


def _check_names(names: Sequence[VersionName]) -> None:
    problem = ""
    if not 1 <= len(names) <= MAX_WATCHED:
        problem = f"{len(names)} versions cannot be watched at once: 1 to {MAX_WATCHED}"
    elif not all(name.selector.isdecimal() for name in names):
        problem = "versions are watched by their numbers"
    if problem:
        raise InvalidArgumentError(problem, hint="Watch several times.", field="names")


def _stopping() -> UnavailableError:
    return UnavailableError(
        "the server stops, and watches no grants any more",
        reason=Reason.DRAINING,
        hint="Watch at another server, or at this one when it is back.",
    )
