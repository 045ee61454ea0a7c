# SPDX-License-Identifier: Apache-2.0
"""A sidecar's engine over central's engine in memory: who asks whom is counted."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from strongroom.errors import (
    CancelledError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import VersionName
from strongroom_server.adapters.memory import MemoryBlobPresigner
from strongroom_server.adapters.memory_packs import MemoryPackCache
from strongroom_server.core.grant import Grant, GrantPage, Revoked
from strongroom_server.core.records import FileBlock, FileStarted
from strongroom_server.ports import (
    BlobNotFoundError,
    GrantSource,
    GrantWatch,
    PackFetcher,
    UrlRefusedError,
)
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.granted_chunks import GrantedChunks
from strongroom_server.repository.pack_arrivals import PackArrivals
from strongroom_server.services.downloads import GrantedDownloads, GrantedEngine
from strongroom_server.services.granting import GrantFeed, Granting
from tests.support.clock import ManualClock
from tests.support.world import ARTIFACT, World, memory_world

LIFETIME_S = 100
MIB = 1024 * 1024
#: A version, and what it is of: one large file, an empty one, and small ones.
ONE = VersionName(ARTIFACT, "1")
BIG = hashlib.shake_256(b"weights").digest(20 * MIB)
FILES = {
    "big.bin": BIG,
    "empty": b"",
    **{f"small/{number:03d}": b"%d" % number * 50 for number in range(60)},
}
#: How long packs may take to the disk, which is memory here.
SETTLED_S = 30.0


@dataclass
class MemoryGrant:
    """An `OpenedGrant`."""

    grant: Grant
    source: Iterator[GrantPage]

    def pages(self) -> Iterator[GrantPage]:
        return self.source


class MemoryGrants:
    """A `GrantSource` that asks central's use case; may be cut off, or refused."""

    def __init__(self, world: World) -> None:
        self._granting = Granting(
            world.repository, MemoryBlobPresigner(), lifetime_s=LIFETIME_S
        )
        self._feed = GrantFeed(
            world.repository, tick_s=0.01, look_s=0.05, heartbeat_s=0.05
        )
        self.opened: list[tuple[str, tuple[str, ...]]] = []
        self.watched: list[tuple[str, ...]] = []
        self.watches: list[MemoryWatch] = []
        self.refusal: StrongroomError | None = None
        #: Who may not be read any more, by number.
        self.denied: dict[str, StrongroomError] = {}
        self.open_count = 0

    def cut_off(self) -> None:
        """Be away from now on."""
        self.refusal = UnavailableError("central is away", reason=Reason.TRANSPORT)

    @contextmanager
    def open(self, name: VersionName, *, paths: Sequence[str]) -> Iterator[MemoryGrant]:
        """See `GrantSource`."""
        self.opened.append((name.selector, tuple(paths)))
        self._check([name])
        granted = self._granting.open(name, paths=paths)
        self.open_count += 1
        try:
            yield MemoryGrant(granted.grant, granted.pages)
        finally:
            self.open_count -= 1

    def watch(self, names: Sequence[VersionName]) -> "MemoryWatch":
        """See `GrantSource`."""
        self._check(names)
        self.watched.append(tuple(name.selector for name in names))
        watch = MemoryWatch(self._feed, names)
        self.watches.append(watch)
        return watch

    def _check(self, names: Sequence[VersionName]) -> None:
        refusals = [self.denied.get(name.selector) for name in names]
        for refusal in (self.refusal, *refusals):
            if refusal is not None:
                raise refusal


class MemoryWatch:
    """A `GrantWatch` of central's use case; may break off."""

    def __init__(self, feed: GrantFeed, names: Sequence[VersionName]) -> None:
        self._feed = feed
        self.names = names
        self._error: StrongroomError | None = None

    @property
    def is_on(self) -> bool:
        """Whether it has not ended."""
        return self._error is None

    def __iter__(self) -> Iterator[tuple[Revoked, ...]]:
        return self._feed.watch(self.names, self._check)

    def end(self) -> None:
        """See `GrantWatch`."""
        self._error = self._error or CancelledError("the watch was ended")

    def break_off(self, error: StrongroomError) -> None:
        """End with an error, as central does."""
        self._error = error

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


