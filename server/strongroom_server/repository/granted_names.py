# SPDX-License-Identifier: Apache-2.0
"""Chunks of a write by grant: named by central a batch at a time, ahead of storing.

Central tells id and key of what is to be stored, and what is stored already. While it
is asked, the next bytes come in.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_server.core.codecs import Buffer
from strongroom_server.core.write_grant import MAX_NAMES, ChunkName, NamedChunk
from strongroom_server.ports import GrantedWrite, Pending
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.chunk_encoding import (
    NO_HINT,
    ChunkEncoder,
    ChunkHint,
)
from strongroom_server.repository.granted_packs import GrantedPending
from strongroom_server.repository.packs import Encoding, PackWriter, PendingChunk
from strongroom_server.repository.waiting import result_of

#: A batch is asked for once it has so many bytes.
BATCH_BYTES: Final = 4 * 1024 * 1024
#: What may wait for its names, or to be asked for.
MAX_WAITING_BYTES: Final = 48 * 1024 * 1024
#: Chunks of this content that are remembered for deduplication within it.
_MAX_OWN_CHUNKS: Final = 100_000


@dataclass(slots=True)
class _Unnamed:
    """A chunk without its name, and what it takes of the budget."""

    pending: GrantedPending
    plaintext: Buffer
    encoding: Encoding | None


@dataclass(slots=True)
class _Batch:
    chunks: Sequence[_Unnamed]
    answer: Pending[Sequence[NamedChunk]]
    taken_bytes: int


class GrantedNames:
    """A `ChunkSink` of one write. Used by one thread.

    Args:
        write: Names chunks.
        encoder: Says how they are encoded.
        budget: Chunks that wait are taken from it; without room, none waits.
    """

    def __init__(
        self,
        write: GrantedWrite,
        encoder: ChunkEncoder,
        budget: ByteBudget,
    ) -> None:
        self._write = write
        self._suite = write.grant.suite
        self._encoder = encoder
        self._budget = budget
        self._own: dict[ChunkName, GrantedPending] = {}
        self._open: list[_Unnamed] = []
        self._open_bytes = self._open_taken_bytes = 0
        self._asked: deque[_Batch] = deque()
        self._asked_bytes = 0

    def add(
        self, packs: PackWriter, plaintext: Buffer, hint: ChunkHint = NO_HINT
    ) -> PendingChunk:
        """See `ChunkSink`."""
        self.take_named(packs)
        digest = self._suite.digest(plaintext)
        size_bytes = len(plaintext)
        name = (digest, size_bytes)
        own = self._own.get(name)
        if own is not None:
            return own
        pending = GrantedPending(b"", size_bytes, digest=digest)
        if len(self._own) < _MAX_OWN_CHUNKS:
            self._own[name] = pending
        has_room = (
            self._asked_bytes + self._open_bytes + size_bytes <= MAX_WAITING_BYTES
            and self._budget.try_take(size_bytes)
        )
        encoding = self._encoder.encoding(size_bytes, hint)
        self._open.append(_Unnamed(pending, plaintext, encoding))
        self._open_bytes += size_bytes
        if has_room:
            self._open_taken_bytes += size_bytes
        if not has_room:
            self.finish(packs)
        elif self._open_bytes >= BATCH_BYTES or len(self._open) == MAX_NAMES:
            self._ask()
        return pending

    def take_named(self, packs: PackWriter) -> None:
        """Have stored what central has named by now, without waiting."""
        while self._asked and self._asked[0].answer.done():
            self._take(packs)

    def finish(self, packs: PackWriter) -> None:
        """Wait until everything is named and on its way."""
        self._ask()
        while self._asked:
            self._take(packs)

    def abort(self) -> None:
        """Let go of what waits."""
        self._budget.give_back(self._open_taken_bytes)
        for batch in self._asked:
            self._budget.give_back(batch.taken_bytes)
        self._open, self._open_bytes, self._open_taken_bytes = [], 0, 0
        self._asked.clear()

    def _ask(self) -> None:
        if not self._open:
            return
        names = [(item.pending.digest, item.pending.plain_bytes) for item in self._open]
        batch = _Batch(self._open, self._write.name(names), self._open_taken_bytes)
        self._asked.append(batch)
        self._asked_bytes += self._open_bytes
        self._open, self._open_bytes, self._open_taken_bytes = [], 0, 0

    def _take(self, packs: PackWriter) -> None:
        batch = self._asked[0]
        named = result_of(batch.answer)
        self._asked.popleft()
        # What is stored, and so not kept, and what packs hold from here on.
        self._budget.give_back(batch.taken_bytes)
        for item, found in zip(batch.chunks, named, strict=True):
            self._asked_bytes -= item.pending.plain_bytes
            item.pending.chunk_id = found.chunk_id
            if found.key is None:
                item.pending.is_known = True
            else:
                item.pending.key = found.key
                packs.put(item.pending, item.plaintext, item.encoding)
