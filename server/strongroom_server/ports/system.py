# SPDX-License-Identifier: Apache-2.0
"""The ports of the machine: a local index, time, randomness."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol


class Index(Protocol):
    """An ordered map of bytes that may be lost at any time; a cache, never truth.

    A value that is damaged reads as absent. `UnavailableError`
    (INDEX_UNAVAILABLE) if the disk fails.
    """

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None if it is absent or damaged."""
        ...

    def put_many(self, items: Mapping[bytes, bytes]) -> None:
        """Store all items in one transaction. Keys have 1 to 500 bytes."""
        ...

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the undamaged items whose key has `prefix`, in key order."""
        ...

    def forget(self, prefix: bytes) -> None:
        """Forget the items whose key has `prefix`.

        Whether one that is stored meanwhile is forgotten, too, is not said.
        """
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from a fixed but unknown instant; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Entropy(Protocol):
    """Randomness fit for keys."""

    def token_bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""
        ...
