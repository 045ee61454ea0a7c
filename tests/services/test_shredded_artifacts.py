# SPDX-License-Identifier: Apache-2.0
"""An artifact shredded alone is dead everywhere; its project's others live on."""

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    Reason,
)
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import layout, shred_receipt
from strongroom_server.core.sweep_plan import SweepPlan
from strongroom_server.core.verify_records import StoreFinding, StoreReport
from strongroom_server.services.shredding import ShredWatch
from strongroom_server.services.sweeping import ObjectExplanation, ObjectState
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
from tests.support.shredding import refused
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


def test_the_receipt_says_which_artifact_died_and_what_else_did_not(
    world: World,
) -> None:
    scope = scope_of(world, ALONE)
    slots = world.keys(layout.slots_prefix(scope.domain))
    preview = world.shredding.preview(ALONE)
    assert (preview.scope, preview.slot_count) == (scope, len(slots))

    receipt = shred_artifact(world)

    told = told_by(world, receipt)
    assert (told["project"], told["artifact"]) == ("demo", "alone")
    assert told["kek"] == scope.kek
    assert told["further_keks"] == []
    assert told["slots_removed"] == slots != []
    (artifact,) = told["artifacts"]
    assert artifact["refs"] == {"latest": 2, "prod": 1}
    assert told["artifact_count"] == 1
    assert world.shredding.receipt(ALONE) == receipt
    assert shred_artifact(world.reopened()) == receipt


def test_nothing_of_it_can_be_read_or_written_again(world: World) -> None:
    shred_artifact(world)

    version = VersionName(ALONE, "1")
    for engine in (world, world.reopened()):
        for call in (
            lambda engine=engine: engine.pull("1", ALONE),
            lambda engine=engine: engine.push({"a": b"new"}, ALONE),
            lambda engine=engine: engine.push({"a": b"new"}, ALONE, exclusive=True),
            lambda engine=engine: engine.artifacts.get_artifact(ALONE),
            lambda engine=engine: engine.artifacts.get_version(version),
            lambda engine=engine: engine.move("prod", "2", ALONE),
            lambda engine=engine: list(engine.verification.verify(ALONE)),
            lambda engine=engine: list(engine.store_verification.verify(ALONE)),
            lambda engine=engine: engine.key_life.start_epoch(ALONE, after=0),
            lambda engine=engine: engine.shredding.preview(ALONE),
            lambda engine=engine: engine.repository.check_alive(ALONE.resource),
            lambda engine=engine: engine.repository.check_alive(version.resource),
        ):
            assert refused(call) is Reason.KEY_SHREDDED


def test_the_rest_of_its_project_goes_on_working(world: World) -> None:
    before = world.bucket.objects()
    shred_artifact(world)
    heads = world.repository.artifact(OTHER).journal

    for engine in (world, world.reopened()):
        assert engine.pull("1", OTHER) == engine.pull("1", SHARED) == SECRET
        listed = engine.artifacts.list_artifacts(PROJECT, page_size=0, page_token="")
        assert [item.name for item in listed.items] == [OTHER, SHARED]
        assert engine.artifacts.shredded(PROJECT) == [ALONE]
        keks = {entry.kek for entry in engine.key_life.entries(PROJECT)}
        assert keks == {scope_of(engine, name).kek for name in (OTHER, SHARED)}
        assert findings(engine) == findings(engine, without_keys=True) == []
        *_, report = engine.store_verification.verify(None)
        assert isinstance(report, StoreReport)
        assert (report.artifact_count, report.damaged_count) == (2, 0)
        assert report.unreferenced_count > 0
        *_, last = engine.index_rebuild.run()
        assert last.done_count == last.total_count
        engine.repository.check_alive(OTHER.resource)
        engine.repository.check_alive(PROJECT.resource)
    assert world.push({"a": b"again"}, SHARED).version.number == 2
    assert world.push({"a": b"again"}, OTHER).version.number == 2
    assert world.push({"a": b"1"}, ArtifactName("demo", "new")).version.number == 1
    prefix = layout.journal_prefix(heads.project, heads.artifact)
    kept = [item for item, _ in before if item.key.startswith(prefix)]
    assert kept
    assert {item.key for item in kept} < set(world.keys(prefix))


