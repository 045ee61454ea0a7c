# SPDX-License-Identifier: Apache-2.0
"""Reports of drills: what was restored from a backup, how fast, whether it was right.

A report is for people: its payload is JSON in the clear, signed as journal entries
are, and can be checked anywhere with the public keys alone. A drill that failed has a
report, too. The store keeps a copy that is encrypted, since it tells names.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical, dsse
from strongroom_server.core.clear_fields import body_of
from strongroom_server.core.drill import (
    MAX_FINDINGS,
    MAX_NOTES,
    MAX_VERSIONS,
    CanaryResult,
    CanaryState,
    DrilledBackup,
    DrilledVersion,
    DrillFinding,
    DrillReport,
)
from strongroom_server.core.drill_sample import SEED_BYTES
from strongroom_server.core.layout import MAX_BACKUP_NUMBER
from strongroom_server.core.scope import STORE_BYTES
from strongroom_server.core.signatures import PublicKey, Signature

PAYLOAD_TYPE: Final = "application/vnd.strongroom.drill-report.v1"
TYPE: Final = "drill-report"
FORMAT: Final = 1
MAX_REPORT_BYTES: Final = 2 * 1024 * 1024
#: Of a text in it: messages and paths are cut, so that a report always fits.
MAX_TEXT: Final = 500
_DIGEST: Final = re.compile(r"(?:[0-9a-f]{64})?\Z")
_FIELDS: Final = frozenset(
    {
        "audit_id", "backup", "backup_bytes", "backup_create_time", "backup_objects",
        "backup_protected_until", "backup_root", "begin_time", "canary",
        "canary_digest", "canary_found", "canary_version", "end_time", "file_count",
        "finding_count", "findings", "format", "newest_commit_time", "notes", "number",
        "open_ms", "passed", "read_bytes", "recovery_point_s", "recovery_time_ms",
        "request_count", "requester", "restore_ms", "restored_bytes", "scheduled",
        "seed", "store", "trace_id", "type", "version_count", "versions",
    }
)  # fmt: skip


def format_payload(report: DrillReport) -> bytes:
    """Return the bytes that are signed, before DSSE's own encoding.

    Raises:
        IntegrityError: It says what no report can say (RECORD_CORRUPT).
    """
    payload = canonical.encode(told(report))
    parse_payload(payload)
    return payload


def told(report: DrillReport) -> dict[str, Any]:
    """Return what a report says, as it is written and shown."""
    backup, canary = report.backup, report.canary
    return {
        "audit_id": report.audit_id,
        "backup": backup.number,
        "backup_bytes": backup.size_bytes,
        "backup_create_time": _shown(backup.create_time),
        "backup_objects": backup.object_count,
        "backup_protected_until": _shown(backup.protected_until),
        "backup_root": backup.root,
        "begin_time": _shown(report.begin_time),
        "canary": canary.state.value,
        "canary_digest": canary.expected,
        "canary_found": canary.found,
        "canary_version": canary.version,
        "end_time": _shown(report.end_time),
        "file_count": report.file_count,
        "finding_count": report.finding_count,
        "findings": [_format_finding(item) for item in report.findings[:MAX_FINDINGS]],
        "format": FORMAT,
        "newest_commit_time": _shown(backup.newest_commit_time),
        "notes": [note[:MAX_TEXT] for note in report.notes[:MAX_NOTES]],
        "number": report.number,
        "open_ms": report.open_ms,
        "passed": report.passed,
        "read_bytes": report.read_bytes,
        "recovery_point_s": report.recovery_point_s,
        "recovery_time_ms": report.recovery_time_ms,
        "request_count": report.request_count,
        "requester": report.requester[:MAX_TEXT],
        "restore_ms": report.restore_ms,
        "restored_bytes": report.restored_bytes,
        "scheduled": report.scheduled,
        "seed": report.seed.hex(),
        "store": report.store.hex(),
        "trace_id": report.trace_id,
        "type": TYPE,
        "version_count": report.version_count,
        "versions": [_format_version(item) for item in report.versions[:MAX_VERSIONS]],
    }


def signing_input(payload: bytes) -> bytes:
    """Return what is signed of a payload."""
    return dsse.signing_input(PAYLOAD_TYPE, payload)


def format_report(payload: bytes, signatures: Sequence[Signature]) -> bytes:
    """Return a report as it is handed out."""
    return dsse.format_envelope(PAYLOAD_TYPE, payload, signatures)


def verify_report(data: bytes, keys: Mapping[str, PublicKey]) -> DrillReport:
    """Return what a report says, once form and signatures are checked; offline.

    Raises:
        IntegrityError: It is malformed, altered, or not signed by both kinds of
            keys (RECORD_CORRUPT, SIGNATURE_INVALID).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        payload = dsse.open_envelope(
            data, PAYLOAD_TYPE, keys, max_bytes=MAX_REPORT_BYTES
        )
    except ValueError as error:
        raise report_error() from error
    return parse_payload(payload)


