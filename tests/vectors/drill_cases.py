# SPDX-License-Identifier: Apache-2.0
"""Vectors for reports of drills."""

from datetime import timedelta
from typing import Any

from strongroom_server.core import canonical, drill_report, dsse
from strongroom_server.core.canary import canary_digest
from strongroom_server.core.drill import (
    CanaryResult,
    CanaryState,
    DrilledBackup,
    DrilledVersion,
    DrillFinding,
    DrillReport,
)
from tests.support.samples import STORE, TIME, filled, signer
from tests.vectors.cases import changed, make_case
from tests.vectors.key_cases import Case

_PACK = f"packs/ab/{'ab' * 32}"
_DIGEST = canary_digest(STORE)
_VERSIONS = (
    DrilledVersion(
        "demo/minilm@2",
        _DIGEST,
        whole=True,
        file_count=3,
        restored_bytes=4000,
        ok=False,
    ),
    DrilledVersion(
        "demo/minilm@1",
        _DIGEST,
        whole=False,
        file_count=1,
        restored_bytes=100,
        ok=True,
    ),
)


def report_of(**changes: Any) -> DrillReport:  # noqa: ANN401
    """A report that says something in every field."""
    fields: dict[str, Any] = {
        "store": STORE,
        "number": 3,
        "backup": DrilledBackup(
            7,
            filled("root 7", 32).hex(),
            TIME - timedelta(hours=2),
            TIME - timedelta(hours=3),
            TIME + timedelta(days=35),
            300,
            5_000_000,
        ),
        "seed": filled("seed", 16),
        "begin_time": TIME,
        "end_time": TIME + timedelta(seconds=5),
        "requester": "operator:alice",
        "trace_id": "0" * 32,
        "audit_id": "0a1b2c3d-17",
        "scheduled": False,
        "passed": False,
        "canary": CanaryResult(CanaryState.GOOD, _DIGEST, _DIGEST, 1),
        "versions": _VERSIONS,
        "version_count": 2,
        "findings": (
            DrillFinding(
                _PACK,
                "CHUNK_CORRUPT",
                "a chunk in a pack is damaged",
                "demo/minilm@2",
                "a/b",
            ),
        ),
        "finding_count": 1,
        "file_count": 8,
        "restored_bytes": 1_200_000,
        "read_bytes": 1_300_000,
        "request_count": 40,
        "open_ms": 120,
        "restore_ms": 900,
        "recovery_time_ms": 3600,
        "recovery_point_s": 10_800,
        "notes": ("a note",),
    }
    return DrillReport(**(fields | changes))


def shown_report(report: DrillReport) -> Case:
    """Return what a report says, for the file."""
    return {
        "number": report.number,
        "backup": report.backup.number,
        "root": report.backup.root,
        "passed": report.passed,
        "canary": report.canary.state.value,
        "versions": [[item.name, item.whole, item.ok] for item in report.versions],
        "findings": [[item.object_key, item.reason] for item in report.findings],
        "end_time": report.end_time.isoformat(),
    }


def drill_reports() -> list[Case]:
    """Return cases of reports of drills."""
    report = report_of()
    body = canonical.decode_object(drill_report.format_payload(report), 1_000_000)
    bad = {
        "a field too many": body | {"more": 1},
        "a field too few": {key: body[key] for key in body if key != "seed"},
        "another type": body | {"type": "backup"},
        "a format that is none": body | {"format": 0},
        "a seed too short": body | {"seed": "00"},
        "a seed in upper case": body | {"seed": "AB" * 16},
        "a canary that is neither": body | {"canary": "fine"},
        "a number below nothing": body | {"number": -1},
        "a truth that is a number": body | {"passed": 1},
        "a time without a zone": body | {"end_time": "2026-11-01T12:30:15.250000"},
        "no time": body | {"begin_time": ""},
        "a text too long": body | {"requester": "a" * 501},
        "a version with more": changed(body, "versions", 0, "more", value=1),
        "a finding that is a text": body | {"findings": ["a"]},
        "too many notes": body | {"notes": ["a"] * 17},
    }
    return [
        make_case(
            "a failed drill", {"report": _signed(body), "result": shown_report(report)}
        ),
        *[
            make_case(name, {"report": _signed(item)}, "RECORD_CORRUPT")
            for name, item in bad.items()
        ],
        make_case(
            "signed as a receipt",
            {"report": _signed(body, "application/vnd.strongroom.shred-receipt.v1")},
            "RECORD_CORRUPT",
        ),
        make_case("unsigned", {"report": _unsigned(body)}, "SIGNATURE_INVALID"),
        make_case(
            "a later format",
            {"report": _signed(body | {"format": 2})},
            "FORMAT_UNSUPPORTED",
        ),
    ]


def _signed(body: Case, kind: str = drill_report.PAYLOAD_TYPE) -> str:
    payload = canonical.encode(body)
    signatures = signer().sign(dsse.signing_input(kind, payload))
    return dsse.format_envelope(kind, payload, signatures).decode()


def _unsigned(body: Case) -> str:
    kind = drill_report.PAYLOAD_TYPE
    return dsse.format_envelope(kind, canonical.encode(body), ()).decode()
