# SPDX-License-Identifier: Apache-2.0
"""What a witness is sent is read strictly, and judged as the specification says."""

import base64
import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.errors import IntegrityError
from strongroom_server.core.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    growth_proof,
    leaf_hash,
    verify_consistency,
)
from strongroom_server.core.signed_note import (
    Checkpoint,
    NoteAlgorithm,
    NoteKey,
    cosignature_lines,
    signature_line,
)
from strongroom_server.core.witness import (
    MAX_SUBMISSION_BYTES,
    Submission,
    WitnessStatus,
    checkpoint_path,
    format_submission,
    judge,
    parse_conflict,
    parse_submission,
    read_checkpoint,
)

ORIGIN = "strongroom/00/main"
LEAVES = [leaf_hash(bytes([number])) for number in range(70)]
NOTE = b"strongroom/00/main\n3\n" + base64.b64encode(bytes(32)) + b"\n\n" + (
    "\N{EM DASH} any AAAAAAAA\n".encode()
)  # fmt: skip


def tree(size: int) -> Frontier:
    return Frontier().extended(LEAVES[:size])


def checkpoint(size: int, root: bytes = b"") -> Checkpoint:
    return Checkpoint(ORIGIN, size, root or tree(size).root)


def submission(old_size: int, size: int, note: bytes = NOTE) -> Submission:
    proof = growth_proof(tree(old_size), LEAVES[old_size:size])
    return Submission(old_size, tuple(proof), note)


def test_growth_is_proved_without_the_leaves_before_it() -> None:
    whole = Tree()
    for leaf in LEAVES:
        whole.append(leaf)

    for size in range(1, len(LEAVES) + 1):
        for old_size in range(size):
            proof = growth_proof(tree(old_size), LEAVES[old_size:size])
            assert proof == whole.consistency_proof(old_size, size)
            verify_consistency(
                old_size, whole.root(old_size), size, whole.root(size), proof
            )


def test_the_growth_of_another_tree_proves_nothing() -> None:
    other = Frontier().extended(LEAVES[1:34])
    proof = growth_proof(other, LEAVES[33:])

    with pytest.raises(IntegrityError, match="two views"):
        verify_consistency(33, tree(33).root, 70, tree(70).root, proof)


def test_what_is_sent_is_read_back() -> None:
    sent = submission(5, 60)

    data = format_submission(sent)

    assert data.startswith(b"old 5\n")
    assert parse_submission(data) == sent


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"old 1\n",
        b"old 01\n\n" + NOTE,
        b"old -1\n\n" + NOTE,
        b"old 1 \n\n" + NOTE,
        b"old 99999999999999999999\n\n" + NOTE,
        b"new 1\n\n" + NOTE,
        b"old 1\nAAAA\n\n" + NOTE,
        b"old 1\n" + base64.b64encode(bytes(31)) + b"\n\n" + NOTE,
        b"old 1\n" + b"*" * 44 + b"\n\n" + NOTE,
        b"old 1\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + NOTE,
        b"old 1\r\n\r\n" + NOTE,
        b"old \xff\n\n" + NOTE,
        b"old 0\n\n" + bytes(MAX_SUBMISSION_BYTES),
    ],
)
def test_what_is_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the witness says no more, either
        parse_submission(data)


def test_a_checkpoint_that_is_smaller_than_the_old_one_is_refused() -> None:
    assert read_checkpoint(Submission(3, (), NOTE)).size == 3
    with pytest.raises(ValueError, match="smaller"):
        read_checkpoint(Submission(4, (), NOTE))
    with pytest.raises(ValueError, match="checkpoint"):
        read_checkpoint(Submission(0, (), b"no note"))


def test_a_log_that_grows_is_cosigned() -> None:
    assert judge(submission(0, 9), checkpoint(9), None) is WitnessStatus.COSIGNED
    for old_size in (1, 8, 33, 64):
        answer = judge(submission(old_size, 70), checkpoint(70), checkpoint(old_size))
        assert answer is WitnessStatus.COSIGNED
    same = Submission(70, (), NOTE)
    assert judge(same, checkpoint(70), checkpoint(70)) is WitnessStatus.COSIGNED
    empty = Submission(0, (), NOTE)
    assert judge(empty, checkpoint(0), None) is WitnessStatus.COSIGNED


