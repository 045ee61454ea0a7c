# SPDX-License-Identifier: Apache-2.0
"""The grants that a sidecar holds: opened, found again, renewed, and ended.

An opened version goes on while central is away, until its pages end. A new one needs
central, and fails at once without it.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from weakref import WeakSet

from strongroom.errors import (
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from strongroom.format.digest import path_order
from strongroom.format.names import VersionName
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.grant import Grant, GrantPage
from strongroom_server.core.records import VersionRecord
from strongroom_server.core.scope import Scope
from strongroom_server.ports import Clock, GrantSource
from strongroom_server.repository.cache import Cache
from strongroom_server.repository.granted_pages import (
    GrantedPage,
    Lease,
    PageRenewal,
    granted_entry,
)

#: Files and chunks of what is kept to be found again; each has about a KiB.
MAX_KEPT: Final = 200_000
#: One version, or part of one, that is larger is read through and not kept.
MAX_KEPT_AT_ONCE: Final = 100_000
#: Between two tries to renew a page.
_PAUSE_S: Final = 2.0
#: How long a reader waits for another one that renews the same page.
_WAIT_S: Final = 30.0
#: What says that nobody may read a version, however often they ask.
_FINAL: Final = (
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

_Key = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Opening:
    """A version, or part of one, that can be read.

    Attributes:
        version: The version.
        scope: Its key domain, at epoch 0.
        entries: The files, in byte order of path.
    """

    version: VersionRecord
    scope: Scope
    entries: Iterator[FileEntry]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The same, kept to be found again."""

    version: VersionRecord
    scope: Scope
    entries: tuple[FileEntry, ...]
    pages: tuple[GrantedPage, ...]


