# SPDX-License-Identifier: Apache-2.0
"""Backups are checked, extended, held, and tell until when versions are safe."""

from collections.abc import Iterator

import pytest

from strongroom.errors import InvalidArgumentError, NotFoundError, UnavailableError
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory_locked import MemorySlotRemover
from strongroom_server.core import layout
from strongroom_server.repository import signed_extensions
from strongroom_server.services.backups import Asked
from strongroom_server.services.shredding import Approval, BackupSlots, Shredding
from tests.support.backups import DAY_S, BackedUp, unchecked
from tests.support.samples import filled
from tests.support.world import ARTIFACT, CALLER

FILES = {"config.json": b"{}", "weights": filled("weights", 1024 * 1024)}
OTHER = ArtifactName("other", "model")


@pytest.fixture
def backed_up() -> Iterator[BackedUp]:
    """A store with one version, and no backup yet."""
    found = BackedUp()
    found.world.push(FILES)
    yield found
    found.world.executor.shutdown()


def test_a_backup_is_extended_and_never_shortened(backed_up: BackedUp) -> None:
    saved = backed_up.take().backup
    later = saved.protected_until.replace(year=saved.protected_until.year + 1)

    list(backed_up.backups.extend(saved.number, later, check=unchecked))

    assert backed_up.records.load(1).protected_until == later.replace(microsecond=0)
    assert backed_up.verify()[0] == []
    for wrong in (later, saved.protected_until, later.replace(year=later.year + 20)):
        with pytest.raises(InvalidArgumentError):
            list(backed_up.backups.extend(1, wrong, check=unchecked))


def test_a_hold_keeps_all_of_a_backup_until_it_is_lifted(backed_up: BackedUp) -> None:
    backed_up.take()
    backed_up.world.push({**FILES, "more": b"2"})
    backed_up.take()
    for number in (1, 2):
        list(backed_up.backups.hold(number, is_held=True, check=unchecked))
    backed_up.bucket.advance(400 * DAY_S)

    list(backed_up.backups.hold(2, is_held=False, check=unchecked))

    held = {
        item.key
        for item, _ in backed_up.bucket.objects()
        if (lock := backed_up.bucket.lock_of(item.key, version_id=item.version_id))
        and lock.is_held
    }
    first = set(backed_up.rows(backed_up.records.load(1)))
    second = set(backed_up.rows(backed_up.records.load(2)))
    assert first <= held
    assert not (second - first) & held
    assert backed_up.records.load(1).is_held
    assert not backed_up.records.load(2).is_held


def test_no_hold_is_lifted_while_another_may_be_behind_what_was_planted(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_extensions, "MAX_PLANTED", 5)
    for number in (1, 2):
        backed_up.take()
        list(backed_up.backups.hold(number, is_held=True, check=unchecked))
    for number in range(2, 22):  # Above the second one's hold.
        planted = layout.backup_key(2, number)
        backed_up.bucket.attack_overwrite(planted, filled("planted", 900))
    fresh = backed_up.again()
    rows = [*fresh.records.rows(fresh.records.load(1).root)]
    fresh = backed_up.again()

    with pytest.raises(UnavailableError, match="backup 2 were not read yet"):
        list(fresh.backups.hold(1, is_held=False, check=unchecked))

    assert fresh.records.load(1).is_held
    locks = [
        backed_up.bucket.lock_of(row.key, version_id=row.version_id) for row in rows
    ]
    assert all(lock is not None and lock.is_held for lock in locks)
    for _ in range(4):
        fresh.records.load(2)
    list(fresh.backups.hold(1, is_held=False, check=unchecked))
    assert not fresh.records.load(1).is_held
    assert fresh.records.load(2).is_held


def test_a_check_tells_of_locks_that_end_too_soon(backed_up: BackedUp) -> None:
    saved = backed_up.take().backup
    row = next(iter(backed_up.records.rows(saved.root)))
    backed_up.bucket._set_lock(row.key, row.version_id, None)

    keys, report = backed_up.verify(deep=False)

    assert keys == [row.key]
    assert report.problem_count == 1
    assert report.object_count == saved.root.object_count


def test_versions_tell_until_when_they_are_safe(backed_up: BackedUp) -> None:
    assert backed_up.backups.dates_of(ARTIFACT)(1) is None
    saved = backed_up.take().backup
    backed_up.world.push({"more": b"2"})

    until = backed_up.backups.dates_of(ARTIFACT)

    assert until(1) == saved.protected_until
    assert until(2) is None
    backed_up.bucket.advance(31 * DAY_S)
    backed_up.backups.look()
    assert backed_up.backups.dates_of(ARTIFACT)(1) is None


