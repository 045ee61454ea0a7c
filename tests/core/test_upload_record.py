# SPDX-License-Identifier: Apache-2.0
"""Upload records: what must be refused, and as what."""

from typing import Any

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core.upload_record import (
    UploadRecord,
    format_record,
    parse_record,
)

RECORD = UploadRecord(
    artifact=bytes(18),
    request_id="r",
    attempt="0a" * 16,
    after=0,
    after_digest=bytes([0xAB] * 32),
    ended=False,
    sweep_epoch=0,
    files=(),
    open=None,
)


def body(**changes: object) -> dict[str, Any]:
    return {**format_record(RECORD), **changes}


def test_a_record_comes_back_as_it_was() -> None:
    assert parse_record(body(), 1) == RECORD


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"refs": {"format": 99, "packs": [], "chunks": []}},
    ],
)
def test_a_newer_format_is_not_taken_for_damage(changes: dict[str, Any]) -> None:
    with pytest.raises(PreconditionError) as caught:
        parse_record(body(**changes), 1)

    assert caught.value.reason is Reason.FORMAT_UNSUPPORTED


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"format": True},
        {"attempt": "no hex digits at all, and long ones"},
        {"attempt": "0A" * 16},
        {"after_digest": "AB" * 32},
        {"after_digest": " ".join(["ab"] * 32)},
        {"after_digest": "ab" * 31},
        {"artifact": "AAAA"},
        {"refs": {"packs": [], "chunks": []}},
        {"refs": {"format": 1, "packs": [], "chunks": [], "more": 1}},
        {"sweep_epoch": -1},
        {"more": 1},
    ],
)
def test_a_malformed_record_is_damage(changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        parse_record(body(**changes), 1)
