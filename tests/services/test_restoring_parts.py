# SPDX-License-Identifier: Apache-2.0
"""Parts of a backup that become a store; plans of restores; their receipts."""

from collections.abc import Iterator

import pytest

from strongroom.errors import IntegrityError, NotFoundError, PreconditionError
from strongroom_server.core.restore_receipt import verify_receipt
from strongroom_server.core.restore_records import Selection
from strongroom_server.services.restoring import plan_store, sign_report
from tests.services.test_restoring_stores import (
    ALL,
    ALONE,
    OTHER,
    fill,
    moved_to,
    random_bytes,
    restore_into,
)
from tests.support.saved_backups import Safe, other_bucket
from tests.support.world import ARTIFACT, World, memory_world


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world() as made:
        yield made


def test_one_project_becomes_a_store(world: World) -> None:
    said, safe = fill(world), Safe(world)
    target = other_bucket(world)

    report = restore_into(safe, safe.save(), target, Selection("demo"))

    assert report.version_count == 3
    restored = moved_to(world, target)
    assert restored.pull("2") == said["2"]
    assert restored.pull("latest", OTHER)
    with pytest.raises(NotFoundError):
        restored.pull("latest", ALONE)
    restored.push({"new": random_bytes(70_000, seed=2)})
    assert restored.pull()["new"] == random_bytes(70_000, seed=2)
    assert not [item for item in restored.verify()[0] if not item.ok]


def test_one_artifact_becomes_a_store_without_the_packs_of_others(
    world: World,
) -> None:
    said, safe = fill(world), Safe(world)
    target = other_bucket(world)

    restore_into(safe, safe.save(), target, Selection("demo", ARTIFACT.artifact))

    restored = moved_to(world, target)
    assert restored.pull("1") == said["1"]
    with pytest.raises(NotFoundError):
        restored.pull("latest", OTHER)
    # What only the other artifact had is stored anew, not shared.
    restored.push({"new": random_bytes(70_000, seed=2)})
    assert restored.pull()["new"] == random_bytes(70_000, seed=2)


def test_a_single_version_is_no_store(world: World) -> None:
    fill(world)
    safe = Safe(world)
    chosen = Selection("demo", ARTIFACT.artifact, "1")

    with pytest.raises(PreconditionError):
        restore_into(safe, safe.save(), other_bucket(world), chosen)


def test_a_plan_says_what_would_be_done_and_does_nothing(world: World) -> None:
    fill(world)
    safe, target = Safe(world), other_bucket(world)
    saved = safe.save()
    engine = safe.open(saved)
    for item, data in world.bucket.objects()[:5]:
        target.put_new(item.key, data)
    before = target.objects()

    plan = plan_store(
        engine,
        ALL,
        target,
        key_service=world.key_service,
        executor=world.executor,
    )

    assert target.objects() == before
    assert (plan.backup, plan.root_digest) == (saved.number, saved.root_digest)
    assert plan.object_count == saved.root.object_count
    assert plan.size_bytes == saved.root.size_bytes
    assert plan.there_count == 5
    assert plan.version_count == 4
    assert plan.estimated_s > 0
    assert len(plan.keks) == 3 + 1  # the store's, two projects', one artifact's
    assert not any(kek.problem for kek in plan.keks)


def test_a_plan_names_the_keks_that_vault_lacks(world: World) -> None:
    fill(world)
    safe = Safe(world)
    saved = safe.save()
    engine = safe.open(saved)
    name = world.repository.projects.all().__next__().scope.kek
    world.destroyer.allow(name)
    world.destroyer.destroy(name)

    plan = plan_store(
        engine,
        ALL,
        other_bucket(world),
        key_service=world.key_service,
        executor=world.executor,
    )

    assert [kek.kek for kek in plan.keks if kek.problem] == [name]


def test_the_receipt_is_signed_and_says_what_came_back(world: World) -> None:
    fill(world)
    safe = Safe(world)
    saved = safe.save()
    report = restore_into(safe, saved, other_bucket(world))

    receipt = sign_report(world.signer, saved.root.store, report)

    said = verify_receipt(receipt, world.signer.public_keys())
    assert said["root"] == saved.root_digest
    assert said["copied_count"] == report.copied_count
    assert said["target"] == "store"
    altered = receipt.replace(b'"payload":"e', b'"payload":"f')
    with pytest.raises(IntegrityError):
        verify_receipt(altered, world.signer.public_keys())
