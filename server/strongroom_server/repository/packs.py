# SPDX-License-Identifier: Apache-2.0
"""Writing packs: chunks in, durable packs out, a bounded number at a time.

A chunk that has 4 MiB or more once it is encoded is a pack by itself; smaller ones
share packs in the order in which they come. Encoding, encryption and upload run on
the executor; the caller's thread is held back when too much is under way, its own
or everybody's.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Final, Protocol

from strongroom_server.core import cobblestone, pack
from strongroom_server.core.chunk import MAX_CHUNK_BYTES, ChunkRef
from strongroom_server.core.codecs import Buffer, Codec
from strongroom_server.repository.budget import ByteBudget

#: A chunk of this size or more is a pack by itself.
OWN_PACK_BYTES: Final = 4 * 1024 * 1024
#: Segments of a suite are no smaller, as far as it matters here: each has a tag.
_SEGMENT_BYTES: Final = 1 << 16
#: Packs of one writer that may be encrypted and uploaded at the same time.
MAX_UNDER_WAY: Final = 4


@dataclass(slots=True)
class PendingChunk:
    """A chunk on its way to S3.

    Attributes:
        chunk_id: Its id; empty while nobody has told it.
        plain_bytes: The length of its plaintext.
        ref: Where it lies, once its pack is durable.
        digest: Of its plaintext, in the suite's algorithm; may be empty if it was
            durable from the start.
        is_known: Whether it is durable in a place that only central knows.
    """

    chunk_id: bytes
    plain_bytes: int
    ref: ChunkRef | None = None
    digest: bytes = b""
    is_known: bool = False

    @property
    def is_durable(self) -> bool:
        """Whether it is in S3."""
        return self.ref is not None or self.is_known


def are_durable(chunks: Sequence[PendingChunk]) -> bool:
    """Return whether all of them are in S3."""
    return all(chunk.is_durable for chunk in chunks)


def refs_of(chunks: Sequence[PendingChunk]) -> tuple[ChunkRef, ...]:
    """Return where durable chunks lie."""
    refs = tuple(chunk.ref for chunk in chunks if chunk.ref is not None)
    if len(refs) != len(chunks):
        message = "a chunk is used before it is durable"
        raise AssertionError(message)
    return refs


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chunk's encoded bytes, how they were made, and a delta's base."""

    data: Buffer
    codec: Codec = Codec.RAW
    base: ChunkRef | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a chunk will be encoded.

    Attributes:
        encode: Encodes its plaintext; runs on the executor.
        held_bytes: What that holds at most, beside the plaintext.
    """

    encode: Callable[[Buffer], Encoded]
    held_bytes: int


@dataclass(slots=True)
class PackItem:
    """A chunk of an open pack; with `encoding`, its bytes are plaintext still."""

    pending: PendingChunk
    encoded: Encoded
    encoding: Encoding | None = None

    @property
    def held_bytes(self) -> int:
        """What it holds until it is stored, encrypted bytes included."""
        size_bytes = 2 * len(self.encoded.data)
        return size_bytes + (self.encoding.held_bytes if self.encoding else 0)

    def encode(self) -> None:
        """Encode it, unless it is."""
        if self.encoding is not None:
            self.encoded = self.encoding.encode(self.encoded.data)
            self.encoding = None


@dataclass(frozen=True, slots=True)
class StoredPack:
    """A pack that is durable, and where its chunks lie in it."""

    chunks: Sequence[PendingChunk]
    refs: Sequence[ChunkRef]
    size_bytes: int


class PackStorage(Protocol):
    """Encrypts chunks into packs and stores these. Safe to use from many threads."""

    def store(self, items: Sequence[PackItem]) -> StoredPack:
        """Store a pack of encoded chunks, whose bytes it lets go of.

        Raises:
            StrongroomError: It could not be stored.
        """
        ...


@dataclass(slots=True)
class _OpenPack:
    items: list[PackItem] = field(default_factory=list)
    size_bytes: int = 0
    taken_bytes: int = 0
    is_old: bool = False


class PackWriter:
    """Groups chunks into packs and has them stored. One writer a thread."""

    def __init__(
        self,
        storage: PackStorage,
        *,
        executor: Executor,
        budget: ByteBudget,
        open_budget: ByteBudget,
        max_under_way: int = MAX_UNDER_WAY,
        max_entries: int = pack.MAX_ENTRIES,
    ) -> None:
        """Begin without a chunk.

        Args:
            storage: Stores packs.
            executor: Its threads do.
            budget: What all writers together may have under way.
            open_budget: And what they may hold in packs that are not full.
            max_under_way: Packs of this one under way at once.
            max_entries: Chunks of one pack.
        """
        self._storage = storage
        self._max_under_way = max_under_way
        self._max_entries = max_entries
        self._executor = executor
        self._budget = budget
        self._open_budget = open_budget
        self._open = _OpenPack()
        self._under_way: deque[tuple[Future[StoredPack | PackItem], bool]] = deque()
        #: How many of those under way may yet become part of the open pack.
        self._encoding = 0
        self.stored_bytes = 0
        self._durable: list[ChunkRef] = []

    def add(
        self,
        chunk_id: bytes,
        plaintext: Buffer,
        *,
        digest: bytes,
        encoding: Encoding | None = None,
    ) -> PendingChunk:
        """Take in a chunk.

        Args:
            chunk_id: Its id.
            plaintext: Its bytes, which belong to the writer from now on.
            digest: Their digest, in the suite's algorithm.
            encoding: How it will be encoded; not at all, if there is none.
        """
        pending = PendingChunk(chunk_id, len(plaintext), digest=digest)
        self.put(pending, plaintext, encoding)
        return pending

    def put(
        self, pending: PendingChunk, plaintext: Buffer, encoding: Encoding | None
    ) -> None:
        """Take in a chunk that somebody waits for; see `add`."""
        item = PackItem(pending, Encoded(plaintext), encoding)
        if len(plaintext) >= OWN_PACK_BYTES:
            self._submit([item])
        else:
            self._put_open(item)

    def flush(self) -> None:
        """Send off the open pack, full or not."""
        if self._open.items:
            group, self._open = self._open, _OpenPack()
            try:
                self._submit(group.items)
            finally:
                self._open_budget.give_back(group.taken_bytes)

    def flush_old(self) -> None:
        """Send off the open pack if it was open at the last call already.

        What keeps filling packs needs no other: who asks now and then how much is
        durable would else leave a pack behind each time that is nearly empty.
        """
        if self._open.is_old:
            self.flush()
        else:
            self._open.is_old = bool(self._open.items)

    def finish(self) -> None:
        """Send off what is open and wait until every pack is durable."""
        while self._encoding:
            self._collect()
        self.flush()
        while self._under_way:
            self._collect()

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    def wait(self) -> None:
        """Wait until the oldest job under way has ended."""
        if self._under_way:
            self._collect()

    def poll(self) -> None:
        """Take in the packs that have become durable, without waiting."""
        while self._under_way and self._under_way[0][0].done():
            self._collect()

    @property
    def durable_count(self) -> int:
        """How many chunks `take_durable` would return."""
        return len(self._durable)

    def take_durable(self) -> list[ChunkRef]:
        """Return the chunks that have become durable since the last time."""
        durable, self._durable = self._durable, []
        return durable

    def abort(self) -> None:
        """Stop what has not begun and wait for what has; that is durable, or failed."""
        self._open_budget.give_back(self._open.taken_bytes)
        self._open = _OpenPack()
        for future, _ in self._under_way:
            future.cancel()
        while self._under_way:
            future, _ = self._under_way.popleft()
            if not future.cancelled() and future.exception() is None:
                result = future.result()
                if isinstance(result, StoredPack):
                    self._settle(result)

    def _put_open(self, item: PackItem) -> None:
        size_bytes = len(item.encoded.data)
        # As encrypted: just above 16 MiB a pack would be padded by half a MiB.
        stored_bytes = cobblestone.encrypted_size(size_bytes, _SEGMENT_BYTES)
        # Sending off may bring in encoded chunks, which are put here as well.
        while self._open.items and (
            self._open.size_bytes + stored_bytes > MAX_CHUNK_BYTES
            or len(self._open.items) == self._max_entries
        ):
            self.flush()
        # Never waits, since it may hold such bytes already: without room, packs
        # are sent off half-full.
        has_room = self._open_budget.try_take(size_bytes)
        self._open.items.append(item)
        self._open.size_bytes += stored_bytes
        if has_room:
            self._open.taken_bytes += size_bytes
        else:
            self.flush()

    def _submit(self, items: Sequence[PackItem]) -> None:
        while len(self._under_way) >= self._max_under_way:
            self._collect()
        size_bytes = sum(item.held_bytes for item in items)
        is_large = len(items[0].encoded.data) >= OWN_PACK_BYTES
        self._budget.take(size_bytes)
        try:
            future = self._executor.submit(self._process, items)
        except RuntimeError:  # The threads have ended, and with them the server.
            self._budget.give_back(size_bytes)
            raise
        # Also if it fails or is cancelled.
        future.add_done_callback(lambda _: self._budget.give_back(size_bytes))
        self._under_way.append((future, is_large))
        self._encoding += is_large

    def _collect(self) -> None:
        future, is_large = self._under_way.popleft()
        self._encoding -= is_large
        result = future.result()
        if isinstance(result, StoredPack):
            self._settle(result)
        else:
            self._put_open(result)

    def _settle(self, stored: StoredPack) -> None:
        self.stored_bytes += stored.size_bytes
        for pending, ref in zip(stored.chunks, stored.refs, strict=True):
            pending.ref = ref
        self._durable.extend(stored.refs)

    def _process(self, items: Sequence[PackItem]) -> StoredPack | PackItem:
        """Encode and store; a large chunk that became small waits for others."""
        was_large = len(items[0].encoded.data) >= OWN_PACK_BYTES
        for item in items:
            item.encode()
        if was_large and len(items[0].encoded.data) < OWN_PACK_BYTES:
            return items[0]
        return self._storage.store(items)
