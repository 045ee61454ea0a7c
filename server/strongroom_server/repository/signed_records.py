# SPDX-License-Identifier: Apache-2.0
"""Signed records in a bucket where others write, too: none is fetched for nothing.

What is too short or too long is not fetched at all. A version never changes, so what
was refused once is refused for as long as the public keys are the same. Now and then
it is read again all the same: what a store gives may be wrong once.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeVar

from strongroom.errors import IntegrityError, StrongroomError
from strongroom_server.core.backup_root import root_error
from strongroom_server.core.signatures import PublicKey
from strongroom_server.ports import BlobNotFoundError, BlobVersion, LockedBlobs
from strongroom_server.repository.cache import Cache

#: What is shorter is no signed record.
MIN_SIGNED_BYTES: Final = 512
#: So many are remembered, some 500 bytes each.
MAX_REFUSED: Final = 20_000
#: So often one is believed to be none, before it is read again.
BELIEVED: Final = 20

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why one was refused, and how often that was told since."""

    error: IntegrityError
    told: "count[int]" = field(default_factory=lambda: count(1))


class SignedRecords:
    """Reads signed records. Safe to use from many threads."""

    def __init__(self, bucket: LockedBlobs) -> None:
        self._bucket = bucket
        self._refusals: Cache[tuple[str, str, frozenset[str]], _Refusal] = Cache(
            MAX_REFUSED
        )

    def is_refused(self, item: BlobVersion, keys: Mapping[str, PublicKey]) -> bool:
        """Return whether a record was refused before, however long ago."""
        return self._refusals.get(_place(item, keys)) is not None

    def refusal(
        self, item: BlobVersion, keys: Mapping[str, PublicKey]
    ) -> IntegrityError | None:
        """Return why a record was refused before; None if it is to be read."""
        found = self._refusals.get(_place(item, keys))
        if found is None or next(found.told) > BELIEVED:
            return None
        return _same(found.error)

    def read(
        self,
        item: BlobVersion,
        keys: Mapping[str, PublicKey],
        max_bytes: int,
        verify: Callable[[bytes, Mapping[str, PublicKey]], Found],
    ) -> tuple[bytes, Found]:
        """Return a record's bytes and what they say; remembers what is none.

        Args:
            item: Where it lies.
            keys: The public keys of now, by their ids.
            max_bytes: How long it may be.
            verify: Says what it says; raises IntegrityError.

        Raises:
            IntegrityError: It is gone, or none of ours.
            UnavailableError: S3 cannot be reached.
        """
        if not is_plausible(item, max_bytes):
            raise root_error()
        try:
            data = self._bucket.get(
                item.key, version_id=item.version_id, max_bytes=max_bytes
            )
        except BlobNotFoundError as error:
            raise root_error() from error
        try:
            return data, verify(data, keys)
        except IntegrityError as error:
            self._refusals.put(_place(item, keys), _Refusal(_same(error)), weight=1)
            raise


def is_plausible(item: BlobVersion, max_bytes: int) -> bool:
    """Return whether something is as long as a signed record may be."""
    return MIN_SIGNED_BYTES <= item.size_bytes <= max_bytes


def bare(error: StrongroomError) -> StrongroomError:
    """Return an error without what it came through: that holds what was read."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _same(error: IntegrityError) -> IntegrityError:
    """Return a new exception: what raises and catches one adds to it."""
    return IntegrityError(
        error.message, reason=error.reason, hint=error.hint, **error.metadata
    )


def _place(item: BlobVersion, keys: Iterable[str]) -> tuple[str, str, frozenset[str]]:
    return item.key, item.version_id, frozenset(keys)
