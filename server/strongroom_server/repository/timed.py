# SPDX-License-Identifier: Apache-2.0
"""A bounded map that forgets what is too old; for keys, which must not stay."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

#: Keys of at most this many domains are kept, and used for at most this long.
MAX_CACHED: Final = 64
CACHE_TTL_S: Final = 900.0

Place = TypeVar("Place")
Kept = TypeVar("Kept")


class Timed(Generic[Place, Kept]):
    """A bounded map that forgets what is older than `CACHE_TTL_S`; takes no lock."""

    def __init__(self) -> None:
        self._items: OrderedDict[Place, tuple[Kept, float]] = OrderedDict()
        #: Nothing is to be forgotten before.
        self._first_s = math.inf

    def __len__(self) -> int:
        return len(self._items)

    def get(self, place: Place, now_s: float) -> Kept | None:
        """Return what is kept; forget all whose time is over, whoever is asked for."""
        self.forget(now_s)
        if place not in self._items:
            return None
        self._items.move_to_end(place)
        return self._items[place][0]

    def forget(self, now_s: float) -> None:
        """Forget all whose time is over."""
        if now_s < self._first_s:
            return
        old = [key for key, (_, until_s) in self._items.items() if until_s <= now_s]
        for key in old:
            del self._items[key]
        ends = (until_s for _, until_s in self._items.values())
        self._first_s = min(ends, default=math.inf)

    def drop(self, wanted: Callable[[Place], bool]) -> None:
        """Forget some, whatever their time."""
        for place in [place for place in self._items if wanted(place)]:
            del self._items[place]

    def put(self, place: Place, kept: Kept, now_s: float) -> None:
        """Keep something; the one that was not asked for the longest goes."""
        self._items[place] = (kept, now_s + CACHE_TTL_S)
        self._first_s = min(self._first_s, now_s + CACHE_TTL_S)
        while len(self._items) > MAX_CACHED:
            self._items.popitem(last=False)
