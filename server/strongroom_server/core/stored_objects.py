# SPDX-License-Identifier: Apache-2.0
"""What can be told of a stored object without any key: does it fit its own name?

Packs and manifests are named by their digests, journal entries are signed and
chained; of the rest only the clear header can be judged.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import (
    audit_batch,
    canonical,
    drill_report,
    index_segment,
    journal,
    layout,
    mend_statement,
    pack,
    relocation,
    repair,
    slots,
    sweep,
    tombstone,
    upload_record,
)
from strongroom_server.core.manifest import MAX_MANIFEST_BYTES, manifest_error
from strongroom_server.core.scope import Scope, parse_id, store_scope
from strongroom_server.core.sealing import ObjectKind, object_error, parse_object_header
from strongroom_server.core.signatures import PublicKey
from strongroom_server.core.suites import find_suite

PACKS: Final = "packs/"
MANIFESTS: Final = "manifests/"
#: Below these, each object names the one before it.
CHAINED: Final = (layout.JOURNALS, layout.SWEEP)
#: For objects that have no limit of their own.
MAX_OBJECT_BYTES: Final = 1024 * 1024
_NAME_DIGITS: Final = 64
#: What encryption adds to an object whose own limit is that of its body; to spare.
_SEALING_BYTES: Final = 64 * 1024
_LIMITS: Final = {
    PACKS: pack.MAX_PACK_BYTES,
    MANIFESTS: MAX_MANIFEST_BYTES,
    layout.JOURNALS: journal.MAX_ENTRY_BYTES,
    layout.KEYS: slots.MAX_SLOT_BYTES,
    layout.REPAIRS: repair.MAX_RECORD_BYTES,
    layout.RELOCATIONS: relocation.MAX_RECORD_BYTES,
    layout.SHREDS: tombstone.MAX_TOMBSTONE_BYTES,
    layout.SWEEP: sweep.MAX_RECORD_BYTES,
    layout.AUDIT: audit_batch.MAX_BODY_BYTES + _SEALING_BYTES,
    layout.DRILLS: drill_report.MAX_REPORT_BYTES + _SEALING_BYTES,
    "index/": index_segment.MAX_SEGMENT_BYTES,
    layout.UPLOADS: upload_record.MAX_RECORD_BYTES,
}


@dataclass(frozen=True, slots=True)
class ChainLink:
    """How a journal entry, or a sweep record, hangs together with its neighbours.

    Attributes:
        number: Its number.
        prev: What it names as the entry before it.
        digest: What the next entry has to name.
    """

    number: int
    prev: bytes
    digest: bytes


def max_bytes(key: str) -> int:
    """Return how long the object at a key, or the copy of one there, may be."""
    if key.startswith(layout.REPAIRED_OBJECTS):
        key = layout.copied_key(key)
    if key.startswith(layout.MENDED):
        return mend_statement.MAX_STATEMENT_BYTES
    return _LIMITS.get(key[: key.find("/") + 1], MAX_OBJECT_BYTES)


def gone(key: str) -> IntegrityError:
    """Return the error for an object that is not there any more."""
    reason = Reason.RECORD_CORRUPT
    if key.startswith(PACKS):
        reason = Reason.CHUNK_MISSING
    elif key.startswith(MANIFESTS):
        reason = Reason.MANIFEST_MISSING
    return IntegrityError(
        f"object {key} is gone",
        reason=reason,
        hint="Run `strongroom verify --store`.",
        key=key,
    )


def digest_name(key: str) -> str:
    """Return the digest, in hex, that names a pack or manifest; else ""."""
    folder, _, name = key.partition("/")
    tail = name.rpartition("/")[2]
    usual = f"{folder}/{tail[:2]}/{tail}"
    is_hex = len(tail) == _NAME_DIGITS and not tail.strip("0123456789abcdef")
    return tail if usual == key and is_hex else ""


def check_pack(data: bytes, name: str, store: bytes) -> None:
    """Check that bytes are the pack of a name.

    Raises:
        IntegrityError: They are not (CHUNK_CORRUPT).
    """
    suite_number = pack.parse_header(data, store).suite
    try:
        found = find_suite(suite_number).digest(data).hex()
    except ValueError as error:
        raise pack.pack_error("its header is damaged") from error
    if found != name:
        raise IntegrityError(
            f"pack {name[:16]} does not have the digest that names it",
            reason=Reason.CHUNK_CORRUPT,
            hint="Run `strongroom verify --store --repair` with a copy of the store.",
            pack=name,
        )


def check_manifest(data: bytes, name: str, store: bytes) -> None:
    """Check that bytes are the manifest of a name.

    Raises:
        IntegrityError: They are not (MANIFEST_CORRUPT).
    """
    if hashlib.sha256(data).hexdigest() != name:
        raise manifest_error()
    parse_object_header(data, store, ObjectKind.MANIFEST)


def check_project(data: bytes, key: str, store: bytes) -> None:
    """Check that bytes begin as the project record at a key.

    Raises:
        IntegrityError: They do not (RECORD_CORRUPT).
    """
    header = parse_object_header(data, store, ObjectKind.PROJECT)
    if layout.project_key(header.scope.project) != key:
        raise object_error(ObjectKind.PROJECT)


def slot_scope(data: bytes, key: str, store: bytes) -> Scope:
    """Return the scope of the key slot at a key, once its form is checked.

    Raises:
        IntegrityError: It is malformed or belongs elsewhere (KEY_SLOT_CORRUPT).
    """
    own = store_scope(store)
    try:
        body = canonical.decode_object(data, slots.MAX_SLOT_BYTES)
        scope = Scope(
            store, parse_id(body["project"]), parse_id(body["domain"]), body["epoch"]
        )
    except (ValueError, TypeError, KeyError) as error:
        raise slots.slot_error(own) from error
    place = layout.slot_place(key)
    if place is None or place[:2] != (scope.domain, scope.epoch):
        raise slots.slot_error(scope)
    slots.parse_slot(data, scope)
    return scope


def check_entry(
    data: bytes, key: str, store: bytes, public_keys: Mapping[str, PublicKey]
) -> ChainLink:
    """Check a journal entry by itself: form, place, signatures; return its link.

    Raises:
        IntegrityError: It is damaged, moved or not signed (JOURNAL_CORRUPT,
            SIGNATURE_INVALID).
    """
    place = entry_place(key, store)
    try:
        envelope = canonical.decode_object(data, journal.MAX_ENTRY_BYTES)
        payload = canonical.decode_base64(envelope.get("payload"))
        prev = journal.HEADER.unpack_from(payload)[-1]
    except (ValueError, struct.error) as error:
        raise journal.entry_error(place) from error
    expected = journal.EntryPlace(
        store, place.project, place.artifact, place.number, prev
    )
    entry = journal.verify_entry(data, expected, public_keys)
    return ChainLink(place.number, prev, entry.digest)


def entry_place(key: str, store: bytes) -> journal.EntryPlace:
    """Return which entry a key names; what comes before it is left open.

    Raises:
        IntegrityError: It is no entry's key (JOURNAL_CORRUPT).
    """
    try:
        _, project, artifact, number = key.split("/")
        place = journal.EntryPlace(
            store, parse_id(project), parse_id(artifact), int(number), journal.GENESIS
        )
    except ValueError as error:
        raise _stray(key) from error
    if layout.journal_key(place.project, place.artifact, place.number) != key:
        raise _stray(key)
    return place


def record_link(data: bytes, key: str, body: Mapping[str, Any]) -> ChainLink:
    """Return the link of a sweep record whose body was decrypted.

    Raises:
        IntegrityError: The body is malformed (RECORD_CORRUPT).
    """
    try:
        prev = bytes.fromhex(body["prev"])
    except (KeyError, TypeError, ValueError) as error:
        raise sweep.sweep_error() from error
    sweep.parse_record(body, prev=prev)
    return ChainLink(link_number(key), prev, sweep.record_digest(data))


def link_number(key: str) -> int:
    """Return the number of a journal entry or sweep record; -1 if it is none."""
    digits = key.rpartition("/")[2]
    is_number = digits.isdecimal() and digits.isascii()
    return int(digits) if is_number and len(digits) == layout.NUMBER_DIGITS else -1


def _stray(key: str) -> IntegrityError:
    return IntegrityError(
        f"{key} is no journal entry's key",
        reason=Reason.JOURNAL_CORRUPT,
        hint="Somebody else writes to the bucket; see `strongroom doctor`.",
        key=key,
    )
