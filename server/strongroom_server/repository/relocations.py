# SPDX-License-Identifier: Apache-2.0
"""A store in another bucket than its first: version ids that are pinned, translated.

What a pinned id still leads to is never replaced: a record has a say only where the
pinned version is gone. So whoever may write to the bucket, and no more, cannot lead
readers away from anything that is there.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from strongroom.errors import (
    ExhaustedError,
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core import layout
from strongroom_server.core.inventory import StoredObject
from strongroom_server.core.relocation import (
    MAX_RECORD_BYTES,
    Relocation,
    format_relocations,
    parse_relocations,
    split_relocations,
)
from strongroom_server.core.stored_objects import link_number
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobPresigner,
    BlobStore,
    BlobVersion,
    Clock,
    ReadBuffer,
    SignedPut,
)
from strongroom_server.repository.numbered_blobs import put_numbered

#: Rows that a server holds; each takes about 300 bytes of memory.
MAX_ROWS: Final = 2_000_000
#: How soon after one look for new records the next may be.
REFRESH_S: Final = 5.0
_PUT_ATTEMPTS: Final = 100
#: Numbers beyond are nobody's.
_MAX_NUMBER: Final = 10**12
_KEY_BYTES: Final = 16

Read = TypeVar("Read")


class Relocations:
    """The records in a bucket: reads all of them, adds new ones."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def add(self, rows: Iterable[Relocation]) -> int:
        """Store rows, in records of bounded size; return how many records.

        Raises:
            UnavailableError: S3 failed, or others take every number.
        """
        count = 0
        for group in split_relocations(rows):
            self._put(format_relocations(group))
            count += 1
        return count

    def read(self, after: str = "") -> Iterator[tuple[str, tuple[Relocation, ...]]]:
        """Yield each record behind a key, with its key; a damaged one has no rows.

        Raises:
            UnavailableError: S3 cannot be reached.
        """
        for item in self._blobs.first_versions(layout.RELOCATIONS, start_after=after):
            rows: tuple[Relocation, ...] = ()
            # What is damaged leads nowhere: the pinned version is then told as gone,
            # and `verify --store` names the record.
            with contextlib.suppress(
                BlobNotFoundError, IntegrityError, PreconditionError
            ):
                rows = parse_relocations(
                    self._blobs.get(
                        item.key, version_id=item.version_id, max_bytes=MAX_RECORD_BYTES
                    )
                )
            yield item.key, rows

    def _put(self, data: bytes) -> None:
        last, start_after = -1, ""
        for _ in range(_PUT_ATTEMPTS):
            for item in self._blobs.first_versions(
                layout.RELOCATIONS, start_after=start_after
            ):
                number = link_number(item.key)
                # Whoever plants the greatest number leaves room for no other.
                if last < number < _MAX_NUMBER:
                    last, start_after = number, item.key
            if put_numbered(self._blobs, layout.relocation_key(last + 1), data):
                return
        raise UnavailableError(
            f"others took {_PUT_ATTEMPTS} numbers of relocation records meanwhile",
            reason=Reason.STORE_UNAVAILABLE,
            hint="Run it again once nobody else writes to the bucket.",
        )


def relocation_of(row: StoredObject) -> Relocation | None:
    """Return the row that tells where a copied object lies; None if it needs none.

    Only packs and manifests are pinned, and an id that stayed needs no row.
    """
    known_as = tuple(known for known in row.known_as if known != row.version_id)
    if not known_as or not layout.is_named_by_digest(row.key):
        return None
    return Relocation(row.key, row.version_id, known_as)


