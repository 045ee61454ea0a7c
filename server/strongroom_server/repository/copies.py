# SPDX-License-Identifier: Apache-2.0
"""Copies of the store that damage is mended from: asked in order, never believed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import layout
from strongroom_server.ports import BlobCopy, BlobNotFoundError, BlobStore
from strongroom_server.repository.store import parse_store

_MAX_RECORD_BYTES: Final = 4096
#: What tells whether bytes are right; raises IntegrityError if they are not.
Check = Callable[[bytes], object]


class Copies:
    """All copies that a server was given. Safe to use from many threads."""

    def __init__(self, copies: Sequence[BlobCopy], *, store: bytes) -> None:
        self._copies = tuple(copies)
        self._store = store

    def require(self) -> None:
        """Check that there are copies, and that each is one of this store.

        Raises:
            PreconditionError: There is none, or one is of another store or of
                something else (COPY_UNSUITABLE).
            UnavailableError: One cannot be read now.
        """
        if not self._copies:
            raise PreconditionError(
                "this server is given no copy of the store to mend from",
                reason=Reason.COPY_UNSUITABLE,
                hint="Name one in [[copies]] of the server's settings.",
            )
        for copy in self._copies:
            self._check(copy)

    def each(self, key: str, *, max_bytes: int) -> Iterator[bytes]:
        """Yield what the copies have at a key, unchecked.

        Raises:
            UnavailableError: A copy cannot be read now.
        """
        for copy in self._copies:
            data = copy.read(key, max_bytes=max_bytes)
            if data is not None:
                yield data

    def find(self, key: str, *, max_bytes: int, check: Check) -> bytes | None:
        """Return an object's bytes from the first copy that has them right.

        Raises:
            UnavailableError: A copy cannot be read now.
        """
        for data in self.each(key, max_bytes=max_bytes):
            try:
                check(data)
            except IntegrityError:
                continue  # Damaged there, too; the next one may be better.
            return data
        return None

    def _check(self, copy: BlobCopy) -> None:
        data = copy.read(layout.STORE, max_bytes=_MAX_RECORD_BYTES)
        try:
            store = b"" if data is None else parse_store(data)
        except IntegrityError as error:
            raise _unsuitable(copy, "its strongroom.json is damaged") from error
        if not store:
            raise _unsuitable(copy, "it has no strongroom.json")
        if store != self._store:
            raise _unsuitable(copy, "it is a copy of another store")


class BucketCopy:
    """A `BlobCopy` over another bucket, or another prefix."""

    def __init__(self, name: str, blobs: BlobStore) -> None:
        self._name = name
        self._blobs = blobs

    @property
    def name(self) -> str:
        """See `BlobCopy`."""
        return self._name

    def read(self, key: str, *, max_bytes: int) -> bytes | None:
        """See `BlobCopy`; the oldest version, as the store itself reads records."""
        for item in self._blobs.first_versions(key):
            if item.key == key and item.size_bytes <= max_bytes:
                try:
                    return self._blobs.get(
                        key, version_id=item.version_id, max_bytes=max_bytes
                    )
                except (BlobNotFoundError, IntegrityError):
                    return None
        return None


def _unsuitable(copy: BlobCopy, problem: str) -> PreconditionError:
    return PreconditionError(
        f"copy {copy.name!r} cannot be used: {problem}",
        reason=Reason.COPY_UNSUITABLE,
        hint="Name the folder or prefix that strongroom.json lies in.",
        copy=copy.name,
    )


_copy: type[BlobCopy] = BucketCopy
