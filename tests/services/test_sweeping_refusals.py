# SPDX-License-Identifier: Apache-2.0
"""Sweeps that must not go on: altered plans, damage, missing rights, alien things."""

import json

import pytest

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.sweep_plan import SweepProgress
from tests.support.sweeps import (
    GONE_AT_ONCE,
    Sweeper,
    content,
    damage,
    delete,
    dropped,
    set_policy,
)
from tests.support.world import World, memory_world


def test_a_plan_that_was_altered_is_refused(world: World) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    data = sweeper.sweeping.encode(sweeper.plan())
    body = json.loads(data)
    body["condemned"][0]["objects"].pop()
    altered = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()

    for wrong in (altered, data[:-1], b"", b"{}", b"[]", b'{"a":1}'):
        with pytest.raises(InvalidArgumentError):
            sweeper.apply_bytes(wrong)


def test_a_plan_of_another_store_is_refused(world: World) -> None:
    dropped(world)
    with memory_world() as elsewhere:
        elsewhere.push({"a.bin": content("a")})
        plan = Sweeper(elsewhere).sweeping.encode(Sweeper(elsewhere).plan())

    with pytest.raises(PreconditionError) as caught:
        Sweeper(world).apply_bytes(plan)

    assert caught.value.reason is Reason.PLAN_STALE


def test_a_server_without_the_credential_condemns_but_does_not_remove(
    world: World,
) -> None:
    dropped(world)
    sweeper = Sweeper(world, may_remove=False)

    assert sweeper.sweep().condemned_count == 4
    with pytest.raises(PreconditionError) as caught:
        sweeper.sweep()

    assert caught.value.reason is Reason.SWEEP_NOT_ALLOWED


def test_what_is_locked_stays_and_is_tried_again(world: World) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()
    pack = next(
        item.key
        for item in world.repository.sweeps.log().open[0].doomed()
        if item.key.startswith("packs/")
    )
    sweeper.remover.lock(pack)

    locked = sweeper.sweep()
    unlocked = Sweeper(world).sweep()

    assert (locked.removed_count, locked.kept_count) == (3, 1)
    assert "locked" in " ".join(locked.notes)
    assert unlocked.removed_count == 1
    assert not world.keys(pack)


@pytest.mark.parametrize("prefix", ["journals/", "manifests/", "packs/"])
def test_a_project_with_damage_keeps_everything(world: World, prefix: str) -> None:
    dropped(world)
    world.push({"x.bin": content("x")}, ArtifactName("whole", "x"))
    set_policy(world, GONE_AT_ONCE, ArtifactName("whole", "x"))
    world.push({"y.bin": content("y")}, ArtifactName("whole", "x"))
    delete(world, 1, ArtifactName("whole", "x"))
    damage(world, prefix)
    before = set(world.keys("packs/"))
    # A server that has not read any of it before it was damaged.
    sweeper = Sweeper(world.reopened())

    first, second = sweeper.sweep(), sweeper.sweep()

    assert (first.condemned_count, second.removed_count) == (4, 4)
    assert "nothing is removed" in " ".join(first.notes)
    assert len(before - set(world.keys("packs/"))) == 2


def test_damage_that_comes_after_condemning_keeps_everything(world: World) -> None:
    world.push({"a.bin": content("old")})
    world.push({"b.bin": content("new")})
    set_policy(world, GONE_AT_ONCE)
    delete(world, 2)
    sweeper = Sweeper(world)
    sweeper.sweep()
    before = world.keys("packs/")
    # Marking ends here, before it comes to the version that was condemned.
    damage(world, "manifests/", version=1)

    summary = Sweeper(world.reopened()).sweep()

    assert (summary.removed_count, summary.kept_count) == (0, 4)
    assert world.keys("packs/") == before


def test_a_sweep_record_that_is_gone_stops_sweeps_and_commits(world: World) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()
    for item, _ in world.bucket.objects():
        if item.key.startswith("sweep/"):
            world.bucket.delete_version(item.key, item.version_id)
    fresh = world.reopened()

    with pytest.raises(IntegrityError):
        fresh.push({"z.bin": content("z")})
    with pytest.raises(IntegrityError):
        sweeper.plan()


