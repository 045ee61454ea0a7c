# SPDX-License-Identifier: Apache-2.0
"""Backups hold what versions need, copy what is new, and nothing that is not right."""

from collections.abc import Iterable

import pytest

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.backup_root import verify_root
from strongroom_server.ports import LockMode
from strongroom_server.services.backups import Asked
from strongroom_server.services.shredding import Approval
from tests.support.backups import DAY_S, BackedUp
from tests.support.samples import filled
from tests.support.sweeps import GONE_AT_ONCE, Sweeper, abort, delete, set_policy
from tests.support.world import ARTIFACT, CALLER, World

FILES = {"config.json": b"{}", "weights": filled("weights", 3 * 1024 * 1024)}
OTHER = ArtifactName("other", "model")


@pytest.fixture
def backed_up() -> BackedUp:
    """A store with one version, and no backup yet."""
    found = BackedUp()
    found.world.push(FILES)
    return found


def packs(keys: Iterable[str]) -> list[str]:
    return [key for key in sorted(keys) if key.startswith("packs/")]


def let_go_of_second(world: World) -> None:
    """Store another version, and condemn it."""
    world.push({"x": filled("x", 4 * 1024 * 1024)})
    set_policy(world, GONE_AT_ONCE)
    delete(world, 2)
    Sweeper(world).sweep()


def shred_other(world: World) -> None:
    """Shred a project, so that there is a tombstone."""
    world.push({"x": b"x"}, OTHER)
    world.shredding.shred(
        ProjectName("other"),
        reason="",
        request_id="r",
        caller=CALLER,
        approval=Approval("a", ("operator:bob",)),
    )


def test_a_backup_reads_as_the_store_did(backed_up: BackedUp) -> None:
    world = backed_up.world
    world.push({**FILES, "more": b"2"})
    world.push({"alone": b"3"}, OTHER, exclusive=True)
    world.move("prod", "1")

    taken = backed_up.take()

    opened = backed_up.opened(taken.backup)
    assert opened.pull("1") == FILES
    assert opened.pull("2")["more"] == b"2"
    assert opened.pull("prod") == FILES
    assert opened.pull("1", OTHER) == {"alone": b"3"}
    assert backed_up.verify()[0] == []
    assert verify_root(taken.backup.data, world.signer.public_keys()) == (
        taken.backup.root
    )


def test_everything_is_locked_until_the_date_that_the_root_says(
    backed_up: BackedUp,
) -> None:
    root = backed_up.take().backup.root
    assert backed_up.rules.mode is LockMode.COMPLIANCE

    until_s = root.protected_until.timestamp()
    assert until_s >= backed_up.bucket.time_s() + 30 * DAY_S - 2
    modes = set()
    for item, _ in backed_up.bucket.objects():
        lock = backed_up.bucket.lock_of(item.key, version_id=item.version_id)
        assert lock is not None
        assert lock.until_s >= until_s
        modes.add((item.key.startswith("keys/"), lock.mode))
    assert modes == {(True, LockMode.GOVERNANCE), (False, LockMode.COMPLIANCE)}


def test_a_second_backup_copies_only_what_is_new(backed_up: BackedUp) -> None:
    first = backed_up.take()
    backed_up.world.push({**FILES, "more": b"2"})

    second = backed_up.take()

    assert packs(backed_up.rows(first.backup)) != packs(backed_up.rows(second.backup))
    assert second.extended_count == first.backup.root.object_count
    assert second.backup.root.new_object_count == second.copied_count
    assert second.copied_bytes < 100_000 < first.copied_bytes
    assert second.backup.root.previous == first.backup.root_digest
    third = backed_up.take()
    assert third.copied_count == 0
    assert third.backup.root.pages == second.backup.root.pages


def test_locks_are_extended_by_what_newer_backups_need(backed_up: BackedUp) -> None:
    first = backed_up.take().backup
    backed_up.bucket.advance(20 * DAY_S)
    backed_up.world.bucket.advance(20 * DAY_S)

    second = backed_up.take().backup

    assert second.protected_until > first.protected_until
    backed_up.bucket.advance(25 * DAY_S)  # The first one's dates are over.
    assert backed_up.verify(second.number)[0] == []


