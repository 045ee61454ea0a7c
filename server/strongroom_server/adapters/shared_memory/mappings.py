# SPDX-License-Identifier: Apache-2.0
"""Whole files in sealed memory, each filled once for all readers who may see it.

Memory that a reader has mapped stays until the reader lets go, so it counts until
then; what nobody has mapped goes when room is needed, longest unused first.
"""

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import mmap
from weakref import finalize

from strongroom.errors import InternalError, StrongroomError
from strongroom_server.adapters.shared_memory.segments import (
    MAPPING_SEALS,
    MemoryPool,
    create_memory,
    seal,
)


@dataclass(slots=True, eq=False)
class _Mapping:
    """A file's memory; the descriptor is closed when the mapping is forgotten."""

    number: int
    key: str
    size_bytes: int
    alive: Callable[[], None]
    descriptor: int
    #: How often each lane has it mapped, by the lane's number.
    holders: dict[int, int] = field(default_factory=dict)
    is_ready: bool = False
    #: Whether somebody may still write to the memory of one that was given up.
    is_written: bool = False
    #: Nobody finds it any more; its bytes still count while somebody holds it.
    is_gone: bool = False


class Mappings:
    """All mappings of a server. Safe to use from many threads."""

    def __init__(self, size_bytes: int) -> None:
        self.pool = MemoryPool(size_bytes)
        self._changed = threading.Condition()
        self._by_key: OrderedDict[str, _Mapping] = OrderedDict()
        self._by_number: dict[int, _Mapping] = {}
        self._count = 0
        #: Given up, and written to by nobody any more; told from wherever the last
        #: view of the memory goes, so that no lock may be taken there.
        self._let_go: deque[_Mapping] = deque()

    def hold(self, key: str, lane: int) -> tuple[int, int, int] | None:
        """Count a lane as holder of a finished mapping.

        Returns:
            Its number, its size in bytes, and a descriptor that the caller closes.
        """
        with self._changed:
            found = self._by_key.get(key)
            if found is None or not found.is_ready:
                return None
            try:
                descriptor = os.dup(found.descriptor)
            except OSError:
                return None  # None is left: as good as no room.
            self._by_key.move_to_end(key)
            found.holders[lane] = found.holders.get(lane, 0) + 1
            return found.number, found.size_bytes, descriptor

    def let_go(self, number: int, lane: int) -> None:
        """Count a lane out once; of what it does not hold, nothing happens."""
        with self._changed:
            found = self._by_number.get(number)
            if found is None or lane not in found.holders:
                return
            found.holders[lane] -= 1
            if not found.holders[lane]:
                self._count_out(found, lane)

    def let_go_all(self, lane: int) -> None:
        """Count a lane out of everything: it is closed."""
        with self._changed:
            for found in tuple(self._by_number.values()):
                if lane in found.holders:
                    self._count_out(found, lane)

    def begin(
        self, key: str, size_bytes: int, alive: Callable[[], None]
    ) -> "MappingDraft | None":
        """Make memory to be filled; None without room, or if the key is known."""
        with self._changed:
            if key in self._by_key or not self._make_room(size_bytes):
                return None
            self._count += 1
            mapping = _Mapping(self._count, key, size_bytes, alive, -1)
            self._by_key[key] = self._by_number[mapping.number] = mapping
        try:
            mapping.descriptor, memory = create_memory("strongroom-file", size_bytes)
        except OSError:
            self._forget(mapping)
            return None
        return MappingDraft(self, mapping, memory)

    def wait(self, key: str, timeout_s: float) -> bool:
        """Wait while a mapping is filled; False if it is not."""

        def is_filling() -> bool:
            found = self._by_key.get(key)
            return found is not None and not found.is_ready

        with self._changed:
            was_filling = is_filling()
            self._changed.wait_for(lambda: not is_filling(), timeout_s)
            return was_filling

    def check_alive(self) -> None:
        """Forget the mappings of what was shredded or may be read no more."""
        with self._changed:
            self._count_let_go()
            ready = [item for item in self._by_key.values() if item.is_ready]
        for mapping in ready:
            try:
                mapping.alive()
            except StrongroomError:
                self._forget(mapping)

    def close(self) -> None:
        """Forget everything; what readers have mapped stays theirs."""
        with self._changed:
            mappings = tuple(self._by_number.values())
        for mapping in mappings:
            self._forget(mapping)

    def finish(self, mapping: _Mapping) -> None:
        """Have a mapping found whose memory is filled, and mapped by nobody.

        Raises:
            InternalError: It could not be sealed, and was given up.
        """
        with self._changed:
            try:
                if not mapping.is_gone:
                    seal(mapping.descriptor, MAPPING_SEALS)
                    mapping.is_ready = True
            except OSError as error:
                self._drop(mapping)
                message = "a file's memory could not be sealed, and was given up"
                raise InternalError(message) from error
            finally:
                self._changed.notify_all()

    def give_up(self, mapping: _Mapping, memory: mmap) -> None:
        """Forget a mapping; its bytes count until nobody can write to them."""
        with self._changed:
            mapping.is_written = True
            self._drop(mapping)
            self._changed.notify_all()
        finalize(memory, self._let_go.append, mapping).atexit = False

    def settle(self) -> None:
        """Count out what was given up and is written to no more."""
        with self._changed:
            self._count_let_go()

    def _count_let_go(self) -> None:
        while self._let_go:
            mapping = self._let_go.popleft()
            mapping.is_written = False
            self._count_unused(mapping)

    def _forget(self, mapping: _Mapping) -> None:
        with self._changed:
            self._drop(mapping)
            self._changed.notify_all()

    def _make_room(self, size_bytes: int) -> bool:
        self._count_let_go()
        unused = [
            item for item in self._by_key.values() if item.is_ready and not item.holders
        ]
        could_be = self.pool.free_bytes + sum(item.size_bytes for item in unused)
        if could_be < size_bytes:
            return False  # Whatever is forgotten, it is not enough.
        for mapping in unused:
            if self.pool.try_take(size_bytes):
                return True
            self._drop(mapping)
        return self.pool.try_take(size_bytes)

    def _drop(self, mapping: _Mapping) -> None:
        if not mapping.is_gone:
            mapping.is_gone = True
            del self._by_key[mapping.key]
            if mapping.descriptor >= 0:
                os.close(mapping.descriptor)
        self._count_unused(mapping)

    def _count_out(self, mapping: _Mapping, lane: int) -> None:
        del mapping.holders[lane]
        self._count_unused(mapping)

    def _count_unused(self, mapping: _Mapping) -> None:
        is_unused = mapping.is_gone and not mapping.holders and not mapping.is_written
        if is_unused and self._by_number.pop(mapping.number, None) is not None:
            self.pool.give_back(mapping.size_bytes)


class MappingDraft:
    """See `ports.MappingDraft`."""

    def __init__(self, mappings: Mappings, mapping: _Mapping, memory: mmap) -> None:
        self._mappings = mappings
        self._mapping = mapping
        self._memory: mmap | None = memory
        self._buffer: memoryview | None = memoryview(memory)

    @property
    def buffer(self) -> memoryview:
        """See the port."""
        if self._buffer is None:
            message = "the mapping is finished"
            raise ValueError(message)
        return self._buffer

    def finish(self) -> None:
        """See the port."""
        self._unmap()
        self._mappings.finish(self._mapping)

    def abandon(self) -> None:
        """See the port."""
        if self._memory is not None:
            self._mappings.give_up(self._mapping, self._memory)
            # A fetch that is still running keeps the memory until it ends.
            self._memory = self._buffer = None
            self._mappings.settle()

    def _unmap(self) -> None:
        if self._memory is None or self._buffer is None:
            message = "the mapping is finished"
            raise ValueError(message)
        self._buffer.release()
        self._memory.close()
        self._memory = self._buffer = None
