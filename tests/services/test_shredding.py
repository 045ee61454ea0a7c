# SPDX-License-Identifier: Apache-2.0
"""A shredded project is dead everywhere at once, and the rest of the store lives."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import pytest

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.core import layout, shred_receipt
from strongroom_server.core.scope import format_id
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.core.verify_records import StoreFinding, StoreReport
from strongroom_server.services.shredding import Shredding, ShredSettings
from strongroom_server.services.sweeping import ObjectExplanation, ObjectState
from tests.support.shredding import (
    APPROVAL,
    DEAD,
    GONE,
    KEPT,
    doomed_world,
    refused,
    shred,
)
from tests.support.world import CALLER, World


@pytest.fixture
def world() -> Iterator[World]:
    with doomed_world() as made:
        yield made


def test_the_receipt_says_what_died_and_who_had_it_done(world: World) -> None:
    scope = world.repository.projects.get(DEAD).scope
    slots = [key for key in world.keys("keys/") if format_id(scope.domain) in key]

    receipt = shred(world)

    told = shred_receipt.verify_receipt(receipt, world.signer.public_keys())
    assert told["project"] == "dead"
    assert told["project_id"] == format_id(scope.project)
    assert told["kek"] == scope.kek
    assert told["requester"] == CALLER.principal
    assert told["reason"] == "the contract ended"
    assert (told["approval_id"], told["approvers"]) == ("ap-1", ["operator:bob"])
    assert told["slots_removed"] == slots != []
    assert told["slots_locked"] == []
    (artifact,) = told["artifacts"]
    assert artifact["artifact"] == "model"
    assert artifact["version_count"] == told["version_count"] == 2
    assert artifact["refs"] == {"latest": 2, "prod": 1}
    assert told["kek_destroyed_time"] < told["effective_time"] < told["snapshots_until"]
    assert "Snapshots of Vault" in told["notes"][0]
    assert world.shredding.receipt(DEAD) == receipt


def test_nothing_of_it_can_be_read_or_written_again(world: World) -> None:
    shred(world)

    version = VersionName(GONE, "1")
    for engine in (world, world.reopened()):
        for call in (
            lambda engine=engine: engine.pull("1", GONE),
            lambda engine=engine: engine.push({"a": b"new"}, GONE),
            lambda engine=engine: engine.push({"a": b"1"}, ArtifactName("dead", "b")),
            lambda engine=engine: engine.artifacts.get_artifact(GONE),
            lambda engine=engine: engine.artifacts.get_version(version),
            lambda engine=engine: engine.artifacts.list_artifacts(
                DEAD, page_size=0, page_token=""
            ),
            lambda engine=engine: engine.move("prod", "2", GONE),
            lambda engine=engine: engine.artifacts.create_project(
                "dead", caller=CALLER, request_id=str(uuid.uuid4())
            ),
            lambda engine=engine: list(engine.verification.verify(GONE)),
            lambda engine=engine: list(engine.key_life.entries(DEAD)),
            lambda engine=engine: engine.key_life.start_epoch(DEAD, after=0),
            lambda engine=engine: list(engine.store_verification.verify(DEAD)),
            lambda engine=engine: list(engine.sweeping.plan(DEAD)),
            lambda engine=engine: engine.shredding.preview(DEAD),
        ):
            assert refused(call) is Reason.KEY_SHREDDED


def test_the_rest_of_the_store_goes_on_working(world: World) -> None:
    shred(world)

    for engine in (world, world.reopened()):
        assert engine.pull("1", KEPT) == {"a": b"other"}
        listed = engine.artifacts.list_projects(page_size=0, page_token="")
        assert [item.name.project for item in listed.items] == ["kept"]
        assert {entry.state for entry in engine.key_life.entries(None)} == {"current"}
        *findings, report = [
            item
            for item in engine.store_verification.verify(None)
            if isinstance(item, StoreFinding | StoreReport)
        ]
        assert findings == []
        assert isinstance(report, StoreReport)
        assert (report.artifact_count, report.damaged_count) == (1, 0)
        assert report.unreferenced_count > 0
        *findings, report = [
            item
            for item in engine.store_verification.verify(None, without_keys=True)
            if isinstance(item, StoreFinding | StoreReport)
        ]
        assert findings == []
        *_, last = engine.index_rebuild.run()
        assert last.done_count == last.total_count
        assert len(list(engine.key_life.rewrap(None))) > 0
        assert len(list(engine.sweeping.plan())) > 0
    assert world.push({"a": b"again"}, KEPT).version.number == 2


def test_a_running_download_ends_at_its_next_block(world: World) -> None:
    big = {"a": bytes(3 * 1024 * 1024), "b": bytes(3 * 1024 * 1024)}
    world.push(big, GONE)
    with world.downloads.open(VersionName(GONE, "3"), paths=()) as download:
        items = download.items
        next(items), next(items)
        shred(world)

        assert refused(lambda: list(items)) is Reason.KEY_SHREDDED


def test_a_running_push_makes_no_version(world: World) -> None:
    with world.begin(GONE) as upload:
        upload.start_file("a", size_bytes=6, executable=False)
        shred(world)

        assert refused(lambda: upload.write(b"secret", offset_bytes=0)) is (
            Reason.KEY_SHREDDED
        )


def test_a_legal_hold_keeps_a_project_alive(world: World) -> None:
    world.retention.hold(
        VersionName(GONE, "1"),
        hold=True,
        reason="case 7",
        request_id="hold-1",
        caller=CALLER,
    )

    assert refused(lambda: shred(world)) is Reason.LEGAL_HOLD

    assert world.keys("shreds/") == []
    assert world.pull("1", GONE)
    preview = world.shredding.preview(DEAD)
    assert preview.held == ("model",)


def test_a_dry_run_tells_what_would_die_and_changes_nothing(world: World) -> None:
    before = world.bucket.objects()

    preview = world.shredding.preview(DEAD)

    assert world.bucket.objects() == before
    (item,) = preview.artifacts
    assert item.artifact.refs == {"latest": 2, "prod": 1}
    assert preview.slot_count == 1
    assert not item.held


def test_a_project_that_is_not_there_is_not_shredded(world: World) -> None:
    with pytest.raises(NotFoundError) as caught:
        shred(world, ProjectName("nothing"))
    assert caught.value.reason is Reason.PROJECT_NOT_FOUND
    with pytest.raises(NotFoundError) as caught:
        world.shredding.receipt(DEAD)
    assert caught.value.reason is Reason.RECEIPT_NOT_FOUND


def test_shredding_again_gives_the_same_receipt(world: World) -> None:
    first = shred(world)

    assert shred(world) == first
    assert shred(world.reopened()) == first


def test_servers_that_shred_at_once_agree_on_one_receipt(world: World) -> None:
    engines = [world, *(world.reopened() for _ in range(3))]

    with ThreadPoolExecutor(len(engines)) as threads:
        receipts = set(threads.map(shred, engines))

    assert len(receipts) == 1
    assert len([key for key in world.keys("shreds/") if layout.is_tombstone(key)]) == 1


def test_a_server_without_credentials_destroys_nothing(world: World) -> None:
    bare = Shredding(world.repository, world.key_service)

    half = (
        Shredding(world.repository, world.key_service, world.destroyer),
        Shredding(world.repository, world.key_service, None, world.remover),
    )

    def attempt(parts: Shredding) -> bytes:
        return parts.shred(
            DEAD, reason="", request_id="r", caller=CALLER, approval=APPROVAL
        )

    for parts in (bare, *half):
        assert refused(partial(attempt, parts)) is Reason.KEK_ACCESS_DENIED
    assert world.pull("1", GONE)
    assert bare.preview(DEAD).slot_count == 1


def test_while_vault_waits_for_its_approvers_the_project_lives(world: World) -> None:
    world.destroyer.hold()

    assert refused(lambda: shred(world)) is Reason.KEK_APPROVAL_PENDING
    assert world.pull("1", GONE)
    world.destroyer.let_go()

    assert shred(world)
    assert refused(lambda: world.pull("1", GONE)) is Reason.KEY_SHREDDED


def test_locked_slots_are_told_and_open_nothing(world: World) -> None:
    scope = world.repository.projects.get(DEAD).scope
    slot = layout.slot_key(scope.domain, 0, 0)
    assert world.remover is not None
    world.remover.lock(slot)

    told = shred_receipt.verify_receipt(shred(world), world.signer.public_keys())

    assert told["slots_locked"] == [slot]
    assert told["slots_removed"] == []
    assert any("locked" in note for note in told["notes"])
    assert refused(lambda: world.reopened().pull("1", GONE)) is Reason.KEY_SHREDDED
    findings = [
        item
        for item in world.reopened().store_verification.verify(None)
        if isinstance(item, StoreFinding)
    ]
    assert findings == []


def test_every_version_of_every_slot_is_removed(world: World) -> None:
    scope = world.repository.projects.get(DEAD).scope
    world.key_life.start_epoch(DEAD, after=0)
    slot = layout.slot_key(scope.domain, 0, 0)
    world.bucket.overwrite(slot, b"a newer version")

    shred(world)

    assert world.keys(layout.slots_prefix(scope.domain)) == []


def test_sweeps_remove_what_is_left_of_it_and_nothing_else(world: World) -> None:
    with world.begin(GONE) as upload:
        upload.start_file("a", size_bytes=4, executable=False)
        upload.write(b"part", offset_bytes=0)
    kept = {
        key
        for prefix in ("packs/", "manifests/")
        for key in world.reopened().keys(prefix)
    }
    shred(world)
    for _ in range(3):
        *_, plan = world.sweeping.plan()
        assert isinstance(plan, SweepPlan)
        for _ in world.sweeping.apply(
            world.sweeping.encode(plan),
            reason="",
            request_id=str(uuid.uuid4()),
            caller=CALLER,
        ):
            pass

    left = {*world.keys("packs/"), *world.keys("manifests/")}
    assert left < kept
    assert len(world.keys("manifests/")) == 1
    assert len(world.keys("index/")) == 1
    assert world.keys("uploads/") == []
    assert world.reopened().pull("1", KEPT) == {"a": b"other"}
    assert shred_receipt.verify_receipt(
        world.shredding.receipt(DEAD), world.signer.public_keys()
    )


def test_of_an_object_of_the_dead_it_is_said_that_nothing_needs_it(
    world: World,
) -> None:
    scope = world.repository.projects.get(DEAD).scope
    segment = next(iter(world.keys(layout.index_prefix(scope.domain))))
    shred(world)

    for key in (segment, *world.keys("manifests/")):
        *_, told = world.sweeping.explain(key)
        assert isinstance(told, ObjectExplanation)
        if "its project was shredded" in told.causes:
            assert told.state is ObjectState.UNNEEDED
        else:
            assert told.state is ObjectState.NEEDED
    *_, told = world.sweeping.explain(segment)
    assert isinstance(told, ObjectExplanation)
    assert "its project was shredded" in told.causes


def test_a_damaged_journal_keeps_a_project_alive(world: World) -> None:
    prefix = layout.project_journals_prefix(world.repository.projects.id_of(DEAD))
    item, data = next(
        found for found in world.bucket.objects() if found[0].key.startswith(prefix)
    )
    flipped = data[:200] + bytes([data[200] ^ 1]) + data[201:]
    world.bucket.corrupt(item.key, item.version_id, flipped)

    with pytest.raises(IntegrityError):
        shred(world.reopened())

    assert world.keys("shreds/") == []


def test_the_effective_time_outlasts_every_cache(world: World) -> None:
    told = shred_receipt.verify_receipt(shred(world), world.signer.public_keys())

    gone = datetime.fromisoformat(told["kek_destroyed_time"])
    effective = datetime.fromisoformat(told["effective_time"])
    assert effective - gone == timedelta(seconds=30 + 30 + 900)


def test_the_effective_time_outlasts_the_leases_of_sidecars(world: World) -> None:
    world.shredding = Shredding(
        world.repository,
        world.key_service,
        world.destroyer,
        world.remover,
        ShredSettings(grant_lifetime_s=86_400),
    )

    told = shred_receipt.verify_receipt(shred(world), world.signer.public_keys())

    gone = datetime.fromisoformat(told["kek_destroyed_time"])
    effective = datetime.fromisoformat(told["effective_time"])
    assert effective - gone > timedelta(days=1)
    assert f"{effective:%Y-%m-%d %H:%M:%S} UTC" in told["notes"][2]
