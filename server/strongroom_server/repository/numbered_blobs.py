# SPDX-License-Identifier: Apache-2.0
"""Objects with dense numbers: created if absent, and read back when in doubt.

Of all who write to one number, exactly one may believe that it is theirs. Readers
take the oldest version of a key, so that is what a writer has to look at.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final, Protocol

from strongroom.errors import IntegrityError, UnavailableError
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobVersion,
    ReadBuffer,
)

PUT_ATTEMPTS: Final = 3


class NumberedBlobs(Protocol):
    """What this needs of a bucket; see `BlobStore`."""

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See `BlobStore`."""
        ...

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""
        ...

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        ...


def put_numbered(blobs: NumberedBlobs, key: str, data: bytes) -> bool:
    """Create an object if there is none; return whether ours is what readers find.

    Args:
        blobs: The bucket.
        key: Of the next number.
        data: Bytes that nobody else would write, since they were encrypted with a
            salt of their own.

    Raises:
        UnavailableError: It is not known whether the object was written.
    """
    for attempt in range(PUT_ATTEMPTS):
        try:
            version_id = blobs.put_new(key, data)
        except BlobExistsError:
            return _is_ours(blobs, first_version(blobs, key), data)
        except UnavailableError:
            # Done or not? The answer was lost, so what stands there decides; if
            # nothing stands there, trying again is safe.
            if attempt == PUT_ATTEMPTS - 1:
                raise
        else:
            # A write goes through over a delete marker, too, and then stands
            # behind what the marker hides: that is what readers find.
            first = first_version(blobs, key)
            if first is not None and first.version_id == version_id:
                return True
            return _is_ours(blobs, first, data)
    raise AssertionError


def first_free(after: int, numbers: Iterable[int]) -> int:
    """Return the first number behind one that nobody has taken.

    What somebody planted costs no try, so that it keeps nothing from being written.
    """
    taken = frozenset(numbers)
    return next(number for number in count(after + 1) if number not in taken)


def first_version(blobs: NumberedBlobs, key: str) -> BlobVersion | None:
    """Return the version of a key that readers take; None if it has none.

    Raises:
        UnavailableError: S3 cannot be reached.
    """
    # It comes first of all that begin with its key, which may be many.
    first = next(iter(blobs.first_versions(key)), None)
    return first if first is not None and first.key == key else None


def crowded(prefix: str, tries: int) -> UnavailableError:
    """Return the error of a writer whom others were always ahead of."""
    return UnavailableError(
        f"others took {tries} numbers below {prefix} of the bucket",
        hint="Find out who else writes to the bucket.",
    )


def _is_ours(blobs: NumberedBlobs, first: BlobVersion | None, data: bytes) -> bool:
    if first is None:
        return False
    try:
        stored = blobs.get(first.key, version_id=first.version_id, max_bytes=len(data))
    except (BlobNotFoundError, IntegrityError):
        return False  # It is gone, or longer than ours.
    return stored == data
