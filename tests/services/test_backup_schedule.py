# SPDX-License-Identifier: Apache-2.0
"""Backups are taken by the clock, by one server, and it is told when they are not."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom.format.names import ProjectName
from strongroom_server.adapters.memory import MemoryAuditLog, MemoryBlobStore
from strongroom_server.adapters.memory_locked import MemoryLockedBlobs
from strongroom_server.core import layout
from strongroom_server.core.audit import Phase
from strongroom_server.ports import BlobNotFoundError, LockMode
from strongroom_server.repository.leases import Leases
from strongroom_server.services.auditing.own_runs import OwnRun, OwnRuns
from strongroom_server.services.backups import Asked, BackupRules, BackupSchedule
from strongroom_server.services.backups.schedule import RETRY_S
from tests.support.backups import DAY_S, BackedUp
from tests.support.clock import ManualClock
from tests.support.world import World

HOUR_S = 3600
SERVER = "spiffe://test/ns/a/sa/server"


@dataclass
class Server:
    """One of the servers of a store, with its schedule."""

    backed_up: BackedUp
    clock: ManualClock
    audit: MemoryAuditLog = field(default_factory=MemoryAuditLog)

    def __post_init__(self) -> None:
        repository = self.backed_up.world.repository
        entropy = repository.entropy
        self.schedule: BackupSchedule[OwnRun] = BackupSchedule(
            self.backed_up.backups,
            Leases(repository.blobs, clock=self.clock, entropy=entropy),
            OwnRuns(
                self.audit,
                names=repository.keyring,
                principal=lambda: SERVER,
                clock=self.clock,
                entropy=entropy,
            ),
            clock=self.clock,
        )

    def reason(self) -> Reason | None:
        """Return why the alarm rings; None if it does not."""
        try:
            self.schedule.check()
        except StrongroomError as error:
            return error.reason
        return None


@dataclass
class Site:
    """A store, its backup bucket, and as many servers as wanted."""

    clock: ManualClock = field(default_factory=ManualClock)
    refuses: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bucket = MemoryLockedBlobs(self.clock)
        self.world = World(blobs=MemoryBlobStore(self.clock), clock=self.clock)
        self.world.push({"a": b"1"})

    def server(self, every_s: int = HOUR_S) -> Server:
        """Start a server."""
        rules = BackupRules(LockMode.COMPLIANCE, 3 * DAY_S, every_s, DAY_S)
        world = self.world.reopened()
        return Server(BackedUp(world, self.bucket, rules, self._require), self.clock)

    def _require(self) -> None:
        if self.refuses:
            raise self.refuses[0]


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.world.executor.shutdown()


def test_a_backup_is_taken_when_it_is_due_and_not_before(site: Site) -> None:
    server = site.server()
    records = server.backed_up.records

    server.schedule.tick()
    server.schedule.tick()
    assert records.numbers() == [1]
    site.clock.advance(HOUR_S - 60)
    server.schedule.tick()
    assert records.numbers() == [1]
    site.clock.advance(61)
    server.schedule.tick()

    assert records.numbers() == [1, 2]
    assert records.load(2).root.interval_s == HOUR_S


def test_without_a_schedule_none_is_taken_and_none_is_late(site: Site) -> None:
    server = site.server(every_s=0)

    server.schedule.tick()
    site.clock.advance(400 * DAY_S)
    server.schedule.tick()

    assert server.backed_up.records.numbers() == []
    assert server.reason() is None


def test_two_servers_take_one_between_them(site: Site) -> None:
    one, two = site.server(), site.server()

    for _ in range(3):
        one.schedule.tick()
        two.schedule.tick()
        site.clock.advance(HOUR_S + 1)

    assert one.backed_up.records.numbers() == [1, 2, 3]


def test_while_another_server_takes_it_nobody_else_does(site: Site) -> None:
    one, two = site.server(), site.server()
    leases = Leases(site.world.blobs, clock=site.clock, entropy=site.world.entropy)

    with leases.hold("backup", lifetime_s=900):
        one.schedule.tick()
    assert one.backed_up.records.numbers() == []
    two.schedule.tick()

    assert one.backed_up.records.numbers() == [1]


def test_one_of_a_part_does_not_stand_for_the_store(site: Site) -> None:
    server = site.server()
    server.backed_up.take(Asked((ProjectName("demo"),)))

    server.schedule.tick()

    assert server.backed_up.records.load(2).root.is_whole


def test_the_audit_log_has_the_root_that_was_signed(site: Site) -> None:
    server = site.server()

    server.schedule.tick()

    first, last = server.audit.events()
    saved = server.backed_up.records.load(1)
    assert [first.phase, last.phase] == [Phase.INTENT, Phase.OUTCOME]
    assert (first.principal, first.action) == (SERVER, "backup.create")
    assert last.outcome == "OK"
    assert dict(last.detail)["root"] == saved.root_digest
    assert saved.root.audit_id.endswith("-0")
    assert all(server.audit.shared())


def test_nothing_happens_that_cannot_be_recorded(site: Site) -> None:
    server = site.server()
    server.audit.fail(failing=True)

    server.schedule.tick()

    assert server.backed_up.records.numbers() == []
    assert server.reason() is Reason.AUDIT_UNAVAILABLE
    server.audit.fail(failing=False)
    server.schedule.tick()
    assert server.reason() is None


def test_a_backup_that_fails_is_recorded_and_alarms(site: Site) -> None:
    server = site.server()
    site.refuses.append(PreconditionError("no", reason=Reason.STORE_UNSUITABLE))

    server.schedule.tick()

    assert server.audit.events()[-1].reason == "STORE_UNSUITABLE"
    assert server.reason() is Reason.STORE_UNSUITABLE
    site.refuses.clear()
    server.schedule.tick()
    assert server.reason() is Reason.STORE_UNSUITABLE
    site.clock.advance(RETRY_S + 1)
    server.schedule.tick()
    assert server.reason() is None
    assert server.backed_up.records.numbers() == [1]


def test_one_that_somebody_takes_ends_the_alarm(site: Site) -> None:
    server = site.server()
    site.refuses.append(PreconditionError("no", reason=Reason.STORE_UNSUITABLE))
    server.schedule.tick()
    site.refuses.clear()
    site.clock.advance(60)

    server.backed_up.take()
    site.clock.advance(60)
    server.schedule.tick()

    assert server.reason() is None
    assert server.backed_up.records.numbers() == [1]


def test_it_is_told_when_the_last_one_is_too_old(site: Site) -> None:
    server = site.server()
    server.schedule.tick()
    site.refuses.append(PreconditionError("no", reason=Reason.STORE_UNSUITABLE))
    other = site.server()
    other.schedule.tick()
    assert other.reason() is None

    site.clock.advance(DAY_S + HOUR_S + 10)

    assert other.schedule.age_s() > DAY_S
    assert other.reason() is Reason.BACKUP_OVERDUE


def test_it_is_told_before_what_is_locked_away_lapses(site: Site) -> None:
    server = site.server(every_s=0)
    server.backed_up.take()
    server.schedule.tick()
    assert server.reason() is None
    assert 2 * DAY_S < server.schedule.time_left_s() <= 3 * DAY_S

    site.clock.advance(2 * DAY_S + 60)

    assert server.reason() is Reason.BACKUP_OVERDUE
    site.clock.advance(2 * DAY_S)
    assert server.schedule.time_left_s() == 0


def test_a_server_that_ends_breaks_off_and_the_next_goes_on(site: Site) -> None:
    server = site.server()
    server.schedule._stop.set()

    server.schedule.tick()

    assert server.backed_up.records.numbers() == []
    assert server.audit.events()[-1].outcome == "CANCELLED"
    assert server.reason() is None
    site.server().schedule.tick()
    assert server.backed_up.records.numbers() == [1]


def test_a_run_that_crashes_is_recorded_as_a_bug_and_the_next_one_goes_on(
    site: Site,
) -> None:
    server = site.server()
    site.refuses.append(BlobNotFoundError("gone"))

    server.schedule.tick()

    assert server.audit.events()[-1].outcome == "INTERNAL"
    assert server.reason() is Reason.INTERNAL
    site.refuses.clear()
    site.clock.advance(RETRY_S + 1)
    server.schedule.tick()
    assert server.reason() is None


def test_a_look_that_crashes_ends_no_thread(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = site.server()

    def crash() -> None:
        raise BlobNotFoundError("gone")

    monkeypatch.setattr(server.backed_up.backups, "look", crash)

    server.schedule.tick()

    assert server.reason() is Reason.INTERNAL


def test_a_failure_that_is_told_again_and_again_does_not_grow(site: Site) -> None:
    server = site.server()
    site.refuses.append(PreconditionError("no", reason=Reason.STORE_UNSUITABLE))
    server.schedule.tick()

    for _ in range(50):
        assert server.reason() is Reason.STORE_UNSUITABLE

    frames = traceback.extract_tb(site.refuses[0].__traceback__)
    assert len(frames) < 10


def test_the_log_says_what_failed_and_what_failed_next(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    server = site.server()
    for check in ("lock", "lock", "bypass"):
        message = f"fails check {check}"
        site.refuses[:] = [PreconditionError(message, reason=Reason.STORE_UNSUITABLE)]
        server.schedule.tick()
        site.clock.advance(RETRY_S + 1)

    lines = [record.getMessage() for record in caplog.records]
    told = [line for line in lines if "backup_failed" in line]
    assert [line.count("check lock") for line in told] == [1, 0]
    assert "check bypass" in told[1]


def test_a_backup_from_the_future_is_due_and_told(site: Site) -> None:
    site.clock.advance(DAY_S)
    server = site.server()
    server.schedule.tick()
    site.clock.advance(-DAY_S)
    other = site.server()
    site.refuses.append(PreconditionError("no", reason=Reason.STORE_UNSUITABLE))
    other.schedule.tick()
    assert other.audit.events()[-1].reason == "STORE_UNSUITABLE"

    watching = site.server()
    watching.backed_up.backups.look()

    assert watching.reason() is Reason.BACKUP_OVERDUE
    site.refuses.clear()
    watching.schedule.tick()
    assert watching.reason() is None
    watching.schedule.tick()
    assert watching.backed_up.records.numbers() == [1, 2]


def test_it_is_told_that_a_backup_is_gone_before_its_date(site: Site) -> None:
    server = site.server()
    server.schedule.tick()
    assert server.reason() is None
    key = layout.backup_key(1)
    (root,) = site.bucket.first_versions(key)
    site.bucket.lose(key, root.version_id)

    server.backed_up.backups.look()

    assert server.reason() is Reason.RECORD_CORRUPT


def test_it_is_told_that_somebody_else_writes_among_the_records(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    server = site.server()
    server.schedule.tick()
    assert server.schedule.planted_count() == 0
    bucket = server.backed_up.bucket
    for number, extension in ((1, 1), (1, 2), (9, 0), (9, 1)):
        key = layout.backup_key(number, extension)
        bucket.attack_overwrite(key, b"planted")

    for _ in range(3):
        server.schedule.tick()

    assert server.schedule.planted_count() == 4
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "planted" in line] == [
        '{"event": "backup_planted", "count": 4}'
    ]
    assert server.reason() is None
