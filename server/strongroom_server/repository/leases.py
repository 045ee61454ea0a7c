# SPDX-License-Identifier: Apache-2.0
"""Leases: of several servers with the same schedule, one at a time keeps it.

A lease spares double work and nothing else: whatever is done under one is right when
two servers do it at once. So its records are in the clear and nobody signs them. Each
is written once, under the next number; the newest says who holds the lease and until
when, by the store's clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError
from strongroom_server.core import canonical, layout
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    Clock,
    Entropy,
)
from strongroom_server.repository.numbered_blobs import put_numbered

FORMAT: Final = 1
TYPE: Final = "strongroom-lease"
#: Whoever plants a record, or dies, holds a lease for so long at most.
MAX_LIFETIME_S: Final = 3600
_MAX_BYTES: Final = 1024
_HOLDER_BYTES: Final = 16
#: A lease is renewed when so much of its lifetime is over.
_RENEWED_AFTER: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest record of a lease."""

    number: int = -1
    until_s: float = 0.0


class Lease:
    """A lease that is held. Used by one thread."""

    def __init__(
        self, leases: "Leases", name: str, number: int, *, lifetime_s: int
    ) -> None:
        self._leases = leases
        self._name = name
        self._number = number
        self._lifetime_s = lifetime_s
        self._renewed_s = leases.clock.monotonic()
        self._is_lost = False

    def renew(self) -> None:
        """Go on holding it; to be called often, asks the store seldom.

        One that another server took when it was over is not taken back.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        now_s = self._leases.clock.monotonic()
        if now_s - self._renewed_s >= self._lifetime_s * _RENEWED_AFTER:
            self._renewed_s = now_s
            self._write(self._lifetime_s)

    def end(self) -> None:
        """Let others have it; errors as `renew`."""
        self._write(0)

    def _write(self, lifetime_s: int) -> None:
        if self._is_lost:
            return
        self._number += 1
        self._is_lost = not self._leases.write(self._name, self._number, lifetime_s)


class Leases:
    """The leases of a store, as one server takes them. Thread-safe."""

    def __init__(self, blobs: BlobStore, *, clock: Clock, entropy: Entropy) -> None:
        self._blobs = blobs
        self.clock = clock
        # By lease, the newest number that was seen: what is before is not listed again.
        self._seen: dict[str, int] = {}
        # So that no two servers' records are alike, and a lost answer can be resolved.
        self._holder = entropy.token_bytes(_HOLDER_BYTES).hex()

    @contextmanager
    def hold(self, name: str, *, lifetime_s: int) -> Iterator[Lease | None]:
        """Hold a lease for as long as the context lasts; None if another one does.

        Args:
            name: Of the schedule, such as `backup`.
            lifetime_s: How long others wait for a holder that has died.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        newest = self._newest(name)
        is_held = newest.until_s > self._blobs.time_s()
        number = newest.number + 1
        if is_held or not self.write(name, number, lifetime_s):
            yield None
            return
        lease = Lease(self, name, number, lifetime_s=lifetime_s)
        try:
            yield lease
        finally:
            lease.end()

    def write(self, name: str, number: int, lifetime_s: int) -> bool:
        """Write the record of a number; return whether nobody else was first.

        Raises:
            UnavailableError: It is not known whether it was written.
        """
        until_s = int(self._blobs.time_s()) + lifetime_s if lifetime_s else 0
        body = {
            "format": FORMAT,
            "holder": self._holder,
            "type": TYPE,
            "until": until_s,
        }
        key = layout.lease_key(name, number)
        return put_numbered(self._blobs, key, canonical.encode(body))

    def _newest(self, name: str) -> _Newest:
        seen = self._seen.get(name, 0)
        last, number = self._last(name, seen)
        if last is None and seen:
            last, number = self._last(name, 0)  # Somebody removed what was seen.
        self._seen[name] = max(number, 0)
        if last is None:
            return _Newest()
        try:
            data = self._blobs.get(
                last.key, version_id=last.version_id, max_bytes=_MAX_BYTES
            )
            body = canonical.decode_object(data, _MAX_BYTES)
            until_s = float(min(int(body["until"]), last.modified_s + MAX_LIFETIME_S))
        except (BlobNotFoundError, IntegrityError, ValueError, TypeError, KeyError):
            until_s = 0.0  # It says nothing, so it keeps nobody from anything.
        return _Newest(number, until_s=until_s)

    def _last(self, name: str, first: int) -> tuple[BlobVersion | None, int]:
        """Return the newest record from a number on, and its number."""
        last: BlobVersion | None = None
        number = first - 1
        prefix = layout.lease_prefix(name)
        start_after = layout.lease_key(name, first - 1) if first else ""
        for item in self._blobs.first_versions(prefix, start_after=start_after):
            found = layout.lease_number(item.key)
            # The numbers are dense; behind a gap, somebody else wrote.
            if found == number + 1:
                last, number = item, found
        return last, number
