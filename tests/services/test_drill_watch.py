# SPDX-License-Identifier: Apache-2.0
"""Schedules of drills: when one is due, who runs it, what is told if it was bad."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format.names import ArtifactName
from strongroom_server.core import layout
from strongroom_server.core.drill import PART, CanaryState
from strongroom_server.core.records import Caller
from strongroom_server.ports import BlobNotFoundError, Lock, LockMode
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.repository.drill_records import SavedDrill
from strongroom_server.repository.leases import Leases
from strongroom_server.services.drills import DrillWatch, OwnDrill
from tests.support.drills import DrillWorld, drill_world
from tests.support.samples import filled
from tests.support.waiting import wait_until

DAY_S = 86_400
SERVER = Caller("spiffe://test/ns/a/sa/server", "1" * 32, "log-7")


@pytest.fixture
def store() -> Iterator[DrillWorld]:
    with drill_world() as made:
        made.world.push({"a": filled("a", 50_000)}, ArtifactName("demo", "minilm"))
        made.back_up()
        yield made


class Told:
    """What runs of a server's own were told as."""

    def __init__(self) -> None:
        self.details: list[dict[str, str]] = []

    @contextmanager
    def audited(self) -> Iterator[OwnDrill]:
        own = OwnDrill(SERVER)
        self.details.append(own.detail)
        yield own


def watch_of(
    store: DrillWorld, told: Told | None = None, *, every_s: int = DAY_S
) -> DrillWatch:
    """Return what one server looks with."""
    world = store.world
    leases = Leases(world.blobs, clock=store.clock, entropy=world.entropy)
    return DrillWatch(
        store.make_drills(),
        leases,
        (told or Told()).audited,
        clock=store.clock,
        every_s=every_s,
        look_s=0.01,
    )


def advance(store: DrillWorld, **time: float) -> None:
    store.advance(timedelta(**time).total_seconds())


def reason_of(watch: DrillWatch) -> Reason | None:
    try:
        watch.check()
    except (IntegrityError, PreconditionError) as error:
        return error.reason
    return None


def test_a_drill_is_run_when_it_is_due_and_not_before(store: DrillWorld) -> None:
    told = Told()
    watch = watch_of(store, told)

    watch.look()
    advance(store, hours=23)
    watch.look()
    assert store.records.numbers() == [1]
    advance(store, hours=2)
    watch.look()

    assert store.records.numbers() == [1, 2]
    report = store.drills.get(2).report
    assert report.scheduled
    assert (report.requester, report.audit_id) == (SERVER.principal, "log-7")
    assert told.details[1] == {
        "drill": "2",
        "backup_root": report.backup.root,
        "passed": "true",
    }


def test_servers_that_look_at_once_run_one_drill(store: DrillWorld) -> None:
    watches = [watch_of(store) for _ in range(3)]

    for watch in watches:
        watch.look()

    assert store.records.numbers() == [1]
    assert {watch.age_s() for watch in watches} == {0.0}


def test_who_does_not_hold_the_lease_runs_nothing(store: DrillWorld) -> None:
    world = store.world
    other = Leases(world.blobs, clock=store.clock, entropy=world.entropy)
    watch = watch_of(store)

    with other.hold("drill", lifetime_s=300) as lease:
        assert lease is not None
        watch.look()
    assert store.records.numbers() == []
    watch.look()

    assert store.records.numbers() == [1]


def test_without_a_schedule_nobody_runs_one_and_nothing_is_overdue(
    store: DrillWorld,
) -> None:
    watch = watch_of(store, every_s=0)

    watch.look()
    advance(store, days=400)

    assert store.records.numbers() == []
    assert reason_of(watch) is None
    assert watch.age_s() == -1.0


def test_the_age_of_the_last_good_drill_is_told(store: DrillWorld) -> None:
    watch = watch_of(store, every_s=0)
    watch.note(store.drill())

    advance(store, hours=5)

    assert watch.age_s() == 5 * 3600


