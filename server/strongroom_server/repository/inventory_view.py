# SPDX-License-Identifier: Apache-2.0
"""A backup read as a store: exactly the objects that its inventory names.

Whatever else lies in the backup bucket (newer versions, delete markers, garbage) is
invisible, so that the whole engine can run on a backup unchanged. Nothing is written.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core import layout
from strongroom_server.core.backup_root import PageEntry
from strongroom_server.core.inventory import (
    StoredObject,
    digest_of,
    inventory_error,
    parse_page,
)
from strongroom_server.ports import (
    BlobCopy,
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
    ReadBuffer,
)
from strongroom_server.repository.cache import Cache

#: Rows that are kept in memory, in whole pages; each takes about 700 bytes.
_CACHED_ROWS: Final = 100_000


class BlobReader(Protocol):
    """What a view needs of the bucket that a backup lies in; see `BlobStore`."""

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""
        ...

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`."""
        ...

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        """See `LockedBlobs`."""
        ...

    def time_s(self) -> float:
        """See `BlobStore`."""
        ...

    def check_ready(self) -> None:
        """See `BlobStore`."""
        ...


class InventoryRows(Protocol):
    """The rows of an inventory, in order of key."""

    def find(self, key: str) -> StoredObject | None:
        """Return the row of a key, if there is one."""
        ...

    def after(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        """Yield the rows whose key has a prefix, those behind `start_after`."""
        ...


class ListedRows:
    """Rows that are held in memory."""

    def __init__(self, rows: Iterable[StoredObject]) -> None:
        self._rows = sorted(rows, key=_key)
        self._keys = [row.key for row in self._rows]

    def find(self, key: str) -> StoredObject | None:
        """See `InventoryRows`."""
        place = bisect_left(self._keys, key)
        if place < len(self._keys) and self._keys[place] == key:
            return self._rows[place]
        return None

    def after(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        """See `InventoryRows`."""
        place = max(
            bisect_left(self._keys, prefix), bisect_right(self._keys, start_after)
        )
        for row in self._rows[place:]:
            if not row.key.startswith(prefix):
                return
            yield row


class PagedRows:
    """Rows of pages that a signed root names, read as they are needed.

    Safe to use from many threads.
    """

    def __init__(self, bucket: BlobReader, pages: Sequence[PageEntry]) -> None:
        self._bucket = bucket
        self._pages = tuple(pages)
        self._first_keys = [page.first_key for page in self._pages]
        self._kept: Cache[int, ListedRows] = Cache(_CACHED_ROWS)

    def find(self, key: str) -> StoredObject | None:
        """See `InventoryRows`.

        Raises:
            IntegrityError: A page is gone, or other than the root says
                (RECORD_CORRUPT); or the bucket answers, and not with this page
                (STORE_UNAVAILABLE).
        """
        place = bisect_right(self._first_keys, key) - 1
        return self._page(place).find(key) if place >= 0 else None

    def after(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        """See `InventoryRows`; errors as `find`."""
        first = bisect_right(self._first_keys, max(prefix, start_after)) - 1
        for place in range(max(first, 0), len(self._pages)):
            page = self._pages[place]
            if page.first_key > prefix and not page.first_key.startswith(prefix):
                return
            yield from self._page(place).after(prefix, start_after)

    def _page(self, place: int) -> ListedRows:
        kept = self._kept.get(place)
        if kept is not None:
            return kept
        page = self._pages[place]
        with _naming(self._bucket, layout.backup_page_key(page.sha256)):
            rows = ListedRows(read_page(self._bucket, page))
        return self._kept.put(place, rows, weight=page.row_count)


class InventoryView:
    """A read-only `BlobStore` that holds what an inventory names, and nothing else.

    A listing shows the ids that the backup bucket has; objects are found by these,
    and by all that the store knew them as.

    Args:
        bucket: The backup bucket.
        rows: What the backup holds.
        modified_s: When all of it was written, as far as listings say: the time of
            the backup.
    """

    def __init__(
        self, bucket: BlobReader, rows: InventoryRows, *, modified_s: float = 0.0
    ) -> None:
        self._bucket = bucket
        self.rows = rows
        self._modified_s = modified_s

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """Refuse: a backup is read only.

        Raises:
            PreconditionError: Always (STORE_UNSUITABLE).
        """
        raise PreconditionError(
            f"{key} ({len(data)} bytes) cannot be stored: a backup is read only",
            reason=Reason.STORE_UNSUITABLE,
            hint="Restore the backup into a store, and write there.",
        )

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`; what is read is what the inventory says, or nothing.

        Raises:
            BlobNotFoundError: There is no such version.
            IntegrityError: It is longer than `max_bytes` (RECORD_CORRUPT), or other
                bytes lie there than were locked away (DIGEST_MISMATCH); or the bucket
                answers, and not with this object (STORE_UNAVAILABLE).
            UnavailableError: The bucket cannot be reached.
        """
        row = self._row(key, version_id)
        with _naming(self._bucket, key):
            return read_object(self._bucket, row, max_bytes)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`; whoever reads a part has to check it. Errors as `get`."""
        row = self._row(key, version_id)
        with _naming(self._bucket, key):
            self._bucket.read_into(
                key, version_id=row.version_id, offset_bytes=offset_bytes, buffer=buffer
            )

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        for row in self.rows.after(prefix, start_after):
            yield BlobVersion(row.key, row.version_id, row.size_bytes, self._modified_s)

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `BlobStore`."""
        last = ""
        for row in self.rows.after(prefix):
            segment, slash, _ = row.key.removeprefix(prefix).partition("/")
            folder = f"{prefix}{segment}/"
            if slash and folder != last:
                yield folder
                last = folder

    def time_s(self) -> float:
        """See `BlobStore`."""
        return self._bucket.time_s()

    def check_ready(self) -> None:
        """See `BlobStore`."""
        self._bucket.check_ready()

    def _row(self, key: str, version_id: str) -> StoredObject:
        row = self.rows.find(key)
        if row is None or version_id not in (row.version_id, *row.known_as):
            raise BlobNotFoundError(key)
        return row


class InventoryCopy:
    """A `BlobCopy` of the store as a backup has it, to mend damage from."""

    def __init__(self, name: str, view: InventoryView) -> None:
        self._name = name
        self._view = view

    @property
    def name(self) -> str:
        """See `BlobCopy`."""
        return self._name

    def read(self, key: str, *, max_bytes: int) -> bytes | None:
        """See `BlobCopy`."""
        row = self._view.rows.find(key)
        if row is None:
            return None
        try:
            return self._view.get(key, version_id=row.version_id, max_bytes=max_bytes)
        except (BlobNotFoundError, IntegrityError):
            return None  # Damaged there, too.


@contextmanager
def _naming(bucket: BlobReader, key: str) -> Iterator[None]:
    """Tell one object that cannot be read from a bucket that cannot.

    Stores that check what lies on their disks refuse to read what has rotted, and
    answer as if they were out of order; nothing else may hang on that.
    """
    try:
        yield
    except UnavailableError as error:
        if error.reason is not Reason.STORE_UNAVAILABLE:
            raise
        bucket.check_ready()
        raise IntegrityError(
            f"{key} cannot be read, and the backup bucket answers: {error.message}",
            reason=error.reason,
            hint="Look at the store's health. If it has rotted there: an older "
            "backup may have it whole.",
            key=key,
        ) from error


def read_object(bucket: BlobReader, row: StoredObject, max_bytes: int) -> bytes:
    """Return the bytes of a row; errors as `InventoryView.get`."""
    data = bucket.get(row.key, version_id=row.version_id, max_bytes=max_bytes)
    if len(data) != row.size_bytes or hashlib.sha256(data).hexdigest() != row.sha256:
        raise IntegrityError(
            f"the backup's {row.key} is not what was locked away",
            reason=Reason.DIGEST_MISMATCH,
            hint="Use an older backup: `strongroom backup ls`.",
            key=row.key,
        )
    return data


def read_page(bucket: BlobReader, page: PageEntry) -> tuple[StoredObject, ...]:
    """Return the rows of a page that a root names, checked.

    Raises:
        IntegrityError: It is gone, or is not what the root says (RECORD_CORRUPT).
        UnavailableError: S3 cannot be reached.
    """
    key = layout.backup_page_key(page.sha256)
    data: bytes | None = None
    failure: UnavailableError | None = None
    try:
        data = _page_bytes(bucket, page, page.version_id)
    except UnavailableError as error:
        failure = error  # Of this version only, maybe: it has rotted there.
    if data is None:
        # A page is named by its digest, so that any version of it does.
        others = (
            _page_bytes(bucket, page, item.version_id)
            for item in bucket.versions(key)
            if item.key == key
            and item.size_bytes == page.size_bytes
            and item.version_id != page.version_id
        )
        data = next((found for found in others if found is not None), None)
    if data is None and failure is not None:
        raise failure
    if data is None:
        raise inventory_error(f"{key} is gone from the backup bucket, or rotten")
    rows = parse_page(data)
    if len(rows) != page.row_count or rows[0].key != page.first_key:
        raise inventory_error(f"{key} is not the page that the root names")
    return rows


def _page_bytes(bucket: BlobReader, page: PageEntry, version_id: str) -> bytes | None:
    key = layout.backup_page_key(page.sha256)
    try:
        data = bucket.get(key, version_id=version_id, max_bytes=page.size_bytes)
    except (BlobNotFoundError, IntegrityError):
        return None
    return data if digest_of(data) == page.sha256 else None


def _key(row: StoredObject) -> str:
    return row.key


_view: type[BlobStore] = InventoryView
_copy: type[BlobCopy] = InventoryCopy
