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
from typing import Final

from strongroom.errors import (
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom.format.names import VersionName, parse_version_name
from strongroom_server.core.grant import MAX_WATCHED, Revoked
from strongroom_server.ports import GrantSource, GrantWatch, PackCache
from strongroom_server.repository.grant_book import GrantBook

#: Between two looks at which versions are held, unless another one is opened.
LOOK_S: Final = 5.0
#: Between two calls to watch, when the first one ended.
_PAUSE_S: Final = 1.0

_ABSENT: Final = frozenset({Reason.VERSION_NOT_FOUND, Reason.ARTIFACT_NOT_FOUND})
_LOG: Final = logging.getLogger("strongroom_server.leases")


class LeaseWatch:
    """Watches what a book holds. Used by one thread."""

    def __init__(self, book: GrantBook, source: GrantSource, cache: PackCache) -> None:
        self._book = book
        self._source = source
        self._cache = cache
        self._groups: dict[tuple[VersionName, ...], _Group] = {}

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
                self._follow(_grouped(self._book.held()))
                self._book.changed.wait(LOOK_S)
        finally:
            self._follow(())

    def _follow(self, wanted: Sequence[tuple[VersionName, ...]]) -> None:
        """Begin to watch groups that are new, then end those that nobody needs."""
        for names in wanted:
            if names not in self._groups:
                group = _Group(names, self._source, self._hear, self._book.doubt)
                self._groups[names] = group
        for names in [names for names in self._groups if names not in wanted]:
            self._groups.pop(names).end()

    def _hear(self, names: Sequence[VersionName], revoked: Sequence[Revoked]) -> None:
        ended = {item.name for item in revoked}
        for item in revoked:
            packs = self._book.revoke(parse_version_name(item.name), _refusal(item))
            for pack in packs:
                self._cache.drop(pack)
            line = {"event": "grant_revoked", "reason": item.reason}
            _LOG.warning("%s", json.dumps(line))
        self._book.confirm([name for name in names if name.resource not in ended])


class _Group:
    """Some versions, watched by one call in a thread of its own."""

    def __init__(
        self,
        names: tuple[VersionName, ...],
        source: GrantSource,
        hear: Callable[[Sequence[VersionName], Sequence[Revoked]], None],
        doubt: Callable[[Sequence[VersionName]], None],
    ) -> None:
        self._names = names
        self._source = source
        self._hear = hear
        self._doubt = doubt
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._watch: GrantWatch | None = None
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
        while not self._stop.is_set():
            try:
                self._listen()
            except StrongroomError as error:
                if not self._stop.is_set():
                    line = {"event": "watch_ended", "reason": error.reason}
                    _LOG.warning("%s", json.dumps(line))
            if not self._stop.is_set():
                self._doubt(self._names)
                self._stop.wait(_PAUSE_S)

    def _listen(self) -> None:
        watch = self._source.watch(self._names)
        try:
            with self._lock:
                self._watch = watch
            if self._stop.is_set():
                return
            for revoked in watch:
                self._hear(self._names, revoked)
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
