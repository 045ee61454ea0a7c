# SPDX-License-Identifier: Apache-2.0
"""A backup among others: parts, planted ones, slower ones, and wrong clocks."""

import pytest

from strongroom.errors import (
    ConflictError,
    IntegrityError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.services.backups import Asked, bases
from tests.support.backups import DAY_S, BackedUp
from tests.support.world import ARTIFACT

OTHER = ArtifactName("other", "model")


@pytest.fixture
def backed_up() -> BackedUp:
    """A store with one version, and no backup yet."""
    found = BackedUp()
    found.world.push({"config.json": b"{}", "weights": b"1" * 100_000})
    return found


def cut(backed_up: BackedUp, key: str) -> BackedUp:
    """Delete an object of the store; return it as a server sees it that knows none."""
    bucket = backed_up.world.bucket
    item = next(item for item, _ in bucket.objects() if item.key == key)
    bucket.delete_version(key, item.version_id)
    return backed_up.again()


def test_a_backup_of_a_part_hides_no_journal_that_was_cut(backed_up: BackedUp) -> None:
    world = backed_up.world
    world.push({"more": b"2"})
    key = world.keys("journals/")[-1]
    world.push({"x": b"x"}, OTHER)
    backed_up.take()
    fresh = cut(backed_up, key)
    fresh.take(Asked((ProjectName("other"),)))

    with pytest.raises(IntegrityError) as failure:
        fresh.again().take()

    assert failure.value.reason is Reason.JOURNAL_REWOUND


def test_planted_numbers_hide_no_journal_that_was_cut(backed_up: BackedUp) -> None:
    world = backed_up.world
    world.push({"more": b"2"})
    backed_up.take()
    for number in range(2, 20):
        backed_up.bucket.attack_overwrite(layout.backup_key(number), b"planted")
    fresh = cut(backed_up, world.keys("journals/")[-1])

    with pytest.raises(IntegrityError) as failure:
        fresh.take()

    assert failure.value.reason is Reason.JOURNAL_REWOUND


def test_backups_of_parts_do_not_hide_the_one_of_all(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "MAX_BASES", 2)
    backed_up.world.push({"x": b"x"}, OTHER)
    backed_up.take()
    for _ in range(3):
        backed_up.take(Asked((ProjectName("other"),)))

    assert backed_up.take().copied_count == 0


def test_what_is_no_backup_at_all_is_built_on_only_if_somebody_says_so(
    backed_up: BackedUp,
) -> None:
    backed_up.bucket.attack_overwrite(layout.backup_key(5, 1), b"planted")

    with pytest.raises(IntegrityError) as failure:
        backed_up.take()

    assert failure.value.reason is Reason.RECORD_CORRUPT
    assert backed_up.take(Asked(allow_rewound=True)).backup.number == 1
    assert backed_up.take().backup.number == 2


def test_a_slower_backup_does_not_become_the_newest(backed_up: BackedUp) -> None:
    steps = backed_up.backups.create(Asked())
    for step in steps:
        if getattr(step, "stage", "") == "journals":
            break
    backed_up.world.push({"more": b"2"})
    backed_up.again().take()

    with pytest.raises(ConflictError):
        list(steps)

    assert backed_up.records.numbers() == [1]


def test_one_of_a_part_does_not_keep_one_of_all_from_being_written(
    backed_up: BackedUp,
) -> None:
    steps = backed_up.backups.create(Asked())
    for step in steps:
        if getattr(step, "stage", "") == "journals":
            break
    backed_up.world.push({"more": b"2"})
    backed_up.again().take(Asked((ARTIFACT,)))

    list(steps)

    assert backed_up.records.numbers() == [1, 2]


@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_wrong_dates_no_backup(backed_up: BackedUp, days: int) -> None:
    backed_up.world.bucket.advance(days * DAY_S)

    with pytest.raises(PreconditionError) as failure:
        backed_up.take()

    assert failure.value.reason is Reason.STORE_UNSUITABLE
    assert backed_up.records.numbers() == []


def test_the_newest_is_of_the_whole_store_if_there_is_one(backed_up: BackedUp) -> None:
    backed_up.world.push({"x": b"x"}, OTHER)
    backed_up.take(Asked((ProjectName("other"),)))
    assert backed_up.backups.find(0).number == 1
    backed_up.take()
    backed_up.take(Asked((ProjectName("other"),)))

    assert backed_up.backups.find(0).number == 2
    assert backed_up.verify(0)[1].number == 2
