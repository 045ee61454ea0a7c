# SPDX-License-Identifier: Apache-2.0
"""Hearing from central when what was granted has ended; and when nobody is heard.

Versions are watched in groups, each by one call and one thread. A call that ends,
however it ends, tells nothing any more: then central is asked again before what was
granted is used, and if it cannot be asked, leases go on until their time is over.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import VersionName, parse_version_name
from strongroom_server.core.grant import MAX_WATCHED, Revoked
from strongroom_server.ports import GrantSource, GrantWatch
from strongroom_server.repository.grant_book import GrantBook

#: Between two looks at which versions are held, unless another one is opened.
LOOK_S: Final = 5.0
#: Groups that are watched, each with a thread. What is held beyond them is doubted at
#: each look: central is asked before it is used.
MAX_GROUPS: Final = 64
#: Between two calls to watch, when the first one ended.
_PAUSE_S: Final = 1.0

#: What says that a version must not be watched any more, and so not be read.
_REFUSALS: Final = (NotFoundError, PermissionDeniedError, PreconditionError)
_ABSENT: Final = frozenset({Reason.VERSION_NOT_FOUND, Reason.ARTIFACT_NOT_FOUND})
_LOG: Final = logging.getLogger("strongroom_server.leases")


class Packs(Protocol):
    """What is kept of the store."""

    def drop(self, pack: str) -> bool:
        """Forget a pack, in memory and on the disk; return whether it was there."""
        ...


class LeaseWatch:
    """Watches what a book holds. Used by one thread."""

    def __init__(self, book: GrantBook, source: GrantSource, packs: Packs) -> None:
        self._book = book
        self._source = source
        self._packs = packs
        self._groups: dict[tuple[VersionName, ...], _Group] = {}
        self._lock = threading.Lock()
        #: Versions that were refused in a group, each of which is watched by itself.
        self._single: frozenset[VersionName] = frozenset()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch in threads for as long as the context lasts."""
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stop,), name="leases", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self._book.changed.set()
            thread.join()

    def _run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._book.changed.clear()
                self._book.forget_old()
                wanted = self._wanted()
                self._follow(wanted[:MAX_GROUPS])
                for names in wanted[MAX_GROUPS:]:
                    self._book.doubt(names)
                self._book.changed.wait(LOOK_S)
        finally:
            self._follow(())

    def _wanted(self) -> list[tuple[VersionName, ...]]:
        """Return the groups that there should be."""
        held = self._book.held()
        with self._lock:
            self._single &= frozenset(held)
            single = self._single
        groups = _grouped([name for name in held if name not in single])
        return [*groups, *((name,) for name in held if name in single)]

    def _follow(self, wanted: Sequence[tuple[VersionName, ...]]) -> None:
        """Begin to watch groups that are new, then end those that nobody needs."""
        for names in [names for names, group in self._groups.items() if group.is_over]:
            self._groups.pop(names).end()
        for names in wanted:
            if names not in self._groups:
                self._groups[names] = _Group(
                    names, self._source, self._hear, self._lose, self._book.changed
                )
        for names in [names for names in self._groups if names not in wanted]:
            self._groups.pop(names).end()

    def _hear(self, names: Sequence[VersionName], revoked: Sequence[Revoked]) -> None:
        for item in revoked:
            self._revoke(parse_version_name(item.name), _refusal(item))
        if not revoked:
            # Central that tells of an end may be blind to everything else.
            self._book.confirm(names)

    def _lose(
        self, names: Sequence[VersionName], error: StrongroomError | None
    ) -> bool:
        """Doubt what is not watched any more; return whether to watch it so again."""
        self._book.doubt(names)
        if len(names) > 1 and isinstance(error, (*_REFUSALS, IntegrityError)):
            # One of them; the others must not suffer for it.
            with self._lock:
                self._single |= frozenset(names)
        elif isinstance(error, _REFUSALS):
            self._revoke(names[0], error)
            with self._lock:
                self._single = frozenset()
        else:
            return True
        return False

    def _revoke(self, name: VersionName, refusal: StrongroomError) -> None:
        for pack in self._book.revoke(name, refusal):
            self._packs.drop(pack)
        line = {"event": "grant_revoked", "reason": refusal.reason}
        _LOG.warning("%s", json.dumps(line))


class _Group:
    """Some versions, watched by one call in a thread of its own."""

    def __init__(
        self,
        names: tuple[VersionName, ...],
        source: GrantSource,
        hear: Callable[[Sequence[VersionName], Sequence[Revoked]], None],
        lose: Callable[[Sequence[VersionName], StrongroomError | None], bool],
        over: threading.Event,
    ) -> None:
        self._names = names
        self._source = source
        self._hear = hear
        self._lose = lose
        self._over = over
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._watch: GrantWatch | None = None
        #: Whether nobody watches any more.
        self.is_over = False
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop watching."""
        self._stop.set()
        with self._lock:
            watch = self._watch
        if watch is not None:
            watch.end()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set() and not self.is_over:
            error = None
            try:
                self._listen()
            except StrongroomError as failure:
                error = failure
                if not self._stop.is_set():
                    line = {"event": "watch_ended", "reason": error.reason}
                    _LOG.warning("%s", json.dumps(line))
            if not self._stop.is_set() and not self.is_over:
                self.is_over = not self._lose(self._names, error)
            if self.is_over:
                self._over.set()
            else:
                self._stop.wait(_PAUSE_S)

    def _listen(self) -> None:
        watch = self._source.watch(self._names)
        try:
            with self._lock:
                self._watch = watch
            if self._stop.is_set():
                return
            for revoked in watch:
                # Central tells of each once: what is left is another group.
                self.is_over = bool(revoked)
                self._hear(self._names, revoked)
                if self.is_over:
                    return
        finally:
            watch.end()


def _grouped(names: Sequence[VersionName]) -> list[tuple[VersionName, ...]]:
    return [
        tuple(names[begin : begin + MAX_WATCHED])
        for begin in range(0, len(names), MAX_WATCHED)
    ]


def _refusal(item: Revoked) -> StrongroomError:
    """Return what readers of a version that has ended are told."""
    known = item.reason in Reason.__members__
    reason = Reason(item.reason) if known else None
    cls: type[StrongroomError] = PreconditionError
    if reason in _ABSENT:
        cls = NotFoundError
    elif reason is Reason.ACTION_NOT_ALLOWED:
        cls = PermissionDeniedError
    return cls(item.message, reason=reason, version=item.name)
