# SPDX-License-Identifier: Apache-2.0
"""What backups make of the bucket that they lie in: rot, squatters, half a backup."""

import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from strongroom.errors import ExhaustedError, PreconditionError, Reason
from strongroom_server.services.backups import Asked, bases, taking
from tests.support.backups import BackedUp
from tests.support.clock import ManualClock
from tests.support.samples import filled
from tests.support.world import World

FILES = {"config.json": b"{}", "weights": filled("weights", 3 * 1024 * 1024)}


@pytest.fixture
def backed_up() -> BackedUp:
    """A store with one version, and no backup yet."""
    found = BackedUp()
    found.world.push(FILES)
    return found


def packs(keys: Iterable[str]) -> list[str]:
    return [key for key in sorted(keys) if key.startswith("packs/")]


def test_what_rotted_in_the_backup_bucket_is_found_by_the_sample(
    backed_up: BackedUp,
) -> None:
    first = backed_up.take().backup
    for row in list(backed_up.records.rows(first.root)):
        if row.key.startswith("packs/"):
            backed_up.bucket.rot(row.key, row.version_id, bytes(row.size_bytes))
    assert len(backed_up.verify(first.number)[0]) == len(packs(backed_up.rows(first)))

    second = backed_up.take()

    assert second.rotten_count >= 1
    assert backed_up.verify(second.backup.number)[0] == []


def test_all_that_rotted_is_found_if_all_is_read_back(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "SAMPLED", 1)
    first = backed_up.take().backup
    rows = list(backed_up.records.rows(first.root))
    for row in rows[::2]:
        backed_up.bucket.rot(row.key, row.version_id, bytes(row.size_bytes))

    second = backed_up.take(Asked(read_all=True))

    assert second.rotten_count == len(rows[::2])
    assert second.sampled_count + second.rotten_count == len(rows)
    assert backed_up.verify(second.backup.number)[0] == []


def test_what_is_gone_from_the_backup_bucket_is_copied_anew(
    backed_up: BackedUp,
) -> None:
    first = backed_up.take().backup
    row = next(iter(backed_up.records.rows(first.root)))
    backed_up.bucket.lose(row.key, row.version_id)
    assert backed_up.verify(first.number, deep=False)[0] == [row.key]

    second = backed_up.take()

    assert second.copied_count == 1
    assert backed_up.verify(second.backup.number)[0] == []


def test_what_squats_in_the_backup_bucket_is_stored_over(backed_up: BackedUp) -> None:
    for key in set(backed_up.world.keys()):
        backed_up.bucket.attack_overwrite(key, b"squatter")

    taken = backed_up.take()

    assert backed_up.verify()[0] == []
    assert backed_up.opened(taken.backup).pull("1") == FILES


def test_an_interrupted_backup_is_found_again_and_not_read_twice(
    backed_up: BackedUp,
) -> None:
    steps = backed_up.backups.create(Asked())
    for step in steps:
        if getattr(step, "stage", "") == "journals":
            break
    del steps  # The server is gone.
    assert backed_up.records.numbers() == []

    taken = backed_up.again().take()

    rows = taken.backup.root.object_count
    assert taken.copied_count < rows
    assert taken.backup.root.new_object_count == rows
    assert backed_up.verify()[0] == []


def test_two_at_once_are_both_right(backed_up: BackedUp) -> None:
    other = backed_up.again()
    first, second = backed_up.backups.create(Asked()), other.backups.create(Asked())
    for _ in zip(first, second, strict=False):
        pass
    for steps in (first, second):
        for _ in steps:
            pass

    assert backed_up.records.numbers() == [1, 2]
    for number in (1, 2):
        assert backed_up.verify(number)[0] == []


def test_a_bucket_that_keeps_no_locks_gets_nothing() -> None:
    def refuse() -> None:
        raise PreconditionError("no", reason=Reason.STORE_UNSUITABLE)

    found = BackedUp(require=refuse)
    found.world.push(FILES)

    with pytest.raises(PreconditionError):
        found.take()

    assert found.bucket.objects() == []


def test_too_many_objects_are_refused_by_name(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "MAX_OBJECTS", 3)

    with pytest.raises(ExhaustedError) as failure:
        backed_up.take()

    assert failure.value.reason is Reason.TOO_LARGE


def test_the_rate_is_kept() -> None:
    clock = ManualClock()
    found = BackedUp(World(clock=clock))
    found.world.push(FILES)
    found.rules = replace(found.rules, max_bytes_per_second=1024 * 1024)
    found.__post_init__()
    begin_s = clock.monotonic()

    taken = found.take()

    assert clock.monotonic() - begin_s >= taken.copied_bytes / 1024 / 1024 - 0.1
    assert time.monotonic()
