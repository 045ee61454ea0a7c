# SPDX-License-Identifier: Apache-2.0
"""What servers record of their requests to Vault, so that its log can be explained."""

from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.core.audit import Phase
from strongroom_server.core.key_requests import ACTION, DETAIL, LOST, MAX_IDS, ids_of
from strongroom_server.services.auditing import KeyRequests, key_use
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_worlds import AuditServer, AuditWorld
from tests.support.clock import ManualClock

TRACE = "a" * 32
OTHER = "b" * 32
LATER = "2026-11-02T00:00:00.000000Z"


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path, clock=ManualClock())


def call(server: AuditServer, trace_id: str = TRACE, time: str = LATER) -> None:
    """Record a call as the guard does."""
    intent = replace(audit_event(), trace_id=trace_id, time=time)
    server.append(intent)
    server.append(replace(intent, phase=Phase.OUTCOME, outcome="OK"))


def named(audits: AuditWorld) -> list[tuple[str, str, list[str]]]:
    """Return action, phase and ids of the entries that name some."""
    return [
        (entry.body["action"], entry.body["phase"], list(ids_of(entry.body["detail"])))
        for entry in audits.entries()
        if DETAIL in entry.body["detail"]
    ]


def test_the_outcome_of_a_call_names_what_was_asked_for_it(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        server.requests.note("id-1", trace_id=TRACE)
        server.requests.note("id-2", trace_id=OTHER)
        server.requests.note("id-3", trace_id=TRACE)
        call(server)
        call(server)
        call(server, OTHER)

    action = audit_event().action
    assert named(audits) == [
        (action, "outcome", ["id-1", "id-3"]), (action, "outcome", ["id-2"]),
    ]  # fmt: skip


def test_what_belongs_to_no_call_gets_an_entry_before_the_next_checkpoint(
    audits: AuditWorld,
) -> None:
    with audits.server("a") as server:
        server.requests.note("id-1", trace_id="")
        call(server)
        server.sign()
        server.sign()

    assert named(audits) == [(ACTION, "call", ["id-1"])]


def test_signing_does_not_go_on_for_ever(audits: AuditWorld) -> None:
    """Each checkpoint takes two requests; without calls they are not recorded."""
    with audits.server("a") as server:
        call(server)
        for number in range(6):
            server.requests.note(f"sign-{number}", trace_id="")
            server.sign()
            server.shipper.wait_for(0)
        count = server.trail._local.next_number

    assert count == 3
    assert named(audits) == [(ACTION, "call", ["sign-0"])]


def test_a_server_that_ends_records_the_rest_on_its_disk(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        server.requests.note("id-1", trace_id=TRACE)
        server.requests.note("id-2", trace_id="")
        with server.checkpointer.running():
            pass
    with audits.server("a"):
        pass

    assert named(audits) == [
        (ACTION, "call", ["id-1"]), (ACTION, "call", ["id-2"]),
    ]  # fmt: skip


def test_of_a_call_that_takes_long_the_first_requests_are_recorded_before_its_end(
    audits: AuditWorld,
) -> None:
    clock = audits.clock
    assert isinstance(clock, ManualClock)
    with audits.server("a") as server:
        server.requests.note("id-1", trace_id=TRACE)
        call(server, OTHER)
        server.sign()
        clock.advance(key_use.STALE_S)
        call(server, OTHER)
        server.sign()
        server.requests.note("id-2", trace_id=TRACE)
        call(server)

    kinds = [(action, ids) for action, _, ids in named(audits)]
    assert kinds == [(ACTION, ["id-1"]), (audit_event().action, ["id-2"])]
    [stale] = [entry for entry in audits.entries() if entry.body["action"] == ACTION]
    assert stale.body["trace_id"] == TRACE


def test_many_requests_are_told_in_several_entries(audits: AuditWorld) -> None:
    ids = [f"{number:036d}" for number in range(2 * MAX_IDS + 5)]
    clock = audits.clock
    assert isinstance(clock, ManualClock)
    with audits.server("a") as server:
        for request_id in ids:
            server.requests.note(request_id, trace_id=TRACE)
        call(server)
        clock.advance(key_use.STALE_S)
        server.sign()
        server.shipper.wait_for(server.trail._local.next_number - 1)

    found = [request_id for *_, part in named(audits) for request_id in part]
    assert found == ids
    assert len(named(audits)) == 3


def test_requests_that_cannot_be_kept_are_counted(
    audits: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "MAX_WAITING", 3)
    with audits.server("a") as server:
        for number in range(5):
            server.requests.note(f"id-{number}", trace_id=TRACE)
        call(server)
        server.sign()
        server.shipper.wait_for(2)

    lost = [
        entry.body["detail"][LOST]
        for entry in audits.entries()
        if LOST in entry.body["detail"]
    ]
    assert lost == ["2"]
    assert named(audits)[0][2] == ["id-2", "id-3", "id-4"]


def test_what_a_disk_refuses_stays_to_be_recorded() -> None:
    class Refusing:
        def append(self, event: object) -> None:
            raise UnavailableError(str(event), reason=Reason.AUDIT_UNAVAILABLE)

    clock = ManualClock()
    requests = KeyRequests(clock=clock)
    requests.note("id-1", trace_id="")
    use = key_use.KeyUse(Refusing(), [requests], clock=clock)  # type: ignore[arg-type]
    use.completed(audit_event())

    with pytest.raises(UnavailableError):
        use.flush()

    assert requests.take_others(0)[0] == {"0" * 32: ["id-1"]}
