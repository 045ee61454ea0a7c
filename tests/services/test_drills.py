# SPDX-License-Identifier: Apache-2.0
"""Drills: what is whole is restored and told so; what is not is named."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from strongroom.errors import (
    ExhaustedError,
    NotFoundError,
    Reason,
    UnavailableError,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core import layout
from strongroom_server.core.canary import CANARY, canary_digest
from strongroom_server.core.drill import CanaryState, DrillReport
from strongroom_server.core.drill_report import verify_report
from strongroom_server.ports import Lock, LockMode
from strongroom_server.repository.drill_records import SavedDrill
from strongroom_server.services.drills import DrillLimits, DrillProgress
from strongroom_server.services.shredding import Approval
from tests.support.drills import DrillWorld, drill_world
from tests.support.samples import filled
from tests.support.world import CALLER

MODEL = ArtifactName("demo", "minilm")
DATA = ArtifactName("data", "texts")
FILES = {"a.bin": filled("a", 300_000), "b/c.txt": b"small", "empty": b""}


@pytest.fixture
def store() -> Iterator[DrillWorld]:
    """A store with two artifacts, one of which has two versions."""
    with drill_world() as made:
        made.world.push(FILES, MODEL)
        made.world.push(FILES | {"d": b"more"}, MODEL)
        made.world.push({"t": filled("t", 50_000)}, DATA)
        yield made


def reasons(report: DrillReport) -> set[str]:
    return {finding.reason for finding in report.findings}


def test_a_whole_backup_passes_with_every_version_restored(store: DrillWorld) -> None:
    saved = store.back_up()
    store.advance(3600)

    drill = store.drill()

    report = drill.report
    assert report.passed
    assert report.canary.state is CanaryState.GOOD
    assert report.canary.found == canary_digest(store.world.repository.keyring.store)
    assert {item.name for item in report.versions} == {
        "demo/minilm@1", "demo/minilm@2", "data/texts@1",
    }  # fmt: skip
    assert all(item.whole and item.ok for item in report.versions)
    assert (report.version_count, report.file_count) == (3, 3 + 4 + 1 + 4)
    assert report.restored_bytes > 650_000 + 1_000_000
    assert report.backup.number == saved.number
    assert report.backup.root == saved.root_digest
    assert report.recovery_point_s == 3600
    assert report.requester == CALLER.principal
    assert (report.trace_id, report.audit_id) == (CALLER.trace_id, CALLER.audit_id)


def test_the_report_is_kept_and_verifies_with_the_public_keys(
    store: DrillWorld,
) -> None:
    store.back_up()

    first, second = store.drill(), store.drill()

    assert [first.report.number, second.report.number] == [1, 2]
    assert store.drills.get(1) == first
    keys = store.world.signer.public_keys()
    assert verify_report(first.data, keys) == first.report
    page = store.drills.list(page_size=1)
    assert (page.drills, page.next_before) == ((second,), 2)
    assert store.drills.list(page_size=1, before=2).drills == (first,)
    sealed = next(
        data for item, data in store.world.bucket.objects() if "drills/" in item.key
    )
    assert b"minilm" not in sealed
    with pytest.raises(NotFoundError) as caught:
        store.drills.get(3)
    assert caught.value.reason is Reason.DRILL_NOT_FOUND


def test_nothing_of_the_primary_is_restored_from(store: DrillWorld) -> None:
    store.back_up()
    store.forget("packs/", "manifests/", "journals/", "index/", "projects/")
    # It is looked for in the primary, where nothing is now.
    drills = store.make_drills()
    drills.make_canary = lambda _: store.clock.now()

    assert store.drill(drills=drills).report.passed


@pytest.mark.parametrize("rotten", ["packs/", "manifests/", "journals/", "keys/"])
def test_rot_of_any_kind_fails_and_is_named(store: DrillWorld, rotten: str) -> None:
    store.back_up()
    keys = store.rot_all(rotten)

    report = store.report()

    assert not report.passed
    named = {finding.object_key for finding in report.findings}
    # Of journals and key slots, it is the folder that is named.
    assert named
    assert all(any(found.startswith(key) for found in keys) for key in named)


def test_one_rotten_pack_is_named_with_its_version_and_file(store: DrillWorld) -> None:
    store.back_up()
    pack = store.rot("packs/", containing=_only_pack(store, "data/texts"))

    report = store.report()

    assert not report.passed
    [finding] = report.findings
    assert finding.object_key == pack
    assert finding.reason == "CHUNK_CORRUPT"
    assert (finding.name, finding.path) == ("data/texts@1", "t")
    assert [item.name for item in report.versions if not item.ok] == ["data/texts@1"]
    assert report.canary.state is CanaryState.GOOD


def test_a_lost_object_fails_and_is_named(store: DrillWorld) -> None:
    store.back_up()
    pack = next(
        item
        for item, _ in store.bucket.objects()
        if item.key.endswith(_only_pack(store, "data/texts"))
    )
    store.bucket.lose(pack.key, pack.version_id)

    [finding] = store.report().findings

    assert (finding.object_key, finding.reason) == (pack.key, "CHUNK_MISSING")


def test_garbage_and_delete_markers_over_a_backup_change_nothing(
    store: DrillWorld,
) -> None:
    store.back_up()
    for item, data in store.bucket.objects():
        store.bucket.attack_overwrite(item.key, bytes(len(data)))
        store.bucket.attack_delete_marker(item.key)

    assert store.report().passed


def test_a_canary_that_was_swapped_fails_and_is_told(store: DrillWorld) -> None:
    store.write_canary(CALLER)
    store.world.push({"noise.bin": b"somebody else's"}, CANARY)
    store.back_up()

    report = store.report()

    assert not report.passed
    assert report.canary.state is CanaryState.BAD
    assert reasons(report) == {"DIGEST_MISMATCH"}
    assert report.findings[0].name == CANARY.short
    assert "strongroom/canary" in report.findings[0].message


def test_a_rotten_canary_fails(store: DrillWorld) -> None:
    store.back_up()
    for pack in store.packs_of(CANARY.short):
        store.rot(pack)

    report = store.report()

    assert not report.passed
    assert report.canary.state is CanaryState.BAD
    assert reasons(report) == {"CHUNK_CORRUPT"}


def test_a_backup_from_before_the_canary_is_drilled_without_it(
    store: DrillWorld,
) -> None:
    store.back_up(with_canary=False)
    store.advance(60)

    report = store.report()

    assert report.passed
    assert report.canary.state is CanaryState.ABSENT
    assert "from before there was a canary" in report.notes[0]


def test_a_later_backup_without_the_canary_fails(store: DrillWorld) -> None:
    store.write_canary(CALLER)
    store.advance(3600)
    project = store.world.repository.projects.id_of(ProjectName(CANARY.project))
    store.forget(layout.project_journals_prefix(project), layout.project_key(project))
    other = DrillWorld(store.world.reopened(), store.clock)
    other.back_up(with_canary=False)
    drills = other.make_drills()
    drills.make_canary = lambda _: store.clock.now() - timedelta(hours=1)

    report = other.drill(drills=drills).report

    assert not report.passed
    assert report.canary.state is CanaryState.BAD


def test_a_canary_is_written_once_and_again_if_it_was_deleted(
    store: DrillWorld,
) -> None:
    first = store.write_canary(CALLER)
    store.advance(60)

    assert store.write_canary(CALLER) == first
    assert store.world.versions(CANARY) == [1]


def test_a_sample_stays_within_its_room_and_tells_parts(store: DrillWorld) -> None:
    store.back_up()
    drills = store.make_drills(DrillLimits(sample_bytes=100_000, sample_versions=2))

    reports = [store.drill(drills=drills).report for _ in range(8)]

    assert all(report.passed for report in reports)
    assert all(report.version_count <= 2 for report in reports)
    parts = [item for report in reports for item in report.versions if not item.whole]
    assert parts
    assert len({report.seed for report in reports}) == 8


def test_rot_in_the_part_that_is_drawn_is_found(store: DrillWorld) -> None:
    store.back_up()
    store.rot_all("packs/")
    drills = store.make_drills(DrillLimits(sample_bytes=10_000, sample_versions=1))

    report = store.drill(drills=drills).report

    assert report.versions
    assert not any(item.ok for item in report.versions)


def test_a_number_names_an_older_backup(store: DrillWorld) -> None:
    first = store.back_up()
    store.world.push({"x": b"later"}, ArtifactName("demo", "later"))
    store.advance(60)
    second = store.back_up()

    assert store.report().backup.number == second.number
    older = store.report(first.number)

    assert older.backup.number == first.number
    assert "demo/later@1" not in {item.name for item in older.versions}


def test_without_a_backup_there_is_nothing_to_drill(store: DrillWorld) -> None:
    with pytest.raises(NotFoundError) as caught:
        store.drill()
    assert caught.value.reason is Reason.BACKUP_NOT_FOUND

    store.back_up()
    with pytest.raises(NotFoundError) as caught:
        store.drill(99)
    assert caught.value.reason is Reason.BACKUP_NOT_FOUND
    assert store.records.numbers() == []


def test_an_empty_backup_proves_nothing() -> None:
    with drill_world() as store:
        store.back_up(with_canary=False)

        with pytest.raises(NotFoundError) as caught:
            store.drill()

    assert caught.value.reason is Reason.BACKUP_NOT_FOUND
    assert "holds nothing" in caught.value.message


def test_a_root_that_is_rotten_fails_if_it_is_asked_for(store: DrillWorld) -> None:
    saved = store.back_up()
    key = store.rot(layout.backup_key(saved.number))

    report = store.report(saved.number)

    assert not report.passed
    [finding] = report.findings
    assert finding.object_key == key
    assert report.backup.root == ""


def test_a_rotten_newest_root_is_told_when_an_older_one_is_drilled(
    store: DrillWorld,
) -> None:
    first = store.back_up()
    store.advance(60)
    second = store.back_up()
    store.rot(layout.backup_key(second.number))

    report = store.report()

    assert report.backup.number == first.number
    assert layout.backup_prefix(second.number) in report.notes[0]


def test_a_rotten_page_of_the_inventory_fails(store: DrillWorld) -> None:
    store.back_up()
    store.rot_all(layout.BACKUP_PAGES)

    report = store.report()

    assert not report.passed
    assert reasons(report) == {"RECORD_CORRUPT"}


def test_a_key_that_vault_has_lost_fails(store: DrillWorld) -> None:
    store.back_up()
    scope = store.world.repository.projects.get(ProjectName("data")).scope
    store.world.key_service.delete_kek(scope.kek)

    report = store.report()

    assert not report.passed
    assert reasons(report) == {"KEK_MISSING"}


def test_what_was_shredded_since_is_left_out(store: DrillWorld) -> None:
    store.back_up()
    store.world.shredding.shred(
        ProjectName("data"),
        reason="why",
        request_id="r-1",
        caller=CALLER,
        approval=Approval(),
    )

    report = store.report()

    assert report.passed
    assert {item.name for item in report.versions} == {
        "demo/minilm@1", "demo/minilm@2",
    }  # fmt: skip


def test_an_artifact_that_was_shredded_alone_is_left_out_with_its_slots(
    store: DrillWorld,
) -> None:
    alone = ArtifactName("demo", "alone")
    store.world.push({"x": filled("x", 1000)}, alone, exclusive=True)
    store.back_up()
    scope = store.world.repository.artifact(alone).scope
    store.world.shredding.shred(
        alone, reason="why", request_id="r-1", caller=CALLER, approval=Approval()
    )
    for item, _ in store.bucket.objects():
        if item.key.startswith(layout.slots_prefix(scope.domain)):
            store.bucket.lose(item.key, item.version_id)

    report = store.report()

    assert report.passed
    assert "demo/alone@1" not in {item.name for item in report.versions}


def test_a_bucket_that_is_away_is_no_failed_drill(
    store: DrillWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.back_up()

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("away", reason=Reason.STORE_UNAVAILABLE)

    monkeypatch.setattr(store.bucket, "read_into", away)
    monkeypatch.setattr(store.bucket, "check_ready", away)

    with pytest.raises(UnavailableError):
        store.drill()
    assert store.records.numbers() == []


def test_a_pack_that_the_bucket_never_gives_fails_and_is_named(
    store: DrillWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.back_up()
    [pack] = store.packs_of("data/texts")
    read_into = store.bucket.read_into

    def rotten(key: str, **rest: Any) -> None:  # noqa: ANN401
        if key == pack:
            raise UnavailableError("code 500", reason=Reason.STORE_UNAVAILABLE)
        read_into(key, **rest)

    monkeypatch.setattr(store.bucket, "read_into", rotten)

    [finding] = store.report().findings

    assert (finding.object_key, finding.reason) == (pack, "STORE_UNAVAILABLE")
    assert finding.name == "data/texts@1"


def test_one_server_runs_one_drill_at_a_time(store: DrillWorld) -> None:
    store.back_up()
    running = store.drills.run(caller=CALLER)
    next(running)

    with pytest.raises(ExhaustedError):
        next(store.drills.run(caller=CALLER))
    assert isinstance(list(running)[-1], SavedDrill)

    assert store.report().passed


def test_a_drill_that_is_given_up_leaves_no_report(store: DrillWorld) -> None:
    store.back_up()
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise UnavailableError("enough", reason=Reason.DRAINING)

    with pytest.raises(UnavailableError):
        list(store.drills.run(caller=CALLER, check=check))

    assert store.records.numbers() == []
    assert store.report().passed


def test_progress_grows_to_its_total(store: DrillWorld) -> None:
    store.back_up()

    items = list(store.drills.run(caller=CALLER))

    told = [item for item in items if isinstance(item, DrillProgress)]
    assert next(item.stage for item in told) == "open"
    assert {item.stage for item in told} == {"open", "canary", "sample"}
    done = [item.done_bytes for item in told]
    assert done == sorted(done)
    assert all(item.done_bytes <= item.total_bytes for item in told)


def test_the_root_of_another_journal_is_noticed(store: DrillWorld) -> None:
    saved = store.back_up()
    heads = tuple(replace(head, digest=bytes(32)) for head in saved.root.journals)
    lock = Lock(LockMode.COMPLIANCE, saved.protected_until.timestamp())
    store.backups.write_root(replace(saved.root, journals=heads), lock=lock)

    report = store.report()

    assert not report.passed
    assert reasons(report) == {"JOURNAL_REWOUND"}


def _only_pack(store: DrillWorld, name: str) -> str:
    [key] = store.packs_of(name)
    return key.rpartition("/")[2]