class GrantBook:
    """Holds grants. Safe to use from many threads."""

    def __init__(
        self, source: GrantSource, *, clock: Clock, executor: Executor
    ) -> None:
        self._source = source
        self._clock = clock
        self._executor = executor
        self._lock = threading.Lock()
        self._kept: Cache[_Key, _Kept] = Cache(MAX_KEPT)
        self._pages = WeakSet[GrantedPage]()
        #: Versions that were revoked, and why; the newest ones.
        self._refusals: OrderedDict[str, StrongroomError] = OrderedDict()
        #: Set whenever another version is held.
        self.changed = threading.Event()

    def open(
        self, name: VersionName, *, paths: Sequence[str], max_files: int | None = None
    ) -> Opening:
        """Open files of a version; errors as `GrantSource.open`.

        Args:
            name: The version.
            paths: Files, or directories with a trailing slash; empty means all.
            max_files: Of a version with more files, none is opened.
        """
        if name.selector.isdecimal():
            found = self._find(name, tuple(paths))
            if found is not None:
                return found
        begun_s = self._clock.monotonic()
        with ExitStack() as stack:
            opened = stack.enter_context(self._source.open(name, paths=paths))
            grant = opened.grant
            self._begin(grant)
            if max_files is not None and grant.version.file_count > max_files:
                return Opening(grant.version, grant.scope, iter(()))
            reader = _Reader(self, grant, opened.pages(), begun_s)
            kept: list[FileEntry] = []
            weight = 0
            entries = reader.entries()
            for entry in entries:
                kept.append(entry)
                weight += 1 + len(entry.chunks)
                if weight > MAX_KEPT_AT_ONCE:
                    reader.forget_pages()
                    rest = _closing(stack.pop_all(), kept, entries)
                    return Opening(grant.version, grant.scope, rest)
        key = (grant.version.name.resource, tuple(paths))
        made = _Kept(grant.version, grant.scope, tuple(kept), tuple(reader.pages))
        self._kept.put(key, made, weight=weight)
        return Opening(grant.version, grant.scope, iter(kept))

    def held(self) -> list[VersionName]:
        """Return the versions of which there are keys, by name."""
        now_s = self._clock.monotonic()
        names = {page.name for page in self._pages_of(None) if page.is_open(now_s)}
        refused = self._refusals
        return sorted(
            (name for name in names if name.resource not in refused),
            key=lambda name: name.resource,
        )

    def key(self, page: GrantedPage) -> None:
        """See that the keys of a page may be used now, and renew it if need be.

        Raises:
            StrongroomError: They may not: the version was revoked; or their time is
                over and central does not renew them.
        """
        now_s = self._clock.monotonic()
        lease = page.lease(now_s)
        if lease is Lease.GOOD:
            return
        if lease is Lease.OVER:
            self._renew(page)
        elif page.may_ask(now_s, _PAUSE_S):
            if lease is Lease.AGING:
                self._executor.submit(self._renew_early, page)
            else:
                self._renew_early(page)
                page.lease(now_s)

    def refresh(self, page: GrantedPage, is_fresh: Callable[[], bool]) -> None:
        """Have a page renewed whose URLs are not believed; errors as `key`.

        Args:
            page: The page.
            is_fresh: Whether somebody else did so meanwhile.
        """
        self._renew(page, is_fresh)

    def check_readable(self, name: VersionName) -> None:
        """Check that a version was not revoked; quick.

        Raises:
            StrongroomError: It was, and why.
        """
        refusal = self._refusals.get(name.resource)
        if refusal is not None:
            raise refusal

    def revoke(self, name: VersionName, refusal: StrongroomError) -> frozenset[str]:
        """End all that was granted of a version, at once; return its packs."""
        resource = name.resource
        with self._lock:
            self._refusals[resource] = refusal
            while len(self._refusals) > MAX_KEPT_AT_ONCE // 100:
                self._refusals.popitem(last=False)
            pages = [page for page in self._pages if page.name == name]
        packs = frozenset(pack for page in pages for pack in page.packs)
        for page in pages:
            page.end(refusal)
        self._kept.drop(lambda key: key[0] == resource)
        return packs

    def doubt(self, names: Sequence[VersionName]) -> None:
        """Ask central before what was granted of versions is used again."""
        for page in self._pages_of(names):
            page.doubt()

    def confirm(self, names: Sequence[VersionName]) -> None:
        """Believe in what was granted of versions again."""
        for page in self._pages_of(names):
            page.confirm()

    def forget_old(self) -> None:
        """Forget keys whose time is over, whoever still holds their chunks."""
        now_s = self._clock.monotonic()
        for page in self._pages_of(None):
            page.drop_if_over(now_s)

    def add(self, grant: Grant, page: GrantPage, *, made_s: float) -> GrantedPage:
        """Take a page in that was made at `made_s`, or a little later."""
        since_s = min(made_s, self._clock.monotonic())
        made = GrantedPage(grant.version.name, grant.scope, page, now_s=since_s)
        with self._lock:
            self._pages.add(made)
            refusal = self._refusals.get(made.name.resource)
        if refusal is not None:
            made.end(refusal)
        return made

    def _begin(self, grant: Grant) -> None:
        # Central grants it now, whatever was said before.
        with self._lock:
            self._refusals.pop(grant.version.name.resource, None)

    def _find(self, name: VersionName, paths: tuple[str, ...]) -> Opening | None:
        kept = self._kept.get((name.resource, paths))
        entries = kept.entries if kept is not None else ()
        if kept is None and len(paths) == 1 and not paths[0].endswith("/"):
            kept = self._kept.get((name.resource, ()))
            entries = _only(kept.entries if kept is not None else (), paths[0])
            kept = kept if entries else None
        if kept is None:
            return None
        now_s = self._clock.monotonic()
        if any(page.lease(now_s) is Lease.OVER for page in kept.pages):
            self._kept.drop(lambda key: key[0] == name.resource)
            return None
        return Opening(kept.version, kept.scope, iter(entries))

    def _renew_early(self, page: GrantedPage) -> None:
        if not page.renewing.acquire(blocking=False):
            return  # Somebody asks already, and the lease is good while they wait.
        try:
            if page.lease(self._clock.monotonic()) is not Lease.GOOD:
                self._ask(page)
        except StrongroomError:
            # If it has ended, the page says so to whoever asks it. Otherwise it is
            # good for some time yet, however busy central is; somebody asks again.
            return
        finally:
            page.renewing.release()

    def _renew(
        self, page: GrantedPage, is_done: Callable[[], bool] | None = None
    ) -> None:
        """Renew a page, or wait until somebody else has; errors as `key`."""
        if not page.renewing.acquire(timeout=_WAIT_S):
            raise UnavailableError(
                f"central did not renew what was granted within {_WAIT_S:g} seconds",
                reason=Reason.TRANSPORT,
                hint="Try again once central answers.",
            )
        try:
            lease = page.lease(self._clock.monotonic())
            if is_done() if is_done is not None else lease is Lease.GOOD:
                return
            self._ask(page)
        finally:
            page.renewing.release()

    def _ask(self, page: GrantedPage) -> None:
        """Have central grant a page anew; `page.renewing` is held."""
        now_s = self._clock.monotonic()
        lease = page.lease(now_s)
        renewals = [PageRenewal(item) for item in self._pages_beside(page)]
        try:
            with self._source.open(page.name, paths=page.paths) as opened:
                for fresh in opened.pages():
                    for renewal in renewals:
                        renewal.take(fresh)
        except _FINAL as error:
            self.revoke(page.name, error)
            raise
        for renewal in renewals:
            # Another page of the same file need not be asked for by itself.
            if renewal.page is page or renewal.is_whole:
                renewal.page.renew(renewal, now_s=now_s)
        if lease is Lease.OVER:
            self.changed.set()  # Held again, and to be watched.

    def _pages_beside(self, page: GrantedPage) -> list[GrantedPage]:
        """Return a page, and those that have parts of its files."""
        paths = frozenset(page.paths)
        return [
            item
            for item in self._pages_of([page.name])
            if not paths.isdisjoint(item.paths)
        ]

    def _pages_of(self, names: Sequence[VersionName] | None) -> list[GrantedPage]:
        with self._lock:
            return [page for page in self._pages if names is None or page.name in names]


