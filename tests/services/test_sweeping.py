# SPDX-License-Identifier: Apache-2.0
"""Sweeps: what goes, and what stays whoever pushes meanwhile."""

from dataclasses import replace

import pytest

from strongroom.errors import (
    ConflictError,
    PreconditionError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.history import Fenced
from strongroom_server.core.records import ArtifactPolicy, Kind
from strongroom_server.services.sweeping import SweepSettings
from tests.support.numbers import weights, weights_file
from tests.support.sweeps import (
    DAY_S,
    GONE_AT_ONCE,
    Sweeper,
    abort,
    begun,
    commit,
    content,
    delete,
    dropped,
    set_policy,
    undelete,
)
from tests.support.world import ARTIFACT, World

OTHER = ArtifactName("demo", "other")


def test_what_was_deleted_is_gone_after_two_sweeps(world: World) -> None:
    dropped(world)
    packs = set(world.keys("packs/"))
    sweeper = Sweeper(world)

    first, second = sweeper.sweep(), sweeper.sweep()

    assert (first.condemned_count, first.removed_count) == (4, 0)
    assert (second.purged_count, second.removed_count, second.kept_count) == (1, 4, 0)
    assert second.removed_bytes == first.condemned_bytes > 0
    assert len(packs) - len(set(world.keys("packs/"))) == 2
    assert world.reopened().pull() == {"b.bin": content("new")}
    with pytest.raises(PreconditionError) as caught:
        world.reopened().pull("1")
    assert caught.value.reason is Reason.VERSION_PURGED
    assert not sweeper.plan().condemned.objects


def test_the_bases_of_deltas_are_kept(world: World) -> None:
    # So large that a base does not lie in the pack of anything else that is kept.
    size = 8 * 1024 * 1024
    first = {"m.safetensors": weights_file({"a": weights(size)})}
    second = {"m.safetensors": weights_file({"a": weights(size, steps=1)})}
    world.push(first, kind=Kind.CHECKPOINT)
    world.push(second)
    set_policy(world, GONE_AT_ONCE)
    delete(world, 1)
    sweeper = Sweeper(world)

    summaries = [sweeper.sweep() for _ in range(3)]

    assert sum(summary.purged_count for summary in summaries) == 1
    assert world.reopened().pull("2") == second


def test_a_sweep_of_a_store_without_garbage_changes_nothing(world: World) -> None:
    world.push({"a.bin": content("a")})
    before = world.keys()

    summary = Sweeper(world).sweep()

    assert world.keys() == before
    assert summary.notes == ()


def test_young_objects_are_not_condemned(world: World) -> None:
    dropped(world)
    settings = SweepSettings(min_age_s=DAY_S, grace_s=DAY_S, upload_age_s=0)
    sweeper = Sweeper(world, settings)

    young = sweeper.sweep()
    world.bucket.advance(DAY_S + 1)
    old = sweeper.sweep()
    waiting = sweeper.sweep()
    world.bucket.advance(DAY_S + 1)
    removed = sweeper.sweep()

    assert (young.condemned_count, old.condemned_count) == (0, 4)
    assert (waiting.removed_count, removed.removed_count) == (0, 4)
    assert "can be removed from" in " ".join(waiting.notes)


def test_a_version_in_the_trash_is_kept_and_can_be_undeleted(world: World) -> None:
    old = content("old")
    world.push({"a.bin": old})
    world.push({"b.bin": content("new")})
    delete(world, 1)
    sweeper = Sweeper(world)

    for _ in range(3):
        sweeper.sweep()
    undelete(world, 1)

    assert world.pull("1") == {"a.bin": old}


def test_a_version_that_is_undeleted_after_it_was_condemned_is_rescued(
    world: World,
) -> None:
    old = dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()

    undelete(world, 1)
    summary = sweeper.sweep()

    assert (summary.purged_count, summary.removed_count) == (0, 0)
    assert summary.kept_count == 4
    assert world.reopened().pull("1") == {"a.bin": old}


def test_garbage_of_an_aborted_upload_goes_with_its_segment(world: World) -> None:
    world.push({"b.bin": content("kept")})
    kept = set(world.keys())
    abort(world)
    sweeper = Sweeper(world)

    assert sweeper.sweep().condemned_count > 0
    sweeper.sweep()

    records = ("journals", "sweep")
    left = {key for key in world.keys("") if not key.startswith(records)}
    assert left == {key for key in kept if not key.startswith(records)}


def test_a_push_of_condemned_content_stores_it_anew(world: World) -> None:
    old = dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()

    world.push({"a.bin": old})
    sweeper.sweep()

    assert world.reopened().pull() == {"a.bin": old}
    assert world.reopened().pull("3") == {"a.bin": old}


def test_a_push_that_shared_before_it_was_condemned_keeps_what_it_shares(
    world: World,
) -> None:
    old = dropped(world)
    sweeper = Sweeper(world)
    upload = begun(world, old)
    sweeper.sweep()

    commit(upload, old)
    summary = sweeper.sweep()

    assert summary.kept_count > 0
    assert world.reopened().pull() == {"a.bin": old}


def test_a_push_that_a_sweep_overtook_is_refused_and_succeeds_again(
    world: World,
) -> None:
    old = dropped(world)
    sweeper = Sweeper(world)
    upload = begun(world, old)
    sweeper.sweep()
    sweeper.sweep()

    with pytest.raises(ConflictError) as caught:
        commit(upload, old)
    world.push({"a.bin": old})

    assert caught.value.reason is Reason.SWEEP_OVERTOOK
    assert world.reopened().pull() == {"a.bin": old}


def test_a_push_to_a_journal_made_after_the_fences_is_refused_too(
    world: World,
) -> None:
    old = dropped(world)
    sweeper = Sweeper(world)
    upload = begun(world, old, OTHER)
    sweeper.sweep()
    sweeper.sweep()
    # Nobody fenced this journal: it did not exist.
    world.push({"c.bin": content("c")}, OTHER)

    with pytest.raises(ConflictError) as caught:
        commit(upload, old)

    assert caught.value.reason is Reason.SWEEP_OVERTOOK


def test_a_push_beside_a_sweep_that_hits_nothing_of_it_goes_through(
    world: World,
) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    upload = begun(world, content("fresh"), OTHER)
    sweeper.sweep()
    # What the upload has stored so far is young; by its record it would be live.
    commit(upload, content("fresh"))
    sweeper.sweep()

    assert world.reopened().pull(artifact=OTHER) == {"a.bin": content("fresh")}


def test_two_sweeps_at_once_come_to_one_result(world: World) -> None:
    dropped(world)
    one, other = Sweeper(world), Sweeper(world.reopened())
    first, plan = one.plan(), other.plan()
    second = replace(plan, made_s=plan.made_s + 1)

    assert one.apply(first).condemned_count == 4
    with pytest.raises(PreconditionError) as caught:
        other.apply(second)
    due, late = one.plan(), replace(other.plan(), epoch=3)
    summaries = one.apply(due), other.apply(late)

    assert caught.value.reason is Reason.PLAN_STALE
    assert [summary.removed_count for summary in summaries] == [4, 0]


def test_a_plan_may_be_applied_again(world: World) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    first = sweeper.sweeping.encode(sweeper.plan())
    sweeper.apply_bytes(first)
    again = sweeper.apply_bytes(first)
    second = sweeper.sweeping.encode(sweeper.plan())
    done = sweeper.apply_bytes(second)

    assert again.condemned_count == 0
    assert (done.removed_count, sweeper.apply_bytes(second).removed_count) == (4, 0)


def test_a_policy_sends_old_versions_to_the_trash_first(world: World) -> None:
    for number in range(4):
        world.push({"a.bin": content(f"{number}")})
    world.move("prod", "1")
    set_policy(world, ArtifactPolicy(keep_last=1, trash_days=0))
    sweeper = Sweeper(world)

    planned = sweeper.plan()
    first = sweeper.apply(planned)

    assert [item.version for item in planned.trash] == [2, 3]
    assert first.trashed_count == 2
    assert world.pull("1")
    with pytest.raises(PreconditionError) as caught:
        world.pull("2")
    assert caught.value.reason is Reason.VERSION_DELETED
    sweeper.sweep()
    assert sweeper.sweep().purged_count == 2
    assert world.versions()


def test_a_ref_that_moves_after_the_plan_keeps_its_version(world: World) -> None:
    for number in range(3):
        world.push({"a.bin": content(f"{number}")})
    set_policy(world, ArtifactPolicy(keep_last=1, trash_days=0))
    sweeper = Sweeper(world)
    plan = sweeper.plan()
    world.move("prod", "1")

    summary = sweeper.apply(plan)

    assert (summary.trashed_count, summary.kept_count) == (1, 1)
    assert world.pull("prod") == {"a.bin": content("0")}


def test_only_one_project_is_swept_if_asked(world: World) -> None:
    dropped(world)
    world.push({"x.bin": content("x")}, ArtifactName("whole", "x"))
    set_policy(world, GONE_AT_ONCE, ArtifactName("whole", "x"))
    world.push({"y.bin": content("y")}, ArtifactName("whole", "x"))
    delete(world, 1, ArtifactName("whole", "x"))

    plan = Sweeper(world).plan(ProjectName("whole"))

    assert {item.artifact.project for item in plan.purge} == {"whole"}
    assert len(plan.condemned.objects) == 1


def test_a_fence_stands_in_every_journal_of_the_project(world: World) -> None:
    dropped(world)
    world.push({"c.bin": content("c")}, OTHER)
    world.push({"x.bin": content("x")}, ArtifactName("whole", "x"))
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()

    fences = {
        name: [
            item.entry.info.sweep_epoch
            for item in world.repository.artifact(name).history.entries
            if isinstance(item.entry, Fenced)
        ]
        for name in (ARTIFACT, OTHER, ArtifactName("whole", "x"))
    }

    assert fences == {ARTIFACT: [1], OTHER: [1], ArtifactName("whole", "x"): []}
