# SPDX-License-Identifier: Apache-2.0
"""Buffers for ciphertext that are lent and reused: fresh pages cost more than AES."""

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: What is kept for the next borrowers: what one download has under way.
KEPT_BYTES: Final = 64 * 1024 * 1024
#: Sizes are rounded up to this, so that a buffer fits many chunks.
_STEP_BYTES: Final = 64 * 1024
#: Buffers from this size on are mapped: what fills them touches their pages first, and
#: nothing clears them before. (Large pages were tried, and took five times as long to
#: be cleared, where the machine is a guest and they are fresh to its host, too.)
_LARGE_BYTES: Final = 2 * 1024 * 1024

_Buffer = bytearray | mmap.mmap


class BufferPool:
    """Lends buffers. Safe to use from many threads."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._max_bytes = kept_bytes
        self._lock = threading.Lock()
        self._free: list[_Buffer] = []
        self._free_bytes = 0

    @property
    def kept_bytes(self) -> int:
        """How much is kept that nobody has borrowed."""
        return self._free_bytes

    @contextmanager
    def lend(self, size_bytes: int) -> Iterator[memoryview]:
        """Lend a buffer of so many bytes, which hold anything."""
        buffer = self._take(size_bytes)
        if buffer is None:
            buffer = _make(-(-size_bytes // _STEP_BYTES) * _STEP_BYTES)
        try:
            with memoryview(buffer) as whole, whole[:size_bytes] as view:
                yield view
        finally:
            self._keep(buffer)

    def _take(self, size_bytes: int) -> _Buffer | None:
        with self._lock:
            fitting = [item for item in self._free if len(item) >= size_bytes]
            if not fitting:
                return None
            buffer = min(fitting, key=len)
            self._free = [item for item in self._free if item is not buffer]
            self._free_bytes -= len(buffer)
            return buffer

    def _keep(self, buffer: _Buffer) -> None:
        with self._lock:
            self._free.append(buffer)
            self._free_bytes += len(buffer)
            # The newest stay: their pages are warm, and their sizes are in demand.
            while self._free_bytes > self._max_bytes:
                self._free_bytes -= len(self._free.pop(0))


def _make(size_bytes: int) -> _Buffer:
    if size_bytes < _LARGE_BYTES:
        return bytearray(size_bytes)
    return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