class _Reader:
    """Puts pages into a book, and their files together."""

    def __init__(
        self,
        book: GrantBook,
        grant: Grant,
        pages: Iterator[GrantPage],
        begun_s: float,
    ) -> None:
        self._book = book
        self._grant = grant
        self._source = pages
        self._begun_s = begun_s
        self._first_end: datetime | None = None
        self.pages: list[GrantedPage] = []
        self._keeps = True
        self._told = False

    def forget_pages(self) -> None:
        """Keep no more than those hold who read the files."""
        self.pages, self._keeps = [], False

    def entries(self) -> Iterator[FileEntry]:
        """Yield the files, in order."""
        begun: FileEntry | None = None
        for item in self._source:
            made_s = self._made_s(item)
            page = self._book.add(self._grant, item, made_s=made_s)
            if not self._told:
                # Now that it is held, and not before: whoever looks must see it.
                self._told = True
                self._book.changed.set()
            if self._keeps:
                self.pages.append(page)
            for part in item.files:
                entry = granted_entry(part, page)
                if begun is not None:
                    entry = replace(entry, chunks=(*begun.chunks, *entry.chunks))
                begun = entry if part.unfinished else None
                if begun is None:
                    yield entry

    def _made_s(self, page: GrantPage) -> float:
        """Return when a page was made, or a little earlier.

        It may have waited on its way, and its life has begun all the same. How much
        later than the first one it was made central's own clock says.
        """
        self._first_end = self._first_end or page.expire_time
        return self._begun_s + (page.expire_time - self._first_end).total_seconds()


def _only(entries: Sequence[FileEntry], path: str) -> tuple[FileEntry, ...]:
    place = bisect_left(
        entries, path_order(path), key=lambda item: path_order(item.path)
    )
    found = entries[place : place + 1]
    return tuple(found) if found and found[0].path == path else ()


def _closing(
    stack: ExitStack, first: Sequence[FileEntry], rest: Iterator[FileEntry]
) -> Iterator[FileEntry]:
    with stack:
        yield from first
        yield from rest
