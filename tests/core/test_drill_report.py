# SPDX-License-Identifier: Apache-2.0
"""Reports of drills: read back as they were written, refused if anything differs."""

import json
from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import canonical, drill_report, dsse
from strongroom_server.core.drill import (
    MAX_FINDINGS,
    MAX_NOTES,
    MAX_VERSIONS,
    CanaryState,
    DrillFinding,
    DrillReport,
)
from strongroom_server.core.drill_report import MAX_TEXT, verify_report
from tests.support.samples import signer
from tests.vectors.drill_cases import report_of


def stored(payload: bytes, *, kind: str = drill_report.PAYLOAD_TYPE) -> bytes:
    signatures = signer().sign(dsse.signing_input(kind, payload))
    return dsse.format_envelope(kind, payload, signatures)


def refused(data: bytes) -> Reason:
    with pytest.raises((IntegrityError, PreconditionError)) as caught:
        verify_report(data, signer().public_keys())
    return caught.value.reason


def written(report: DrillReport) -> bytes:
    return stored(drill_report.format_payload(report))


def test_a_report_is_read_back() -> None:
    report = report_of()

    assert verify_report(written(report), signer().public_keys()) == report


def test_a_report_of_a_drill_without_a_root_is_read_back() -> None:
    backup = replace(
        report_of().backup,
        root="",
        create_time=None,
        newest_commit_time=None,
        protected_until=None,
    )
    report = replace(report_of(), backup=backup, passed=False)

    assert verify_report(written(report), signer().public_keys()) == report


def test_whatever_is_altered_is_noticed() -> None:
    data = written(report_of())

    for place in range(0, len(data), 7):
        spoiled = bytearray(data)
        spoiled[place] ^= 1
        assert refused(bytes(spoiled)) in {
            Reason.RECORD_CORRUPT,
            Reason.SIGNATURE_INVALID,
        }
    assert refused(data[:-1]) is Reason.RECORD_CORRUPT
    assert refused(b"") is Reason.RECORD_CORRUPT


def test_both_kinds_of_keys_must_have_signed() -> None:
    payload = drill_report.format_payload(report_of())
    signatures = signer().sign(drill_report.signing_input(payload))

    for part in (signatures[:1], signatures[1:], (), (*signatures, signatures[0])):
        data = drill_report.format_report(payload, part)
        assert refused(data) is Reason.SIGNATURE_INVALID


def test_keys_of_another_store_do_not_do() -> None:
    other = MemorySigner(entropy=SystemEntropy())
    payload = drill_report.format_payload(report_of())

    data = drill_report.format_report(
        payload, other.sign(drill_report.signing_input(payload))
    )

    assert refused(data) is Reason.SIGNATURE_INVALID
    assert verify_report(data, other.public_keys()) == report_of()


def test_what_was_signed_as_something_else_is_no_report() -> None:
    payload = drill_report.format_payload(report_of())
    kind = "application/vnd.strongroom.shred-receipt.v1"

    envelope = json.loads(stored(payload, kind=kind))
    passed_off = canonical.encode(envelope | {"payloadType": drill_report.PAYLOAD_TYPE})

    assert refused(stored(payload, kind=kind)) is Reason.RECORD_CORRUPT
    assert refused(passed_off) is Reason.SIGNATURE_INVALID


def test_a_later_format_asks_for_a_later_release() -> None:
    body = canonical.decode_object(drill_report.format_payload(report_of()), 1_000_000)

    later = stored(canonical.encode(body | {"format": 2, "more": 1}))

    assert refused(later) is Reason.FORMAT_UNSUPPORTED


def test_the_longest_report_fits() -> None:
    text = "\N{SNOWMAN}" * (MAX_TEXT * 2)
    finding = DrillFinding(text, text, text, text, text)
    version = replace(report_of().versions[0], name=text[:MAX_TEXT])
    report = replace(
        report_of(),
        requester=text,
        findings=(finding,) * (MAX_FINDINGS * 2),
        finding_count=MAX_FINDINGS * 2,
        versions=(version,) * (MAX_VERSIONS * 2),
        version_count=MAX_VERSIONS * 2,
        notes=(text,) * (MAX_NOTES * 2),
    )

    found = verify_report(written(report), signer().public_keys())

    assert len(found.findings) == MAX_FINDINGS
    assert len(found.versions) == MAX_VERSIONS
    assert len(found.notes) == MAX_NOTES
    assert found.finding_count == MAX_FINDINGS * 2
    assert found.findings[0].message == text[:MAX_TEXT]


def test_a_report_that_cannot_be_is_not_written() -> None:
    for change in ({"number": -1}, {"seed": b"short"}, {"open_ms": -5}):
        with pytest.raises(IntegrityError) as caught:
            drill_report.format_payload(replace(report_of(), **change))
        assert caught.value.reason is Reason.RECORD_CORRUPT
    assert report_of().canary.state is CanaryState.GOOD
