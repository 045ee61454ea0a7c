# SPDX-License-Identifier: Apache-2.0
"""A bounded cache: the values used last, as many as their weights allow."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Weighed(Generic[Value]):
    value: Value
    weight: int


class Cache(Generic[Key, Value]):
    """Keeps values up to a total weight. Safe to use from many threads.

    The value that was put last stays even if it weighs more than the limit by
    itself, so that what is being worked on is not loaded again and again.
    """

    def __init__(self, max_weight: int) -> None:
        self._max_weight = max_weight
        self._weight = 0
        self._lock = threading.Lock()
        self._items: OrderedDict[Key, _Weighed[Value]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return a value, or None if it is not there."""
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            self._items.move_to_end(key)
            return item.value

    def put(
        self,
        key: Key,
        value: Value,
        *,
        weight: int,
        unless: Callable[[Value], bool] = lambda _: False,
    ) -> Value:
        """Keep a value, and return what is kept.

        Args:
            key: What it is found by.
            value: Never changed afterwards.
            weight: In the cache's own unit; a value counts one at least.
            unless: Tells whether the value that is there now is to stay.
        """
        with self._lock:
            current = self._items.get(key)
            if current is not None and unless(current.value):
                value, weight = current.value, current.weight
            self._forget(key)
            self._items[key] = _Weighed(value, max(weight, 1))
            self._weight += max(weight, 1)
            while self._weight > self._max_weight and len(self._items) > 1:
                self._forget(next(iter(self._items)))
        return value

    def drop(self, wanted: Callable[[Key], bool]) -> None:
        """Forget values by their keys."""
        with self._lock:
            for key in [key for key in self._items if wanted(key)]:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        item = self._items.pop(key, None)
        self._weight -= item.weight if item is not None else 0
