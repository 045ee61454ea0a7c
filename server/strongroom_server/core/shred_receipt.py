# SPDX-License-Identifier: Apache-2.0
"""Receipts of shredding: what was destroyed, by whom, with whose approval, when.

A receipt is for people: its payload is JSON in the clear, signed as journal entries
are, and can be checked anywhere with the public keys alone. The store keeps a copy
that is encrypted, since it tells names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical, dsse
from strongroom_server.core.clear_fields import body_of
from strongroom_server.core.scope import Scope, format_id
from strongroom_server.core.signatures import (
    PublicKey,
    Signature,
    SignatureAlgorithm,
)
from strongroom_server.core.tombstone import MAX_DOMAINS, MAX_SLOTS, ShredOrder

PAYLOAD_TYPE: Final = "application/vnd.strongroom.shred-receipt.v1"
TYPE: Final = "shred-receipt"
FORMAT: Final = 1
MAX_RECEIPT_BYTES: Final = 3 * 1024 * 1024
_KEYS_TYPE: Final = "strongroom-signing-keys"
_MAX_KEYS_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class InBackups:
    """What became of the key slots in the backup bucket.

    Attributes:
        removed: Keys of those that are gone.
        locked: Keys of those that could not be removed.
        problem: What kept us from looking on; "" if nothing did.
    """

    removed: tuple[str, ...]
    locked: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What became of the keys.

    Attributes:
        kek_time: When Vault said that the KEK is gone.
        effective_time: From when on no server holds a key of the domain any more, and
            no sidecar a key of a chunk of it.
        snapshot_time: Until when Vault's own snapshots may hold the KEK.
        removed: Keys of the key slots that are gone, a line for each version.
        locked: Keys of those that could not be removed.
        further_keks: The KEKs of artifacts of a project that had their own.
        in_backups: What became of the slots in the backup bucket; None if the server
            has no credential that may remove them there.
    """

    kek_time: datetime
    effective_time: datetime
    snapshot_time: datetime
    removed: tuple[str, ...]
    locked: tuple[str, ...]
    further_keks: tuple[str, ...] = ()
    in_backups: InBackups | None = None


def receipt_location(prefix: str) -> str:
    """Return what the stored, encrypted copy is bound to."""
    return f"{prefix}receipt"


def format_payload(
    scope: Scope, order: ShredOrder, destroyed: Destroyed, *, time: datetime
) -> bytes:
    """Return the bytes that are signed: who, what, when. `time`: of the tombstone."""
    doomed = order.doomed
    body: dict[str, Any] = {
        "format": FORMAT,
        "type": TYPE,
        "store": scope.store.hex(),
        "project": order.project,
        "artifact": order.artifact,
        "project_id": format_id(scope.project),
        "domain_id": format_id(scope.domain),
        "kek": scope.kek,
        "further_keks": list(destroyed.further_keks[:MAX_DOMAINS]),
        "further_keks_count": len(destroyed.further_keks),
        "reason": order.reason,
        "requester": order.requester,
        "approval_id": order.approval_id,
        "approvers": list(order.approvers),
        "request_id": order.request_id,
        "trace_id": order.trace_id,
        "audit_id": order.audit_id,
        "shred_time": _shown(time),
        "kek_destroyed_time": _shown(destroyed.kek_time),
        "effective_time": _shown(destroyed.effective_time),
        "snapshots_until": _shown(destroyed.snapshot_time),
        "slots_removed": list(destroyed.removed[:MAX_SLOTS]),
        "slots_removed_count": len(destroyed.removed),
        "slots_locked": list(destroyed.locked[:MAX_SLOTS]),
        "slots_locked_count": len(destroyed.locked),
        "artifacts": [item.shown() for item in doomed.artifacts],
        "artifact_count": doomed.artifact_count,
        "artifacts_unnamed_count": doomed.unnamed_count,
        "version_count": doomed.version_count,
        "ref_count": doomed.ref_count,
        "stored_bytes": doomed.stored_bytes,
        "notes": list(_notes(destroyed)),
    }
    if destroyed.in_backups is not None:
        body |= _told_of_backups(destroyed.in_backups)
    return canonical.encode(body)