def test_what_is_no_object_of_ours_stays(world: World) -> None:
    dropped(world)
    alien = "ab" + "0" * 62
    strange = [
        f"packs/ab/{alien}",
        f"manifests/ab/{alien}",
        "packs/readme.txt",
        "packs/xx/" + "0" * 64,
        "other/file",
    ]
    for key in strange:
        world.bucket.put_new(key, bytes(100))
    sweeper = Sweeper(world)

    first = sweeper.sweep()
    sweeper.sweep()

    assert "do not say whose they are" in " ".join(first.notes)
    assert set(strange) <= set(world.keys())


def test_objects_of_a_project_whose_record_is_lost_stay(world: World) -> None:
    dropped(world)
    # A younger one, so that there is something to sweep at all.
    world.push({"x.bin": content("x")}, ArtifactName("whole", "x"))
    project = world.repository.projects.get(ProjectName("demo")).scope.project
    packs = set(world.keys("packs/"))
    for item, _ in world.bucket.objects():
        if item.key == layout.project_key(project):
            world.bucket.delete_version(item.key, item.version_id)
    sweeper = Sweeper(world.reopened())

    sweeper.sweep()
    sweeper.sweep()

    assert set(world.keys("packs/")) == packs


def test_a_project_whose_record_is_lost_between_two_sweeps_keeps_its_objects(
    world: World,
) -> None:
    dropped(world)
    Sweeper(world).sweep()
    project = world.repository.projects.get(ProjectName("demo")).scope.project
    packs = set(world.keys("packs/"))
    for item, _ in world.bucket.objects():
        if item.key == layout.project_key(project):
            world.bucket.delete_version(item.key, item.version_id)

    summary = Sweeper(world.reopened()).sweep()

    assert (summary.removed_count, summary.kept_count) == (0, 4)
    assert set(world.keys("packs/")) == packs


@pytest.mark.parametrize("prefix", ["", "journals/", "manifests/", "packs/"])
def test_planning_for_one_project_tells_nothing_of_another(
    world: World, prefix: str
) -> None:
    hidden = ArtifactName("demo", "demo-model")
    world.push({"h.bin": content("h")}, hidden)
    dropped(world)
    world.push({"x.bin": content("x")}, ArtifactName("whole", "x"))
    if prefix:
        damage(world, prefix)
    sweeper = Sweeper(world.reopened())

    *progress, plan = sweeper.sweeping.plan(ProjectName("whole"))

    stages = {item.stage for item in progress if isinstance(item, SweepProgress)}
    assert "reading project whole" in stages
    assert "demo" not in repr(progress)
    assert "demo" not in repr(plan)


@pytest.mark.parametrize("lost", [(0, 1, 2), (1, 2), (2,)])
def test_sweep_records_that_only_journals_know_of_stop_every_sweep(
    world: World, lost: tuple[int, ...]
) -> None:
    dropped(world)
    world.push({"x.bin": content("x")}, ArtifactName("whole", "x"))
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()
    # Now there are a fence, and a commit that knows all three records.
    world.push({"c.bin": content("c")})
    keys = {layout.sweep_key(number) for number in lost}
    for item, _ in world.bucket.objects():
        if item.key in keys:
            world.bucket.delete_version(item.key, item.version_id)
    before = world.keys()

    for only in (None, ProjectName("whole")):
        with pytest.raises(IntegrityError) as caught:
            Sweeper(world.reopened()).plan(only)
        assert caught.value.reason is Reason.RECORD_CORRUPT

    assert world.keys() == before


def test_a_sweep_that_lost_its_records_after_planning_removes_nothing(
    world: World,
) -> None:
    dropped(world)
    Sweeper(world).sweep()
    fresh = Sweeper(world.reopened())
    plan = fresh.sweeping.encode(fresh.plan())
    for item, _ in world.bucket.objects():
        if item.key.startswith("sweep/"):
            world.bucket.delete_version(item.key, item.version_id)
    before = world.keys("packs/")

    with pytest.raises(PreconditionError) as caught:
        Sweeper(world.reopened()).apply_bytes(plan)

    assert caught.value.reason is Reason.PLAN_STALE
    assert world.keys("packs/") == before