def test_what_nothing_needs_any_more_is_not_in_it(backed_up: BackedUp) -> None:
    first = backed_up.take()
    abort(backed_up.world)
    there = packs(backed_up.world.keys())

    second = backed_up.take()

    rows = backed_up.rows(second.backup)
    assert packs(rows) == packs(backed_up.rows(first.backup))
    assert len(packs(rows)) < len(there)


def test_a_restored_store_is_told_nothing_that_a_sweep_decided_later(
    backed_up: BackedUp,
) -> None:
    let_go_of_second(backed_up.world)

    opened = backed_up.opened(backed_up.take().backup)

    assert opened.repository.sweeps.log().count > 0
    assert opened.pull("1") == FILES


@pytest.mark.parametrize("prefix", ["packs/", "manifests/", "journals/", "projects/"])
def test_damage_in_the_store_is_named_and_not_locked_away(
    backed_up: BackedUp, prefix: str
) -> None:
    world = backed_up.world
    key = world.keys(prefix)[0]
    item = next(item for item, _ in world.bucket.objects() if item.key == key)
    world.bucket.corrupt(key, item.version_id, b"rot" * 30)
    fresh = backed_up.again()

    with pytest.raises(IntegrityError):
        fresh.take()

    assert fresh.records.numbers() == []
    assert not [key for item, data in fresh.bucket.objects() if data == b"rot" * 30]


@pytest.mark.parametrize(
    ("prefix", "harm"),
    [
        *((prefix, "gone") for prefix in ("packs/", "manifests/", "audit/", "shreds/")),
        *((prefix, "rotten") for prefix in ("packs/", "journals/", "sweep/")),
    ],
)
def test_what_the_store_has_lost_is_taken_over_from_the_backup_before(
    backed_up: BackedUp, prefix: str, harm: str
) -> None:
    world = backed_up.world
    let_go_of_second(world)
    shred_other(world)
    world.bucket.put_new("audit/a/batches/0", b"a batch")
    first = backed_up.take()
    rows = backed_up.rows(first.backup)
    key = next(key for key in rows if key.startswith(prefix))
    item = next(item for item, _ in world.bucket.objects() if item.key == key)
    if harm == "gone":
        world.bucket.delete_version(key, item.version_id)
    else:
        world.bucket.corrupt(key, item.version_id, b"rot" * 30)

    second = backed_up.take()

    assert backed_up.rows(second.backup)[key] == rows[key]
    assert second.backup.root.missing == ((key,) if harm == "gone" else ())
    assert backed_up.opened(second.backup).pull("1") == FILES


@pytest.mark.parametrize("prefix", ["audit/", "projects/", "keys/", "shreds/"])
def test_what_was_exchanged_in_the_store_is_taken_from_the_backup_before(
    backed_up: BackedUp, prefix: str
) -> None:
    world = backed_up.world
    shred_other(world)
    world.bucket.put_new("audit/a/batches/0", b"a batch")
    before = backed_up.rows(backed_up.take().backup)
    dead = layout.project_key(world.repository.projects.id_of(ProjectName("other")))
    key = next(key for key in before if key.startswith(prefix) and key != dead)
    items = [item for item, _ in world.bucket.objects() if item.key == key]
    for item in items:
        world.bucket.delete_version(key, item.version_id)
    world.bucket.overwrite(key, b"another thing")

    second = backed_up.take()

    assert backed_up.rows(second.backup)[key] == before[key]
    assert second.backup.root.missing == (key,)
    assert any(key in note for note in second.notes)


def test_a_manifest_that_is_lost_is_read_from_the_backup_before(
    backed_up: BackedUp,
) -> None:
    world = backed_up.world
    backed_up.take()
    key = world.keys("manifests/")[0]
    item = next(item for item, _ in world.bucket.objects() if item.key == key)
    world.bucket.delete_version(key, item.version_id)

    fresh = backed_up.again()
    taken = fresh.take()

    assert key in taken.backup.root.missing
    assert fresh.opened(taken.backup).pull("1") == FILES


