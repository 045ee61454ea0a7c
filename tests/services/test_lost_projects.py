# SPDX-License-Identifier: Apache-2.0
"""Backups of projects whose records, or whose keys, the store has lost."""

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core import layout
from strongroom_server.services.backups import Asked, TakenBackup
from strongroom_server.services.shredding import Approval
from tests.support.backups import BackedUp
from tests.support.keys import keyed_world, start_epoch
from tests.support.world import ARTIFACT, CALLER

FILES = {"config.json": b"{}", "weights": b"1" * 100_000}
OTHER = ArtifactName("other", "model")
ROT = b"rot" * 30


@pytest.fixture
def backed_up() -> BackedUp:
    """A store of two projects."""
    found = BackedUp()
    found.world.push(FILES)
    found.world.push({"x": b"x"}, OTHER)
    return found


def record_of(backed_up: BackedUp, project: str) -> str:
    """Return the key of a project's record."""
    projects = backed_up.world.repository.projects
    return layout.project_key(projects.id_of(ProjectName(project)))


def harm(backed_up: BackedUp, key: str, how: str) -> BackedUp:
    """Do harm to an object; return the store as a server sees it that knows nothing."""
    bucket = backed_up.world.bucket
    item = next(item for item, _ in bucket.objects() if item.key == key)
    if how == "rotten":
        bucket.corrupt(key, item.version_id, ROT)
    else:
        bucket.delete_version(key, item.version_id)
    if how == "exchanged":
        bucket.overwrite(key, ROT)
    return backed_up.again()


@pytest.mark.parametrize("how", ["rotten", "gone", "exchanged"])
@pytest.mark.parametrize("chosen", [(), (ProjectName(ARTIFACT.project),)])
def test_a_projects_record_is_taken_over_from_the_backup_before(
    backed_up: BackedUp, how: str, chosen: tuple[ProjectName, ...]
) -> None:
    key = record_of(backed_up, ARTIFACT.project)
    before = backed_up.rows(backed_up.take().backup)
    fresh = harm(backed_up, key, how)

    taken = fresh.take(Asked(chosen))

    assert taken.backup.root.missing == (key,)
    assert any(key in note for note in taken.notes)
    assert fresh.rows(taken.backup)[key] == before[key]
    assert fresh.opened(taken.backup).pull("1") == FILES


def test_a_projects_record_that_no_backup_has_ends_it_by_name(
    backed_up: BackedUp,
) -> None:
    fresh = harm(backed_up, record_of(backed_up, ARTIFACT.project), "rotten")

    with pytest.raises(IntegrityError) as failure:
        fresh.take()

    assert failure.value.reason is Reason.RECORD_CORRUPT
    key = record_of(backed_up, ARTIFACT.project)
    assert failure.value.metadata["key"] == key
    assert key in failure.value.message


def lose(backed_up: BackedUp, *prefixes: str) -> BackedUp:
    """Lose what lies below prefixes; return the store as a fresh server sees it."""
    bucket = backed_up.world.bucket
    for item, _ in list(bucket.objects()):
        if item.key.startswith(prefixes):
            bucket.delete_version(item.key, item.version_id)
    return backed_up.again()


def test_what_is_left_of_a_rewound_project_is_no_project_of_a_backup(
    backed_up: BackedUp,
) -> None:
    projects = backed_up.world.repository.projects
    younger = projects.get(ProjectName(OTHER.project)).scope
    key = layout.project_key(younger.project)
    backed_up.take()
    fresh = lose(
        backed_up,
        key,
        layout.slots_prefix(younger.domain),
        layout.project_journals_prefix(younger.project),
    )

    taken = fresh.take(Asked(allow_rewound=True))

    assert key not in fresh.rows(taken.backup)
    assert any(key in note for note in taken.notes)
    opened = fresh.opened(taken.backup)
    assert [item.name for item in opened.repository.projects.all()] == [
        ProjectName(ARTIFACT.project)
    ]
    again = fresh.again().take()
    assert key not in fresh.rows(again.backup)


def test_an_empty_project_without_its_record_is_taken_over_with_its_keys(
    backed_up: BackedUp,
) -> None:
    projects = backed_up.world.repository.projects
    empty = projects.create(ProjectName("empty"), CALLER, "r").scope
    key = layout.project_key(empty.project)
    backed_up.take()
    fresh = lose(backed_up, key)

    taken = fresh.take()

    rows = fresh.rows(taken.backup)
    assert key in rows
    assert any(row.startswith(layout.slots_prefix(empty.domain)) for row in rows)
    opened = fresh.opened(taken.backup)
    assert opened.repository.projects.get(ProjectName("empty")).scope == empty


def test_a_project_that_is_made_meanwhile_is_not_in_a_backup_without_its_keys(
    backed_up: BackedUp,
) -> None:
    projects = backed_up.world.repository.projects
    taking = backed_up.backups.create(Asked())
    assert any(getattr(item, "stage", "") == "packs" for item in taking)

    made = projects.create(ProjectName("late"), CALLER, "r").scope.project
    *_, taken = taking

    assert isinstance(taken, TakenBackup)
    assert layout.project_key(made) not in backed_up.rows(taken.backup)


def test_damage_of_a_record_is_told_by_every_backup_until_it_is_mended(
    backed_up: BackedUp,
) -> None:
    key = record_of(backed_up, ARTIFACT.project)
    backed_up.take()
    harm(backed_up, key, "rotten")

    # By the server that has known the project all along, too.
    for _ in range(2):
        assert backed_up.take().backup.root.missing == (key,)


def test_a_key_that_no_project_can_have_ends_no_backup(backed_up: BackedUp) -> None:
    backed_up.world.bucket.overwrite("projects/x", ROT)
    fresh = backed_up.again()

    taken = fresh.take()

    assert "projects/x" not in fresh.rows(taken.backup)
    assert len(list(fresh.world.repository.projects.all())) == 2


@pytest.mark.parametrize("has_earlier", [False, True])
def test_a_damaged_record_of_the_dead_ends_no_backup(
    backed_up: BackedUp, *, has_earlier: bool
) -> None:
    if has_earlier:
        backed_up.take()
    key = record_of(backed_up, OTHER.project)
    backed_up.world.shredding.shred(
        ProjectName(OTHER.project),
        reason="",
        request_id="r",
        caller=CALLER,
        approval=Approval("a", ("operator:bob",)),
    )
    fresh = harm(backed_up, key, "rotten")

    assert fresh.opened(fresh.take().backup).pull("1") == FILES


def test_a_key_that_journals_alone_need_is_asked_for() -> None:
    with keyed_world() as world:
        backed_up = BackedUp(world, MemoryLockedBlobs(world.clock))
        world.push(FILES)
        assert start_epoch(world) == 1
        world.move("prod", "1")
        slot = next(
            key
            for key in world.keys("keys/")
            if (place := layout.slot_place(key)) is not None and place[1] == 1
        )
        item = next(item for item, _ in world.bucket.objects() if item.key == slot)
        world.bucket.delete_version(slot, item.version_id)

        # The server has the key in memory still, and goes on.
        with pytest.raises(IntegrityError) as failure:
            backed_up.take()

    assert failure.value.reason is Reason.KEY_SLOT_MISSING
    assert failure.value.metadata["epoch"] == "1"
