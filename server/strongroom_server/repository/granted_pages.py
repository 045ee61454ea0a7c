# SPDX-License-Identifier: Apache-2.0
"""A granted page in a sidecar's memory: keys and URLs that end with their lease.

Files, chunks and pages outlive the keys: a page that is renewed opens what it opened
before, one that has ended opens nothing, whoever still holds a chunk of it.
"""

import threading
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from strongroom.errors import InternalError, StrongroomError
from strongroom.format.names import VersionName
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.grant import FilePart, GrantPage, PackPlace
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import DigestAlgorithm

#: A page is renewed once this part of its life is over.
_RENEW_AT: Final = 0.5


class Lease(Enum):
    """How a page stands."""

    #: Its keys may be used.
    GOOD = "good"
    #: They may; but it is time to ask for more of it.
    AGING = "aging"
    #: They may be used only if central cannot be asked.
    DOUBTED = "doubted"
    #: They are gone; central may give them again.
    OVER = "over"


class GrantedPage:
    """Keys and URLs of some files of a version. Safe to use from many threads.

    Attributes:
        name: The version, by number.
        scope: Its key domain, at epoch 0.
        paths: The files.
        renewing: Held by whoever renews it.
    """

    def __init__(
        self, name: VersionName, scope: Scope, page: GrantPage, *, now_s: float
    ) -> None:
        self.name = name
        self.scope = scope
        self.paths = tuple(part.entry.path for part in page.files)
        self.renewing = threading.Lock()
        self._lock = threading.Lock()
        self._keys: dict[tuple[bytes, int], bytes] = {}
        self._urls: dict[PackPlace, str] = {}
        self._refusal: StrongroomError | None = None
        self._doubted = False
        self._asked_s = 0.0
        self._renew_s = self._expire_s = now_s
        #: What it opens, also when it has no keys any more.
        self.places = frozenset(page.keys)
        self.pack_places = frozenset(page.urls)
        first = PageRenewal(self)
        first.take(page)
        self.renew(first, now_s=now_s)

    def __repr__(self) -> str:
        return f"GrantedPage({self.name.short}, {len(self.paths)} files)"

    def renew(self, renewal: "PageRenewal", *, now_s: float) -> None:
        """Take in what opens the same chunks for longer."""
        with self._lock:
            if self._refusal is not None:
                return
            self._keys, self._urls = renewal.keys, renewal.urls
            self._doubted = False
            self._renew_s = now_s + renewal.lifetime_s * _RENEW_AT
            self._expire_s = now_s + renewal.lifetime_s

    def lease(self, now_s: float) -> Lease:
        """Return how the page stands.

        Raises:
            StrongroomError: It has ended for good, and why.
        """
        with self._lock:
            if self._refusal is not None:
                raise self._refusal
            if now_s >= self._expire_s:
                self._forget()
                return Lease.OVER
            if self._doubted:
                return Lease.DOUBTED
            return Lease.AGING if now_s >= self._renew_s else Lease.GOOD

    def is_open(self, now_s: float) -> bool:
        """Return whether it has keys."""
        with self._lock:
            return self._refusal is None and now_s < self._expire_s

    def may_ask(self, now_s: float, pause_s: float) -> bool:
        """Return whether to try to renew it now: not again right after a failure."""
        with self._lock:
            if now_s - self._asked_s < pause_s and self._asked_s:
                return False
            self._asked_s = now_s
            return True

    def doubt(self) -> None:
        """Have central asked before the keys are used again."""
        with self._lock:
            self._doubted = True

    def confirm(self) -> None:
        """Believe that the keys may be used; central says so."""
        with self._lock:
            self._doubted = False

    def end(self, refusal: StrongroomError) -> None:
        """Forget the keys for good; `refusal` is what everybody is told."""
        with self._lock:
            self._refusal = refusal
            self._forget()

    def drop_if_over(self, now_s: float) -> None:
        """Forget the keys if their time is over."""
        with self._lock:
            if now_s >= self._expire_s:
                self._forget()

    def key(self, ref: ChunkRef) -> bytes | None:
        """Return the key of a chunk, or None if it is forgotten."""
        with self._lock:
            return self._keys.get((ref.chunk_id, ref.epoch))

    def url(self, ref: ChunkRef) -> str | None:
        """Return where the pack of a chunk is fetched, or None if it is forgotten."""
        with self._lock:
            return self._urls.get((ref.pack, ref.pack_version))

    @property
    def packs(self) -> frozenset[str]:
        """The packs that the page has URLs of."""
        with self._lock:
            return frozenset(pack for pack, _ in self._urls)

    def _forget(self) -> None:
        self._keys, self._urls = {}, {}


