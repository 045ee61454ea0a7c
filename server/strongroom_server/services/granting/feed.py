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
        store cannot be looked at there are no signs of life.

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
        while True:
            check()
            now_s = clock.monotonic()
            looks = now_s - looked_s >= self._look_s
            try:
                revoked = self._find(watched, looks=looks)
            except UnavailableError:
                # No sign of life from somebody who cannot look.
                told_s = now_s
                revoked = []
            else:
                looked_s = now_s if looks else looked_s
            for name, _ in revoked:
                del watched[name]
            if revoked or now_s - told_s >= self._heartbeat_s:
                told_s = now_s
                yield tuple(item for _, item in revoked)
            if self._stop.wait(self._tick_s):
                raise _stopping()

    def _find(
        self, watched: dict[VersionName, Scope | None], *, looks: bool
    ) -> list[tuple[VersionName, Revoked]]:
        found = []
        for name, scope in watched.items():
            try:
                if looks or scope is None:
                    artifact, _ = self._repository.version(name)
                    watched[name] = artifact.scope
                else:
                    self._repository.check_readable(name, scope)
            except (PreconditionError, NotFoundError) as error:
                found.append((name, _revoked(name, error)))
        return found


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
