# SPDX-License-Identifier: Apache-2.0
"""Drills over real mTLS: who may, what is answered, what is recorded."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import pytest

from strongroom.v1 import drill_service_pb2 as pb
from strongroom.v1 import drill_service_pb2_grpc as pb_grpc
from strongroom_server.core.drill_report import verify_report
from strongroom_server.repository.leases import Leases
from strongroom_server.rpc.drill_servicer import DrillServicer
from strongroom_server.services.drills import DrillWatch
from tests.rpc.authority import DEVELOPER
from tests.rpc.engine import serving_world
from tests.rpc.running import Running, read_failure
from tests.rpc.serving import Served
from tests.services.test_drill_watch import Told
from tests.support.access import make_authorizer
from tests.support.drills import DrillWorld
from tests.support.world import World

PULSE_S = 0.02
NOT_ALLOWED = ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")


@dataclass
class Drilled:
    """A server with backups, and the service as somebody who may do everything."""

    store: DrillWorld
    server: Running
    watch: DrillWatch
    stub: pb_grpc.DrillServiceStub

    def run(self, backup: int = 0) -> pb.Drill:
        """Run a drill, and return what it answers with last."""
        request = pb.RunDrillRequest(backup=backup)
        *_, last = self.stub.RunDrill(request, timeout=30)
        assert last.WhichOneof("part") == "drill"
        return last.drill


@pytest.fixture
def drilled() -> Iterator[Drilled]:
    made: list[tuple[DrillWorld, DrillWatch]] = []

    def drills(world: World) -> DrillServicer:
        store = DrillWorld(world, world.clock)
        leases = Leases(world.blobs, clock=world.clock, entropy=world.entropy)
        watch = DrillWatch(store.drills, leases, Told().audited, clock=world.clock)
        made.append((store, watch))
        return DrillServicer(store.drills, watch, pulse_s=PULSE_S)

    with serving_world(drills=drills) as (world, server), server.channel() as channel:
        world.push({"a": b"content" * 1000})
        [(store, watch)] = made
        yield Drilled(store, server, watch, pb_grpc.DrillServiceStub(channel))


def failure_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    failure = read_failure(caught.value)
    return failure.code, failure.reason


def test_a_drill_is_answered_with_progress_and_its_report(drilled: Drilled) -> None:
    drilled.store.back_up()

    parts = list(drilled.stub.RunDrill(pb.RunDrillRequest(), timeout=30))

    stages = [part.progress.stage for part in parts[:-1]]
    assert stages[0] == "open"
    drill = parts[-1].drill
    assert (drill.number, drill.passed, drill.backup) == (1, True, 1)
    assert drill.canary == pb.CANARY_STATE_GOOD
    assert [item.name for item in drill.versions] == ["demo/minilm@1"]
    report = verify_report(drill.report, drilled.store.world.signer.public_keys())
    assert (report.number, report.requester) == (1, DEVELOPER)
    assert report.audit_id
    assert drilled.watch.age_s() >= 0


def test_while_the_bucket_is_silent_the_server_says_that_it_goes_on(
    drilled: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled.store.back_up()
    bucket, is_heard = drilled.store.bucket, threading.Event()
    get = bucket.get

    def silent(key: str, *, version_id: str, max_bytes: int) -> bytes:
        assert is_heard.wait(20)
        return get(key, version_id=version_id, max_bytes=max_bytes)

    monkeypatch.setattr(bucket, "get", silent)
    parts = drilled.stub.RunDrill(pb.RunDrillRequest(), timeout=30)

    # Without signs of life, nothing comes until the bucket answers, and so for ever.
    heard = [next(parts).progress.stage for _ in range(5)]
    is_heard.set()
    *_, last = parts

    assert heard == ["open"] * 5
    assert last.drill.passed


def test_a_failed_drill_is_no_failed_call_and_alarms(drilled: Drilled) -> None:
    drilled.store.back_up()
    keys = drilled.store.rot_all("packs/")

    drill = drilled.run()

    assert not drill.passed
    assert {item.object for item in drill.findings} <= keys
    assert drill.finding_count == len(drill.findings)
    with pytest.raises(OSError, match="drill 1 of backup 1 failed"):
        drilled.watch.check()


def test_drills_are_listed_and_fetched(drilled: Drilled) -> None:
    drilled.store.back_up()
    for _ in range(3):
        drilled.run()

    first = drilled.stub.ListDrills(pb.ListDrillsRequest(page_size=2), timeout=20)
    rest = drilled.stub.ListDrills(
        pb.ListDrillsRequest(page_size=2, page_token=first.next_page_token), timeout=20
    )
    whole = drilled.stub.GetDrill(pb.GetDrillRequest(drill=2), timeout=20)

    assert [item.number for item in first.drills] == [3, 2]
    assert [item.number for item in rest.drills] == [1]
    assert rest.next_page_token == ""
    assert not any(item.report or item.versions for item in first.drills)
    assert (whole.number, len(whole.versions)) == (2, 1)
    assert whole.report


def test_what_is_not_there_is_not_found(drilled: Drilled) -> None:
    get = drilled.stub.GetDrill
    assert failure_of(drilled.run) == ("NOT_FOUND", "BACKUP_NOT_FOUND")
    assert failure_of(lambda: drilled.run(9)) == ("NOT_FOUND", "BACKUP_NOT_FOUND")
    assert failure_of(lambda: get(pb.GetDrillRequest(drill=9), timeout=20)) == (
        "NOT_FOUND",
        "DRILL_NOT_FOUND",
    )


def test_malformed_requests_are_refused(drilled: Drilled) -> None:
    listing = drilled.stub.ListDrills
    refused = ("INVALID_ARGUMENT", "ARGUMENT_INVALID")

    assert failure_of(lambda: drilled.run(-1)) == refused
    for request in (
        pb.ListDrillsRequest(page_size=-1),
        pb.ListDrillsRequest(page_token="x"),
        pb.ListDrillsRequest(page_token="1" * 40),
    ):
        assert failure_of(partial(listing, request, timeout=20)) == refused


def test_only_who_may_drills_and_reads(
    drilled: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    drilled.store.back_up()
    drilled.run()
    reader = make_authorizer(
        {"reader": ["drill.read"]},
        {"principal": DEVELOPER, "roles": ["reader"], "resources": ["server"]},
    )
    monkeypatch.setattr(drilled.server.guard._decisions, "_authorizer", reader)

    assert failure_of(drilled.run) == NOT_ALLOWED
    assert drilled.stub.GetDrill(pb.GetDrillRequest(drill=1), timeout=20).number == 1


def test_the_audit_log_has_a_drill_before_and_after(drilled: Drilled) -> None:
    saved = drilled.store.back_up()
    drilled.run()

    events = [
        event for event in drilled.server.audit.events() if event.action == "drill.run"
    ]

    assert [event.phase.value for event in events] == ["intent", "outcome"]
    detail = dict(events[1].detail)
    assert detail["backup_root"] == saved.root_digest
    assert (detail["drill"], detail["findings"]) == ("1", "0")


def test_a_server_without_backups_says_so(served: Served) -> None:
    with served.server.channel() as channel:
        stub = pb_grpc.DrillServiceStub(channel)
        expected = ("FAILED_PRECONDITION", "SETTING_INVALID")

        assert failure_of(lambda: list(stub.RunDrill(pb.RunDrillRequest()))) == expected
        assert failure_of(lambda: stub.ListDrills(pb.ListDrillsRequest())) == expected
        assert failure_of(lambda: stub.GetDrill(pb.GetDrillRequest())) == expected
