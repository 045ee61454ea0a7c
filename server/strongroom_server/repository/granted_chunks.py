# SPDX-License-Identifier: Apache-2.0
"""Chunks as a sidecar has them: keys that were granted, packs by URL or from disk.

A pack is fetched whole, as it is stored, once enough of it is wanted; behind its
readers it goes to the disk, if there is room and it is what its name says. What comes
from either is believed only once it has been decrypted, as everything is: damaged
there, it is fetched anew.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.pack import MAX_PACK_BYTES
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import find_suite
from strongroom_server.ports import PackFetcher, UrlRefusedError
from strongroom_server.repository.chunk_source import ChunkSource
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.granted_pages import GrantedKey, GrantedPage, page_of
from strongroom_server.repository.pack_arrivals import Arrival, PackArrivals
from strongroom_server.repository.repairs import Place

Found = TypeVar("Found")

#: A pack is fetched whole for one read of so much, or of half of a chunk.
WHOLE_BYTES: Final = 4 * 1024 * 1024
#: Or when so many smaller reads have gone to it.
WHOLE_READS: Final = 4
#: Packs whose small reads are counted.
_MAX_COUNTED: Final = 4096
#: How long a read waits for another one that fetches the same pack.
_WAIT_S: Final = 3.0
#: Once the disk did not keep a pack, or hung, so many reads are of ranges before the
#: next try.
_RANGES_AFTER: Final = 256


class GrantedChunks:
    """A `ChunkSource` of granted chunks. Safe to use from many threads.

    Args:
        book: Says whether keys may be used.
        fetcher: Fetches packs.
        packs: Keeps packs, on the disk and on their way there.
        keeps: Whether packs are fetched for the disk at all. What a delta is made to
            is read once, and writing it down would take longer than the delta.
    """

    def __init__(
        self,
        book: GrantBook,
        *,
        fetcher: PackFetcher,
        packs: PackArrivals,
        keeps: bool = True,
    ) -> None:
        self._book = book
        self._fetcher = fetcher
        self._packs = packs
        self._keeps = keeps
        self._lock = threading.Lock()
        self._reads = OrderedDict[str, int]()
        self._ranges_left = 0

    def keys(self, scope: Scope, ref: ChunkRef) -> GrantedKey:
        """See `ChunkSource`.

        Raises:
            StrongroomError: The version was revoked, or central does not renew what
                was granted of it.
        """
        page = page_of(ref)
        key = self._held(page, lambda: page.key(ref))
        return GrantedKey(scope.at_epoch(ref.epoch), key)

    def elsewhere(self, scope: Scope, ref: ChunkRef) -> Iterator[Place]:  # noqa: ARG002
        """See `ChunkSource`: the store's own copy, if that kept here is damaged.

        Also where nothing is kept any more: somebody else may have found the damage.
        """
        self._packs.drop(ref.pack)
        yield Place(layout.pack_key(ref.pack), ref.pack_version, ref)

    def read_into(self, place: Place, *, offset_bytes: int, buffer: memoryview) -> None:
        """See `ChunkSource`.

        Raises:
            StrongroomError: As `keys`.
        """
        ref = place.ref
        if self._packs.read_into(ref.pack, offset_bytes=offset_bytes, buffer=buffer):
            return
        if self._wants_whole(ref, len(buffer)) and self._read_whole(
            ref, offset_bytes, buffer
        ):
            return

        def fetch(url: str) -> None:
            self._fetcher.read_into(url, offset_bytes=offset_bytes, buffer=buffer)

        self._with_url(ref, fetch)

    def _wants_whole(self, ref: ChunkRef, size_bytes: int) -> bool:
        if not self._keeps:
            return False
        with self._lock:
            if self._ranges_left:
                self._ranges_left -= 1
                return False
        if size_bytes >= WHOLE_BYTES or 2 * size_bytes >= ref.stored_bytes:
            return True
        with self._lock:
            count = self._reads.pop(ref.pack, 0) + 1
            self._reads[ref.pack] = count
            while len(self._reads) > _MAX_COUNTED:
                self._reads.popitem(last=False)
        return count >= WHOLE_READS

    def _read_whole(self, ref: ChunkRef, offset_bytes: int, buffer: memoryview) -> bool:
        """Fetch a pack whole, or wait for who does; return whether it served."""
        # Who reads a small piece will come for others of the same pack.
        wait_s = 0.0 if len(buffer) >= WHOLE_BYTES else _WAIT_S
        arrival, mine = self._packs.begin(ref.pack, wait_s=wait_s)
        if arrival is None:
            if wait_s and self._packs.is_behind:  # The next ones would wait as long.
                self._go_by_ranges()
            return False
        if not mine:
            arrival.here.wait(_WAIT_S)
            return self._packs.read_into(
                ref.pack, offset_bytes=offset_bytes, buffer=buffer
            )
        try:
            # Another one may have brought it while this one waited for the disk.
            if wait_s and self._packs.read_into(
                ref.pack, offset_bytes=offset_bytes, buffer=buffer
            ):
                return True
            data = self._fetch_whole(ref, arrival)
            part = data[offset_bytes : offset_bytes + len(buffer)]
            with part:
                if len(part) != len(buffer):
                    raise _cut_short(ref)
                buffer[:] = part
        finally:
            self._packs.leave(arrival)
        return True

    def _fetch_whole(self, ref: ChunkRef, arrival: Arrival) -> memoryview:
        # A pack is named by the suite that wrote it; with that, its chunks are read.
        suite = find_suite(ref.suite)
        data = memoryview(b"")

        def room(size_bytes: int) -> memoryview:
            nonlocal data
            if len(data) != size_bytes:
                data = self._packs.lend(arrival, size_bytes)
            return data

        def fetch(url: str) -> None:
            self._fetcher.read_whole(url, room, max_bytes=MAX_PACK_BYTES)

        def is_right(pack: memoryview) -> bool:
            return suite.digest(pack).hex() == ref.pack

        self._with_url(ref, fetch)
        with self._lock:
            # Counted anew: a disk that falls behind may not keep it, and then each
            # small read of it would fetch all of it once more.
            self._reads.pop(ref.pack, None)
        self._packs.arrived(arrival, data, is_right, self._note_kept)
        return data

    def _note_kept(self, is_kept: bool) -> None:  # noqa: FBT001 -- told by the disk
        if not is_kept:
            self._go_by_ranges()

    def _go_by_ranges(self) -> None:
        with self._lock:
            self._ranges_left = _RANGES_AFTER

    def _with_url(self, ref: ChunkRef, fetch: Callable[[str], None]) -> None:
        """Fetch by the URL of a chunk's pack; by a fresh one if it is not believed."""
        page = page_of(ref)
        url = self._held(page, lambda: page.url(ref))
        try:
            fetch(url)
        except UrlRefusedError:
            self._book.refresh(page, lambda: page.url(ref) != url)
            try:
                fetch(self._held(page, lambda: page.url(ref)))
            except UrlRefusedError as error:
                raise UnavailableError(
                    "the store does not believe the URL of a pack that central signed",
                    reason=Reason.STORE_UNAVAILABLE,
                    hint="Check that central's credential of the store may read, and "
                    "the clocks of central and of the store.",
                    pack=ref.pack,
                ) from error

    def _held(self, page: GrantedPage, read: Callable[[], Found | None]) -> Found:
        """Return what a page holds, once its keys may be used."""
        self._book.key(page)
        found = read()
        if found is None:
            # Forgotten between the two: its time was over just now.
            self._book.key(page)
            found = read()
        if found is None:
            raise UnavailableError(
                "what was granted of the version has ended",
                hint="Try again once central can be reached.",
            )
        return found


def _cut_short(ref: ChunkRef) -> IntegrityError:
    return IntegrityError(
        f"pack {ref.pack[:16]} is cut short",
        reason=Reason.CHUNK_CORRUPT,
        hint="With a copy of the store: strongroom verify --store --repair; with the "
        "files: strongroom repair VERSION --from DIRECTORY",
        pack=ref.pack,
    )


_source: type[ChunkSource] = GrantedChunks
