# SPDX-License-Identifier: Apache-2.0
"""Inventories: which stored objects a backup, or a store that moved, consists of.

An inventory is rows in order of key, cut into pages. Where a page ends depends on the
keys beside the cut alone, so that a stretch of keys in which nothing changed is the
same page, of the same digest, in the next inventory. A page says nothing secret, and
is believed only under the digest by which something signed names it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical, layout
from strongroom_server.core.clear_fields import (
    body_of,
    check_ascends,
    count_of,
    items_of,
    name_of,
    sha256_of,
)

TYPE: Final = "strongroom-inventory-page"
FORMAT: Final = 1
#: What nobody who reads a page needs to hold more than.
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
#: Rows in a page, if no key ends it sooner.
MAX_PAGE_ROWS: Final = 1024
#: One key in so many ends its page: a power of two.
MEAN_PAGE_ROWS: Final = 256
#: By how many version ids one object can be known: one for each move of a store.
MAX_KNOWN_AS: Final = 64
#: Of single objects; packs are far below.
MAX_OBJECT_BYTES: Final = 2**40
_FIELDS: Final = frozenset({"format", "rows", "type"})
_ROW_FIELDS: Final = 5
#: What a page has beside its rows, and a row beside its texts; with room to spare.
_PAGE_OVERHEAD_BYTES: Final = 128
_ROW_OVERHEAD_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a store, as it lies in one bucket.

    Attributes:
        key: Below the bucket's prefix, the same in every bucket.
        version_id: In the bucket that the inventory is of.
        sha256: Of the stored bytes, in hex.
        size_bytes: Of the stored bytes.
        known_as: By which version ids other objects of the store name it: the one that
            it had in the bucket that it was copied from, and those from before.
    """

    key: str
    version_id: str
    sha256: str
    size_bytes: int
    known_as: tuple[str, ...]


def digest_of(page: bytes) -> str:
    """Return what names a page: the SHA-256 of its bytes, in hex."""
    return hashlib.sha256(page).hexdigest()


def encode_page(rows: Iterable[StoredObject]) -> bytes:
    """Return the bytes of a page of rows, as `cut_pages` yields them.

    Raises:
        IntegrityError: A row cannot stand there, or they are out of order
            (RECORD_CORRUPT).
    """
    listed = tuple(rows)
    try:
        _check_rows(listed)
    except ValueError as error:
        raise inventory_error(f"rows that begin with {listed[:1]!r:.300}") from error
    data = canonical.encode(
        {"format": FORMAT, "rows": [_format_row(row) for row in listed], "type": TYPE}
    )
    if len(data) > MAX_PAGE_BYTES:
        raise inventory_error(f"a page of {len(data)} bytes")
    return data


def parse_page(data: bytes) -> tuple[StoredObject, ...]:
    """Return the rows of a page. The caller has compared it with its digest.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        body = body_of(data, TYPE, _FIELDS, newest=FORMAT, max_bytes=MAX_PAGE_BYTES)
        rows = tuple(_parse_row(item) for item in items_of(body["rows"]))
        _check_rows(rows)
    except ValueError as error:
        raise inventory_error("a page of an inventory") from error
    return rows


def cut_pages(rows: Iterable[StoredObject]) -> Iterator[tuple[StoredObject, ...]]:
    """Yield rows, which come in order of key, as pages; none is empty.

    Raises:
        IntegrityError: They are out of order (RECORD_CORRUPT).
    """
    page: list[StoredObject] = []
    size_bytes = _PAGE_OVERHEAD_BYTES
    last = ""
    for row in rows:
        if row.key <= last:
            raise inventory_error(f"{row.key[:200]!r} behind {last[:200]!r}")
        last = row.key
        row_bytes = _size_of(row)
        if page and size_bytes + row_bytes > MAX_PAGE_BYTES:
            yield tuple(page)
            page, size_bytes = [], _PAGE_OVERHEAD_BYTES
        page.append(row)
        size_bytes += row_bytes
        if len(page) == MAX_PAGE_ROWS or _ends_page(row.key):
            yield tuple(page)
            page, size_bytes = [], _PAGE_OVERHEAD_BYTES
    if page:
        yield tuple(page)


def inventory_error(what: str) -> IntegrityError:
    """Return the error for what can be no part of an inventory."""
    return IntegrityError(
        f"{what}: this is no inventory, or it was altered",
        reason=Reason.RECORD_CORRUPT,
        hint="Take another backup: `strongroom backup create --read-all`.",
    )


def _ends_page(key: str) -> bool:
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") % MEAN_PAGE_ROWS == 0


def _size_of(row: StoredObject) -> int:
    """Return what a row comes to in a page, at most."""
    names = (row.key, row.version_id, *row.known_as)
    # Of what is printable, these two are escaped.
    escapes = sum(name.count('"') + name.count("\\") for name in names)
    texts = sum(len(name.encode()) + 3 for name in names)
    return _ROW_OVERHEAD_BYTES + escapes + texts


def _format_row(row: StoredObject) -> list[Any]:
    return [row.key, row.version_id, row.sha256, row.size_bytes, list(row.known_as)]


def _parse_row(item: object) -> StoredObject:
    key, version_id, sha256, size_bytes, known_as = items_of(item, _ROW_FIELDS)
    return StoredObject(key, version_id, sha256, size_bytes, tuple(items_of(known_as)))


def _check_rows(rows: tuple[StoredObject, ...]) -> None:
    if not 0 < len(rows) <= MAX_PAGE_ROWS:
        raise ValueError(len(rows))
    for row in rows:
        _check_row(row)
    check_ascends([row.key for row in rows])


def _check_row(row: StoredObject) -> None:
    for name in (row.key, row.version_id, *row.known_as):
        name_of(name)
    sha256_of(row.sha256)
    is_possible = count_of(row.size_bytes) <= MAX_OBJECT_BYTES
    if not is_possible or row.key.startswith(layout.BACKUPS):
        raise ValueError(row)
    is_doubled = len(set(row.known_as)) != len(row.known_as)
    if is_doubled or len(row.known_as) > MAX_KNOWN_AS:
        raise ValueError(row)
