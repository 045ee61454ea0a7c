# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for the audit log: batches, exported files, checkpoints, proofs."""

from contextlib import suppress
from typing import Final

from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom_server.core import canonical
from strongroom_server.core.audit_batch import (
    MAX_BODY_BYTES,
    batch_body,
    parse_batch,
)
from strongroom_server.core.audit_check import LogChecker
from strongroom_server.core.audit_export import check_proof
from strongroom_server.core.signed_note import (
    NoteAlgorithm,
    NoteKey,
    open_note,
    parse_note_key,
    read_unverified,
)
from strongroom_server.core.tlog_tiles import decode_bundle
from strongroom_server.core.vault_audit import parse_vault_line
from strongroom_server.core.witness import (
    format_submission,
    judge,
    parse_conflict,
    parse_submission,
    read_checkpoint,
)

_KEYS: Final = (NoteKey("any", NoteAlgorithm.ED25519, bytes(32)),)


def audit_batch(data: bytes) -> None:
    """Batches of the audit log; what parses is written again the same."""
    try:
        body = canonical.decode_object(data, MAX_BODY_BYTES)
    except canonical.MalformedError:
        return
    assert batch_body(parse_batch(7, body)) == body


def audit_entries(data: bytes) -> None:
    """Bundles of exported audit logs, and their entries."""
    checker = LogChecker()
    for entry in decode_bundle(data, first=0, count=256):
        checker.add(entry)


def audit_notes(data: bytes) -> None:
    """Signed checkpoints, proofs and public keys."""
    text = data.decode("utf-8", "replace")
    with suppress(IntegrityError):
        assert data.startswith(read_unverified(data).body)
    with suppress(IntegrityError):
        open_note(data, _KEYS)
    with suppress(IntegrityError):
        check_proof(text, _KEYS)
    with suppress(InvalidArgumentError):
        assert parse_note_key(text).text == text.strip()


def witness_request(data: bytes) -> None:
    """What a witness is sent and answers; what parses is written again the same."""
    with suppress(ValueError):
        assert f"{parse_conflict(data)}\n".encode() == data
    with suppress(ValueError):
        submission = parse_submission(data)
        assert format_submission(submission) == data
        judge(submission, read_checkpoint(submission), None)


def vault_audit_line(data: bytes) -> None:
    """Lines of Vault's own audit log."""
    parse_vault_line(data, mount="transit")
