# SPDX-License-Identifier: Apache-2.0
"""The audit log is searched, proved, exported and checked; tampering has a name."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import IntegrityError, NotFoundError, Reason
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import layout
from strongroom_server.core.audit import Phase
from strongroom_server.core.audit_batch import AuditBatch
from strongroom_server.core.audit_export import LogReport, check_export, check_proof
from strongroom_server.core.merkle import Frontier
from strongroom_server.core.tlog_tiles import (
    decode_bundle,
    encode_bundle,
)
from strongroom_server.services.auditing import AuditQuery
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_worlds import AuditServer, AuditWorld

ALICE = "spiffe://test/ns/team/sa/alice/job/1"
BOB = "spiffe://test/ns/team/sa/bob/job/1"
LATER = "2026-11-02T00:00:00.000000Z"
NIGHT = datetime(2026, 11, 2, tzinfo=UTC)
ARTIFACT = ArtifactName("demo", "minilm")
Files = dict[str, bytes]


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path)


@pytest.fixture
def filled(audits: AuditWorld) -> AuditWorld:
    """A log of 600 entries of two servers, signed at 300 and at the end."""
    with audits.server("a") as first, audits.server("b") as second:
        for turn in range(300):
            first.record(str(turn), shared=False)
        first.shipper.wait_for(299)
        first.checkpointer.sign()
        for turn in range(150):
            first.record(f"a{turn}", shared=False)
            second.record(f"b{turn}", shared=False)
        first.shipper.wait_for(449)
        second.shipper.wait_for(149)
        first.record("last")
        first.checkpointer.sign()
    return audits


def read_call(
    audits: AuditWorld,
    server: AuditServer,
    principal: str,
    selector: str,
    *,
    number: str = "",
    call_id: str,
    method: str = "/strongroom.v1.TransferService/ReadVersion",
) -> str:
    """Record a read as the guard does: before it, and if it ended, after it."""
    keyring = audits.world.repository.keyring
    intent = replace(
        audit_event(),
        principal=principal,
        method=method,
        call_id=call_id * 32,
        resource_id=keyring.resource_id(ARTIFACT.resource),
        sealed_resource=keyring.seal_name(f"{ARTIFACT.resource}/versions/{selector}"),
    )
    audit_id = server.append(intent)
    if number:
        detail = (("version", number), ("bytes", "17"))
        outcome = replace(intent, phase=Phase.OUTCOME, outcome="OK", detail=detail)
        server.append(outcome)
    return audit_id


def exported(audits: AuditWorld) -> Files:
    return dict(audits.reader().export())


def checked(audits: AuditWorld, files: Files, *others: bytes) -> LogReport:
    keys = audits.signer.keys(audits.log().origin)
    return check_export(files.get, keys, others=others)


def refuse(call: Callable[[], object], match: str) -> IntegrityError:
    with pytest.raises(IntegrityError, match=match) as error:
        call()
    assert error.value.reason is Reason.AUDIT_CORRUPT
    return error.value


def test_a_whole_log_is_checked_with_its_checkpoints(filled: AuditWorld) -> None:
    report = filled.reader().check()

    assert (report.entry_count, report.writer_count) == (601, 2)
    assert (report.checkpoint_count, report.signed_count) == (2, 601)
    assert report.origin == filled.log().origin


def test_an_exported_log_is_checked_with_public_keys_alone(filled: AuditWorld) -> None:
    files = exported(filled)

    report = checked(filled, files)

    assert (report.entry_count, report.signed_count) == (601, 601)
    assert report.root == filled.reader().check().root
    assert sorted(files) == [
        "checkpoint", "tile/0/000", "tile/0/001", "tile/0/002.p/89", "tile/1/000.p/2",
        "tile/entries/000", "tile/entries/001", "tile/entries/002.p/89",
    ]  # fmt: skip


# Tampering with exported files ---------------------------------------------------


def changed(files: Files, path: str, change: Callable[[list[bytes]], object]) -> Files:
    """Return the files with the entries of a bundle changed."""
    entries = list(decode_bundle(files[path], first=0, count=256))
    change(entries)
    return {**files, path: encode_bundle(entries)}


def test_one_bit_anywhere_in_the_files_is_found(filled: AuditWorld) -> None:
    files = exported(filled)

    for path, data in files.items():
        for place in (0, len(data) // 3, len(data) - 2):
            wrong = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
            refuse(partial(checked, filled, {**files, path: wrong}), "audit")
    for path in files:
        rest = {name: data for name, data in files.items() if name != path}
        refuse(partial(checked, filled, rest), "audit")


def test_a_changed_entry_is_named(filled: AuditWorld) -> None:
    def flip(entries: list[bytes]) -> None:
        entries[41] = entries[41].replace(b'"allow"', b'"alloW"')

    files = changed(exported(filled), "tile/entries/001", flip)

    refuse(lambda: checked(filled, files), "audit entry 297 is damaged")


def test_a_removed_entry_is_named(filled: AuditWorld) -> None:
    files = changed(exported(filled), "tile/entries/000", lambda items: items.pop(17))

    refuse(lambda: checked(filled, files), "audit entry 17 is damaged")


def test_entries_that_changed_places_are_named(filled: AuditWorld) -> None:
    def swap(entries: list[bytes]) -> None:
        entries[20], entries[21] = entries[21], entries[20]

    files = changed(exported(filled), "tile/entries/001", swap)

    refuse(lambda: checked(filled, files), "audit entry 276 is damaged")


def test_a_cut_tail_is_shown_by_a_checkpoint_from_elsewhere(filled: AuditWorld) -> None:
    notes = dict(filled.log().checkpoints())
    newest, older = exported(filled), dict(filled.reader().export(300))

    assert checked(filled, older).entry_count == 300
    refuse(lambda: checked(filled, older, notes[601]), "before entry 300, .* cut off")
    assert checked(filled, newest, notes[300]).entry_count == 601


def test_a_split_view_is_shown_by_a_checkpoint_from_elsewhere(
    filled: AuditWorld, tmp_path: Path
) -> None:
    notes = dict(filled.log().checkpoints())
    other = AuditWorld(tmp_path / "other", world=filled.world, signer=filled.signer)
    for item, _ in list(filled.world.bucket.objects()):
        if item.key.startswith(layout.AUDIT):
            filled.world.bucket.delete_version(item.key, item.version_id)
    with other.server("c") as server:
        for turn in range(300):
            server.record(str(turn), shared=False)
        server.shipper.wait_for(299)
        server.record("300")
        server.checkpointer.sign()

    files = exported(other)
    assert checked(other, files).entry_count == 301
    refuse(lambda: checked(other, files, notes[300]), "two views of it differ")
    refuse(lambda: other.reader().check([notes[300]]), "two views of it differ")


def test_a_checkpoint_of_another_log_or_signer_is_refused(
    filled: AuditWorld, tmp_path: Path
) -> None:
    files = exported(filled)
    stranger = AuditWorld(tmp_path / "stranger", world=filled.world)

    refuse(lambda: checked(stranger, files), "not signed by")
    refuse(lambda: stranger.reader().check(), "not signed by")


# Tampering with the store, by somebody who has its keys ---------------------------


def rewritten(
    audits: AuditWorld, change: Callable[[list[AuditBatch]], list[AuditBatch]]
) -> None:
    """Replace the batches in the bucket by others that are sealed as well."""
    log = audits.log()
    batches = change(list(log.batches()))
    for item, _ in list(audits.world.bucket.objects()):
        if item.key.startswith(layout.audit_batches_prefix("main")):
            audits.world.bucket.delete_version(item.key, item.version_id)
    tree = Frontier()
    for number, batch in enumerate(batches):
        new = AuditBatch(number, batch.writer, batch.start, tree, batch.lines)
        tree = new.after
        assert log.put(number, log.seal(new))


def test_a_rewritten_log_names_the_first_bad_entry(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        for turn in range(6):
            server.record(str(turn))
        server.checkpointer.sign()
    batches = list(audits.log().batches())

    def without_third(items: list[AuditBatch]) -> list[AuditBatch]:
        return items[:2] + items[3:]

    rewritten(audits, without_third)
    refuse(lambda: audits.reader().check(), "audit entry 2 is damaged, missing")
    rewritten(audits, lambda _: [*batches[:3], batches[4], batches[3], batches[5]])
    refuse(lambda: audits.reader().check(), "audit entry 3 is damaged, missing")
    rewritten(audits, lambda _: [*batches, batches[5]])
    refuse(lambda: audits.reader().check(), "audit entry 6 is damaged, missing")
    rewritten(audits, lambda _: batches[:4])
    refuse(lambda: audits.reader().check(), "ends before entry 4, .* cut off")
    rewritten(audits, lambda _: batches)
    assert audits.reader().check().entry_count == 6


def test_a_damaged_batch_names_its_first_entry(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        for turn in range(4):
            server.record(str(turn))
    prefix = layout.audit_batches_prefix("main")
    item = list(audits.world.blobs.first_versions(prefix))[2]
    audits.world.bucket.corrupt(item.key, item.version_id, b"x" * 500)

    refuse(lambda: audits.reader().check(), "audit entry 2 is damaged, missing")
    refuse(lambda: list(audits.reader().entries(AuditQuery())), "audit entry 2 ")


# Questions ------------------------------------------------------------------------


def test_entries_are_found_by_what_they_say(audits: AuditWorld) -> None:
    keyring = audits.world.repository.keyring
    with audits.server("a") as server:
        about = keyring.resource_id(ARTIFACT.resource)
        ids = [
            server.append(item)
            for item in (
                replace(audit_event("ref.move"), principal=ALICE, trace_id="a" * 32),
                replace(audit_event(), principal=BOB, decision="deny", time=LATER),
                replace(audit_event(), resource_id=about),
            )
        ]

    def found(**query: Any) -> list[int]:  # noqa: ANN401 - a field of any kind
        entries = audits.reader().entries(AuditQuery(**query))
        return [ids.index(entry.audit_id) for entry in entries]

    assert found() == [0, 1, 2]
    assert found(principal=ALICE) == [0]
    assert found(principal="spiffe://test/ns/*") == [0, 1]
    assert found(action="ref.*") == [0]
    assert found(trace_id="a" * 32) == [0]
    assert found(decision="deny") == [1]
    assert found(since=NIGHT) == [1]
    assert found(since=NIGHT.astimezone(timezone(timedelta(hours=-9)))) == [1]
    assert found(until=NIGHT) == [0, 2]
    assert found(since=NIGHT, until=NIGHT) == []
    assert found(resource=ARTIFACT.resource) == [2]
    assert found(resource="projects/demo") == []


def test_a_call_is_shown_with_both_its_entries_and_its_name(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        audit_id = read_call(audits, server, ALICE, "prod", number="7", call_id="a")
        server.record("another")
    reader = audits.reader()

    intent, outcome = reader.entries(AuditQuery(audit_id=audit_id))

    assert (intent.body["phase"], outcome.body["phase"]) == ("intent", "outcome")
    assert reader.name_of(intent) == "projects/demo/artifacts/minilm/versions/prod"
    with pytest.raises(NotFoundError):
        list(reader.entries(AuditQuery(audit_id="00000000-99")))


def test_who_read_a_version_is_told_by_number_or_by_ref(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        read_call(audits, server, ALICE, "7", number="7", call_id="a")
        read_call(audits, server, BOB, "prod", number="7", call_id="b")
        read_call(audits, server, ALICE, "prod", number="8", call_id="c")
        read_call(audits, server, BOB, "8", call_id="d")
        read_call(audits, server, ALICE, "latest", call_id="e")
        read_call(audits, server, ALICE, "7", call_id="f")

    readers = audits.reader().readers_of(VersionName(ARTIFACT, "7"))

    assert [(item.principal, item.outcome, item.certain) for item in readers] == [
        (ALICE, "OK", True), (BOB, "OK", True), (ALICE, "", False), (ALICE, "", True),
    ]  # fmt: skip
    assert [item.size_bytes for item in readers] == [17, 17, 0, 0]
    assert [item.principal for item in audits.reader().readers_of(
        VersionName(ARTIFACT, "8")) if item.certain] == [ALICE, BOB]  # fmt: skip


def test_an_entry_is_proved_to_who_has_the_public_keys(filled: AuditWorld) -> None:
    entry = filled.entries()[310]
    keys = filled.signer.keys(filled.log().origin)

    proof = filled.reader().prove(entry.audit_id)

    assert check_proof(proof, keys) == entry
    for old, new in (("index 310", "index 311"), ("extra ", "extra A"), ("\n\n", "\n")):
        wrong = proof.replace(old, new, 1)
        refuse(partial(check_proof, wrong, keys), "entry|proof|audit")


def test_what_is_not_signed_yet_is_not_proved(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        first = server.record("0")
        with pytest.raises(NotFoundError):
            list(audits.reader().export())
        server.checkpointer.sign()
        second = server.record("1")

    assert "index 0" in audits.reader().prove(first)
    for audit_id in (second, "ffffffff-0"):
        with pytest.raises(NotFoundError):
            audits.reader().prove(audit_id)


def test_who_only_watched_a_version_did_not_read_it(audits: AuditWorld) -> None:
    watch = "/strongroom.v1.GrantService/WatchGrants"
    with audits.server("a") as server:
        read_call(audits, server, ALICE, "7", number="7", call_id="a", method=watch)

    assert audits.reader().readers_of(VersionName(ARTIFACT, "7")) == []
