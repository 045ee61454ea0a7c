# SPDX-License-Identifier: Apache-2.0
"""The audit log's files keep the contract, hold their chain, and show tampering."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.adapters.audit_log import (
    FileAuditLog,
    read_lines,
    verify_audit_log,
)
from tests.contract.audit_sink_suite import AuditSinkSuite, audit_event
from tests.support.audit_logs import LINE_BYTES, opened, written


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "server" / "audit"


@pytest.fixture
def sink(directory: Path) -> Iterator[FileAuditLog]:
    with opened(directory) as log:
        yield log


class TestFileAuditLog(AuditSinkSuite):
    @pytest.fixture
    def lines(self, directory: Path) -> Callable[[], list[bytes]]:
        return lambda: list(read_lines(directory))


class TestRotatingAuditLog(AuditSinkSuite):
    @pytest.fixture
    def sink(self, directory: Path) -> Iterator[FileAuditLog]:
        with opened(directory, rotate_bytes=3 * LINE_BYTES) as log:
            yield log

    @pytest.fixture
    def lines(self, directory: Path) -> Callable[[], list[bytes]]:
        return lambda: list(read_lines(directory))


def test_the_chain_goes_on_after_a_restart(directory: Path) -> None:
    with opened(directory) as log:
        first = [log.append(audit_event()) for _ in range(3)]
    with opened(directory) as log:
        second = [log.append(audit_event()) for _ in range(3)]

    summary = verify_audit_log(directory)

    assert [receipt.number for receipt in first + second] == list(range(6))
    assert {receipt.log_id for receipt in first + second} == {summary.log_id}
    assert (summary.event_count, summary.file_count) == (6, 1)
    assert summary.digest == second[-1].digest
    assert summary.torn_bytes == 0


def test_an_event_is_on_disk_when_append_returns(
    sink: FileAuditLog, directory: Path
) -> None:
    sink.append(audit_event("ref.move"))

    (line,) = (directory / "audit.jsonl").read_bytes().splitlines()

    assert json.loads(line)["action"] == "ref.move"


def test_full_files_are_put_aside_and_the_chain_runs_through(directory: Path) -> None:
    receipts = []
    for _ in range(4):
        with opened(directory, rotate_bytes=3 * LINE_BYTES) as log:
            receipts += [log.append(audit_event()) for _ in range(6)]

    names = sorted(path.name for path in directory.glob("*.jsonl"))
    summary = verify_audit_log(directory)
    assert len(names) > 4
    assert names[0] == f"audit-{0:020d}.jsonl"
    assert summary.event_count == 24
    assert summary.digest == receipts[-1].digest


def test_a_crash_between_the_files_loses_nothing(directory: Path) -> None:
    current = written(directory, 5)
    current.rename(directory / f"audit-{0:020d}.jsonl")

    with opened(directory) as log:
        receipt = log.append(audit_event())

    assert receipt.number == 5
    assert verify_audit_log(directory).event_count == 6


@pytest.mark.parametrize("kept", [1, 100, LINE_BYTES // 2])
def test_a_torn_line_is_put_aside_and_told(directory: Path, kept: int) -> None:
    current = written(directory, 3)
    torn = current.read_bytes()[:kept]
    with current.open("ab") as file:
        file.write(torn)
    assert verify_audit_log(directory).torn_bytes == kept

    with opened(directory) as log:
        receipt = log.append(audit_event())

    event = json.loads(list(read_lines(directory))[3])
    assert (directory / "audit.torn-3").read_bytes() == torn
    assert event["action"] == "audit.recover"
    assert event["detail"] == {"torn_bytes": str(kept), "torn_number": "3"}
    assert event["time"] == "2026-11-01T12:00:00.000000Z"
    assert receipt.number == 4
    assert verify_audit_log(directory).event_count == 5


def test_a_first_line_that_was_torn_is_put_aside(directory: Path) -> None:
    current = written(directory, 1)
    current.write_bytes(current.read_bytes()[:-1])

    with opened(directory) as log:
        assert log.append(audit_event()).number == 1

    assert verify_audit_log(directory).event_count == 2


@pytest.mark.parametrize("bad", range(4))
def test_a_damaged_entry_is_named_and_nothing_is_added(
    directory: Path, bad: int
) -> None:
    current = written(directory, 5)
    lines = current.read_bytes().splitlines(keepends=True)
    lines[bad] = lines[bad].replace(b'"allow"', b'"deny"')
    current.write_bytes(b"".join(lines))

    with pytest.raises(IntegrityError, match=f"entry {bad + 1} ") as caught:
        verify_audit_log(directory)
    with pytest.raises(IntegrityError), opened(directory):
        pass

    assert caught.value.reason is Reason.AUDIT_CORRUPT
    assert current.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("change", ["drop", "swap", "repeat", "insert"])
def test_entries_cannot_be_dropped_moved_or_added(directory: Path, change: str) -> None:
    current = written(directory, 5)
    a, b, c, d, e = current.read_bytes().splitlines(keepends=True)
    changed = {
        "drop": [a, b, d, e],
        "swap": [a, b, d, c, e],
        "repeat": [a, b, b, c, d, e],
        "insert": [a, b, b"{}\n", c, d, e],
    }
    current.write_bytes(b"".join(changed[change]))

    with pytest.raises(IntegrityError, match="entry 2 "):
        verify_audit_log(directory)


def test_a_file_that_was_taken_away_is_missed(directory: Path) -> None:
    with opened(directory, rotate_bytes=2 * LINE_BYTES) as log:
        for _ in range(10):
            log.append(audit_event())
    full = sorted(directory.glob("audit-*.jsonl"))
    full[1].unlink()

    with pytest.raises(IntegrityError, match="damaged, missing or out of order"):
        verify_audit_log(directory)
    full[-1].unlink()
    with pytest.raises(IntegrityError), opened(directory):
        pass


def test_any_flipped_bit_shows(directory: Path) -> None:
    current = written(directory, 3)
    good = verify_audit_log(directory)
    data = current.read_bytes()

    for offset in range(len(data)):
        bad = bytearray(data)
        bad[offset] ^= 1 << (offset % 8)
        current.write_bytes(bad)
        try:
            found = verify_audit_log(directory)
        except IntegrityError:
            pass
        else:
            # In the last line only: a receipt, or the next line, tells.
            assert found.digest != good.digest
            assert offset > data.rfind(b"\n", 0, -1)