def parse_payload(payload: bytes) -> DrillReport:
    """Return the report that a payload tells of; its signatures are not checked.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        return _parse(
            body_of(payload, TYPE, _FIELDS, newest=FORMAT, max_bytes=MAX_REPORT_BYTES)
        )
    except ValueError as error:
        raise report_error() from error


def report_error() -> IntegrityError:
    """Return the error for what is no report."""
    return IntegrityError(
        "this is no report of a drill, or it was altered",
        reason=Reason.RECORD_CORRUPT,
        hint="Fetch it again with `strongroom drill show NUMBER --out FILE`.",
    )


def _parse(body: Mapping[str, Any]) -> DrillReport:
    backup = DrilledBackup(
        _count(body["backup"], MAX_BACKUP_NUMBER),
        _digest(body["backup_root"]),
        _time(body["backup_create_time"]),
        _time(body["newest_commit_time"]),
        _time(body["backup_protected_until"]),
        _count(body["backup_objects"]),
        _count(body["backup_bytes"]),
    )
    canary = CanaryResult(
        CanaryState(_text(body["canary"])),
        _text(body["canary_digest"]),
        _text(body["canary_found"]),
        _count(body["canary_version"]),
    )
    return DrillReport(
        _bytes(body["store"], STORE_BYTES),
        _count(body["number"]),
        backup,
        _bytes(body["seed"], SEED_BYTES),
        _some_time(body["begin_time"]),
        _some_time(body["end_time"]),
        _text(body["requester"]),
        _text(body["trace_id"]),
        _text(body["audit_id"]),
        _flag(body["scheduled"]),
        _flag(body["passed"]),
        canary,
        tuple(_parse_version(item) for item in _list(body["versions"], MAX_VERSIONS)),
        _count(body["version_count"]),
        tuple(_parse_finding(item) for item in _list(body["findings"], MAX_FINDINGS)),
        _count(body["finding_count"]),
        _count(body["file_count"]),
        _count(body["restored_bytes"]),
        _count(body["read_bytes"]),
        _count(body["request_count"]),
        _count(body["open_ms"]),
        _count(body["restore_ms"]),
        _count(body["recovery_time_ms"]),
        _count(body["recovery_point_s"]),
        tuple(map(_text, _list(body["notes"], MAX_NOTES))),
    )


def _format_version(item: DrilledVersion) -> dict[str, Any]:
    return {
        "digest": item.digest,
        "file_count": item.file_count,
        "name": item.name,
        "ok": item.ok,
        "restored_bytes": item.restored_bytes,
        "whole": item.whole,
    }


def _parse_version(item: object) -> DrilledVersion:
    match item:
        case {
            "digest": digest,
            "file_count": file_count,
            "name": name,
            "ok": ok,
            "restored_bytes": restored_bytes,
            "whole": whole,
            **rest,
        } if not rest:
            return DrilledVersion(
                _text(name),
                _text(digest),
                _flag(whole),
                _count(file_count),
                _count(restored_bytes),
                _flag(ok),
            )
    raise ValueError(item)


def _format_finding(item: DrillFinding) -> dict[str, str]:
    return {
        "message": item.message[:MAX_TEXT],
        "name": item.name[:MAX_TEXT],
        "object": item.object_key[:MAX_TEXT],
        "path": item.path[:MAX_TEXT],
        "reason": item.reason[:MAX_TEXT],
    }


def _parse_finding(item: object) -> DrillFinding:
    match item:
        case {
            "message": str(message),
            "name": str(name),
            "object": str(object_key),
            "path": str(path),
            "reason": str(reason),
            **rest,
        } if not rest:
            return DrillFinding(*map(_text, (object_key, reason, message, name, path)))
    raise ValueError(item)


def _shown(time: datetime | None) -> str:
    if time is None:
        return ""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def _time(value: object) -> datetime | None:
    text = _text(value)
    if not text:
        return None
    time = datetime.fromisoformat(text)
    if _shown(time) != text:
        raise ValueError(text)
    return time


def _some_time(value: object) -> datetime:
    time = _time(value)
    if time is None:
        raise ValueError(value)
    return time


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(value)
    return value


def _digest(value: object) -> str:
    if not _DIGEST.match(_text(value)):
        raise ValueError(value)
    return _text(value)


def _bytes(value: object, size: int) -> bytes:
    data = bytes.fromhex(_text(value))
    if len(data) != size or data.hex() != value:
        raise ValueError(value)
    return data


def _count(value: object, limit: int = canonical.MAX_INTEGER) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise ValueError(value)
    return value


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError(value)
    return value


def _list(value: object, limit: int) -> list[object]:
    if not isinstance(value, list) or len(value) > limit:
        raise ValueError(value)
    return value