class MemoryPacks:
    """A `PackFetcher` of a bucket in memory; may refuse URLs, counts requests."""

    def __init__(self, world: World) -> None:
        self._bucket = world.bucket
        self.requests: list[tuple[str, int]] = []
        self.refusals = 0
        #: How many of the packs that are fetched whole next are damaged on their way.
        self.damaged = 0

    def read_into(self, url: str, *, offset_bytes: int, buffer: memoryview) -> None:
        """See `PackFetcher`."""
        data = self._read(url, len(buffer))
        part = data[offset_bytes : offset_bytes + len(buffer)]
        if len(part) != len(buffer):
            raise BlobNotFoundError(url)
        buffer[:] = part

    def read_whole(
        self, url: str, room: Callable[[int], memoryview], *, max_bytes: int
    ) -> memoryview:
        """See `PackFetcher`."""
        data = self._read(url, 0)
        if len(data) > max_bytes:
            raise BlobNotFoundError(url)
        view = room(len(data))
        view[:] = data
        if self.damaged:
            self.damaged -= 1
            view[: len(data) // 2] = bytes(len(data) // 2)
        return view

    def _read(self, url: str, size_bytes: int) -> bytes:
        key, _, query = url.removeprefix("memory://").partition("?versionId=")
        self.requests.append((key, size_bytes))
        if self.refusals:
            self.refusals -= 1
            raise UrlRefusedError(url)
        version_id = query.partition("&")[0]
        return self._bucket.get(key, version_id=version_id, max_bytes=64 * MIB)


_fetcher: type[PackFetcher] = MemoryPacks
_grants: type[GrantSource] = MemoryGrants
_watch: type[GrantWatch] = MemoryWatch


@dataclass
class Sidecar:
    """A sidecar's engine, and what stands around it."""

    world: World
    executor: Executor
    clock: ManualClock
    grants: MemoryGrants
    packs: MemoryPacks
    cache: MemoryPackCache
    kept: PackArrivals
    book: GrantBook
    downloads: GrantedDownloads
    lifetime_s: float = field(default=LIFETIME_S)

    def read(
        self, name: VersionName, *paths: str, offset: int = 0, length: int = 0
    ) -> dict[str, bytes]:
        """Read files through the sidecar."""
        files: dict[str, bytearray] = {}
        path = ""
        with self.downloads.open(
            name, paths=paths, offset_bytes=offset, length_bytes=length
        ) as download:
            for item in download.items:
                if isinstance(item, FileStarted):
                    path = item.path
                    files[path] = bytearray()
                elif isinstance(item, FileBlock):
                    files[path] += item.data
        assert self.kept.settle(SETTLED_S)
        return {path: bytes(data) for path, data in files.items()}


@contextmanager
def sidecar_world(*, cache_bytes: int = 256 * MIB) -> Iterator[Sidecar]:
    """Yield a sidecar beside an empty world; both by a clock that stands still."""
    clock = ManualClock()
    with memory_world(clock=clock) as world, ThreadPoolExecutor(4) as executor:
        grants, packs = MemoryGrants(world), MemoryPacks(world)
        cache = MemoryPackCache(max_bytes=cache_bytes)
        book = GrantBook(grants, clock=clock, executor=executor)
        kept = PackArrivals(cache, ByteBudget(128 * MIB))
        chunks = GrantedChunks(book, fetcher=packs, packs=kept)
        engine = GrantedEngine(
            book, ChunkReader(chunks), executor, ByteBudget(64 * MIB), clock
        )
        downloads = GrantedDownloads(engine)
        yield Sidecar(
            world, executor, clock, grants, packs, cache, kept, book, downloads
        )
        kept.close()