def test_a_failed_drill_alarms_and_is_logged_with_the_object(
    store: DrillWorld, caplog: pytest.LogCaptureFixture
) -> None:
    pack = store.rot(next(iter(store.packs_of("demo/minilm"))))
    watch = watch_of(store)

    with caplog.at_level(logging.ERROR, "strongroom_server.drills"):
        watch.look()

    with pytest.raises(IntegrityError) as caught:
        watch.check()
    assert caught.value.reason is Reason.DRILL_FAILED
    assert pack in caught.value.message
    [line] = [json.loads(record.getMessage()) for record in caplog.records]
    assert (line["event"], line["objects"]) == ("drill_failed", [pack])
    assert "minilm" not in caplog.text
    assert watch.age_s() == -1.0


def test_a_swapped_canary_alarms(store: DrillWorld) -> None:
    store.world.push({"x": b"other"}, ArtifactName("strongroom", "canary"))
    advance(store, seconds=60)
    store.back_up()
    watch = watch_of(store)

    watch.look()

    assert reason_of(watch) is Reason.DRILL_FAILED
    assert store.drills.get(1).report.canary.state is CanaryState.BAD


def test_only_a_good_drill_of_the_same_or_a_newer_backup_ends_the_alarm(
    store: DrillWorld,
) -> None:
    advance(store, seconds=60)
    store.world.push({"b": filled("b", 50_000)}, ArtifactName("demo", "other"))
    second = store.back_up()
    pack = store.rot(next(iter(store.packs_of("demo/other"))))
    watch = watch_of(store, every_s=0)
    watch.note(store.drill(second.number))
    assert reason_of(watch) is Reason.DRILL_FAILED

    watch.note(store.drill(1))  # what is older is good, which mends nothing
    assert reason_of(watch) is Reason.DRILL_FAILED

    advance(store, seconds=60)
    store.rot(pack)  # the same bit again: it is whole
    third = store.back_up()
    watch.note(store.drill(third.number))
    assert reason_of(watch) is None


def part(saved: SavedBackup, store: DrillWorld) -> SavedBackup:
    """Write a backup of one project, of what a whole one has."""
    root = replace(saved.root, scope=(saved.root.journals[0].project,))
    until = saved.protected_until.timestamp()
    return store.backups.write_root(root, lock=Lock(LockMode.COMPLIANCE, until))


def test_a_good_drill_of_a_part_ends_no_alarm_of_the_whole(store: DrillWorld) -> None:
    whole = store.backups.load(1)
    pack = store.rot(next(iter(store.packs_of("demo/minilm"))))
    bad = store.drill()
    store.rot(pack)  # the same bit again: it is whole
    small = part(whole, store)
    good = store.drill(small.number)
    assert good.report.passed
    assert good.report.part.startswith(PART)

    watch, other = watch_of(store, every_s=0), watch_of(store, every_s=0)
    for saved in (bad, good, bad):
        watch.note(saved)
    other.learn()  # the newest first
    assert {reason_of(watch), reason_of(other)} == {Reason.DRILL_FAILED}
    assert watch.age_s() == -1.0

    mended = store.back_up()
    watch.note(store.drill(mended.number))
    assert reason_of(watch) is None


def test_a_newer_good_drill_of_the_same_part_ends_its_alarm(store: DrillWorld) -> None:
    whole = store.backups.load(1)
    small = part(whole, store)
    pack = store.rot(next(iter(store.packs_of("demo/minilm"))))
    watch = watch_of(store, every_s=0)
    watch.note(store.drill(small.number))
    assert reason_of(watch) is Reason.DRILL_FAILED
    store.rot(pack)
    other = replace(whole.root, scope=(b"x" * len(whole.root.journals[0].project),))
    watch.note(store.drill(part(replace(whole, root=other), store).number))
    watch.note(store.drill(part(whole, store).number))

    assert reason_of(watch) is None


def test_a_schedule_drills_the_whole_store_behind_parts_of_it(
    store: DrillWorld,
) -> None:
    small = part(store.backups.load(1), store)
    watch = watch_of(store)
    # Somebody's own look at a part is none for the schedule.
    watch.note(store.drill(small.number))

    watch.look()

    assert store.drills.get(2).report.backup.number == 1
    assert not store.drills.get(2).report.part


