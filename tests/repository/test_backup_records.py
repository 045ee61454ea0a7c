# SPDX-License-Identifier: Apache-2.0
"""Records of backups in their bucket: what is believed of it, whoever else writes."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.errors import IntegrityError, NotFoundError, Reason, StrongroomError
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core import layout
from strongroom_server.core.backup_root import BackupRoot
from strongroom_server.core.inventory import cut_pages
from strongroom_server.ports import Lock, LockMode
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.locked_objects import extend_lock, keep_locked
from tests.core.test_inventory import rows_of
from tests.support.entropy import SeededEntropy
from tests.support.samples import STORE, filled, signer
from tests.vectors.backup_cases import root_of

ROWS = rows_of(700)


class Place:
    """A backup bucket, and records in it."""

    def __init__(self) -> None:
        self.bucket = MemoryLockedBlobs()
        self.records = BackupRecords(self.bucket, signer(), STORE)
        self.now = datetime.fromtimestamp(int(self.bucket.time_s()), UTC)
        self.until = self.now + timedelta(days=35)
        self.lock = Lock(LockMode.COMPLIANCE, self.until.timestamp())

    def root(self) -> BackupRoot:
        pages = tuple(
            self.records.write_page(page, self.lock) for page in cut_pages(ROWS)
        )
        return root_of(
            create_time=self.now,
            protected_until=self.until,
            pages=pages,
            object_count=len(ROWS),
        )

    def save(self) -> SavedBackup:
        return self.records.write_root(self.root(), lock=self.lock)


def survey(place: Place) -> tuple[list[SavedBackup], dict[int, StrongroomError]]:
    """Return all backups, oldest first; and by number what is none, and why."""
    bad: dict[int, StrongroomError] = {}
    good = [*place.records.newest_first(bad)][::-1]
    return good, bad


@pytest.fixture
def place() -> Place:
    return Place()


def test_a_backup_is_read_as_it_was_written(place: Place) -> None:
    saved = place.save()

    found = place.records.load(1)

    assert found == saved == place.records.newest()
    assert found.protected_until == place.until
    assert not found.is_held
    assert list(place.records.rows(found.root)) == ROWS


def test_each_root_names_the_one_before_it(place: Place) -> None:
    first, second = place.save(), place.save()

    assert (first.number, second.number) == (1, 2)
    assert first.root.previous == ""
    assert second.root.previous == first.root_digest
    assert [item.number for item in survey(place)[0]] == [1, 2]


def test_pages_that_are_there_are_kept_and_locked_for_longer(place: Place) -> None:
    first = place.root()
    later = Lock(LockMode.COMPLIANCE, place.lock.until_s + 3600)

    again = [place.records.write_page(page, later) for page in cut_pages(ROWS)]

    assert tuple(again) == first.pages
    for page in again:
        key = layout.backup_page_key(page.sha256)
        lock = place.bucket.lock_of(key, version_id=page.version_id)
        assert lock is not None
        assert lock.until_s == later.until_s


def test_what_somebody_planted_under_a_page_is_stored_over(place: Place) -> None:
    page = next(iter(cut_pages(ROWS)))
    entry = place.records.write_page(page, place.lock)
    key = layout.backup_page_key(entry.sha256)
    planted = MemoryLockedBlobs()
    planted.attack_overwrite(key, b"garbage")
    records = BackupRecords(planted, signer(), STORE)

    mine = records.write_page(page, place.lock)

    assert records.read_page(mine) == page
    assert planted.lock_of(key, version_id=mine.version_id) is not None


def test_a_page_whose_version_is_rotten_is_read_from_another_one(place: Place) -> None:
    root = place.root()
    entry = root.pages[0]
    key = layout.backup_page_key(entry.sha256)
    data = place.bucket.get(key, version_id=entry.version_id, max_bytes=10**7)
    place.bucket.put_over(key, data, lock=place.lock)
    place.bucket.rot(key, entry.version_id, b"x" * len(data))

    assert list(place.records.rows(root)) == ROWS


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_a_page_that_is_rotten_everywhere_is_named(place: Place, damage: bytes) -> None:
    root = place.root()
    entry = root.pages[0]
    key = layout.backup_page_key(entry.sha256)
    place.bucket.rot(key, entry.version_id, damage)

    with pytest.raises(IntegrityError, match=entry.sha256):
        list(place.records.rows(root))


def test_a_page_under_another_pages_digest_is_refused(place: Place) -> None:
    root = place.root()
    first, second = root.pages[:2]
    swapped = replace(first, first_key=second.first_key)

    with pytest.raises(IntegrityError):
        place.records.read_page(swapped)
    with pytest.raises(IntegrityError):
        list(place.records.rows(replace(root, pages=(second, first))))


def test_garbage_over_a_root_and_markers_over_it_change_nothing(place: Place) -> None:
    saved = place.save()
    place.bucket.attack_overwrite(layout.backup_key(1), b"garbage")
    place.bucket.attack_delete_marker(layout.backup_key(1))

    assert place.records.load(1) == saved


def test_a_number_that_somebody_took_is_passed_over(place: Place) -> None:
    place.bucket.attack_overwrite(layout.backup_key(1), b"garbage")
    place.bucket.attack_overwrite(layout.backup_key(10**11), b"garbage")

    saved = place.save()

    assert saved.number == 2
    good, bad = survey(place)
    assert [item.number for item in good] == [2]
    assert sorted(bad) == [1, 10**11]
    assert bad[1].reason is Reason.RECORD_CORRUPT


def test_hundreds_of_planted_numbers_are_in_nobodys_way(place: Place) -> None:
    saved = place.save()
    for number in range(2, 152):
        place.bucket.attack_overwrite(layout.backup_key(number), b"garbage")
    for number in range(1, 151):
        place.bucket.attack_overwrite(layout.backup_key(1, number), b"garbage")

    later = place.until + timedelta(days=1)
    longer = place.records.write_extension(
        saved, protected_until=later, held=None, create_time=place.now, lock=place.lock
    )

    assert [item.extension for item in longer.extensions] == [151]
    assert place.save().number == 152


def test_a_marker_where_the_next_root_goes_hides_nothing(place: Place) -> None:
    first = place.save()
    place.bucket.attack_overwrite(layout.backup_key(2), b"garbage")
    place.bucket.attack_delete_marker(layout.backup_key(2))

    second = place.save()

    assert second.number == 3
    assert second.root.previous == first.root_digest


def test_another_stores_root_and_one_at_another_place_are_none(place: Place) -> None:
    saved = place.save()
    place.bucket.attack_overwrite(layout.backup_key(2), saved.data)
    stranger = BackupRecords(place.bucket, signer(), filled("another", 16))
    other_keys = MemorySigner(entropy=SeededEntropy(9))
    without_keys = BackupRecords(place.bucket, other_keys, STORE)

    assert sorted(survey(place)[1]) == [2]
    assert stranger.newest() is None
    assert without_keys.newest() is None


def test_there_is_no_backup_where_nothing_lies(place: Place) -> None:
    assert place.records.newest() is None
    with pytest.raises(NotFoundError) as caught:
        place.records.load(3)
    assert caught.value.reason is Reason.BACKUP_NOT_FOUND


def test_extensions_are_believed_for_their_own_root_alone(place: Place) -> None:
    first, second = place.save(), place.save()
    later = place.until + timedelta(days=10)

    held = place.records.write_extension(
        first, protected_until=later, held=True, create_time=place.now, lock=place.lock
    )
    key = layout.backup_key(1, 1)
    (item,) = place.bucket.versions(key)
    data = place.bucket.get(key, version_id=item.version_id, max_bytes=10**6)
    place.bucket.attack_overwrite(layout.backup_key(2, 1), data)
    place.bucket.attack_overwrite(layout.backup_key(1, 2), b"garbage")

    assert (held.protected_until, held.is_held) == (later, True)
    assert place.records.load(1) == held
    assert place.records.load(2) == second


def test_an_extension_takes_no_time_and_goes_round_what_is_planted(
    place: Place,
) -> None:
    saved = place.save()
    place.bucket.attack_overwrite(layout.backup_key(1, 1), b"garbage")

    same = place.records.write_extension(
        saved,
        protected_until=place.now + timedelta(days=1),
        held=None,
        create_time=place.now,
        lock=place.lock,
    )

    assert same.protected_until == place.until
    assert [item.extension for item in same.extensions] == [2]


def test_of_two_who_write_at_once_each_gets_a_number(place: Place) -> None:
    root, numbers = place.root(), list[int]()

    def write() -> None:
        saved = place.records.write_root(root, lock=place.lock)
        numbers.append(saved.number)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(numbers) == [1, 2, 3, 4]
    assert len(survey(place)[0]) == 4


def test_other_bytes_of_the_same_length_are_not_taken_for_ours(place: Place) -> None:
    place.bucket.put_locked("packs/a", b"evil", lock=place.lock)

    kept = keep_locked(place.bucket, "packs/a", b"same", place.lock)

    assert not kept.was_there
    data = place.bucket.get("packs/a", version_id=kept.version_id, max_bytes=10)
    assert data == b"same"


def test_bytes_that_nobody_locked_are_stored_again_and_locked(place: Place) -> None:
    place.bucket.attack_overwrite("packs/a", b"same")

    kept = keep_locked(place.bucket, "packs/a", b"same", place.lock)

    assert not kept.was_there
    assert place.bucket.lock_of("packs/a", version_id=kept.version_id) == place.lock


def test_a_weaker_lock_is_no_lock_where_a_stronger_one_is_asked_for(
    place: Place,
) -> None:
    weak = Lock(LockMode.GOVERNANCE, place.lock.until_s)
    first = keep_locked(place.bucket, "packs/a", b"same", weak)

    kept = keep_locked(place.bucket, "packs/a", b"same", place.lock)
    again = keep_locked(place.bucket, "packs/a", b"same", weak)

    assert kept.version_id != first.version_id
    assert again.version_id == kept.version_id
    assert again.was_there
    assert not extend_lock(place.bucket, "packs/b", "v1", place.lock)


def test_a_held_object_is_held_whatever_was_there(place: Place) -> None:
    held = replace(place.lock, is_held=True)
    keep_locked(place.bucket, "packs/a", b"same", place.lock)

    kept = keep_locked(place.bucket, "packs/a", b"same", held)

    lock = place.bucket.lock_of("packs/a", version_id=kept.version_id)
    assert lock is not None
    assert lock.is_held
