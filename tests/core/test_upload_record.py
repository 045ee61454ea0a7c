# SPDX-License-Identifier: Apache-2.0
"""Upload records: what must be refused, and as what."""

from dataclasses import replace
from typing import Any

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core.upload_record import (
    OpenPart,
    UploadRecord,
    UploadState,
    format_record,
    parse_record,
)
from tests.support.samples import file_entry

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


def adding(*paths: str, opens: str = "") -> UploadRecord:
    """Return a record of files that became durable, and of one that is open."""
    part = OpenPart(opens, 5, executable=False, first_chunk=0, chunks=())
    files = tuple(file_entry(path) for path in paths)
    return replace(RECORD, files=files, open=part if opens else None)


@pytest.mark.parametrize(
    "records",
    [
        [adding("a", "b"), adding("c"), adding("d", opens="e")],
        [adding("a", opens="b"), adding("b", "c", opens="d")],
        # As bytes: not as code units of UTF-16, and "." before "/".
        [adding("a.b"), adding("a/b"), adding("\uffff"), adding("\U00010000")],
        [adding(opens="b"), adding("a")],
    ],
)
def test_files_add_up_in_byte_order_of_path(records: list[UploadRecord]) -> None:
    state = UploadState()

    for record in records:
        state.take(record)

    assert [entry.path for entry in state.files] == [
        entry.path for record in records for entry in record.files
    ]


@pytest.mark.parametrize(
    "records",
    [
        [adding("b", "a")],
        [adding("a", "a")],
        [adding("b"), adding("a")],
        [adding("b"), adding("b")],
        [adding("a", "c"), adding("b", "d")],
        [adding("b", opens="a")],
        [adding("b", opens="b")],
        [adding("b"), adding(opens="a")],
        [adding("\U00010000"), adding("\uffff")],
    ],
)
def test_files_out_of_order_are_damage(records: list[UploadRecord]) -> None:
    state = UploadState()
    for record in records[:-1]:
        state.take(record)

    with pytest.raises(IntegrityError):
        state.take(records[-1])