def test_another_server_learns_of_it_and_forgets_only_that(world: World) -> None:
    other = world.reopened()
    for name in (ALONE, OTHER, SHARED):
        other.push({"c": SECRET["a"]}, name)
        other.pull("1", name)
    dead, alive = scope_of(other, ALONE), scope_of(other, OTHER)
    journals = {
        name: other.repository.artifact(name).journal for name in (ALONE, OTHER)
    }
    shred_artifact(world)
    assert other.pull("1", ALONE)  # it has not looked yet

    ShredWatch(other.repository).look()

    assert refused(lambda: other.pull("1", ALONE)) is Reason.KEY_SHREDDED
    domains = {place[1] for place in other.repository.keyring._cache._items}
    assert dead.domain not in domains
    assert {alive.domain, scope_of(other, SHARED).domain} <= domains

    def indexed(prefix: bytes) -> bool:
        return bool(list(other.index.scan(prefix)))

    gone, kept = (
        b"j" + journals[name].project + journals[name].artifact
        for name in (ALONE, OTHER)
    )
    assert not indexed(gone)
    assert indexed(kept)
    assert not indexed(b"c" + dead.domain)
    assert indexed(b"c" + alive.domain)
    assert other.pull("1", OTHER) == SECRET


def test_a_running_download_and_a_running_push_end(world: World) -> None:
    world.push({"a": bytes(3 * 1024 * 1024), "b": bytes(3 * 1024 * 1024)}, ALONE)
    with (
        world.downloads.open(VersionName(ALONE, "3"), paths=()) as download,
        world.begin(ALONE) as upload,
        world.begin(OTHER) as living,
    ):
        items = download.items
        next(items), next(items)
        upload.start_file("a", size_bytes=6, executable=False)
        living.start_file("a", size_bytes=6, executable=False)
        shred_artifact(world)

        assert refused(lambda: list(items)) is Reason.KEY_SHREDDED
        assert refused(lambda: upload.write(b"secret", offset_bytes=0)) is (
            Reason.KEY_SHREDDED
        )
        living.write(b"secret", offset_bytes=0)


def test_a_legal_hold_keeps_it_alive(world: World) -> None:
    for name in (ALONE, VersionName(OTHER, "1")):
        world.retention.hold(
            name, hold=True, reason="case", request_id="hold", caller=CALLER
        )

    for artifact in (ALONE, OTHER):
        assert refused(partial(shred_artifact, world, artifact)) is Reason.LEGAL_HOLD
    assert world.keys("shreds/") == []


def test_one_that_shares_its_domain_or_is_not_there_is_not_shredded(
    world: World,
) -> None:
    assert refused(lambda: shred_artifact(world, SHARED)) is Reason.DOMAIN_SHARED
    assert refused(lambda: world.shredding.receipt(SHARED)) is Reason.DOMAIN_SHARED
    for name, reason in (
        (ArtifactName("demo", "nothing"), Reason.ARTIFACT_NOT_FOUND),
        (ArtifactName("nowhere", "nothing"), Reason.PROJECT_NOT_FOUND),
    ):
        with pytest.raises(NotFoundError) as caught:
            shred_artifact(world, name)
        assert caught.value.reason is reason
    with pytest.raises(NotFoundError) as caught:
        world.shredding.receipt(ALONE)
    assert caught.value.reason is Reason.RECEIPT_NOT_FOUND
    assert world.keys("shreds/") == []


def test_its_damaged_journal_keeps_it_alive_and_others_do_not(world: World) -> None:
    def damage(name: ArtifactName) -> None:
        journal = world.repository.artifact(name).journal
        key = layout.journal_key(journal.project, journal.artifact, 1)
        item, data = next(
            found for found in world.bucket.objects() if found[0].key == key
        )
        flipped = data[:200] + bytes([data[200] ^ 1]) + data[201:]
        world.bucket.corrupt(item.key, item.version_id, flipped)

    damage(ALONE)
    with pytest.raises(IntegrityError):
        shred_artifact(world.reopened())
    assert world.keys("shreds/") == []
    damage(SHARED)
    assert shred_artifact(world.reopened(), OTHER)


def test_sweeps_remove_what_is_left_of_it_and_nothing_else(world: World) -> None:
    with world.begin(ALONE) as upload:
        upload.start_file("a", size_bytes=4, executable=False)
        upload.write(b"part", offset_bytes=0)
    own = scope_of(world, ALONE).domain
    segment = world.keys(layout.index_prefix(own))[0]
    shred_artifact(world)
    *_, told = world.sweeping.explain(segment)
    assert isinstance(told, ObjectExplanation)
    assert told.state is ObjectState.UNNEEDED

    for _ in range(3):
        sweep(world)

    assert len(world.keys("manifests/")) == 2
    for prefix in (layout.index_prefix(own), layout.uploads_prefix(own)):
        assert world.keys(prefix) == []
    fresh = world.reopened()
    assert fresh.pull("1", OTHER) == fresh.pull("1", SHARED) == SECRET
    assert findings(fresh) == []
    assert told_by(world, world.shredding.receipt(ALONE))["artifact"] == "alone"
