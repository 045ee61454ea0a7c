# SPDX-License-Identifier: Apache-2.0
"""A backup read as a store: what its inventory names, whatever else lies there."""

import hashlib

import pytest

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core import layout
from strongroom_server.core.backup_root import PageEntry
from strongroom_server.core.inventory import (
    StoredObject,
    cut_pages,
    digest_of,
    encode_page,
)
from strongroom_server.ports import BlobNotFoundError, Lock, LockMode
from strongroom_server.repository.inventory_view import (
    InventoryCopy,
    InventoryView,
    ListedRows,
    PagedRows,
)

LOCK = Lock(LockMode.COMPLIANCE, 4_000_000_000.0)
KEYS = sorted(f"folder-{number % 7}/object-{number:04d}" for number in range(1500))


class Place:
    """A backup bucket with an inventory of some objects."""

    def __init__(self) -> None:
        self.bucket = MemoryLockedBlobs()
        rows = []
        for key in KEYS:
            data = key.encode()
            version = self.bucket.put_locked(key, data, lock=LOCK)
            digest = hashlib.sha256(data).hexdigest()
            rows.append(StoredObject(key, version, digest, len(data), (f"p-{key}",)))
        self.rows = rows
        self.pages = []
        for page in cut_pages(rows):
            data = encode_page(page)
            sha256 = digest_of(data)
            key = layout.backup_page_key(sha256)
            version = self.bucket.put_locked(key, data, lock=LOCK)
            self.pages.append(
                PageEntry(sha256, version, page[0].key, len(page), len(data))
            )
        self.view = InventoryView(self.bucket, PagedRows(self.bucket, self.pages))

    def get(self, key: str, version_id: str) -> bytes:
        return self.view.get(key, version_id=version_id, max_bytes=1000)


@pytest.fixture(scope="module")
def whole() -> Place:
    return Place()


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_listing_shows_what_the_inventory_names(whole: Place) -> None:
    assert len(whole.pages) > 3
    assert [item.key for item in whole.view.first_versions("")] == KEYS
    for prefix in ("folder-3/", "folder-3/object-07", "folder-9/", "a", "z", KEYS[5]):
        wanted = [key for key in KEYS if key.startswith(prefix)]
        assert [item.key for item in whole.view.first_versions(prefix)] == wanted
    for key in (KEYS[0], KEYS[700], KEYS[-1], "folder-2/z"):
        later = [item for item in KEYS if item > key]
        found = whole.view.first_versions("", start_after=key)
        assert [item.key for item in found] == later
    folders = [f"folder-{number}/" for number in range(7)]
    assert list(whole.view.subfolders("")) == folders


def test_objects_are_found_by_both_their_ids_and_no_other(whole: Place) -> None:
    for row in whole.rows[::97]:
        data = row.key.encode()
        assert whole.get(row.key, row.version_id) == data
        assert whole.get(row.key, f"p-{row.key}") == data
        buffer = bytearray(4)
        whole.view.read_into(
            row.key,
            version_id=f"p-{row.key}",
            offset_bytes=2,
            buffer=memoryview(buffer),
        )
        assert buffer == data[2:6]
        with pytest.raises(BlobNotFoundError):
            whole.get(row.key, "other")
    with pytest.raises(BlobNotFoundError):
        whole.get("folder-1/none", "p-folder-1/none")


def test_what_others_put_into_the_bucket_is_invisible(place: Place) -> None:
    key = KEYS[10]
    garbage = place.bucket.attack_overwrite(key, b"garbage")
    place.bucket.attack_delete_marker(KEYS[11])
    place.bucket.put_locked("folder-1/added", b"added", lock=LOCK)

    assert place.get(key, f"p-{key}") == key.encode()
    assert place.get(KEYS[11], f"p-{KEYS[11]}") == KEYS[11].encode()
    assert [item.key for item in place.view.first_versions("")] == KEYS
    with pytest.raises(BlobNotFoundError):
        place.get(key, garbage)


def test_rot_is_told_and_never_handed_out(place: Place) -> None:
    row = place.rows[20]
    place.bucket.rot(row.key, row.version_id, b"x" * row.size_bytes)

    with pytest.raises(IntegrityError) as caught:
        place.get(row.key, row.version_id)

    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert row.key in caught.value.message
    copy = InventoryCopy("backup 1", place.view)
    assert copy.read(row.key, max_bytes=1000) is None
    assert copy.read(KEYS[21], max_bytes=1000) == KEYS[21].encode()
    assert copy.read(KEYS[21], max_bytes=3) is None
    assert copy.read("folder-1/none", max_bytes=1000) is None


def test_a_page_that_rotted_is_refused_unless_another_version_has_it(
    place: Place,
) -> None:
    page = place.pages[0]
    key = layout.backup_page_key(page.sha256)
    data = place.bucket.get(key, version_id=page.version_id, max_bytes=page.size_bytes)
    place.bucket.rot(key, page.version_id, data[:-1])

    with pytest.raises(IntegrityError) as caught:
        place.get(KEYS[0], f"p-{KEYS[0]}")
    assert caught.value.reason is Reason.RECORD_CORRUPT

    place.bucket.put_over(key, data, lock=LOCK)
    assert place.get(KEYS[0], f"p-{KEYS[0]}") == KEYS[0].encode()


def rot_on_disk(
    place: Place, monkeypatch: pytest.MonkeyPatch, bad: tuple[str, str]
) -> None:
    """Have the bucket answer for one version as if it were out of order."""
    get = place.bucket.get

    def refuse(key: str, *, version_id: str, max_bytes: int) -> bytes:
        if (key, version_id) == bad:
            message = "503"
            raise UnavailableError(message, reason=Reason.STORE_UNAVAILABLE)
        return get(key, version_id=version_id, max_bytes=max_bytes)

    monkeypatch.setattr(place.bucket, "get", refuse)


def test_a_page_that_cannot_be_read_is_named_and_no_object_is_blamed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = place.pages[0]
    key = layout.backup_page_key(page.sha256)
    rot_on_disk(place, monkeypatch, (key, page.version_id))

    with pytest.raises(IntegrityError) as failure:
        place.get(KEYS[0], place.rows[0].version_id)

    assert failure.value.metadata["key"] == key
    assert KEYS[0] not in failure.value.message
    place.get(KEYS[-1], place.rows[-1].version_id)


def test_another_version_of_a_page_that_cannot_be_read_does(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = place.pages[0]
    key = layout.backup_page_key(page.sha256)
    data = place.bucket.get(key, version_id=page.version_id, max_bytes=page.size_bytes)
    place.bucket.attack_overwrite(key, data)
    rot_on_disk(place, monkeypatch, (key, page.version_id))

    assert place.get(KEYS[0], place.rows[0].version_id) == KEYS[0].encode()


def test_nothing_is_written(whole: Place) -> None:
    with pytest.raises(PreconditionError):
        whole.view.put_new("folder-1/new", b"new")


def test_listed_rows_say_the_same_as_pages(whole: Place) -> None:
    listed = ListedRows(reversed(whole.rows))
    paged = PagedRows(whole.bucket, whole.pages)
    for prefix, after in (("", ""), ("folder-4/", ""), ("folder-4/", KEYS[900])):
        assert list(listed.after(prefix, after)) == list(paged.after(prefix, after))
    for key in (KEYS[0], KEYS[-1], "none", "zzz", ""):
        assert listed.find(key) == paged.find(key)
