# SPDX-License-Identifier: Apache-2.0
"""A file that is being received: its digest so far, and where its chunks end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.format.chunking import Cutter
from strongroom.format.parts import Cut, cut_fixed
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.filetable import FileEntry
from strongroom_server.repository.ordered_hash import OrderedHash
from strongroom_server.repository.packs import PendingChunk, are_durable, refs_of
from strongroom_server.repository.parents import NO_PARENT_FILE, ParentFile


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """How far a file has come: its first chunks, which are durable."""

    path: str
    size_bytes: int
    executable: bool
    chunks: tuple[ChunkRef, ...]


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file of which all bytes are there, if not all in S3 yet."""

    path: str
    size_bytes: int
    digest: str
    executable: bool
    chunks: tuple[PendingChunk, ...]

    def entry(self) -> FileEntry | None:
        """Return the file as its version shows it, once its chunks are durable."""
        if not are_durable(self.chunks):
            return None
        return FileEntry(
            self.path,
            self.size_bytes,
            self.digest,
            self.executable,
            refs_of(self.chunks),
        )


@dataclass(slots=True)
class OpenFile:
    """A file of which not all bytes are there yet.

    Attributes:
        path: Its path.
        size_bytes: Its size, as it was announced; the largest possible one, if
            it was not.
        executable: Whether it is executable.
        cutter: Says where its chunks end.
        parent: The chunks of the same file in the version before.
        hasher: SHA-256 of the chunks so far.
        received_bytes: How many bytes are there.
        cut_bytes: How many of them are in chunks; the others are in `buffer`.
        reserved_bytes: What the buffer may hold, as taken from the budget.
        is_sized: Whether its size was announced.
    """

    path: str
    size_bytes: int
    executable: bool
    cutter: Cutter
    parent: ParentFile = NO_PARENT_FILE
    hasher: OrderedHash = field(default_factory=OrderedHash)
    received_bytes: int = 0
    cut_bytes: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    chunks: list[PendingChunk] = field(default_factory=list)
    reserved_bytes: int = 0
    is_sized: bool = True
    _next: Cut | None = None

    def take_in(self, data: bytes | memoryview, *, offset_bytes: int) -> None:
        """Take in the next bytes.

        Raises:
            InvalidArgumentError: They are not the next ones, or too many.
        """
        if offset_bytes != self.received_bytes:
            raise InvalidArgumentError(
                f"a block starts at {offset_bytes}, not at {self.received_bytes}",
                reason=Reason.OFFSET_MISMATCH,
                offset_bytes=offset_bytes,
                expected=self.received_bytes,
            )
        if offset_bytes + len(data) > self.size_bytes:
            raise InvalidArgumentError(
                f"file {self.path!r} has more bytes than it said",
                reason=Reason.ARGUMENT_INVALID,
            )
        self.received_bytes += len(data)
        self.buffer += data

    def cut(self) -> Iterator[tuple[bytearray, Cut]]:
        """Yield the chunks that are whole, with what the cutter says of them."""
        while self.buffer:
            if self._next is None:
                if self.cutter.next_end(self.buffer) is None:
                    return
                self._next = self.cutter.last_cut
            if self._next.end > self.received_bytes:
                return
            cut, self._next = self._next, None
            size = cut.end - self.cut_bytes
            # Only what is left is copied: a part of a block.
            rest = self.buffer[size:]
            del self.buffer[size:]
            chunk, self.buffer = self.buffer, rest
            self.cut_bytes = cut.end
            self.hasher.update(chunk)
            yield chunk, cut

    def end(self) -> Iterator[tuple[bytearray, Cut]]:
        """Yield what is left of a file whose size was not announced: it ends here."""
        self.size_bytes = self.received_bytes
        for cut in cut_fixed(self.cut_bytes, self.received_bytes):
            size = cut.end - self.cut_bytes
            chunk, self.buffer = self.buffer[:size], self.buffer[size:]
            self.cut_bytes = cut.end
            self.hasher.update(chunk)
            yield chunk, cut

    def resume(
        self, cutter: Cutter, hasher: OrderedHash, chunks: Sequence[ChunkRef]
    ) -> None:
        """Go on behind chunks that are stored already, of which this is the state."""
        self.cutter, self.hasher = cutter, hasher
        self.chunks = [
            PendingChunk(ref.chunk_id, ref.plain_bytes, ref) for ref in chunks
        ]
        self.received_bytes = sum(ref.plain_bytes for ref in chunks)
        self.cut_bytes = self.received_bytes

    def position(self) -> OpenPosition:
        """Return how far its chunks are durable."""
        durable = []
        for chunk in self.chunks:
            if chunk.ref is None:
                break
            durable.append(chunk.ref)
        return OpenPosition(self.path, self.size_bytes, self.executable, tuple(durable))
