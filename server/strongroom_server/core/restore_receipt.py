# SPDX-License-Identifier: Apache-2.0
"""Receipts of restores: what came back, from which backup, how long it took.

As receipts of shredding, they are JSON in the clear, signed as journal entries are,
and checked anywhere with the public keys alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical, dsse
from strongroom_server.core.clear_fields import body_of
from strongroom_server.core.restore_records import MAX_NAMED, RestoreReport
from strongroom_server.core.signatures import PublicKey, Signature

PAYLOAD_TYPE: Final = "application/vnd.strongroom.restore-receipt.v1"
TYPE: Final = "restore-receipt"
FORMAT: Final = 1
MAX_RECEIPT_BYTES: Final = 3 * 1024 * 1024
_FIELDS: Final = frozenset(
    {
        "backup", "copied_bytes", "copied_count", "damaged", "damaged_count", "format",
        "milliseconds", "recovery_point", "root", "selection", "start_time", "store",
        "target", "there_count", "type", "version_count", "versions",
    }
)  # fmt: skip


def format_payload(store: bytes, report: RestoreReport) -> bytes:
    """Return the bytes that are signed."""
    point = report.recovery_point
    body: dict[str, Any] = {
        "format": FORMAT,
        "type": TYPE,
        "store": store.hex(),
        "target": report.target.value,
        "backup": report.backup,
        "root": report.root_digest,
        "recovery_point": None if point is None else point.isoformat(),
        "start_time": report.start_time.isoformat(),
        "milliseconds": round(report.seconds * 1000),
        "selection": dict(report.selection),
        "copied_count": report.copied_count,
        "copied_bytes": report.copied_bytes,
        "there_count": report.there_count,
        "version_count": report.version_count,
        "versions": [
            {
                "name": version.name,
                "digest": version.digest,
                "file_count": version.file_count,
                "size_bytes": version.size_bytes,
                "new_version": version.new_version,
            }
            for version in report.versions[:MAX_NAMED]
        ],
        "damaged_count": report.damaged_count,
        "damaged": list(report.damaged[:MAX_NAMED]),
    }
    return canonical.encode(body)


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
        return body_of(
            payload, TYPE, _FIELDS, newest=FORMAT, max_bytes=MAX_RECEIPT_BYTES
        )
    except ValueError as error:
        raise _malformed() from error


def _malformed() -> IntegrityError:
    return IntegrityError(
        "this is no receipt of a restore, or it was altered",
        reason=Reason.RECORD_CORRUPT,
        hint="Take the one that the restore wrote; running it again writes another.",
    )
