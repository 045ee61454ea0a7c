# SPDX-License-Identifier: Apache-2.0
"""The ports of the store: objects by key, their removal, and other copies of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

#: Anything with the buffer protocol that an adapter may read without a copy.
ReadBuffer = bytes | bytearray | memoryview


class BlobExistsError(Exception):
    """`put_new` found an object under the key; the repository decides what it means."""


class BlobNotFoundError(Exception):
    """There is no such object or version; the repository decides what it means."""


@dataclass(frozen=True, slots=True)
class BlobVersion:
    """One stored version of one object, as a listing shows it.

    `modified_s` is when it was written, in Unix seconds of the store's own clock.
    """

    key: str
    version_id: str
    size_bytes: int
    modified_s: float


class BlobStore(Protocol):
    """Objects by key, each version immutable under its version id.

    Retries of transient faults happen inside, bounded by the adapter's timeouts;
    what still fails is `UnavailableError` (STORE_UNAVAILABLE) or
    `PreconditionError` (STORE_ACCESS_DENIED, STORE_UNSUITABLE).
    """

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """Store `data` under a key that has no current object; return its version id.

        Atomic: of several concurrent calls exactly one succeeds. A delete marker
        counts as no object. Never retried inside after an ambiguous failure.

        Raises:
            BlobExistsError: The key has a current object.
        """
        ...

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """Return a version's bytes.

        Raises:
            BlobNotFoundError: There is no such version.
            IntegrityError: It is longer than `max_bytes`; nothing was read.
        """
        ...

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """Fill `buffer` from a version's bytes at `offset_bytes`; no short reads.

        Raises:
            BlobNotFoundError: There is no such version, or it ends before that.
        """
        ...

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """Yield the *oldest* version of every key with `prefix`, in key order.

        Delete markers and newer versions over a key change nothing: the first
        write is the one that `put_new` let through. Keys up to and including
        `start_after` are left out. Pages are fetched as they are needed.
        """
        ...

    def subfolders(self, prefix: str) -> Iterator[str]:
        """Yield each distinct `prefix + segment + "/"`, in order.

        Looks through delete markers as `first_versions` does.
        """
        ...

    def time_s(self) -> float:
        """Return the time in Unix seconds by the store's own clock, from one call.

        Comparable with `BlobVersion.modified_s`, to a second or two.
        """
        ...

    def check_ready(self) -> None:
        """Make one cheap call that shows that the bucket can be read."""
        ...


class VersionedBlobs(BlobStore, Protocol):
    """A `BlobStore` that lists more than the oldest version of a key."""

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        """Yield every version of every key with `prefix`; delete markers are none.

        In key order, the newest first within a key; otherwise as `first_versions`.
        """
        ...


class BlobRemover(Protocol):
    """Removes single versions for good; held by sweeps alone.

    It works with a credential of its own, since no other part of a server may
    destroy anything. Errors as for `BlobStore`.
    """

    def remove(self, key: str, *, version_id: str) -> bool:
        """Remove exactly one version; return False if it was gone already.

        Repeating it is harmless. Other versions of the key, and delete markers,
        stay as they are.

        Raises:
            PreconditionError: It is locked, or the credential may not remove it
                (STORE_ACCESS_DENIED).
        """
        ...


class BlobCopy(Protocol):
    """Another copy of the bucket, read only, to mend damage from.

    What it gives is believed only where it can be checked by itself. Errors as for
    `BlobStore`.
    """

    @property
    def name(self) -> str:
        """What the operator calls it."""
        ...

    def read(self, key: str, *, max_bytes: int) -> bytes | None:
        """Return the bytes at a key.

        None if there are none, if they are longer than `max_bytes`, or if the key
        is none that this copy could hold.
        """
        ...


@dataclass(frozen=True, slots=True)
class SignedPut:
    """A request that stores one object: whoever has it may make it.

    Attributes:
        url: For PUT.
        headers: What the request must have, as they are.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str]


class BlobPresigner(Protocol):
    """Makes URLs by which anybody fetches one version, or stores one object."""

    def presign(self, key: str, *, version_id: str, lifetime_s: int) -> str:
        """Return a URL for GET, whole or in ranges; makes no call.

        It holds for `lifetime_s` from now, and for no other key or version.
        """
        ...

    def presign_put(
        self, key: str, *, size_bytes: int, crc32: int, lifetime_s: int
    ) -> SignedPut:
        """Return what stores an object under a key that has none; makes no call.

        It holds for `lifetime_s` from now, for no other key, and for exactly so many
        bytes that have this CRC-32. If there is an object, the store refuses with
        412, as it does `put_new`.
        """
        ...
