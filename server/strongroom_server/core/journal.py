# SPDX-License-Identifier: Apache-2.0
"""Journal entries: signed, hash-chained, encrypted; one sequence an artifact.

A stored entry is a DSSE envelope. Its payload is a clear header (store, project,
artifact, number, SHA-256 of the entry before) and the encrypted body, so chain
and signatures can be checked without any key.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core import dsse
from strongroom_server.core.scope import format_id
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
    verify_signatures,
)

#: magic, format, zero, store, project, artifact, number, previous entry: 100 bytes
HEADER: Final = struct.Struct(">4sB3s16s18s18sQ32s")
MAGIC: Final = b"SRJ1"
FORMAT: Final = 1
PAYLOAD_TYPE: Final = "application/vnd.strongroom.journal-entry.v1"
MAX_ENTRY_BYTES: Final = 512 * 1024
MAX_BODY_BYTES: Final = 256 * 1024
#: What entry 0 names as the entry before it.
GENESIS: Final = bytes(32)
REQUIRED_ALGORITHMS: Final = frozenset(SignatureAlgorithm)


@dataclass(frozen=True, slots=True)
class EntryPlace:
    """Where an entry stands: in which journal, at which number, behind what.

    Attributes:
        store: 16 bytes.
        project: 18 bytes.
        artifact: 18 bytes.
        number: From 0, dense.
        prev: SHA-256 of the stored entry before; zeros for entry 0.
    """

    store: bytes
    project: bytes
    artifact: bytes
    number: int
    prev: bytes

    @property
    def location(self) -> str:
        """What the encrypted body is bound to."""
        project, artifact = format_id(self.project), format_id(self.artifact)
        return f"journals/{project}/{artifact}/{self.number}"


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A verified entry: its place, its encrypted body, and its own digest."""

    place: EntryPlace
    sealed_body: bytes
    digest: bytes
    key_ids: tuple[str, ...]


def format_payload(place: EntryPlace, sealed_body: bytes) -> bytes:
    """Return the bytes that are signed, before DSSE's own encoding."""
    header = HEADER.pack(
        MAGIC,
        FORMAT,
        bytes(3),
        place.store,
        place.project,
        place.artifact,
        place.number,
        place.prev,
    )
    return header + sealed_body


def signing_input(payload: bytes) -> bytes:
    """Return what is signed of a payload."""
    return dsse.signing_input(PAYLOAD_TYPE, payload)


def format_entry(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    """Return the stored bytes of an entry."""
    return dsse.format_envelope(PAYLOAD_TYPE, payload, signatures)


def entry_digest(data: bytes) -> bytes:
    """Return what the next entry names as `prev`."""
    return hashlib.sha256(data).digest()


def verify_entry(
    data: bytes, expected: EntryPlace, keys: Mapping[str, PublicKey]
) -> StoredEntry:
    """Check a stored entry: its form, its place, its chain and its signatures.

    Raises:
        IntegrityError: It is damaged, moved, replayed or not signed
            (JOURNAL_CORRUPT, SIGNATURE_INVALID).
        PreconditionError: Its format is newer than this release.
    """
    payload, signatures = _parse_envelope(data, expected, keys)
    if len(payload) < HEADER.size:
        raise entry_error(expected)
    magic, version, zero, *fields = HEADER.unpack_from(payload)
    if magic != MAGIC or zero != bytes(3):
        raise entry_error(expected)
    if version != FORMAT:
        raise PreconditionError(
            f"journal entry {expected.number} has format {version}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
            format=version,
        )
    if EntryPlace(*fields) != expected:
        raise entry_error(expected)
    try:
        verify_signatures(
            signing_input(payload), signatures, keys, required=REQUIRED_ALGORITHMS
        )
    except IntegrityError as error:
        raise _entry_refused(expected, error.message, error.reason) from error
    return StoredEntry(
        expected,
        payload[HEADER.size :],
        entry_digest(data),
        tuple(signature.key_id for signature in signatures),
    )


def entry_error(place: EntryPlace) -> IntegrityError:
    """Return the error for an entry that is damaged or in the wrong place."""
    return _entry_refused(
        place, "it is damaged or out of place", Reason.JOURNAL_CORRUPT
    )


def _entry_refused(place: EntryPlace, why: str, reason: Reason) -> IntegrityError:
    artifact = format_id(place.artifact)
    return IntegrityError(
        f"journal entry {place.number} of artifact {artifact} is refused: {why}",
        reason=reason,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
        artifact_id=artifact,
        number=place.number,
    )


def _parse_envelope(
    data: bytes, place: EntryPlace, keys: Mapping[str, PublicKey]
) -> tuple[bytes, list[Signature]]:
    try:
        payload, signed = dsse.parse_envelope(
            data, PAYLOAD_TYPE, max_bytes=MAX_ENTRY_BYTES
        )
    except ValueError as error:
        raise entry_error(place) from error
    signatures = []
    for key_id, value in signed:
        key = keys.get(key_id)
        if key is None:
            raise _unknown_key(place)
        signatures.append(Signature(key.key_id, key.algorithm, value))
    return payload, signatures


def _unknown_key(place: EntryPlace) -> IntegrityError:
    return IntegrityError(
        f"journal entry {place.number} is signed by a key that Vault does not know",
        reason=Reason.SIGNATURE_INVALID,
        hint="Run `strongroom verify --store --repair` with a copy of the store.",
        number=place.number,
    )
