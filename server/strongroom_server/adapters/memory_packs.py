# SPDX-License-Identifier: Apache-2.0
"""A `PackCache` in memory, with a back door; of no bytes, it keeps nothing."""

import threading
from collections import OrderedDict

from strongroom_server.ports import PackCache, ReadBuffer


class MemoryPackCache:
    """Keeps packs up to a number of bytes. Safe to use from many threads."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._packs = OrderedDict[str, bytes]()

    def read_into(self, pack: str, *, offset_bytes: int, buffer: memoryview) -> bool:
        """See `PackCache`."""
        with self._lock:
            data = self._packs.get(pack, b"")
            if pack in self._packs:
                self._packs.move_to_end(pack)
        part = data[offset_bytes : offset_bytes + len(buffer)]
        if len(part) != len(buffer) or not data:
            return False
        buffer[:] = part
        return True

    def put(self, pack: str, data: ReadBuffer) -> bool:
        """See `PackCache`."""
        if memoryview(data).nbytes > self._max_bytes:
            return False
        with self._lock:
            self._packs[pack] = bytes(data)
            while sum(map(len, self._packs.values())) > self._max_bytes:
                self._packs.popitem(last=False)
        return True

    def drop(self, pack: str) -> bool:
        """See `PackCache`."""
        with self._lock:
            return self._packs.pop(pack, None) is not None

    def corrupt(self, pack: str) -> None:
        """Flip a bit in the middle of a pack."""
        with self._lock:
            data = bytearray(self._packs[pack])
            data[len(data) // 2] ^= 1
            self._packs[pack] = bytes(data)


_cache: type[PackCache] = MemoryPackCache
