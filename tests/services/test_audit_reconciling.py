# SPDX-License-Identifier: Apache-2.0
"""What Vault's audit log shows is explained by ours, or named."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.core.audit import Phase
from strongroom_server.core.audit_check import AuditEntry
from strongroom_server.core.key_requests import ACTION, DETAIL, LOST, MAX_IDS, ids_of
from strongroom_server.services.auditing import (
    KeyRequests,
    Reconciliation,
    Span,
    check_explained,
    key_use,
    read_vault_log,
    reconcile,
)
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_worlds import AuditServer, AuditWorld
from tests.support.clock import ManualClock
from tests.support.vault_audit import vault_line, vault_lines

TRACE = "a" * 32
OTHER = "b" * 32
#: Long after what `vault_line` says.
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


def compared(
    audits: AuditWorld,
    lines: Iterable[bytes],
    *,
    span: Span | None = None,
    excepted: Iterable[str] = (),
) -> Reconciliation:
    requests = read_vault_log(lines, mount="transit", name="audit.log")
    return reconcile(
        audits.reader(), requests, span=span or Span(), excepted=list(excepted)
    )


# What servers record --------------------------------------------------------------


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
    assert compared(audits, []).lost == 2


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


# What is compared -----------------------------------------------------------------


@pytest.fixture
def recorded(audits: AuditWorld) -> AuditWorld:
    with audits.server("a") as server:
        server.requests.note("ours-1", trace_id=TRACE)
        server.requests.note("ours-2", trace_id=TRACE)
        call(server)
    return audits


def test_what_our_entries_name_is_explained(recorded: AuditWorld) -> None:
    lines = vault_lines("ours-1", "ours-2") + vault_lines("ours-1")

    result = compared(recorded, lines)

    assert (result.uses, result.explained, result.unexplained) == (2, 2, [])
    check_explained(result)


@pytest.mark.parametrize(
    "path",
    [
        "transit/decrypt/sr.store",
        "transit/datakey/plaintext/sr.x",
        "transit/datakey/wrapped/sr.x",
        "transit/rewrap/sr.x",
        "transit/sign/sr.log",
        "transit/encrypt/sr.x",
        "transit/hmac/sr.x",
    ],
)
def test_a_use_that_no_entry_names_is_told(recorded: AuditWorld, path: str) -> None:
    lines = vault_lines("ours-1") + vault_lines("theirs", path=path, role="stolen")

    result = compared(recorded, lines)

    [found] = result.unexplained
    assert (found.request_id, found.principal, found.address) == (
        "theirs", "stolen", "10.0.0.7",
    )  # fmt: skip
    with pytest.raises(IntegrityError, match=path.removeprefix("transit/")) as error:
        check_explained(result)
    assert error.value.reason is Reason.AUDIT_UNEXPLAINED


@pytest.mark.parametrize(
    "path", ["transit/export/encryption-key/x", "transit/backup/x"]
)
def test_a_key_that_is_read_out_is_told_though_it_is_a_read(
    recorded: AuditWorld, path: str
) -> None:
    result = compared(recorded, vault_lines("theirs", path=path, operation="read"))

    assert [item.request_id for item in result.unexplained] == ["theirs"]


def test_a_request_without_an_answer_is_told_as_well(recorded: AuditWorld) -> None:
    result = compared(recorded, [vault_line("theirs", kind="request")])

    assert [item.request_id for item in result.unexplained] == ["theirs"]


def test_a_name_that_somebody_made_up_explains_nothing(recorded: AuditWorld) -> None:
    """A thief copies trace and address; the id is Vault's own."""
    result = compared(recorded, vault_lines("theirs"))

    assert len(result.unexplained) == 1


def test_what_gave_nothing_away_is_counted_only(recorded: AuditWorld) -> None:
    lines = [
        *vault_lines("refused", refused=True),
        *vault_lines("auditor", role="auditor"),
        *vault_lines("young", time="2026-11-01T23:59:30Z"),
        *vault_lines("read", path="transit/keys/sr.log", operation="read"),
        *vault_lines("elsewhere", path="other/decrypt/sr.store"),
        *vault_lines("near", path="transit-two/decrypt/sr.store"),
    ]

    result = compared(recorded, lines, excepted=["auditor"])

    assert (result.refused, result.excepted, result.recent) == (1, 1, 1)
    assert (result.uses, result.explained, result.unexplained) == (3, 0, [])


def test_changes_of_keys_are_told_apart(recorded: AuditWorld) -> None:
    lines = [
        *vault_lines("rotated", path="transit/keys/sr.x/rotate"),
        *vault_lines("gone", path="transit/keys/sr.x", operation="delete"),
    ]

    result = compared(recorded, lines)

    assert [item.request_id for item in result.changes] == ["rotated", "gone"]
    check_explained(result)


def test_only_the_time_that_is_asked_for_is_compared(recorded: AuditWorld) -> None:
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    lines = vault_lines("theirs")

    for span in (Span(since=noon + timedelta(seconds=1)), Span(until=noon)):
        assert compared(recorded, lines, span=span).uses == 0
    assert compared(recorded, lines, span=Span(since=noon)).uses == 1


def test_what_vaults_log_lacks_is_told(recorded: AuditWorld) -> None:
    lines = [
        *vault_lines("ours-1"),
        *vault_lines("later", time="2026-11-03T00:00:00Z"),
    ]

    result = compared(recorded, lines)

    assert result.missing == ["ours-2"]
    assert compared(recorded, vault_lines("ours-1")).missing == []


def test_a_damaged_file_of_vaults_is_named(recorded: AuditWorld) -> None:
    good = vault_line("ours-1")
    for bad in (b"no json\n", b"[]\n", b"{}\n", good.replace(b"2026-", b"x"), b"\n"):
        with pytest.raises(IntegrityError, match=r"line 2 of audit\.log"):
            compared(recorded, [good, bad, good])
    # One that Vault is writing is left out; one that goes on is too long.
    assert compared(recorded, [good, good[:-5]]).uses == 1
    with pytest.raises(IntegrityError, match=r"line 1 of audit\.log"):
        compared(recorded, [good[:-5], good])


def test_an_altered_log_of_ours_explains_nothing(recorded: AuditWorld) -> None:
    entries: list[AuditEntry] = recorded.entries()
    assert entries
    bucket = recorded.world.bucket
    for item, _ in list(bucket.objects()):
        if "/batches/" in item.key:
            bucket.corrupt(item.key, item.version_id, b"x" * 400)

    with pytest.raises(IntegrityError, match="audit entry 0"):
        compared(recorded, vault_lines("ours-1"))