def test_garbage_over_a_key_is_not_what_is_backed_up(backed_up: BackedUp) -> None:
    for key in set(backed_up.world.keys()):
        backed_up.world.bucket.overwrite(key, b"garbage")
        backed_up.world.bucket.add_delete_marker(key)

    taken = backed_up.take()

    assert backed_up.opened(taken.backup).pull("1") == FILES
    assert taken.backup.root.missing_count == 0


def test_planted_objects_do_not_keep_a_backup_from_being_taken(
    backed_up: BackedUp,
) -> None:
    for key in ("index/x", "repairs/y", "keys/z/0.0", "shreds/q", "audit/a/b"):
        backed_up.world.bucket.put_new(key, b"planted")

    rows = backed_up.rows(backed_up.take().backup)

    assert not {"index/x", "repairs/y", "keys/z/0.0", "shreds/q"} & rows.keys()


def test_a_journal_that_lost_its_tail_is_not_backed_up(backed_up: BackedUp) -> None:
    world = backed_up.world
    world.push({"more": b"2"})
    backed_up.take()
    key = world.keys("journals/")[-1]
    item = next(item for item, _ in world.bucket.objects() if item.key == key)
    world.bucket.delete_version(key, item.version_id)

    fresh = backed_up.again()
    with pytest.raises(IntegrityError) as failure:
        fresh.take()

    assert failure.value.reason is Reason.JOURNAL_REWOUND
    taken = fresh.take(Asked(allow_rewound=True))
    assert fresh.opened(taken.backup).pull("latest") == FILES


def test_a_store_that_went_its_own_way_is_copied_anew(backed_up: BackedUp) -> None:
    """A restored store has other entries under numbers that the backup has, too."""
    world = backed_up.world
    world.push({"more": b"2"})
    first = backed_up.take()
    key = world.keys("journals/")[-1]
    item = next(item for item, _ in world.bucket.objects() if item.key == key)
    world.bucket.delete_version(key, item.version_id)
    fresh = backed_up.again()
    fresh.world.push({"other": b"3"})

    taken = fresh.take(Asked(allow_rewound=True))

    assert fresh.rows(taken.backup)[key] != fresh.rows(first.backup)[key]
    assert fresh.opened(taken.backup).pull("2") == {"other": b"3"}
    assert fresh.verify(first.backup.number)[0] == []


def test_chosen_projects_and_artifacts_have_only_what_they_need(
    backed_up: BackedUp,
) -> None:
    world = backed_up.world
    world.push({"x": filled("x", 2 * 1024 * 1024)}, OTHER)
    world.push({"y": b"y"}, ArtifactName("other", "alone"), exclusive=True)

    one = backed_up.take(Asked((ProjectName("other"),))).backup
    two = backed_up.take(Asked((ARTIFACT,))).backup

    assert not one.root.is_whole
    assert len(one.root.journals) == 2
    assert len(two.root.journals) == 1
    assert not set(packs(backed_up.rows(one))) & set(packs(backed_up.rows(two)))
    assert backed_up.opened(one).pull("1", OTHER)["x"] == filled("x", 2 * 1024 * 1024)
    assert backed_up.opened(two).pull("1") == FILES
    with pytest.raises(NotFoundError):
        backed_up.take(Asked((ProjectName("none"),)))
    with pytest.raises(NotFoundError):
        backed_up.take(Asked((ArtifactName("demo", "none"),)))


def test_the_dead_are_not_backed_up(backed_up: BackedUp) -> None:
    world = backed_up.world
    world.push({"x": b"x"}, OTHER)
    first = backed_up.take()
    shred_other(world)

    second = backed_up.take()

    assert len(second.backup.root.journals) == len(first.backup.root.journals) - 1
    slots = {key for key in backed_up.rows(second.backup) if key.startswith("keys/")}
    assert slots < set(backed_up.rows(first.backup))
    assert any(key.startswith("shreds/") for key in backed_up.rows(second.backup))
