# SPDX-License-Identifier: Apache-2.0
"""Fetches of neighbouring pieces, into memory that the reader sees if it shares any.

Each fetch has room of its own, for a second one may be begun while the first still
writes. What a reader is told of is authenticated, and nobody writes to it any more.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.core.chunk import ChunkRef, room_bytes
from strongroom_server.core.scope import Scope
from strongroom_server.ports import Lease, SharedRead
from strongroom_server.services.downloads.engine import Engine

#: Smaller pieces are cheaper to send than to tell of.
MIN_SHARED_BYTES: Final = 16 * 1024
#: How long to wait for a reader that holds all the room before it is sent bytes.
WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Range:
    """A range of one chunk."""

    ref: ChunkRef
    offset_bytes: int
    length_bytes: int

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the chunk."""
        return self.length_bytes == self.ref.plain_bytes


@dataclass(frozen=True, slots=True)
class Filled:
    """Room that holds a range's plaintext, `start_bytes` from its start."""

    lease: Lease
    start_bytes: int


#: Of each range: its plaintext, where that is, or why it cannot be read.
Found = list[memoryview | Filled | StrongroomError]


class Fetches:
    """The fetches of some ranges, at most two; used by one thread.

    Args:
        engine: Reads chunks.
        scope: The key domain.
        wanted: One range, or whole chunks that are neighbours.
        room: Where to; nowhere in particular if there is none.
    """

    def __init__(
        self,
        engine: Engine,
        scope: Scope,
        wanted: Sequence[Range],
        room: SharedRead | None,
    ) -> None:
        self._engine = engine
        self._scope = scope
        self._wanted = wanted
        self._room = room
        self._spare: list[Lease] = []
        self._begun: list[tuple[Future[Found], list[Lease]]] = []
        self._told: set[int] = set()

    def take(self) -> bool:
        """Take room for a fetch; return whether there was any."""
        if self._room is None:
            return False
        for item in self._wanted:
            size_bytes = room_bytes(item.ref, item.offset_bytes, item.length_bytes)
            lease = self._room.take(size_bytes)
            if lease is None:
                self._give_back(self._spare)
                self._spare = []
                return False
            self._spare.append(lease)
        return True

    def begin(self) -> "Future[Found]":
        """Begin a fetch; the second one goes without room if there is no more.

        Raises:
            RuntimeError: The threads have ended, and with them the server.
        """
        if self._begun:
            self.take()
        leases, self._spare = self._spare, []
        read = partial(_read, self._engine, self._scope, self._wanted, leases)
        try:
            future = self._engine.executor.submit(read)
        except RuntimeError:
            self._give_back(leases)
            raise
        self._begun.append((future, leases))
        return future

    def tell(self, lease: Lease) -> None:
        """Leave what lies in a lease to the reader."""
        if self._room is not None:
            self._told.add(id(lease))
            self._room.tell(lease)

    def settle(self) -> None:
        """Give back all room but what the reader was told of; once nobody writes."""
        begun, self._begun = self._begun, []
        for future, leases in begun:
            left = [lease for lease in leases if id(lease) not in self._told]
            if left:
                future.cancel()
                future.add_done_callback(partial(self._give_back_after, left))
        self._give_back(self._spare)
        self._spare = []

    def _give_back_after(self, leases: Sequence[Lease], _: "Future[Found]") -> None:
        self._give_back(leases)

    def _give_back(self, leases: Sequence[Lease]) -> None:
        if self._room is not None:
            for lease in leases:
                self._room.give_back(lease)


def read_alone(engine: Engine, scope: Scope, wanted: Range) -> memoryview:
    """Return the plaintext of a range, in memory that holds nothing else.

    A slice would keep all that was decrypted for it, which no budget knows of.

    Raises:
        IntegrityError: As `ChunkReader.read`.
    """
    ref, offset, length = wanted.ref, wanted.offset_bytes, wanted.length_bytes
    found = engine.chunks.read_range(scope, ref, offset, length)
    return found if wanted.is_whole else memoryview(bytes(found))


def _read(
    engine: Engine, scope: Scope, wanted: Sequence[Range], leases: Sequence[Lease]
) -> Found:
    if len(wanted) == 1:
        return [_read_one(engine, scope, wanted[0], leases)]
    refs = [item.ref for item in wanted]
    rooms = [lease.buffer for lease in leases]
    found = engine.chunks.read_run(scope, refs, rooms)
    if not leases:
        return [*found]
    return [
        item if isinstance(item, StrongroomError) else Filled(lease, 0)
        for item, lease in zip(found, leases, strict=True)
    ]


def _read_one(
    engine: Engine, scope: Scope, wanted: Range, leases: Sequence[Lease]
) -> memoryview | Filled:
    ref, offset, length = wanted.ref, wanted.offset_bytes, wanted.length_bytes
    if not leases:
        return read_alone(engine, scope, wanted)
    [lease] = leases
    start = engine.chunks.read_range_into(scope, ref, offset, length, lease.buffer)
    return Filled(lease, start)
