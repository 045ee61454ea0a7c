# SPDX-License-Identifier: Apache-2.0
"""Batches read back as they were written, and nothing else passes for one."""

from typing import Any

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.audit_batch import (
    MAX_LINE_BYTES,
    MAX_LINES,
    AuditBatch,
    batch_body,
    how_many_fit,
    parse_batch,
)
from strongroom_server.core.merkle import Frontier, leaf_hash

BEFORE = Frontier().extended(leaf_hash(bytes([item])) for item in range(5))
BATCH = AuditBatch(3, "0a1b2c3d", 17, BEFORE, (b'{"a":"\xc3\xbc"}', b"{}"))


def test_a_batch_reads_back_and_knows_the_tree_behind_it() -> None:
    assert parse_batch(3, batch_body(BATCH)) == BATCH
    assert BATCH.entries == [b'0a1b2c3d {"a":"\xc3\xbc"}', b"0a1b2c3d {}"]
    assert BATCH.after == BEFORE.extended(leaf_hash(item) for item in BATCH.entries)
    assert (BATCH.after.size, BATCH.end) == (7, 19)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": True},
        {"writer": "0A1B2C3D"},
        {"writer": "0a1b2c3"},
        {"start": -1},
        {"start": "17"},
        {"size": 7},
        {"size": -5},
        {"frontier": []},
        {"frontier": ["00" * 32]},
        {"frontier": ["zz" * 32] * 2},
        {"frontier": ["0A" * 32] * 2},
        {"frontier": [7, 8]},
        {"frontier": ["00" * 31] * 2},
        {"lines": []},
        {"lines": ["{}"] * (MAX_LINES + 1)},
        {"lines": [7]},
        {"lines": "{}"},
        {"more": 1},
    ],
)
def test_what_is_no_batch_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="batch 3") as error:
        parse_batch(3, batch_body(BATCH) | change)

    assert error.value.reason is Reason.AUDIT_CORRUPT


@pytest.mark.parametrize("name", sorted(batch_body(BATCH)))
def test_a_batch_without_a_field_is_refused(name: str) -> None:
    body = {key: item for key, item in batch_body(BATCH).items() if key != name}

    with pytest.raises(IntegrityError):
        parse_batch(3, body)


def test_a_batch_takes_as_many_lines_as_its_bounds_allow() -> None:
    assert how_many_fit([b""] * (MAX_LINES + 5)) == MAX_LINES
    assert how_many_fit([b"x" * 8192] * 1000) == MAX_LINE_BYTES // 8192
    assert how_many_fit([b"x" * (2 * MAX_LINE_BYTES)]) == 1
    assert how_many_fit([b"a", b"b"]) == 2
