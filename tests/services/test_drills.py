# SPDX-License-Identifier: Apache-2.0
"""Drills: what is whole is restored and told so; what is not is named."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from strongroom.errors import (
    ExhaustedError,
    NotFoundError,
    Reason,
    UnavailableError,
)
from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.memory import MemoryAuditLog
from strongroom_server.core import layout
from strongroom_server.core.canary import CANARY, canary_digest
from strongroom_server.core.drill import CanaryState, DrillReport
from strongroom_server.core.drill_report import verify_report
from strongroom_server.opening_drills import audited
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.drill_records import SavedDrill
from strongroom_server.services.auditing.own_runs import OwnRuns
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


def test_a_backup_without_the_stores_record_fails_the_drill(store: DrillWorld) -> None:
    store.back_up()
    for item, _ in store.bucket.objects():
        if item.key == layout.STORE:
            store.bucket.lose(item.key, item.version_id)

    report = store.report()

    assert not report.passed
    assert reasons(report) == {"RECORD_CORRUPT"}


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


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "OK"),
        (UnavailableError("enough", reason=Reason.DRAINING), "UNAVAILABLE"),
        (BlobNotFoundError("packs/1"), "INTERNAL"),
    ],
)
def test_the_audit_log_hears_how_a_servers_own_drill_ended(
    store: DrillWorld, error: Exception | None, outcome: str
) -> None:
    audit, world = MemoryAuditLog(), store.world
    runs = OwnRuns(
        audit,
        names=world.repository.keyring,
        principal=lambda: CALLER.principal,
        clock=store.clock,
        entropy=world.entropy,
    )

    with contextlib.suppress(UnavailableError, BlobNotFoundError):  # noqa: SIM117
        with audited(runs, CALLER.principal):
            if error is not None:
                raise error

    assert [event.outcome for event in audit.events()] == ["", outcome]


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
