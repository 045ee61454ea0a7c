# SPDX-License-Identifier: Apache-2.0
"""Mend statements: signed word that nobody needs a damaged pack any more.

A pack that was mended chunk by chunk stays damaged, and where its chunks lie now
is told by sealed records. So that somebody without keys need not take it for a
loss, who has keys signs what they found: how the damaged bytes look, and which
records and packs stand for what is lost of them. A statement is believed of
exactly those bytes, and only while all that it names is whole.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import canonical, dsse, layout
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
    verify_signatures,
)

PAYLOAD_TYPE: Final = "application/vnd.strongroom.mend-statement.v1"
TYPE: Final = "mend-statement"
FORMAT: Final = 1
MAX_STATEMENT_BYTES: Final = 1024 * 1024
#: Records, and packs, that one statement names.
MAX_NAMED: Final = 1024
_FIELDS: Final = frozenset(
    {"format", "found", "pack", "packs", "records", "store", "type"}
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_STORE: Final = re.compile(r"[0-9a-f]{32}\Z")
_RECORD: Final = re.compile(
    rf"{layout.REPAIRS}[a-z2-7]{{29}}/\d{{15}}-[0-9a-f]{{16}}\Z"
)


@dataclass(frozen=True, slots=True)
class MendStatement:
    """What is known of one damaged pack.

    Attributes:
        store: The store's id, 16 bytes.
        pack: The pack's name.
        found: SHA-256, in hex, of the damaged bytes that lie under that name.
        records: The repair records that say where the lost chunks lie: key and
            SHA-256 of each, in hex; in order of key.
        packs: The packs that they lie in: name and version id; in order.
    """

    store: bytes
    pack: str
    found: str
    records: tuple[tuple[str, str], ...]
    packs: tuple[tuple[str, str], ...]


def fits(statement: MendStatement) -> bool:
    """Return whether a statement is within the limits of what may be stored."""
    named = max(len(statement.records), len(statement.packs))
    # Base64 and signatures make a third more, and some KiB.
    return named <= MAX_NAMED and len(format_payload(statement)) < (
        MAX_STATEMENT_BYTES // 2
    )


def format_payload(statement: MendStatement) -> bytes:
    """Return the bytes that are signed, before DSSE's own encoding."""
    return canonical.encode(
        {
            "format": FORMAT,
            "found": statement.found,
            "pack": statement.pack,
            "packs": [list(item) for item in statement.packs],
            "records": [list(item) for item in statement.records],
            "store": statement.store.hex(),
            "type": TYPE,
        }
    )


def signing_input(payload: bytes) -> bytes:
    """Return what is signed of a payload."""
    return dsse.signing_input(PAYLOAD_TYPE, payload)


def format_statement(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    """Return the stored bytes of a statement."""
    return dsse.format_envelope(PAYLOAD_TYPE, payload, signatures)


def verify_statement(
    data: bytes, key: str, store: bytes, keys: Mapping[str, PublicKey]
) -> MendStatement:
    """Return the statement at a key, once form, place and signatures are checked.

    What it says of the store as it is now is for the caller to check.

    Raises:
        IntegrityError: It is malformed, of another store or pack, or not signed
            (RECORD_CORRUPT, SIGNATURE_INVALID).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        payload, signed = dsse.parse_envelope(
            data, PAYLOAD_TYPE, max_bytes=MAX_STATEMENT_BYTES
        )
        signatures = [
            Signature(key_id, keys[key_id].algorithm, value)
            for key_id, value in signed
            if key_id in keys
        ]
        body = canonical.decode_object(payload, MAX_STATEMENT_BYTES)
    except ValueError as error:
        raise statement_error() from error
    verify_signatures(
        signing_input(payload), signatures, keys, required=frozenset(SignatureAlgorithm)
    )
    if len(signatures) != len(signed):
        raise statement_error()
    try:
        statement = _parse(body)
    except ValueError as error:
        raise statement_error() from error
    expected = layout.mended_prefix(statement.pack)
    if statement.store != store or not key.startswith(expected):
        raise statement_error()
    return statement


def statement_error() -> IntegrityError:
    """Return the error for a statement that is damaged or in the wrong place."""
    return IntegrityError(
        "a mend statement is damaged or out of place",
        reason=Reason.RECORD_CORRUPT,
        hint="Run `strongroom verify --store`: with keys, it is made anew.",
    )


def _parse(body: Mapping[str, Any]) -> MendStatement:
    version = body.get("format")
    if type(version) is not int or version < FORMAT:
        raise ValueError(version)
    if version > FORMAT:
        raise PreconditionError(
            f"a mend statement has format {version}; this release reads {FORMAT}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
            format=version,
        )
    if set(body) != _FIELDS or body["type"] != TYPE:
        raise ValueError(body)
    statement = MendStatement(
        _store(body["store"]),
        _digest(body["pack"]),
        _digest(body["found"]),
        _pairs(body["records"]),
        _pairs(body["packs"]),
    )
    for record, digest in statement.records:
        if not _RECORD.match(record):
            raise ValueError(record)
        _digest(digest)
    for pack, _ in statement.packs:
        _digest(pack)
    return statement


def _store(value: object) -> bytes:
    if not isinstance(value, str) or not _STORE.match(value):
        raise ValueError(value)
    return bytes.fromhex(value)


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.match(value):
        raise ValueError(value)
    return value


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or len(value) > MAX_NAMED:
        raise ValueError(value)
    pairs = []
    for item in value:
        match item:
            case [str(first), str(second)]:
                pairs.append((first, second))
            case _:
                raise ValueError(item)
    if pairs != sorted(set(pairs)):
        raise ValueError(value)
    return tuple(pairs)
