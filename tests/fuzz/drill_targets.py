# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for drills: reports, signed by nobody, and what they would say."""

from contextlib import suppress

from strongroom.errors import StrongroomError
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_keys import MemorySigner
from strongroom_server.core import drill_report as reports
from strongroom_server.core import dsse

_KEYS = MemorySigner(entropy=SystemEntropy()).public_keys()
_UNSIGNED = "what nobody signed was believed"


def drill_report(data: bytes) -> None:
    """Reports; what is read is written again the same."""
    wrapped = dsse.format_envelope(reports.PAYLOAD_TYPE, data, ())
    for envelope in (data, wrapped):
        with suppress(StrongroomError):
            reports.verify_report(envelope, _KEYS)
            raise AssertionError(_UNSIGNED)
    payloads = [data]
    with suppress(ValueError):
        payload, _ = dsse.parse_envelope(
            data, reports.PAYLOAD_TYPE, max_bytes=reports.MAX_REPORT_BYTES
        )
        payloads.append(payload)
    for payload in payloads:
        with suppress(StrongroomError):
            assert reports.format_payload(reports.parse_payload(payload)) == payload