@pytest.mark.parametrize(
    ("sent", "size", "root", "known", "answer"),
    [
        # An old size that is not the one that was cosigned: rewound, or late.
        (submission(5, 9), 9, b"", checkpoint(8), WitnessStatus.CONFLICT),
        (submission(0, 9), 9, b"", checkpoint(8), WitnessStatus.CONFLICT),
        (submission(8, 9), 9, b"", None, WitnessStatus.CONFLICT),
        # The same size under another root: two views.
        (Submission(9, (), NOTE), 9, bytes(32), checkpoint(9), WitnessStatus.CONFLICT),
        (Submission(0, (), NOTE), 0, bytes(32), None, WitnessStatus.CONFLICT),
        # A proof that leads elsewhere, is missing, or is too long.
        (submission(8, 9), 9, bytes(32), checkpoint(8), WitnessStatus.INCONSISTENT),
        (Submission(8, (), NOTE), 9, b"", checkpoint(8), WitnessStatus.INCONSISTENT),
        (submission(7, 9), 9, b"", checkpoint(7, bytes(32)),
         WitnessStatus.INCONSISTENT),
        (Submission(0, (EMPTY_ROOT,), NOTE), 9, b"", None,
         WitnessStatus.INCONSISTENT),
        (Submission(9, (EMPTY_ROOT,), NOTE), 9, b"", checkpoint(9),
         WitnessStatus.INCONSISTENT),
    ],
)  # fmt: skip
def test_a_log_that_does_not_go_on_is_not_cosigned(
    sent: Submission,
    size: int,
    root: bytes,
    known: Checkpoint | None,
    answer: WitnessStatus,
) -> None:
    assert judge(sent, checkpoint(size, root), known) is answer


#: The example of https://c2sp.org/tlog-witness.
PUBLISHED = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\N{EM DASH} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeO\
oRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


def test_the_published_request_reads() -> None:
    sent = parse_submission(PUBLISHED.encode())

    assert (sent.old_size, len(sent.proof)) == (20852014, 4)
    assert read_checkpoint(sent).size == 20852163
    assert format_submission(sent) == PUBLISHED.encode()


def test_a_cosignature_is_made_as_the_specification_says() -> None:
    """By hand: the key's id, the time before the signature, and what is signed."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = private.public_key().public_bytes_raw()
    name, algorithm = "witness.example.com/w1", NoteAlgorithm.ED25519_COSIGNATURE
    key, shown = NoteKey(name, algorithm, public), checkpoint(7)
    message = (
        b"cosignature/v1\ntime 1679315147\n"
        b"strongroom/00/main\n7\n" + base64.b64encode(shown.root) + b"\n"
    )
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
    value = key_id + struct.pack(">Q", 1679315147) + private.sign(message)
    line = f"\N{EM DASH} {name} {base64.b64encode(value).decode()}\n".encode()

    assert shown.message(algorithm, name=name, time_s=1679315147) == message
    assert signature_line(key, private.sign(message), time_s=1679315147) == line
    assert (
        cosignature_lines(shown, line + "\N{EM DASH} x AAAAAAAA\n".encode(), [key])
        == line
    )
    assert key.text.split("+", 2)[1] == key_id.hex()


def test_the_size_of_a_conflict_is_read_strictly() -> None:
    assert parse_conflict(b"17\n") == 17
    for body in (b"", b"17", b"017\n", b"-1\n", b"1\n2\n", b"99999999999999999999\n"):
        with pytest.raises(ValueError, match="no size"):
            parse_conflict(body)


def test_a_path_is_the_same_for_any_text_of_an_origin() -> None:
    path = checkpoint_path("any/../origin é")

    assert path.count("/") == 2
    assert path.isascii()
