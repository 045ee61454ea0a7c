# SPDX-License-Identifier: Apache-2.0
"""What others put where records of backups lie: it costs little, and hides none."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core import layout
from strongroom_server.repository import signed_extensions, signed_records
from strongroom_server.repository.backup_engine import signed_store
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from tests.repository.test_backup_records import Place, survey
from tests.support.samples import STORE, filled, signer


class CountedBucket(MemoryLockedBlobs):
    """Counts what is read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        self.read.append(key)
        return super().get(key, version_id=version_id, max_bytes=max_bytes)


@pytest.fixture
def counted() -> Place:
    place = Place()
    place.bucket = CountedBucket()
    place.records = BackupRecords(place.bucket, signer(), STORE)
    return place


def reads(place: Place) -> int:
    """Return how often the bucket was read since this was asked last."""
    assert isinstance(place.bucket, CountedBucket)
    count = len(place.bucket.read)
    place.bucket.read.clear()
    return count


def test_planted_roots_are_read_once_and_not_each_time(counted: Place) -> None:
    saved = counted.save()
    for number in range(2, 7):
        counted.bucket.attack_overwrite(layout.backup_key(number), filled("x", 9_000))
    # A root of ours that somebody put under another number.
    counted.bucket.attack_overwrite(layout.backup_key(7), saved.data)
    reads(counted)

    first = counted.records.newest()
    asked = reads(counted)
    again = [survey(counted)[1] for _ in range(5)]

    assert first == saved
    assert asked == 7
    assert reads(counted) == 5
    assert {number for bad in again for number in bad} == {2, 3, 4, 5, 6, 7}


def test_what_was_refused_is_read_again_now_and_then(counted: Place) -> None:
    counted.save()
    counted.bucket.attack_overwrite(layout.backup_key(2), filled("x", 9_000))
    reads(counted)

    for _ in range(signed_records.BELIEVED * 3):
        survey(counted)

    assert reads(counted) == signed_records.BELIEVED * 3 + 3


def plant(place: Place, numbers: Iterable[int], size_bytes: int = 900) -> None:
    """Put what is none where extensions of the first backup lie."""
    for number in numbers:
        data = filled("x", size_bytes)
        place.bucket.attack_overwrite(layout.backup_key(1, number), data)


def hold(place: Place, saved: SavedBackup) -> SavedBackup:
    """Sign that a backup is held, and locked for longer."""
    return place.records.write_extension(
        saved,
        protected_until=place.until + timedelta(days=5),
        held=True,
        create_time=place.now,
        lock=place.lock,
    )


def test_planted_extensions_are_read_by_and_by_and_hide_none(
    counted: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_extensions, "MAX_PLANTED", 5)
    saved = counted.save()
    plant(counted, range(1, 13))
    plant(counted, range(13, 20), 100)  # Of no plausible size: they cost nothing.
    reads(counted)

    held = hold(counted, saved)

    assert held.is_held
    assert held.protected_until == counted.until + timedelta(days=5)
    assert held.unread_count == 12 - 5
    assert reads(counted) == 1 + 1 + 5
    seen = [counted.records.load(1) for _ in range(60)]
    assert all(item.extensions == held.extensions for item in seen)
    assert [item.unread_count for item in seen[:3]] == [2, 0, 0]
    # Each planted one is read again now and then, and the true one never.
    assert reads(counted) <= 60 + 12 * (1 + 60 // signed_records.BELIEVED)


def test_more_planted_extensions_than_are_remembered_hide_none(
    counted: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_extensions, "MAX_PLANTED", 5)
    monkeypatch.setattr(signed_records, "MAX_REFUSED", 10)
    counted.records = BackupRecords(counted.bucket, signer(), STORE)
    saved = counted.save()
    plant(counted, range(1, 40))
    hold(counted, saved)
    plant(counted, range(41, 44))

    # As a process that begins has it, and from then on.
    fresh = BackupRecords(counted.bucket, signer(), STORE)
    assert all(fresh.load(1).is_held for _ in range(60))
    assert fresh.load(1).unread_count
    # Who wrote it knows it, whatever lies above.
    plant(counted, range(44, 80))
    assert all(counted.records.load(1).is_held for _ in range(60))


def test_what_is_written_is_told_before_it_can_be_read(
    counted: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = counted.save()
    monkeypatch.setattr(signed_extensions, "MAX_PLANTED", 0)

    assert hold(counted, saved).is_held


def test_refusals_keep_nothing_of_what_was_read(counted: Place) -> None:
    counted.save()
    counted.bucket.attack_overwrite(layout.backup_key(2), filled("x", 9_000))

    _, bad = survey(counted)

    error = bad[2]
    assert error.__traceback__ is None
    assert error.__cause__ is None
    assert error.__context__ is None


def test_what_looks_for_the_store_remembers_what_it_refused(counted: Place) -> None:
    counted.save()
    for number in range(2, 7):
        counted.bucket.attack_overwrite(layout.backup_key(number), filled("x", 9_000))
    signed = signed_records.SignedRecords(counted.bucket)

    store = signed_store(counted.bucket, signer(), signed)
    asked = reads(counted)
    newest = BackupRecords(counted.bucket, signer(), store, signed).newest()

    assert newest is not None
    assert (asked, reads(counted)) == (5 + 1, 1)
