# SPDX-License-Identifier: Apache-2.0
"""A log that was rewound, begun anew or split is refused, well signed as it is."""

from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.audit_batch import AuditBatch
from strongroom_server.services.auditing import cosigning, open_trail
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_logs import opened
from tests.support.audit_worlds import AuditWorld
from tests.support.clock import ManualClock
from tests.support.witnesses import DirectWitness, forget, refused, size_at, witnessed


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path)


@pytest.fixture
def witness(audits: AuditWorld) -> DirectWitness:
    return witnessed(audits)


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


def test_a_trail_over_a_rewound_log_signs_nothing(
    audits: AuditWorld, witness: DirectWitness, tmp_path: Path
) -> None:
    with audits.server("a") as server:
        for number in range(4):
            server.record(str(number))
        server.sign()
    forget(audits, after=2)

    with (
        opened(tmp_path / "b") as local,
        pytest.raises(IntegrityError, match="cut off"),
        open_trail(
            local, audits.log(), audits.signer, clock=audits.clock, witnesses=[witness]
        ),
    ):
        pass

    assert not list(audits.log().checkpoints())


def test_a_server_that_was_refused_still_knows_nothing(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    """Or it would start the next time, while its witness is away."""
    with audits.server("a") as server:
        for number in range(4):
            server.record(str(number))
        server.sign()
    forget(audits, after=2)
    with pytest.raises(IntegrityError, match="cut off"):
        audits.server("new").__enter__()
    witness.is_away = True

    with pytest.raises(UnavailableError):
        audits.server("new").__enter__()