def test_what_is_no_backup_is_told_and_harms_nobody(backed_up: BackedUp) -> None:
    backed_up.bucket.attack_overwrite(f"backups/{1:020d}/{0:020d}", b"planted")

    taken = backed_up.take(Asked(allow_rewound=True))

    state = backed_up.backups.look()
    assert [saved.number for saved in state.backups] == [taken.backup.number]
    assert list(state.untrusted) == [1]
    assert backed_up.backups.find(0).number == taken.backup.number


def test_slots_of_what_was_shredded_since_are_told_and_no_problem(
    backed_up: BackedUp,
) -> None:
    world = backed_up.world
    world.push({"x": b"x"}, OTHER)
    saved = backed_up.take().backup
    slots = BackupSlots(backed_up.bucket, MemorySlotRemover(backed_up.bucket))
    Shredding(
        world.repository,
        world.key_service,
        world.destroyer,
        world.remover,
        backup_slots=slots,
    ).shred(
        ProjectName("other"),
        reason="",
        request_id="r",
        caller=CALLER,
        approval=Approval("a", ("operator:bob",)),
    )

    keys, report = backed_up.verify(saved.number)

    assert keys == []
    assert report.shredded_count == 1
    later = saved.protected_until.replace(year=saved.protected_until.year + 1)
    list(backed_up.backups.extend(saved.number, later, check=unchecked))
    slot = next(key for key in backed_up.rows(saved) if key.startswith("keys/"))
    row = next(
        row
        for row in backed_up.records.rows(saved.root)
        if row.key.startswith("keys/") and backed_up.has(row)
    )
    backed_up.bucket.lose(row.key, row.version_id)
    assert backed_up.verify(saved.number)[0] == [row.key]
    assert slot


def test_a_backup_that_is_not_there_is_not_found(backed_up: BackedUp) -> None:
    for number in (0, 1):
        with pytest.raises(NotFoundError):
            backed_up.backups.find(number)


def test_the_locks_of_pages_and_records_are_checked_too(backed_up: BackedUp) -> None:
    saved = backed_up.take().backup
    later = saved.protected_until.replace(year=saved.protected_until.year + 1)
    list(backed_up.backups.extend(1, later, check=unchecked))
    bucket, page = backed_up.bucket, saved.root.pages[0]
    places = {
        layout.backup_page_key(page.sha256): page.version_id,
        **{
            item.key: item.version_id
            for item in bucket.first_versions(layout.backup_prefix(1))
        },
    }
    assert len(places) == 3
    assert backed_up.verify() == ([], backed_up.verify()[1])

    for key, version_id in places.items():
        lock = bucket.lock_of(key, version_id=version_id)
        bucket._set_lock(key, version_id, None)
        assert backed_up.verify(deep=False)[0] == [key]
        bucket._set_lock(key, version_id, lock)

    key, version_id = next(iter(places.items()))
    data = bucket.get(key, version_id=version_id, max_bytes=page.size_bytes)
    bucket.lose(key, version_id)
    bucket.attack_overwrite(key, data)
    assert backed_up.verify(deep=False)[0] == [key]


@pytest.mark.parametrize("is_lifted_later", [True, False])
def test_a_hold_that_is_set_while_another_is_lifted_stays(
    backed_up: BackedUp, *, is_lifted_later: bool
) -> None:
    for _ in range(2):
        backed_up.take()
    backups = backed_up.backups
    list(backups.hold(1, is_held=True, check=unchecked))
    beside: list[int] = []

    def hold_beside() -> None:
        if not beside:
            beside.append(2)
            list(backups.hold(2, is_held=True, check=unchecked))

    def lift_beside() -> None:
        beside.append(1)
        # The last object of the backup: all the others were held, nothing is signed.
        if len(beside) == backed_up.records.load(2).root.object_count:
            list(backups.hold(1, is_held=False, check=unchecked))

    if is_lifted_later:
        list(backups.hold(2, is_held=True, check=lift_beside))
    else:
        list(backups.hold(1, is_held=False, check=hold_beside))

    assert not backed_up.records.load(1).is_held
    assert backed_up.records.load(2).is_held
    assert backed_up.verify(2)[0] == []