class PageRenewal:
    """What opens a page for longer, gathered of what central sends.

    A file of many pages comes whole, whichever of its pages is asked for: each page
    takes what is its own.

    Attributes:
        page: The page.
        keys, urls: What was found so far.
        lifetime_s: How long all of it may be used; 0 if nothing was found.
    """

    def __init__(self, page: GrantedPage) -> None:
        self.page = page
        self.keys: dict[tuple[bytes, int], bytes] = {}
        self.urls: dict[PackPlace, str] = {}
        self.lifetime_s = 0.0

    def take(self, fresh: GrantPage) -> None:
        """Take what a page from central has for this one."""
        places = self.page.places & fresh.keys.keys()
        if not places and self.page.places:
            return
        self.keys.update((place, fresh.keys[place]) for place in places)
        packs = self.page.pack_places & fresh.urls.keys()
        self.urls.update((pack, fresh.urls[pack]) for pack in packs)
        lifetime_s = self.lifetime_s or fresh.lifetime_s
        self.lifetime_s = min(lifetime_s, fresh.lifetime_s)

    @property
    def is_whole(self) -> bool:
        """Whether everything was found that the page opens."""
        found = len(self.keys), len(self.urls)
        return found == (len(self.page.places), len(self.page.pack_places))


@dataclass(frozen=True, slots=True)
class GrantedChunk(ChunkRef):
    """A chunk, with the page that opens it."""

    page: GrantedPage | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class GrantedKey:
    """The key of one chunk: a `ChunkKeys` that opens no other and names nothing."""

    scope: Scope
    key: bytes = field(repr=False)

    def chunk_key(self, _chunk_id: bytes) -> bytes:
        """Return the key; whoever asked for another chunk's finds that it fits not."""
        return self.key

    def chunk_id(
        self,
        _digest: bytes,
        _size_bytes: int,
        _algorithm: DigestAlgorithm,
        *,
        writer: bytes = b"",  # noqa: ARG002 (as of any `ChunkKeys`)
    ) -> None:
        """Return None: what computes ids would let a sidecar guess contents."""
        return


def granted_entry(part: FilePart, page: GrantedPage) -> FileEntry:
    """Return a file, or a part of one, whose chunks know the page that opens them."""
    chunks = tuple(_granted(ref, page) for ref in part.entry.chunks)
    return replace(part.entry, chunks=chunks)


def page_of(ref: ChunkRef) -> GrantedPage:
    """Return the page of a chunk that `granted_entry` made.

    Raises:
        InternalError: It made no such chunk: a bug.
    """
    if not isinstance(ref, GrantedChunk) or ref.page is None:
        message = "a chunk was read that nobody granted"
        raise InternalError(message)
    return ref.page


def _granted(ref: ChunkRef, page: GrantedPage) -> GrantedChunk:
    return GrantedChunk(
        ref.chunk_id,
        ref.suite,
        ref.codec,
        ref.epoch,
        ref.pack,
        ref.pack_version,
        ref.offset_bytes,
        ref.stored_bytes,
        ref.plain_bytes,
        _granted(ref.base, page) if ref.base is not None else None,
        page,
    )
