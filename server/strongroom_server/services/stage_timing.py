# SPDX-License-Identifier: Apache-2.0
"""How fast each stage of reading is, on real versions and one stage after another.

The product overlaps the stages; apart they show which of them is the slowest, and what
a faster one would bring.
"""

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from strongroom.errors import PreconditionError
from strongroom.format.names import VersionName
from strongroom_server.core import chunk as chunk_format
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.pack import MAX_PACK_BYTES
from strongroom_server.core.scope import Scope
from strongroom_server.ports import Clock, PackCache, PackFetcher, ReadBuffer
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.granted_chunks import GrantedChunks
from strongroom_server.repository.granted_pages import page_of
from strongroom_server.repository.pack_arrivals import PackArrivals

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
#: Of less than this, a rate tells of round trips, and nothing of stages.
MIN_BYTES: Final = 4 * _MIB
S3: Final = "s3"
DECRYPT: Final = "decrypt"
VERIFY: Final = "verify"


@dataclass(frozen=True, slots=True)
class StageTime:
    """What one stage took.

    Attributes:
        stage: Its name.
        size_bytes: How much plaintext it was for; 0 if it cannot be measured here.
        seconds: How long that took.
        detail: What was done, or why it was not.
    """

    stage: str
    size_bytes: int
    seconds: float
    detail: str

    @property
    def gib_per_s(self) -> float:
        """GiB a second; 0 if it was not measured."""
        return self.size_bytes / _GIB / self.seconds if self.seconds else 0.0


