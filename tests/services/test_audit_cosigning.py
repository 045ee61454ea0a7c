# SPDX-License-Identifier: Apache-2.0
"""Witnesses cosign a log that goes on; one that was rewound or split is refused."""

from itertools import pairwise
from pathlib import Path

import pytest

from strongroom_server.core.audit_export import check_export, check_proof
from strongroom_server.core.signed_note import open_note
from strongroom_server.core.witness import WitnessAnswer, WitnessStatus
from strongroom_server.services.auditing import growth, open_trail
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_logs import opened
from tests.support.audit_worlds import AuditWorld
from tests.support.clock import ManualClock
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.waiting import wait_until
from tests.support.witnesses import DirectWitness, refused, size_at, witnessed


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path)


@pytest.fixture
def witness(audits: AuditWorld) -> DirectWitness:
    return witnessed(audits)


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


def test_for_a_witness_that_is_away_nothing_is_read_from_the_store(
    audits: AuditWorld, witness: DirectWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "MAX_LEAVES", 2)
    blobs = FaultyBlobStore(audits.world.blobs)
    with audits.server("a", blobs=blobs) as server:
        server.record("0")
        server.sign()
        witness.is_away = True
        for number in range(9):
            server.record(str(number))
        server.checkpointer.sign()
        before = len(blobs.calls)
        for _ in range(3):
            server.cosigner.cosign()

        assert blobs.calls[before:] == []


def test_a_witness_that_fails_for_long_is_asked_less_and_less(tmp_path: Path) -> None:
    clock = ManualClock()
    audits = AuditWorld(tmp_path, clock=clock)
    witness = witnessed(audits)
    tries: list[float] = []

    def refuse(_: object) -> WitnessAnswer:
        tries.append(clock.monotonic())
        return WitnessAnswer(WitnessStatus.NOT_SIGNED)

    with audits.server("a") as server:
        server.record("0")
        server.sign()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(witness, "add_checkpoint", refuse)
            server.record("1")
            server.checkpointer.sign()
            for _ in range(24 * 3600 // 5):
                server.cosigner.cosign()
                clock.advance(5)
        pauses = [later - one for one, later in pairwise(tries)]
        # For a minute with each try that there is, in the end every five minutes.
        assert pauses[:12] == [5] * 12
        assert pauses[-1] == 300
        assert len(tries) < 400

        clock.advance(300)
        server.sign()
        server.trail.check_witnessed()
    assert size_at(witness) == 2


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


def test_a_cosignature_that_could_not_be_kept_is_kept_later(
    audits: AuditWorld, witness: DirectWitness
) -> None:
    blobs = FaultyBlobStore(audits.world.blobs)
    with audits.server("a", blobs=blobs) as server:
        server.record("0")
        server.checkpointer.sign()
        blobs.queue("put_new", Fault.UNAVAILABLE)
        server.cosigner.cosign()
        assert not list(audits.log().cosigned())
        server.cosigner.cosign()
        server.trail.check_witnessed()

    assert [size for size, _ in audits.log().cosigned()] == [1]
    assert audits.reader().check(witness_keys=witness.keys).cosigned_count == 1


def test_a_trail_is_witnessed_to_its_end(
    audits: AuditWorld, witness: DirectWitness, tmp_path: Path
) -> None:
    for turn in range(2):
        with (
            opened(tmp_path / "a") as local,
            open_trail(
                local,
                audits.log(),
                audits.signer,
                clock=audits.clock,
                witnesses=[witness],
            ) as trail,
        ):
            trail.append(audit_event())
        assert size_at(witness) == turn + 1


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
