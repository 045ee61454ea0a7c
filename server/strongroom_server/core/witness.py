# SPDX-License-Identifier: Apache-2.0
"""What a witness is sent, what it checks, and what it answers: C2SP's tlog-witness.

A witness remembers the newest checkpoint of a log that it has cosigned, and cosigns
another one only if that log goes on where it ended. So a log that was rewound, or
that shows two faces, finds no witness for one of them.
https://c2sp.org/tlog-witness
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from strongroom.errors import IntegrityError
from strongroom_server.core.merkle import EMPTY_ROOT, HASH_BYTES, verify_consistency
from strongroom_server.core.signed_note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    read_unverified,
)

#: Below the witness's address.
ADD_CHECKPOINT: Final = "/add-checkpoint"
MAX_PROOF_LINES: Final = 63
#: The line of the old size, the proof and an empty line.
_MAX_HEAD_BYTES: Final = 32 + 64 * 64
MAX_SUBMISSION_BYTES: Final = _MAX_HEAD_BYTES + MAX_NOTE_BYTES
SIZE_TYPE: Final = "text/x.tlog.size"
#: Of each algorithm one line, and to spare.
MAX_ANSWER_BYTES: Final = 64 * 1024
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_PROOF_LINE_CHARS: Final = 44


class WitnessStatus(IntEnum):
    """How a witness answers; HTTP's codes, as the specification assigns them."""

    COSIGNED = 200
    MALFORMED = 400
    NOT_SIGNED = 403
    UNKNOWN_LOG = 404
    CONFLICT = 409
    INCONSISTENT = 422
    UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint that a witness is asked to cosign.

    Attributes:
        old_size: Of the checkpoint that it is thought to have cosigned last.
        proof: That the log goes on from there.
        note: The checkpoint as the log signed it.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What a witness says to a submission.

    Attributes:
        status: Whether it cosigned, or why not.
        lines: Its signatures, if it did.
        size: With CONFLICT: of the checkpoint that it has cosigned last.
    """

    status: WitnessStatus
    lines: bytes = b""
    size: int = 0


def format_submission(submission: Submission) -> bytes:
    """Return the body of a request."""
    proof = [base64.b64encode(item).decode() for item in submission.proof]
    head = "\n".join([f"old {submission.old_size}", *proof, "", ""])
    return head.encode() + submission.note


def parse_submission(data: bytes) -> Submission:
    """Read the body of a request; what the note says is not looked at.

    Raises:
        ValueError: It is none.
    """
    head, blank, note = data.partition(b"\n\n")
    if len(data) > MAX_SUBMISSION_BYTES or not blank:
        message = "the body is no submission of a checkpoint"
        raise ValueError(message)
    first, *lines = head.decode("ascii").split("\n")
    old = _OLD.fullmatch(first)
    if old is None or len(lines) > MAX_PROOF_LINES:
        message = "the old size or the proof is malformed"
        raise ValueError(message)
    return Submission(int(old[1]), tuple(_proof_line(line) for line in lines), note)


def parse_conflict(body: bytes) -> int:
    """Return the size in the answer to a submission with another old size.

    Raises:
        ValueError: There is none.
    """
    found = _SIZE.fullmatch(body)
    if found is None:
        message = "the answer holds no size of a log"
        raise ValueError(message)
    return int(found[1])


def origin_name(origin: str) -> str:
    """Return what stands for a log in paths, its origin being any text."""
    return hashlib.sha256(origin.encode()).hexdigest()


def checkpoint_path(origin: str) -> str:
    """Return where, below its address, a witness shows what it cosigned last."""
    return f"/{origin_name(origin)}/checkpoint"


def read_checkpoint(submission: Submission) -> Checkpoint:
    """Return the checkpoint of a submission, whoever signed it.

    Raises:
        ValueError: It is none, or smaller than the old one.
    """
    try:
        checkpoint = read_unverified(submission.note)
    except IntegrityError as error:
        raise ValueError(error.message) from error
    if submission.old_size > checkpoint.size:
        message = "the checkpoint is smaller than the old one"
        raise ValueError(message)
    return checkpoint


def judge(
    submission: Submission, checkpoint: Checkpoint, known: Checkpoint | None
) -> WitnessStatus:
    """Tell whether a witness may cosign a checkpoint, whose signatures are good.

    Args:
        submission: What was sent.
        checkpoint: The one in it.
        known: The one of this log that was cosigned last.

    Returns:
        COSIGNED, CONFLICT or INCONSISTENT.
    """
    size, root = (known.size, known.root) if known else (0, EMPTY_ROOT)
    if submission.old_size != size:
        return WitnessStatus.CONFLICT
    if checkpoint.size == size and checkpoint.root != root:
        return WitnessStatus.CONFLICT
    try:
        verify_consistency(
            size, root, checkpoint.size, checkpoint.root, submission.proof
        )
    except IntegrityError:
        return WitnessStatus.INCONSISTENT
    return WitnessStatus.COSIGNED


def _proof_line(line: str) -> bytes:
    value = base64.b64decode(line, validate=True)
    if len(value) != HASH_BYTES or len(line) != _PROOF_LINE_CHARS:
        message = "a line of the proof is no hash"
        raise ValueError(message)
    return value