def _told_of_backups(found: InBackups) -> dict[str, Any]:
    return {
        "backup_slots_removed": list(found.removed[:MAX_SLOTS]),
        "backup_slots_removed_count": len(found.removed),
        "backup_slots_locked": list(found.locked[:MAX_SLOTS]),
        "backup_slots_locked_count": len(found.locked),
        "backup_problem": found.problem,
    }


def signing_input(payload: bytes) -> bytes:
    """Return what is signed of a payload."""
    return dsse.signing_input(PAYLOAD_TYPE, payload)


def format_receipt(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    """Return a receipt as it is handed out."""
    return dsse.format_envelope(PAYLOAD_TYPE, payload, signatures)


def verify_receipt(data: bytes, keys: Mapping[str, PublicKey]) -> dict[str, Any]:
    """Return what a receipt says, once form and signatures are checked; offline.

    Raises:
        IntegrityError: It is malformed, altered, or not signed by both kinds of
            keys (RECORD_CORRUPT, SIGNATURE_INVALID).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        payload = dsse.open_envelope(
            data, PAYLOAD_TYPE, keys, max_bytes=MAX_RECEIPT_BYTES
        )
        # Servers without a backup bucket, and older ones, tell less.
        return body_of(payload, TYPE, None, newest=FORMAT, max_bytes=MAX_RECEIPT_BYTES)
    except ValueError as error:
        raise _malformed() from error


def format_keys(keys: Mapping[str, PublicKey]) -> bytes:
    """Return public keys as a file that says which they are; not secret."""
    listed = [
        {
            "algorithm": key.algorithm.value,
            "data": key.data.hex(),
            "key_id": key.key_id,
        }
        for _, key in sorted(keys.items())
    ]
    body = {"format": FORMAT, "keys": listed, "type": _KEYS_TYPE}
    return json.dumps(body, indent=2, sort_keys=True).encode() + b"\n"


def parse_keys(data: bytes) -> dict[str, PublicKey]:
    """Return the public keys that `format_keys` wrote.

    Raises:
        ValueError: It is no such file.
    """
    if len(data) > _MAX_KEYS_BYTES:
        raise ValueError(_KEYS_TYPE)
    body = json.loads(data)
    if not isinstance(body, dict) or body.get("type") != _KEYS_TYPE:
        raise ValueError(_KEYS_TYPE)
    try:
        found = [
            PublicKey(
                item["key_id"],
                SignatureAlgorithm(item["algorithm"]),
                bytes.fromhex(item["data"]),
            )
            for item in body["keys"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(_KEYS_TYPE) from error
    return {key.key_id: key for key in found}


def _notes(destroyed: Destroyed) -> list[str]:
    day = f"{destroyed.snapshot_time:%Y-%m-%d}"
    of_vault = (
        "The key was destroyed in Vault. Snapshots of Vault from before then still "
        f"hold it; they must be gone by {day}. Until then, whoever has such a "
        "snapshot, its unseal keys and a copy of the bucket from before could read "
        "what was shredded."
    )
    of_bucket = (
        "The encrypted content stays in the bucket until sweeps have removed it, and "
        "longer where it is locked; without the key it is noise."
    )
    of_sidecars = (
        "Servers, and sidecars that hear from them, stop reading within seconds. A "
        "sidecar that is cut off reads on with what it had been granted before, until "
        f"{destroyed.effective_time:%Y-%m-%d %H:%M:%S} UTC at the latest."
    )
    notes = [of_vault, of_bucket, of_sidecars]
    if destroyed.locked:
        notes.append(
            f"{len(destroyed.locked)} key slots are locked, or this server may not "
            "remove them: they stay, and open with no key that there is."
        )
    if destroyed.in_backups is not None:
        notes.append(_note_of_backups(destroyed.in_backups))
    return notes


def _note_of_backups(found: InBackups) -> str:
    note = f"Key slots that were removed from the backup bucket: {len(found.removed)}."
    if found.locked:
        note += (
            f" Slots that are held there, or that this server may not remove: "
            f"{len(found.locked)}. They open with no key that there is."
        )
    if found.problem:
        note += (
            f" Not all could be looked for: {found.problem}. Shredding it once more "
            "does that; until then a snapshot of Vault from before opens them."
        )
    return note


def _shown(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _malformed() -> IntegrityError:
    return IntegrityError(
        "this is no receipt of a shredding, or it was altered",
        reason=Reason.RECORD_CORRUPT,
        hint="Fetch it again with `strongroom shred NAME --receipt`.",
    )