def slowest(stages: Sequence[StageTime]) -> StageTime | None:
    """Return the stage that limits reading; None if nothing was measured.

    Only those are compared that had the same bytes and the same number of threads.
    """
    alike = [stage for stage in stages if stage.stage in {S3, DECRYPT, VERIFY}]
    return min(alike, key=lambda stage: stage.gib_per_s, default=None)


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a version is read: its packs, and the chunks in them.

    Attributes:
        scope: The key domain.
        chunks: Each once.
        packs: A chunk of each pack that they lie in, or that they differ from.
    """

    scope: Scope
    chunks: Sequence[ChunkRef]
    packs: Sequence[ChunkRef]

    @property
    def plain_bytes(self) -> int:
        """How much plaintext the chunks are."""
        return sum(ref.plain_bytes for ref in self.chunks)


class HeldPacks:
    """A `PackCache` that keeps what is measured, and copies it once."""

    def __init__(self) -> None:
        self._packs: dict[str, bytearray] = {}

    def read_into(self, pack: str, *, offset_bytes: int, buffer: memoryview) -> bool:
        """See `PackCache`."""
        data = self._packs.get(pack)
        if data is None or offset_bytes + len(buffer) > len(data):
            return False
        with memoryview(data) as view:
            buffer[:] = view[offset_bytes : offset_bytes + len(buffer)]
        return True

    def put(self, pack: str, data: ReadBuffer) -> bool:
        """See `PackCache`."""
        self._packs[pack] = data if isinstance(data, bytearray) else bytearray(data)
        return True

    def drop(self, pack: str) -> bool:
        """See `PackCache`: what was fetched is not fetched again."""
        del pack
        return False


class StageTiming:
    """Reads versions that were granted, stage by stage.

    Args:
        book: Opens versions.
        fetcher: Fetches their packs.
        executor: Has as many threads as each stage is to use.
        clock: Measures.
    """

    def __init__(
        self,
        book: GrantBook,
        *,
        fetcher: PackFetcher,
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._book = book
        self._fetcher = fetcher
        self._executor = executor
        self._clock = clock
        self._held = HeldPacks()
        self._buffers = threading.local()
        packs = PackArrivals(self._held, ByteBudget(0))
        self._chunks = ChunkReader(GrantedChunks(book, fetcher=fetcher, packs=packs))

    def measure(
        self, name: VersionName, paths: Sequence[str], *, max_bytes: int
    ) -> Iterator[StageTime]:
        """Yield what fetching, decrypting and verifying takes.

        Args:
            name: The version.
            paths: Files, or directories with a trailing slash; empty means all.
            max_bytes: Stops after the packs with which so much would be held.

        Raises:
            PreconditionError: It is less than `MIN_BYTES`.
            StrongroomError: As of `GrantBook.open` and of readers.
        """
        part = self._part(name, paths, max_bytes)
        stored, seconds = self._timed(self._fetch, part.packs)
        detail = f"{len(part.packs)} packs, {stored / _MIB:.1f} MiB as stored"
        yield StageTime(S3, part.plain_bytes, seconds, detail)
        plain, seconds = self._timed(
            lambda ref: self._decrypt(part.scope, ref), part.chunks
        )
        detail = f"{len(part.chunks)} chunks, decompressed and authenticated"
        yield StageTime(DECRYPT, plain, seconds, detail)
        plain, seconds = self._timed(self._digest, part.chunks)
        yield StageTime(VERIFY, plain, seconds, "SHA-256, as of whole files")

    def _part(self, name: VersionName, paths: Sequence[str], max_bytes: int) -> _Part:
        opening = self._book.open(name, paths=paths)
        chunks: dict[bytes, ChunkRef] = {}
        packs: dict[str, ChunkRef] = {}
        for ref in itertools.chain.from_iterable(
            entry.chunks for entry in opening.entries
        ):
            needed = [ref] if ref.base is None else [ref, ref.base]
            missing = [one for one in needed if one.pack not in packs]
            held_bytes = (len(packs) + len(missing)) * MAX_PACK_BYTES
            if packs and missing and held_bytes > max_bytes:
                continue
            chunks[ref.chunk_id] = ref
            packs |= {one.pack: one for one in missing}
        part = _Part(opening.scope, list(chunks.values()), list(packs.values()))
        if part.plain_bytes < MIN_BYTES:
            message = (
                f"{name} has {part.plain_bytes} bytes to measure with, "
                f"and {MIN_BYTES} are needed"
            )
            raise PreconditionError(message, hint="Name a version with larger files.")
        return part

    def _timed(
        self, work: Callable[[ChunkRef], int], refs: Sequence[ChunkRef]
    ) -> tuple[int, float]:
        """Do something with chunks on all threads; return the bytes and seconds."""
        began_s = self._clock.monotonic()
        done = sum(self._executor.map(work, refs))
        return done, max(self._clock.monotonic() - began_s, 1e-9)

    def _fetch(self, ref: ChunkRef) -> int:
        page = page_of(ref)
        # For what it does beside: a page whose lease has ended is asked for again.
        self._book.key(page)  # For what it does: asks anew before its URLs end.
        url = page.url(ref)
        if url is None:
            message = "what was granted of the version ended while it was measured"
            raise PreconditionError(message, hint="Measure less: --size 64 (MiB).")
        data = bytearray()

        def room(size_bytes: int) -> memoryview:
            nonlocal data
            data = bytearray(size_bytes)
            return memoryview(data)

        self._fetcher.read_whole(url, room, max_bytes=MAX_PACK_BYTES)
        self._held.put(ref.pack, data)
        return len(data)

    def _decrypt(self, scope: Scope, ref: ChunkRef) -> int:
        room = self._room(chunk_format.room_bytes(ref, 0, ref.plain_bytes))
        self._chunks.read_range_into(scope, ref, 0, ref.plain_bytes, room)
        return ref.plain_bytes

    def _digest(self, ref: ChunkRef) -> int:
        hashlib.sha256(self._room(ref.plain_bytes)).digest()
        return ref.plain_bytes

    def _room(self, size_bytes: int) -> memoryview:
        """Return memory of this thread's own that it has used before."""
        buffer: bytearray = getattr(self._buffers, "buffer", bytearray())
        if len(buffer) < size_bytes:
            buffer = bytearray(size_bytes)
            self._buffers.buffer = buffer
        return memoryview(buffer)[:size_bytes]


_cache: type[PackCache] = HeldPacks