class RelocatedBlobs:
    """A `BlobStore` that finds pinned versions in a bucket that never had them.

    Listings show the ids that the bucket has. Safe to use from many threads.
    """

    def __init__(
        self, inner: BlobStore, clock: Clock, *, max_rows: int = MAX_ROWS
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._max_rows = max_rows
        self._records = Relocations(inner)
        self._lock = threading.Lock()
        self._last_key = ""
        self._refreshed_s = -REFRESH_S
        #: By the digest of a key: pairs of the id that is pinned and the one here.
        self._rows: dict[bytes, tuple[tuple[str, str], ...]] = {}
        self._row_count = 0
        #: What was gone under its pinned id: there it is not looked for again.
        self._gone: dict[tuple[str, str], str] = {}

    def refresh(self) -> None:
        """Read the records that were added since the last time.

        Raises:
            UnavailableError: S3 cannot be reached.
            ExhaustedError: There are too many rows (TOO_LARGE).
        """
        with self._lock:
            self._refreshed_s = self._clock.monotonic()
            for key, rows in self._records.read(self._last_key):
                for row in rows:
                    self._add(row)
                self._last_key = key

    def known_as(self, key: str, version_id: str) -> tuple[str, ...]:
        """Return by which other ids a version that the bucket has may be pinned."""
        rows = self._rows.get(_place(key), ())
        return tuple(pinned for pinned, here in rows if here == version_id)

    def presigner(self, inner: BlobPresigner) -> BlobPresigner:
        """Return a presigner that takes the same ids as this store."""
        return _RelocatedPresigner(inner, self)

    def resolve(self, key: str, version_id: str) -> str:
        """Return the id that the bucket has for one that is pinned.

        Makes a call only for what has a row, and only the first time.
        """
        if (key, version_id) in self._gone:
            return self._gone[key, version_id]
        if not any(
            pinned == version_id for pinned, _ in self._rows.get(_place(key), ())
        ):
            return version_id
        buffer = memoryview(bytearray(1))
        with contextlib.suppress(BlobNotFoundError):
            self.read_into(key, version_id=version_id, offset_bytes=0, buffer=buffer)
        return self._gone.get((key, version_id), version_id)

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See `BlobStore`."""
        return self._inner.put_new(key, data)

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""

        def read(at: str) -> bytes:
            return self._inner.get(key, version_id=at, max_bytes=max_bytes)

        return self._read(key, version_id, read)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`."""

        def read(at: str) -> None:
            self._inner.read_into(
                key, version_id=at, offset_bytes=offset_bytes, buffer=buffer
            )

        self._read(key, version_id, read)

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        return self._inner.first_versions(prefix, start_after=start_after)

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `BlobStore`."""
        return self._inner.subfolders(prefix)

    def time_s(self) -> float:
        """See `BlobStore`."""
        return self._inner.time_s()

    def check_ready(self) -> None:
        """See `BlobStore`."""
        self._inner.check_ready()

    def _read(self, key: str, version_id: str, read: Callable[[str], Read]) -> Read:
        moved = self._gone.get((key, version_id))
        if moved is not None:
            return read(moved)
        try:
            return read(version_id)
        except BlobNotFoundError as gone:
            for moved in self._moved(key, version_id):
                # Several records may tell of it; the first that leads somewhere will
                # do, since whoever reads checks what it gets.
                with contextlib.suppress(BlobNotFoundError):
                    found = read(moved)
                    self._gone[key, version_id] = moved
                    return found
            raise BlobNotFoundError(key) from gone

    def _moved(self, key: str, version_id: str) -> list[str]:
        if not layout.is_named_by_digest(key):
            return []
        for is_last in (False, True):
            rows = self._rows.get(_place(key), ())
            moved = [here for pinned, here in rows if pinned == version_id]
            if moved or is_last:
                return moved
            if self._clock.monotonic() - self._refreshed_s >= REFRESH_S:
                self.refresh()
        raise AssertionError

    def _add(self, row: Relocation) -> None:
        place = _place(row.key)
        known = self._rows.get(place, ())
        for pinned in row.known_as:
            if (pinned, row.version_id) not in known:
                known = (*known, (pinned, row.version_id))
                self._row_count += 1
        if self._row_count > self._max_rows:
            raise ExhaustedError(
                f"the bucket's relocation records have more than {self._max_rows} rows",
                reason=Reason.TOO_LARGE,
                hint="Somebody else may write to relocations/; else restore less.",
            )
        self._rows[place] = known


def open_relocated(inner: BlobStore, clock: Clock) -> RelocatedBlobs:
    """Return a bucket that knows where its objects came from; lists its records.

    Raises:
        UnavailableError: S3 cannot be reached.
        ExhaustedError: There are too many rows (TOO_LARGE).
    """
    blobs = RelocatedBlobs(inner, clock)
    blobs.refresh()
    return blobs


def presigner_for(blobs: BlobStore, inner: BlobPresigner) -> BlobPresigner:
    """Return a presigner that takes the same ids as a store."""
    return blobs.presigner(inner) if isinstance(blobs, RelocatedBlobs) else inner


class _RelocatedPresigner:
    """Presigns what the bucket has for a pinned id."""

    def __init__(self, inner: BlobPresigner, blobs: RelocatedBlobs) -> None:
        self._inner = inner
        self._blobs = blobs

    def presign(self, key: str, *, version_id: str, lifetime_s: int) -> str:
        """See `BlobPresigner`; may make a call for what was moved."""
        here = self._blobs.resolve(key, version_id)
        return self._inner.presign(key, version_id=here, lifetime_s=lifetime_s)

    def presign_put(
        self, key: str, *, size_bytes: int, crc32: int, lifetime_s: int
    ) -> SignedPut:
        """See `BlobPresigner`."""
        return self._inner.presign_put(
            key, size_bytes=size_bytes, crc32=crc32, lifetime_s=lifetime_s
        )


def _place(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:_KEY_BYTES]


_blobs: type[BlobStore] = RelocatedBlobs
_presigner: type[BlobPresigner] = _RelocatedPresigner