def test_where_there_are_parts_only_the_newest_is_drilled() -> None:
    with drill_world() as store:
        store.world.push({"a": b"x"}, ArtifactName("demo", "minilm"))
        whole = store.back_up()
        small = part(whole, store)
        for item, _ in store.bucket.objects():
            if item.key == layout.backup_key(whole.number):
                store.bucket.lose(item.key, item.version_id)
        watch = watch_of(store)

        watch.look()
        watch.look()

        assert store.records.numbers() == [1]
        assert store.drills.get(1).report.backup.number == small.number
        assert watch.age_s() == 0.0


def test_a_clock_that_is_ahead_keeps_nobody_from_drilling(store: DrillWorld) -> None:
    saved = store.drill()
    ahead = replace(saved.report, end_time=saved.report.end_time + timedelta(days=365))
    watch = watch_of(store)
    watch.note(SavedDrill(ahead, saved.data))

    assert watch.age_s() == 0.0
    advance(store, hours=25)
    watch.look()

    assert store.records.numbers() == [1, 2]
    advance(store, hours=49)
    assert reason_of(watch) is Reason.DRILL_OVERDUE


def test_other_servers_hear_of_a_failed_drill(store: DrillWorld) -> None:
    other = watch_of(store, every_s=0)
    other.look()
    store.rot_all("packs/")

    watch_of(store).look()
    assert reason_of(other) is None
    other.look()

    assert reason_of(other) is Reason.DRILL_FAILED


def test_what_is_planted_hides_no_failed_drill(store: DrillWorld) -> None:
    other = watch_of(store, every_s=0)
    watch_of(store).look()
    other.look()
    for number in range(2, 80):
        store.world.bucket.put_new(layout.drill_key(number), b"junk")
    store.rot_all("packs/")
    assert store.report().number == 80

    other.look()

    assert reason_of(other) is Reason.DRILL_FAILED
    other.look()
    assert len(other._refused) == 78


def test_a_server_that_starts_anew_knows_what_was(store: DrillWorld) -> None:
    first = watch_of(store)
    first.look()
    advance(store, hours=3)

    second = watch_of(store)
    second.look()

    assert second.age_s() == 3 * 3600
    assert store.records.numbers() == [1]


def test_no_good_drill_for_twice_the_interval_is_told(store: DrillWorld) -> None:
    watch = watch_of(store)
    watch.look()

    advance(store, hours=47)
    assert reason_of(watch) is None
    advance(store, hours=2)

    assert reason_of(watch) is Reason.DRILL_OVERDUE


def test_a_server_that_never_drilled_is_overdue_in_time() -> None:
    with drill_world() as store:
        watch = watch_of(store)
        assert reason_of(watch) is None

        advance(store, hours=49)

        assert reason_of(watch) is Reason.DRILL_OVERDUE


def test_a_drill_that_cannot_be_run_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with drill_world() as store:  # without any backup
        told = Told()
        watch = watch_of(store, told)
        with (
            caplog.at_level(logging.WARNING, "strongroom_server.drills"),
            watch.running(),
        ):
            wait_until(lambda: len(told.details) == 1)
            advance(store, minutes=11)
            wait_until(lambda: len(told.details) == 2)
            advance(store, minutes=1)

    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [line["reason"] for line in lines] == ["BACKUP_NOT_FOUND"]


def test_a_bug_does_not_end_the_schedule_and_is_told(
    store: DrillWorld, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watch_of(store)
    make_canary = watch._drills.make_canary

    def fail(caller: Caller) -> datetime:
        watch._drills.make_canary = make_canary
        raise BlobNotFoundError("packs/1")

    watch._drills.make_canary = fail
    with (
        caplog.at_level(logging.WARNING, "strongroom_server.drills"),
        watch.running(),
    ):
        wait_until(lambda: bool(caplog.records))
        advance(store, minutes=11)
        wait_until(lambda: store.records.numbers() == [1])

    [line] = [json.loads(record.getMessage()) for record in caplog.records]
    assert (line["reason"], line["message"]) == ("INTERNAL", "BlobNotFoundError")


def test_a_server_that_ends_gives_its_drill_up(store: DrillWorld) -> None:
    watch = watch_of(store)

    with watch.running():
        wait_until(lambda: store.records.numbers() == [1])

    assert not watch.age_s() < 0
