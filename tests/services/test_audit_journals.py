# SPDX-License-Identifier: Apache-2.0
"""A journal whose end was cut off is told by the audit log, though nobody remembers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import layout
from strongroom_server.core.audit import Phase
from strongroom_server.core.journal_heads import (
    ACTION,
    DETAIL,
    MAX_HEADS,
    format_head,
    heads_of,
)
from strongroom_server.repository.journals import Journals
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_worlds import AuditServer, AuditWorld
from tests.support.world import CALLER

OTHER = format_head(layout.journal_key(bytes(18), bytes(18), 3), bytes(32))


@pytest.fixture
def audits(tmp_path: Path) -> AuditWorld:
    return AuditWorld(tmp_path)


@contextmanager
def noting(audits: AuditWorld) -> Iterator[AuditServer]:
    """Run a server whose journals tell it what is written, as `app` wires them."""
    journals: Journals = audits.world.repository.journals
    with audits.server("a") as server:
        journals._heads = server.heads
        try:
            yield server
        finally:
            journals._heads = None


def call(server: AuditServer, trace_id: str = CALLER.trace_id) -> None:
    """Record the outcome of a call, as the guard does."""
    event = replace(audit_event("version.write"), trace_id=trace_id)
    server.append(replace(event, phase=Phase.OUTCOME, outcome="OK"))


@pytest.fixture
def written(audits: AuditWorld) -> AuditWorld:
    """A journal of a push and two moves, each in an entry of the log."""
    with noting(audits) as server:
        audits.world.push({"a": b"1"})
        call(server)
        for version in ("1", "2"):
            audits.world.push({"a": version.encode() * 2})
            audits.world.move("prod", version)
            call(server)
        server.sign()
    return audits


def newest(audits: AuditWorld) -> list[tuple[str, str]]:
    """Return key and version of the journal's entries, the newest first."""
    found = audits.world.blobs.first_versions(layout.JOURNALS)
    return [(item.key, item.version_id) for item in found][::-1]


def refused(call: Callable[[], object], reason: Reason, key: str) -> None:
    with pytest.raises(IntegrityError, match=key) as error:
        call()
    assert error.value.reason is reason


def test_entries_name_what_their_calls_wrote(written: AuditWorld) -> None:
    named = [
        [head.number for head in heads_of(entry.body["detail"])]
        for entry in written.entries()
    ]

    assert [len(numbers) for numbers in named] == [2, 2, 2]
    assert [number for numbers in named for number in numbers] == list(range(6))
    report = written.reader().check()
    assert report.journal_count == 1


def test_a_journal_whose_end_is_cut_off_is_named(written: AuditWorld) -> None:
    for key, version_id in newest(written)[:3]:
        written.world.bucket.delete_version(key, version_id)
        last = layout.JOURNALS
        refused(written.reader().check, Reason.JOURNAL_REWOUND, last)
    # A server that starts with an empty index does not know by itself.
    assert written.world.reopened().versions() == [2, 1]


def test_a_journal_that_is_gone_as_a_whole_is_named(written: AuditWorld) -> None:
    for key, version_id in newest(written):
        written.world.bucket.delete_version(key, version_id)

    refused(written.reader().check, Reason.JOURNAL_REWOUND, "is gone")


def test_a_journal_that_went_on_otherwise_is_named(written: AuditWorld) -> None:
    key = newest(written)[0][0]
    for found, version_id in newest(written)[:2]:
        written.world.bucket.delete_version(found, version_id)
    rewound = written.world.reopened()
    rewound.push({"a": b"another"})
    rewound.move("prod", "2")

    refused(written.reader().check, Reason.JOURNAL_CORRUPT, key)


def test_a_damaged_entry_with_a_repaired_copy_is_good(written: AuditWorld) -> None:
    key, version_id = newest(written)[0]
    data = written.world.blobs.get(key, version_id=version_id, max_bytes=2**20)
    written.world.bucket.corrupt(key, version_id, b"x" * len(data))
    refused(written.reader().check, Reason.JOURNAL_CORRUPT, key)

    written.world.blobs.put_new(layout.copy_key(key, bytes(16)), data)

    assert written.reader().check().journal_count == 1


def test_a_journal_that_is_longer_than_the_log_knows_is_good(
    written: AuditWorld,
) -> None:
    """A server that was killed before the outcome has written all the same."""
    written.world.push({"a": b"3"})

    assert written.reader().check().journal_count == 1


def test_many_entries_of_one_call_are_told_in_several(audits: AuditWorld) -> None:
    with audits.server("a") as server:
        for number in range(MAX_HEADS + 1):
            key = layout.journal_key(bytes(18), bytes([number]) * 18, 0)
            server.heads.note_head(key, bytes(32), trace_id="")
        call(server, "b" * 32)
        server.sign()
        server.shipper.wait_for(2)

    assert [
        (entry.body["action"], len(list(heads_of(entry.body["detail"]))))
        for entry in audits.entries()
        if DETAIL in entry.body["detail"]
    ] == [(ACTION, MAX_HEADS), (ACTION, 1)]


def test_what_is_no_head_is_none() -> None:
    assert [head.number for head in heads_of({DETAIL: OTHER})] == [3]
    for text in ("", ",", "x", OTHER[1:], OTHER + "0", OTHER.replace("=", "/")):
        assert not list(heads_of({DETAIL: text}))
    assert not list(heads_of({}))
