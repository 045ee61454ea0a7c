# SPDX-License-Identifier: Apache-2.0
"""`Index` in memory, for engines that read a backup or a restored store and end.

What a backup says belongs into no server's index. This one keeps a stated number of
bytes and forgets what was put first, as the port allows: who asks reads it again.
"""

import threading
from collections.abc import Iterator, Mapping
from typing import Final

from strongroom_server.ports import Index

#: About what a thousand journals take; a restore has three indexes at most.
MAX_BYTES: Final = 32 * 1024 * 1024
#: What Python takes for an item beside its bytes: two objects, and a place.
ITEM_BYTES: Final = 200


class BoundedIndex:
    """An index that forgets, and ends with the process. Safe to use from many threads.

    Args:
        max_bytes: Of all items, each with `ITEM_BYTES` beside its own. What was put
            last stays if it is more than that by itself.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._items: dict[bytes, bytes] = {}  # what was put first comes first

    def get(self, key: bytes) -> bytes | None:
        """See `Index`."""
        with self._lock:
            return self._items.get(key)

    def put_many(self, items: Mapping[bytes, bytes]) -> None:
        """See `Index`."""
        with self._lock:
            for key, value in items.items():
                self._drop(key)
                self._items[key] = value
                self._held_bytes += _size(key, value)
            while self._held_bytes > self._max_bytes and len(self._items) > len(items):
                self._drop(next(iter(self._items)))

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Index`. Items that are stored meanwhile are left out."""
        with self._lock:
            found = [item for item in self._items.items() if item[0].startswith(prefix)]
        yield from sorted(found)

    def forget(self, prefix: bytes) -> None:
        """See `Index`."""
        with self._lock:
            for key in [key for key in self._items if key.startswith(prefix)]:
                self._drop(key)

    def clear(self) -> None:
        """See `Index`."""
        with self._lock:
            self._items.clear()
            self._held_bytes = 0

    def _drop(self, key: bytes) -> None:
        value = self._items.pop(key, None)
        if value is not None:
            self._held_bytes -= _size(key, value)


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ITEM_BYTES


_index: type[Index] = BoundedIndex
