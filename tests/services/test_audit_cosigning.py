# SPDX-License-Identifier: Apache-2.0
"""Witnesses cosign a log that goes on; one that was rewound or split is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.audit_batch import AuditBatch
from strongroom_server.core.audit_export import check_export, check_proof
from strongroom_server.core.signed_note import open_note, read_unverified
from strongroom_server.services.auditing import cosigning, growth
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_worlds import AuditWorld
from tests.support.clock import ManualClock
from tests.support.waiting import wait_until
from tests.support.witnesses import DirectWitness


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path)


@pytest.fixture
def witness(audits: AuditWorld) -> DirectWitness:
    return witnessed(audits)


def witnessed(audits: AuditWorld, name: str = "witness.test/w1") -> DirectWitness:
    """Give the servers of a world a witness more."""
    origin = audits.log().origin
    made = DirectWitness({origin: audits.signer.keys(origin)}, name)
    audits.witnesses = [*audits.witnesses, made]
    return made


def size_at(witness: DirectWitness) -> int:
    """Return how many entries a witness has cosigned."""
    [origin] = witness.logs
    note = witness.state.newest(origin)
    return read_unverified(note).size if note else 0


def forget(audits: AuditWorld, *, after: int = 0, keep_notes: bool = False) -> None:
    """Remove batches and what is signed, from a number on: rewind the log."""
    bucket = audits.world.bucket
    prefixes = [layout.audit_batches_prefix("main")]
    if not keep_notes:
        prefixes += [
            layout.audit_checkpoints_prefix("main"),
            layout.audit_cosigned_prefix("main"),
        ]
    for item, _ in list(bucket.objects()):
        if item.key.startswith(tuple(prefixes)):
            number = layout.upload_key_number(item.key)
            is_note = not item.key.startswith(prefixes[0])
            if number >= after or (is_note and number > after):
                bucket.delete_version(item.key, item.version_id)


def refused(call: Callable[[], object], match: str) -> None:
    with pytest.raises(IntegrityError, match=match) as error:
        call()
    assert error.value.reason is Reason.AUDIT_CORRUPT


# Good logs ------------------------------------------------------------------------


def test_every_checkpoint_is_cosigned_and_kept(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    other = witnessed(audits, "witness.test/w2")
    with audits.server("a") as server:
        for number in range(3):
            server.record(str(number))
            server.sign()
        server.trail.check_witnessed()

    kept = list(audits.log().cosigned(witness.name))
    assert [size for size, _ in kept] == [1, 2, 3]
    assert len(list(audits.log().cosigned())) == 6
    keys = audits.signer.keys(audits.log().origin)
    assert open_note(kept[-1][1], [*keys, *witness.keys]).size == 3
    assert size_at(other) == 3
    assert [item.old_size for item in witness.asked] == [0, 1, 2]


def test_of_two_servers_each_goes_on_where_the_other_was(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as first, audits.server("b") as second:
        for number in range(4):
            for server in (first, second):
                server.record(str(number))
                server.record(str(number))
                server.sign()
                server.trail.check_witnessed()

    assert size_at(witness) == 16
    assert audits.reader().check(witness_keys=witness.keys).cosigned_count == 16


def test_a_server_that_is_behind_leaves_it_to_the_one_before(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as first, audits.server("b") as second:
        first.record("0")
        second.record("1")
        second.sign()
        first.sign()
        first.trail.check_witnessed()

    assert size_at(witness) == 2


def test_what_is_no_longer_at_hand_is_read_from_the_store(
    audits: AuditWorld, witness: DirectWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "MAX_LEAVES", 2)
    with audits.server("a") as server:
        server.record("0")
        server.sign()
        witness.is_away = True
        for number in range(9):
            server.record(str(number))
            server.sign()
        witness.is_away = False
        server.sign()
        server.cosigner.cosign()
        server.trail.check_witnessed()

    assert size_at(witness) == 10


def test_a_server_that_starts_again_goes_on_with_its_witness(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    for number in range(3):
        with audits.server("a") as server:
            server.record(str(number))
            server.sign()
            assert size_at(witness) == number + 1


def test_a_witness_that_shows_nothing_still_cosigns(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    witness.is_mute = True
    for number in range(3):
        with audits.server("a") as server:
            server.record(str(number))
            server.sign()

    assert size_at(witness) == 3
    # Of the second and third server the first try met another old size.
    assert [item.old_size for item in witness.asked] == [0, 0, 1, 0, 2]


def test_the_thread_cosigns_what_is_offered(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as server, server.cosigner.running():
        server.record("0")
        server.checkpointer.sign()
        wait_until(lambda: size_at(witness) == 1)
        server.record("1")
        server.checkpointer.sign()

    assert size_at(witness) == 2


def test_an_export_and_a_proof_carry_what_all_witnesses_signed(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    other = witnessed(audits, "witness.test/w2")
    with audits.server("a") as server:
        server.record("0")
        audit_id = server.record("1")
        server.sign()
        server.record("2")
        server.checkpointer.sign()
    keys = audits.signer.keys(audits.log().origin)
    both = [*witness.keys, *other.keys]

    files = dict(audits.reader().export(cosigned=True))
    report = check_export(files.get, keys, witness_keys=both)
    proof = audits.reader().prove(audit_id, cosigned=True)

    assert (report.entry_count, report.cosigned_count) == (2, 2)
    assert check_proof(proof, [*keys, *both]).audit_id == audit_id
    newest = dict(audits.reader().export())
    refused(
        lambda: check_export(newest.get, keys, witness_keys=both),
        "not signed by witness.test/w1",
    )
    bare = audits.reader().prove(audit_id)
    refused(lambda: check_proof(bare, [*keys, *both]), "not signed by witness.test/w1")


# What must fail -------------------------------------------------------------------


def test_a_log_without_a_named_witness_is_not_verified(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as server:
        server.record("0")
        server.sign()
    stranger = DirectWitness(witness.logs, "witness.test/w9")
    impostor = DirectWitness(witness.logs, witness.name)
    reader = audits.reader()

    assert reader.check(witness_keys=witness.keys).cosigned_count == 1
    refused(lambda: reader.check(witness_keys=stranger.keys), "witness.test/w9")
    refused(lambda: reader.check(witness_keys=impostor.keys), "not signed by")


def test_a_rewound_log_is_refused_by_a_server_that_starts_new(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as server:
        for number in range(6):
            server.record(str(number))
            server.sign()
    forget(audits, after=3)

    with pytest.raises(IntegrityError, match=r"before entry 6, .*w1 .*cut off"):
        audits.server("new").__enter__()
    refused(lambda: audits.reader().check(), "ends before entry 3, .* cut off")


def test_a_log_begun_anew_is_refused_though_all_of_it_is_signed(
    audits: AuditWorld, witness: DirectWitness, tmp_path: Path
) -> None:
    with audits.server("a") as server:
        for number in range(3):
            server.record(str(number))
        server.sign()
    forget(audits)
    forged = AuditWorld(tmp_path / "forged", world=audits.world, signer=audits.signer)
    with forged.server("f") as server:
        for number in range(5):
            server.record(f"forged {number}")
        server.sign()

    # By itself it is a good log: only the witness knows better.
    assert forged.reader().check().entry_count == 5
    with pytest.raises(IntegrityError, match="w1 has cosigned 3 entries: two views"):
        audits.server("new").__enter__()
    refused(lambda: audits.reader().check(), "two views of it differ")
    refused(lambda: forged.reader().check(witness_keys=witness.keys), "w1 has cosigned")


def test_a_split_view_stops_the_server_that_finds_no_witness(
    audits: AuditWorld, witness: DirectWitness, tmp_path: Path
) -> None:
    """Two buckets, each with a log of its own, signed by the same keys."""
    with audits.server("a") as server:
        server.record("common")
        server.sign()
    bucket = _copied(audits)
    with audits.server("b") as ours:
        split = AuditWorld(tmp_path / "split", signer=audits.signer)
        split.world = audits.world
        split.witnesses = [witness]
        theirs_blobs = bucket
        with split.server("c", blobs=theirs_blobs) as theirs:
            theirs.record("theirs")
            theirs.record("theirs")
            theirs.checkpointer.sign()
            theirs.cosigner.cosign()
        assert size_at(witness) == 3
        ours.record("ours")
        ours.record("ours")
        ours.sign()
        refused(ours.trail.check_witnessed, "two views of it differ")
        refused(lambda: ours.record("no more"), "two views of it differ")
        refused(ours.trail.check_ready, "two views of it differ")


def _copied(audits: AuditWorld) -> MemoryBlobStore:
    copy = MemoryBlobStore()
    for item, data in list(audits.world.bucket.objects()):
        copy.put_new(item.key, data)
    return copy


def test_a_new_server_needs_a_witness_that_answers(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as server:
        server.record("0")
        server.sign()
    witness.is_away = True

    with pytest.raises(UnavailableError) as error:
        audits.server("new").__enter__()
    assert error.value.reason is Reason.WITNESS_UNAVAILABLE
    # One that remembers the log itself goes on, and so does one with another witness.
    with audits.server("a") as server:
        server.record("1")
    witnessed(audits, "witness.test/w2")
    with audits.server("new") as server:
        server.record("2")


def test_a_new_server_does_not_believe_the_newest_batch_alone(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as server:
        for number in range(4):
            server.record(str(number))
            if number == 1:
                server.sign()
    log, prefix = audits.log(), layout.audit_batches_prefix("main")
    batches = list(log.batches())
    for item in list(audits.world.blobs.first_versions(prefix))[2:]:
        audits.world.bucket.delete_version(item.key, item.version_id)
    # Batch 2 is another one, and batch 3 says what was there before.
    assert log.put(2, log.seal(_with_lines(batches[2], b"{}")))
    assert log.put(3, log.seal(batches[3]))

    with pytest.raises(IntegrityError, match=r"batch 3|do not lead"):
        audits.server("new").__enter__()


def _with_lines(batch: AuditBatch, line: bytes) -> AuditBatch:
    return AuditBatch(batch.number, batch.writer, batch.start, batch.before, (line,))


def test_a_witness_that_does_not_cosign_is_an_alarm_and_nothing_more(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    audits.clock = ManualClock()
    with audits.server("a") as server:
        witness.is_away = True
        server.record("0")
        server.sign()
        server.trail.check_witnessed()
        audits.clock.advance(cosigning.ALARM_S + 1)
        with pytest.raises(UnavailableError, match=r"w1 does not cosign: .*away"):
            server.trail.check_witnessed()
        server.trail.check_ready()
        witness.is_away = False
        server.cosigner.cosign()
        server.trail.check_witnessed()

    assert size_at(witness) == 1


def test_a_witness_that_does_not_know_the_log_is_an_alarm(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    audits.clock = ManualClock()
    witness.logs.clear()
    with audits.server("a") as server:
        server.record("0")
        server.sign()
        audits.clock.advance(cosigning.ALARM_S + 1)
        with pytest.raises(UnavailableError, match="404 UNKNOWN_LOG"):
            server.trail.check_witnessed()


def test_signatures_of_somebody_else_are_not_kept(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    audits.clock = ManualClock()
    witness.private = DirectWitness(witness.logs, witness.name).private
    with audits.server("a") as server:
        server.record("0")
        server.sign()
        audits.clock.advance(cosigning.ALARM_S + 1)
        with pytest.raises(UnavailableError, match="wrong signatures"):
            server.trail.check_witnessed()

    assert not list(audits.log().cosigned())


def test_the_events_of_calls_go_on_while_a_witness_is_away(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    with audits.server("a") as server:
        witness.is_away = True
        server.append(audit_event())
        server.sign()
        server.append(audit_event())

    assert audits.entries()[-1].index == 1
