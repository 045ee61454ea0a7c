# SPDX-License-Identifier: Apache-2.0
"""What every `Witness`, `WitnessState` and `CosigningKeys` must do."""

import pytest

from strongroom_server.core.merkle import Frontier, growth_proof, leaf_hash
from strongroom_server.core.signed_note import (
    WITNESS_ALGORITHMS,
    Checkpoint,
    add_signatures,
    cosignature_lines,
    format_note,
    open_note,
    parse_note_key,
)
from strongroom_server.core.witness import Submission, WitnessStatus
from strongroom_server.ports import (
    CheckpointSigner,
    CosigningKeys,
    Witness,
    WitnessState,
)

ORIGIN = "strongroom/00000000/main"
NAME = "witness.test/w1"
TIME_S = 1_790_000_000
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]


def checkpoint(size: int, *, other: bool = False) -> Checkpoint:
    leaves = LEAVES[:size] if not other else LEAVES[1 : size + 1]
    return Checkpoint(ORIGIN, size, Frontier().extended(leaves).root)


def submission(
    signer: CheckpointSigner, old_size: int, size: int, *, other: bool = False
) -> Submission:
    note = signer.sign(checkpoint(size, other=other), time_s=TIME_S)
    before = Frontier().extended(LEAVES[:old_size])
    proof = growth_proof(before, LEAVES[old_size:size]) if old_size < size else []
    return Submission(old_size, tuple(proof), note)


class CosigningKeysSuite:
    """Subclasses give the fixture `keys`, of a witness called `NAME`."""

    def test_what_it_signs_opens_with_its_keys(self, keys: CosigningKeys) -> None:
        signed = checkpoint(17)

        lines = keys.cosign(signed, time_s=TIME_S)

        assert open_note(format_note(signed, [lines]), keys.keys) == signed
        assert [key.algorithm for key in keys.keys] == list(WITNESS_ALGORITHMS)
        assert {key.name for key in keys.keys} == {NAME}
        assert [parse_note_key(key.text) for key in keys.keys] == list(keys.keys)


class WitnessStateSuite:
    """Subclasses give the fixtures `state` and `keys`, with which it signs."""

    def note(self, keys: CosigningKeys, size: int, origin: str = ORIGIN) -> bytes:
        signed = Checkpoint(origin, size, bytes(32))
        return format_note(signed, [keys.cosign(signed, time_s=TIME_S)])

    def test_nothing_is_known_of_a_log_that_was_never_cosigned(
        self, state: WitnessState
    ) -> None:
        assert state.newest(ORIGIN) is None

    def test_the_newest_note_of_each_log_is_kept(
        self, state: WitnessState, keys: CosigningKeys
    ) -> None:
        other = "another/log"
        ours = [self.note(keys, size) for size in (1, 2)]
        theirs = [self.note(keys, size, other) for size in (1, 2)]
        for note, another in zip(ours, theirs, strict=True):
            state.keep(ORIGIN, note)
            state.keep(other, another)

        assert state.newest(ORIGIN) == ours[-1]
        assert state.newest(other) == theirs[-1]


class WitnessSuite:
    """Subclasses give `witness`, and `signer`: the log's, which the witness knows."""

    def test_a_log_that_goes_on_is_cosigned(
        self, witness: Witness, signer: CheckpointSigner
    ) -> None:
        assert witness.newest(ORIGIN) is None
        for old_size, size in ((0, 3), (3, 3), (3, 11), (11, 40)):
            sent = submission(signer, old_size, size)
            answer = witness.add_checkpoint(sent)

            assert answer.status is WitnessStatus.COSIGNED
            own = cosignature_lines(checkpoint(size), answer.lines, witness.keys)
            newest = witness.newest(ORIGIN)
            assert newest is not None
            keys = [*signer.keys(ORIGIN), *witness.keys]
            assert open_note(newest, keys) == checkpoint(size)
            assert open_note(add_signatures(sent.note, own), keys) == checkpoint(size)

    def test_another_old_size_is_a_conflict_and_told(
        self, witness: Witness, signer: CheckpointSigner
    ) -> None:
        witness.add_checkpoint(submission(signer, 0, 8))
        for old_size, size in ((0, 9), (5, 9), (9, 12)):
            answer = witness.add_checkpoint(submission(signer, old_size, size))
            assert (answer.status, answer.size) == (WitnessStatus.CONFLICT, 8)

    def test_another_root_of_the_same_size_is_a_conflict(
        self, witness: Witness, signer: CheckpointSigner
    ) -> None:
        witness.add_checkpoint(submission(signer, 0, 8))
        split = submission(signer, 8, 8, other=True)

        answer = witness.add_checkpoint(split)

        assert (answer.status, answer.size) == (WitnessStatus.CONFLICT, 8)

    def test_a_log_that_does_not_go_on_is_inconsistent(
        self, witness: Witness, signer: CheckpointSigner
    ) -> None:
        witness.add_checkpoint(submission(signer, 0, 8))
        split = submission(signer, 8, 12, other=True)

        assert witness.add_checkpoint(split).status is WitnessStatus.INCONSISTENT
        newest = witness.newest(ORIGIN)
        assert newest is not None
        assert newest.startswith(checkpoint(8).body)

    @pytest.mark.parametrize("spoilt", [b"", b"no note", b"a\n1\n" + b"A" * 44 + b"\n"])
    def test_what_is_no_checkpoint_is_malformed(
        self, witness: Witness, spoilt: bytes
    ) -> None:
        answer = witness.add_checkpoint(Submission(0, (), spoilt))

        assert answer.status is WitnessStatus.MALFORMED

    def test_an_old_size_beyond_the_checkpoint_is_malformed(
        self, witness: Witness, signer: CheckpointSigner
    ) -> None:
        note = submission(signer, 0, 5).note

        answer = witness.add_checkpoint(Submission(6, (), note))

        assert answer.status is WitnessStatus.MALFORMED

    def test_a_log_that_it_does_not_know_is_not_cosigned(
        self, witness: Witness, signer: CheckpointSigner
    ) -> None:
        stranger = Checkpoint("strongroom/11/main", 3, bytes(32))
        note = signer.sign(stranger, time_s=TIME_S)

        answer = witness.add_checkpoint(Submission(0, (), note))

        assert answer.status is WitnessStatus.UNKNOWN_LOG
        assert witness.newest(stranger.origin) is None

    def test_what_the_log_did_not_sign_is_not_cosigned(
        self, witness: Witness, signer: CheckpointSigner
    ) -> None:
        good = submission(signer, 0, 5)
        for note in (
            good.note.replace(b"\n5\n", b"\n6\n"),
            checkpoint(5).body + b"\n" + good.note.split(b"\n\n")[1].split(b"\n")[0]
            + b"\n",
            checkpoint(5).body + "\n\N{EM DASH} any AAAAAAAA\n".encode(),
        ):  # fmt: skip
            answer = witness.add_checkpoint(Submission(0, (), note))
            assert answer.status is WitnessStatus.NOT_SIGNED
        assert witness.newest(ORIGIN) is None
