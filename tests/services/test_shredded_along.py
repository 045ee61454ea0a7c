# SPDX-License-Identifier: Apache-2.0
"""Artifacts with keys of their own: with their project, planted at, broken off."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from strongroom.errors import (
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout, shred_receipt
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.core.verify_records import StoreFinding
from strongroom_server.ports import WrappedKey
from strongroom_server.repository.shreds import Shreds
from strongroom_server.services.shredding import Shredding, ShredWatch
from tests.support.clock import ManualClock
from tests.support.exclusive import (
    ALONE,
    OTHER,
    PROJECT,
    SECRET,
    SHARED,
    exclusive_world,
    scope_of,
    shred_artifact,
)
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.shredding import refused, shred
from tests.support.world import CALLER, World


@pytest.fixture
def world() -> Iterator[World]:
    with exclusive_world() as made:
        yield made


def told_by(world: World, receipt: bytes) -> dict[str, Any]:
    return shred_receipt.verify_receipt(receipt, world.signer.public_keys())


def findings(engine: World, *, without_keys: bool = False) -> list[StoreFinding]:
    return [
        item
        for item in engine.store_verification.verify(None, without_keys=without_keys)
        if isinstance(item, StoreFinding)
    ]


def sweep(world: World) -> None:
    *_, plan = world.sweeping.plan()
    assert isinstance(plan, SweepPlan)
    assert not [note for note in plan.notes if "nothing is removed" in note]
    request_id = str(uuid.uuid4())
    for _ in world.sweeping.apply(
        world.sweeping.encode(plan), reason="", request_id=request_id, caller=CALLER
    ):
        pass


def test_a_project_takes_its_artifacts_with_domains_of_their_own_along(
    world: World,
) -> None:
    keks = {scope_of(world, name).kek for name in (ALONE, OTHER, SHARED)}
    kept = world.bucket.objects()
    preview = world.shredding.preview(PROJECT)
    assert {scope.kek for scope in preview.scopes} == keks
    other = world.reopened()
    other.push({"a": SECRET["a"]}, OTHER)
    other_domain = scope_of(other, OTHER).domain

    told = told_by(world, shred(world, PROJECT))

    assert {told["kek"], *told["further_keks"]} == keks
    assert told["further_keks_count"] == 2
    assert set(world.key_service._keks) == {"sr.store"}
    own = world.repository.keyring.open_store_domain().scope.domain
    assert world.keys("keys/") == world.keys(layout.slots_prefix(own))
    assert list(other.index.scan(b"c" + other_domain))
    ShredWatch(other.repository).look()
    assert not list(other.index.scan(b"c" + other_domain))
    for item, data in kept:  # slots of before, put back
        if item.key.startswith("keys/") and not world.keys(item.key):
            world.bucket.put_new(item.key, data)
    for engine in (world, world.reopened(), other):
        for name in (ALONE, OTHER, SHARED):
            assert refused(partial(engine.pull, "1", name)) is Reason.KEY_SHREDDED
    for _ in range(3):
        sweep(world)
    for prefix in ("packs/", "manifests/", "index/"):
        assert world.keys(prefix) == []
    assert findings(world.reopened()) == []


def test_with_its_project_it_is_dead_and_has_no_receipt_of_its_own(
    world: World,
) -> None:
    shred_artifact(world, OTHER)
    shred(world, PROJECT)

    for call in (
        lambda: shred_artifact(world),
        lambda: world.shredding.receipt(OTHER),
        lambda: world.shredding.preview(ALONE),
    ):
        assert refused(call) is Reason.KEY_SHREDDED
    assert world.shredding.receipt(PROJECT)


def test_one_that_was_made_behind_the_look_dies_with_its_project(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = ArtifactName("demo", "late")
    other, write = world.reopened(), Shreds.write

    def write_late(shreds: Shreds, *args: Any, **named: Any) -> Any:  # noqa: ANN401
        if late.artifact not in made:
            made.append(late.artifact)
            other.push({"a": b"late"}, late, exclusive=True)
        return write(shreds, *args, **named)

    made: list[str] = []
    monkeypatch.setattr(Shreds, "write", write_late)

    told = told_by(world, shred(world, PROJECT))

    assert told["further_keks_count"] == 3
    assert set(world.key_service._keks) == {"sr.store"}
    for _ in range(3):
        sweep(world)
    assert world.keys("packs/") == world.keys("manifests/") == []


def test_who_makes_one_looks_behind_it_whether_the_project_lives(
    world: World,
) -> None:
    other = world.reopened()
    other.pull("1", SHARED)  # it knows the keys, and has not heard of what comes
    shred(world, PROJECT)

    late = ArtifactName("demo", "late")
    assert refused(lambda: other.push({"a": b"1"}, late, exclusive=True)) is (
        Reason.KEY_SHREDDED
    )
    assert refused(lambda: other.pull("1", SHARED)) is Reason.KEY_SHREDDED


def test_who_made_one_while_the_project_died_learns_of_it_before_any_content(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = world.reopened()
    other.pull("1", SHARED)
    create = other.repository.keyring.create

    def create_late(scope: Scope) -> DomainKeys:
        # Behind the maker's first look, and behind the shredder's look at journals.
        shred(world, PROJECT)
        return create(scope)

    monkeypatch.setattr(other.repository.keyring, "create", create_late)
    packs = len(world.keys("packs/"))

    late = ArtifactName("demo", "late")
    assert refused(lambda: other.push({"a": b"1"}, late, exclusive=True)) is (
        Reason.KEY_SHREDDED
    )
    assert len(world.keys("packs/")) == packs


def test_a_journal_that_is_planted_behind_the_tombstone_keeps_nobody_from_finishing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, project = Shreds.write, world.repository.projects.id_of(PROJECT)

    def plant_behind(shreds: Shreds, *args: Any, **named: Any) -> Any:  # noqa: ANN401
        tombstone = write(shreds, *args, **named)
        world.bucket.put_new(layout.journal_key(project, b"x" * 18, 0), b"junk")
        return tombstone

    monkeypatch.setattr(Shreds, "write", plant_behind)

    assert told_by(world, shred(world, PROJECT))["further_keks_count"] == 2


def test_a_shredding_that_was_broken_off_is_finished_with_its_project(
    world: World,
) -> None:
    clock = world.clock
    assert isinstance(clock, ManualClock)
    assert world.remover is not None
    faulty = FaultyBlobStore(world.blobs)
    faulty.queue("remove", Fault.UNAVAILABLE)
    broken = Shredding(
        world.repository,
        world.key_service,
        world.destroyer,
        faulty.remover(world.remover),
    )
    whole, world.shredding = world.shredding, broken
    with pytest.raises(UnavailableError):
        shred_artifact(world)
    world.shredding = whole
    other = world.reopened()
    watch = ShredWatch(other.repository)
    watch.look()
    clock.advance(601)
    assert refused(watch.check) is Reason.KEY_SHREDDED

    shred(world, PROJECT)
    watch.look()
    watch.check()
    assert not [
        key
        for key in world.keys("keys/")
        if key.startswith(layout.slots_prefix(scope_of_dead(world)))
    ]


def scope_of_dead(world: World) -> bytes:
    return next(
        tombstone.scope.domain
        for tombstone in world.repository.shreds.known()
        if tombstone.artifact
    )


def test_its_tombstone_elsewhere_kills_nothing_and_is_told(world: World) -> None:
    shred_artifact(world)
    genuine = next(
        data for item, data in world.bucket.objects() if layout.is_tombstone(item.key)
    )
    project = world.repository.projects.id_of(PROJECT)
    planted = {
        layout.tombstone_key(project, 0),
        layout.tombstone_key(project, 0, scope_of(world, OTHER).domain),
        layout.tombstone_key(b"o" * 18, 0, scope_of(world, OTHER).domain),
    }
    for key in planted:
        world.bucket.put_new(key, genuine)
    fresh = world.reopened()
    fresh.repository.shreds.refresh()

    assert fresh.pull("1", OTHER) == fresh.pull("1", SHARED) == SECRET
    assert refused(lambda: fresh.pull("1", ALONE)) is Reason.KEY_SHREDDED
    assert {item.object for item in findings(fresh)} == planted


def test_all_that_was_kept_opens_nothing_of_it_and_the_rest_is_readable(
    world: World,
) -> None:
    scope = scope_of(world, ALONE)
    kept, index = world.bucket.objects(), world.index
    key = layout.slot_key(scope.domain, 0, 0)
    data = next(data for item, data in kept if item.key == key)
    slot, _ = world.repository.keyring.slots.open_bytes(scope, data)
    shred_artifact(world)

    bucket = MemoryBlobStore()
    for item, stored in kept:
        bucket.put_new(item.key, stored)
    # The whole bucket from before, its index, and Vault as it is now.
    before = replace(world.reopened(blobs=bucket), index=index)
    assert refused(lambda: before.pull("1", ALONE)) in {
        Reason.KEK_MISSING,
        Reason.KEY_SHREDDED,
    }
    # Its slots put back, and all that says that it was shredded taken away.
    for item, stored in kept:
        if item.key.startswith("keys/") and not world.keys(item.key):
            world.bucket.put_new(item.key, stored)
    for item, _ in world.bucket.objects():
        if item.key.startswith("shreds/"):
            world.bucket.delete_version(item.key, item.version_id)
    fresh = world.reopened()
    assert refused(lambda: fresh.pull("1", ALONE)) is Reason.KEK_MISSING
    assert fresh.pull("1", OTHER) == fresh.pull("1", SHARED) == SECRET
    # All that Vault lets a server do, the KEK of the same name made anew too.
    keys = world.key_service
    wrapped = WrappedKey(scope.kek_context, slot.wrapped_master)
    for ask in (
        lambda: keys.unwrap(slot.kek, scope.kek_context, slot.wrapped_master),
        lambda: keys.rewrap(slot.kek, [wrapped]),
    ):
        assert refused(ask) is Reason.KEK_MISSING
    keys.create_kek(slot.kek)
    with pytest.raises(StrongroomError) as caught:
        keys.unwrap(slot.kek, scope.kek_context, slot.wrapped_master)
    assert caught.value.reason is Reason.KEY_SLOT_CORRUPT
    # No other KEK opens it: of its project, or of another artifact.
    for name in (SHARED, OTHER):
        with pytest.raises(StrongroomError):
            keys.unwrap(
                scope_of(world, name).kek, scope.kek_context, slot.wrapped_master
            )


def test_its_name_stays_taken(world: World) -> None:
    shred_artifact(world)

    for engine in (world, world.reopened()):
        with pytest.raises(PreconditionError) as caught:
            engine.artifacts.create_artifact(
                ALONE,
                kind=None,
                exclusive=True,
                may_create_project=True,
                caller=CALLER,
                request_id="again",
            )
        assert caught.value.reason is Reason.KEY_SHREDDED
        assert "the artifact was shredded" in caught.value.message


def test_a_receipt_of_a_newer_release_in_the_way_keeps_nobody_from_finishing(
    world: World,
) -> None:
    project = world.repository.projects.id_of(PROJECT)
    domain = scope_of(world, ALONE).domain
    slot = shred_artifact(world, OTHER)
    genuine = next(
        data
        for item, data in world.bucket.objects()
        if item.key.startswith("shreds/") and "/receipt-" in item.key
    )
    newer = genuine[:4] + bytes([genuine[4] ^ 0x40]) + genuine[5:]
    world.bucket.put_new(layout.receipt_key(project, 0, domain), newer)

    assert told_by(world, shred_artifact(world))["artifact"] == "alone"
    assert world.shredding.receipt(OTHER) == slot


def test_a_look_that_vault_refuses_to_help_with_is_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = world.reopened()
    other.pull("1", ALONE)
    shred_artifact(world)

    def deny() -> Any:  # noqa: ANN401
        raise PreconditionError("refused", reason=Reason.KEK_ACCESS_DENIED)

    monkeypatch.setattr(other.signer, "public_keys", deny)
    watch = ShredWatch(other.repository)
    watch.look()
    assert refused(watch.check) is Reason.KEK_ACCESS_DENIED
    monkeypatch.undo()
    watch.look()
    watch.check()
    assert refused(lambda: other.pull("1", ALONE)) is Reason.KEY_SHREDDED


def test_what_is_planted_is_remembered_for_a_minute_only(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, ManualClock)
    project = world.repository.projects.id_of(PROJECT)
    for number in range(20):
        world.bucket.put_new(layout.tombstone_key(project, number), b"junk")
    shreds = world.repository.shreds
    shreds.refresh()
    assert len(shreds._refused) == 20
    for item, _ in list(world.bucket.objects()):
        if item.key.startswith("shreds/"):
            world.bucket.delete_version(item.key, item.version_id)

    clock.advance(61)
    shreds.refresh()

    assert shreds._refused == {}
