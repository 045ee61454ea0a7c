# SPDX-License-Identifier: Apache-2.0
"""What Vault's audit log shows is explained by ours, or named."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    Reason,
)
from strongroom_server.core.audit import Phase
from strongroom_server.core.audit_check import AuditEntry
from strongroom_server.services.auditing import (
    Reconciliation,
    Span,
    check_compared,
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
#: When the logs are compared, if nothing else is said.
NOW = datetime(2026, 11, 2, 1, tzinfo=UTC)


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path, clock=ManualClock())


def call(server: AuditServer, trace_id: str = TRACE, time: str = LATER) -> None:
    """Record a call as the guard does."""
    intent = replace(audit_event(), trace_id=trace_id, time=time)
    server.append(intent)
    server.append(replace(intent, phase=Phase.OUTCOME, outcome="OK"))


def compared(
    audits: AuditWorld,
    lines: Iterable[bytes],
    *,
    span: Span | None = None,
    now: datetime = NOW,
    excepted: Iterable[str] = (),
) -> Reconciliation:
    requests = read_vault_log(lines, mount="transit", name="audit.log")
    return reconcile(
        audits.reader(),
        requests,
        span=span or Span(),
        now=now,
        excepted=list(excepted),
    )


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


@pytest.mark.parametrize(
    ("time", "now", "is_recent"),
    [
        # Our newest entry is of midnight.
        ("2026-11-01T23:59:00Z", NOW, False),
        ("2026-11-01T23:59:01Z", NOW, True),
        ("2026-11-02T00:01:00Z", NOW, True),
        ("2026-11-02T00:01:01Z", NOW, False),
        ("2026-11-02T00:58:59Z", NOW, False),
        ("2026-11-02T00:59:30Z", NOW, True),
        ("2026-11-02T00:59:30Z", NOW + timedelta(days=1), False),
    ],
)
def test_servers_that_are_still_excuse_nobody(
    recorded: AuditWorld, time: str, now: datetime, is_recent: bool
) -> None:
    """Whoever stops all servers, and then uses their token, is named."""
    result = compared(recorded, vault_lines("theirs", time=time), now=now)

    assert (result.recent, len(result.unexplained)) == (is_recent, not is_recent)


def test_a_log_of_ours_without_an_entry_explains_nothing(audits: AuditWorld) -> None:
    result = compared(audits, vault_lines("theirs"))

    assert [item.request_id for item in result.unexplained] == ["theirs"]


def test_files_without_any_use_of_a_key_prove_nothing(recorded: AuditWorld) -> None:
    other = vault_lines("ours-1", path="other/decrypt/sr.store")

    for lines in ([], other):
        result = compared(recorded, lines)
        with pytest.raises(InvalidArgumentError, match="name 2") as error:
            check_compared(result, mount="transit")
        assert "--mount" in error.value.hint
    check_compared(compared(recorded, vault_lines("ours-1")), mount="transit")
    nothing_asked = compared(recorded, [], span=Span(until=NOW - timedelta(days=9)))
    check_compared(nothing_asked, mount="transit")


@pytest.mark.parametrize("operation", ["update", "read"])
def test_what_a_newer_vault_may_do_with_keys_is_told(
    recorded: AuditWorld, operation: str
) -> None:
    lines = vault_lines("new", path="transit/reveal/sr.x", operation=operation)
    lines += vault_lines("known", path="transit/random/32")
    lines += vault_lines("read", path="transit/cache-config", operation="read")

    result = compared(recorded, lines)

    assert [item.request_id for item in result.changes] == ["new"]
    assert result.uses == 0


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


def test_what_servers_could_not_record_is_told(
    audits: AuditWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "MAX_WAITING", 3)
    with audits.server("a") as server:
        for number in range(5):
            server.requests.note(f"id-{number}", trace_id=TRACE)
        call(server)
        server.sign()
        server.shipper.wait_for(2)

    assert compared(audits, []).lost == 2
