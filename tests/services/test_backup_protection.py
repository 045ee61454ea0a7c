# SPDX-License-Identifier: Apache-2.0
"""What servers remember of backups: little, and enough to see that one is gone."""

from collections.abc import Iterator

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import layout
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.services.backups.protection import BAD_AGAIN_S
from tests.support.backups import DAY_S, BackedUp, unchecked
from tests.support.world import ARTIFACT

FILES = {"config.json": b"{}"}


@pytest.fixture
def backed_up() -> Iterator[BackedUp]:
    """A store with one version, and no backup yet."""
    found = BackedUp()
    found.world.push(FILES)
    yield found
    found.world.executor.shutdown()


def lose_root(backed_up: BackedUp, number: int) -> None:
    key = layout.backup_key(number)
    (item,) = backed_up.bucket.first_versions(key)
    backed_up.bucket.lose(key, item.version_id)


def test_a_backup_that_is_gone_before_its_date_alarms_until_then(
    backed_up: BackedUp,
) -> None:
    backed_up.take()
    newest = backed_up.take().backup
    protection = backed_up.backups.protection
    protection.check()

    lose_root(backed_up, newest.number)
    backed_up.backups.look()

    for _ in range(2):
        with pytest.raises(IntegrityError, match="backup 2 is gone"):
            protection.check()
        backed_up.backups.look()
    backed_up.bucket.advance(31 * DAY_S)
    backed_up.backups.look()
    protection.check()


def test_a_held_backup_is_missed_whatever_its_date(backed_up: BackedUp) -> None:
    backed_up.take()
    list(backed_up.backups.hold(1, is_held=True, check=unchecked))
    backed_up.bucket.advance(31 * DAY_S)
    backed_up.backups.look()

    lose_root(backed_up, 1)

    assert backed_up.backups.look().lost == (
        "backup 1 is gone, or was replaced, and it was held",
    )


def test_a_server_that_never_saw_it_misses_what_its_neighbours_name(
    backed_up: BackedUp,
) -> None:
    for _ in range(3):
        backed_up.take()
    fresh = backed_up.again().backups
    assert fresh.look().lost == ()
    lose_root(backed_up, 2)

    fresh = backed_up.again().backups

    assert fresh.look().lost == ("the backup before 3 is gone",)
    with pytest.raises(IntegrityError):
        fresh.protection.check()
    backed_up.bucket.advance(31 * DAY_S)
    assert fresh.look().lost == ()


def test_one_of_a_newer_release_is_not_missed(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        backed_up.take()
    fresh = backed_up.again()
    load = fresh.records.load

    def load_as_older(number: int) -> SavedBackup:
        if number == 2:
            message = "its format is newer"
            raise PreconditionError(message, reason=Reason.FORMAT_UNSUPPORTED)
        return load(number)

    monkeypatch.setattr(fresh.records, "load", load_as_older)

    state = fresh.backups.look()

    assert [*state.untrusted] == [2]
    assert state.lost == ()


def test_the_oldest_ones_may_go_when_their_date_is_over(backed_up: BackedUp) -> None:
    backed_up.take()
    backed_up.take()
    later = backed_up.records.load(2).protected_until
    list(
        backed_up.backups.extend(2, later.replace(year=later.year + 1), check=unchecked)
    )
    backed_up.bucket.advance(31 * DAY_S)
    lose_root(backed_up, 1)

    assert backed_up.backups.look().lost == ()
    assert backed_up.again().backups.look().lost == ()


def test_little_is_remembered_and_nothing_of_what_is_over(backed_up: BackedUp) -> None:
    backed_up.take()
    backed_up.take()
    protection = backed_up.backups.protection

    state = backed_up.backups.look()

    assert [saved.data for saved in state.backups] == [b"", b""]
    assert not any(saved.root.pages or saved.root.journals for saved in state.backups)
    assert state.counts == {1: (1, 1), 2: (1, 1)}
    ((one,), (other,)) = (item.heads for item in protection._known.values())
    assert one is other
    backed_up.bucket.advance(31 * DAY_S)
    state = backed_up.backups.look()
    assert [item.heads for item in protection._known.values()] == [(), ()]
    assert state.counts == {1: (1, 1), 2: (1, 1)}


def test_a_date_that_comes_back_protects_again(backed_up: BackedUp) -> None:
    saved = backed_up.take().backup
    backed_up.bucket.advance(31 * DAY_S)
    backed_up.backups.look()

    backed_up.bucket.advance(-31 * DAY_S)
    backed_up.backups.look()

    assert backed_up.backups.dates_of(ARTIFACT)(1) == saved.protected_until


def test_what_is_no_backup_is_not_read_again_and_again(backed_up: BackedUp) -> None:
    key = layout.backup_key(1)
    version_id = backed_up.bucket.attack_overwrite(key, b"planted")
    first = backed_up.backups.look().untrusted[1]
    assert first.__traceback__ is None

    assert backed_up.backups.look().untrusted[1] is first
    backed_up.bucket.advance(BAD_AGAIN_S)
    assert backed_up.backups.look().untrusted[1] is not first

    backed_up.bucket.lose(key, version_id)
    assert backed_up.backups.look().untrusted == {}
