# SPDX-License-Identifier: Apache-2.0
"""The audit log fails closed: rivals, kills, full disks and events without a line."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.errors import IntegrityError, InternalError, Reason, UnavailableError
from strongroom_server.adapters.audit_log import (
    FileAuditLog,
    verify_audit_log,
)
from strongroom_server.core.audit import MAX_LINE_BYTES
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_logs import LINE_BYTES, append_many, opened, written
from tests.support.disks import file_size_limit, tiny_disk

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "server" / "audit"


@pytest.fixture
def sink(directory: Path) -> Iterator[FileAuditLog]:
    with opened(directory) as log:
        yield log


def test_a_second_writer_is_refused(sink: FileAuditLog, directory: Path) -> None:
    sink.append(audit_event())

    with pytest.raises(UnavailableError, match="another process") as caught:
        opened(directory).__enter__()

    assert caught.value.reason is Reason.AUDIT_UNAVAILABLE
    assert sink.append(audit_event()).number == 1


def test_a_killed_writer_leaves_a_log_that_goes_on(directory: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.support.audit_logs import audit_event, opened\n"
        "with opened(Path(sys.argv[1])) as log:\n"
        "    while True: print(log.append(audit_event()).number, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, directory],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        for _ in range(50):
            writer.stdout.readline()
        writer.kill()
        told = [int(line) for line in writer.stdout.read().split()]

    with opened(directory) as log:
        number = log.append(audit_event()).number

    assert number > max(told, default=49)
    assert verify_audit_log(directory).event_count == number + 1


def test_after_close_events_are_refused(directory: Path) -> None:
    with opened(directory) as log:
        log.append(audit_event())

    with pytest.raises(UnavailableError, match="closed"):
        log.append(audit_event())
    log.close()


def test_events_that_wait_at_the_close_are_written_or_refused(directory: Path) -> None:
    done: list[int] = []
    enough = threading.Event()

    def work(log: FileAuditLog) -> None:
        with suppress(UnavailableError):
            while True:
                receipt = log.append(audit_event())
                done.append(receipt.number)
                if len(done) > 20:
                    enough.set()

    with opened(directory) as log:
        threads = [threading.Thread(target=work, args=(log,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(timeout=30)
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(done) == list(range(len(done)))
    assert verify_audit_log(directory).event_count == len(done)


@pytest.mark.parametrize(
    "event",
    [
        audit_event(principal="x" * MAX_LINE_BYTES),
        audit_event("\ud800"),
        replace(audit_event(), detail=(("bytes", b"\0"),)),  # type: ignore[arg-type]
    ],
    ids=["long", "surrogate", "bytes"],
)
def test_an_event_without_a_line_harms_no_other(
    sink: FileAuditLog, directory: Path, event: object
) -> None:
    def work(turn: int) -> bool:
        if turn % 4:
            sink.append(audit_event())
            return True
        with pytest.raises(InternalError, match="cannot be recorded"):
            sink.append(event)  # type: ignore[arg-type]
        return False

    with ThreadPoolExecutor(8) as pool:
        good = sum(pool.map(work, range(64)))

    assert good == 48
    assert verify_audit_log(directory).event_count == 48


def test_a_full_disk_refuses_events_and_heals_by_itself(
    sink: FileAuditLog, directory: Path
) -> None:
    sink.append(audit_event())
    size = (directory / "audit.jsonl").stat().st_size
    with file_size_limit(size + LINE_BYTES // 2):
        for _ in range(3):
            with pytest.raises(UnavailableError) as caught:
                sink.append(audit_event())
            assert caught.value.reason is Reason.AUDIT_UNAVAILABLE

    receipt = sink.append(audit_event())

    assert receipt.number == 1
    assert verify_audit_log(directory).event_count == 2


def test_a_disk_without_room_refuses_events_and_heals(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk", 2**18) as disk, opened(disk / "audit") as log:
        stone = disk / "stone"
        stone.write_bytes(bytes(150_000))
        with pytest.raises(UnavailableError) as caught:
            append_many(log, 1000)

        assert caught.value.reason is Reason.AUDIT_UNAVAILABLE
        with pytest.raises(UnavailableError):
            log.append(audit_event())
        stone.unlink()
        count = log.append(audit_event()).number + 1

        for number in range(count, count + 10):
            assert log.append(audit_event()).number == number
        assert verify_audit_log(disk / "audit").event_count == count + 10


def test_a_cut_that_failed_is_made_up_for(sink: FileAuditLog, directory: Path) -> None:
    sink.append(audit_event())
    saved = os.dup(sink._fd)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sink._fd)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            sink.append(audit_event())
    with (directory / "audit.jsonl").open("ab") as file:
        file.write(b'{"half":')

    os.dup2(saved, sink._fd)
    os.close(saved)
    os.close(full)

    assert sink.append(audit_event()).number == 1
    assert verify_audit_log(directory).event_count == 2


def test_a_log_without_its_id_is_not_used(directory: Path) -> None:
    written(directory, 1)
    (directory / "log-id").unlink()

    with pytest.raises(IntegrityError, match="log-id"), opened(directory):
        pass
    with pytest.raises(IntegrityError, match="log-id"):
        verify_audit_log(directory)


@pytest.mark.parametrize("log_id", [b"", b"evil\n", b"\xff" * 8, b"0123ABCD\n"])
def test_a_log_with_a_damaged_id_is_not_used(directory: Path, log_id: bytes) -> None:
    written(directory, 1)
    (directory / "log-id").write_bytes(log_id)

    with pytest.raises(IntegrityError, match="log-id"), opened(directory):
        pass
    with pytest.raises(IntegrityError, match="log-id"):
        verify_audit_log(directory)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b'{"number":"x"}\n', b'{"number":null}\n', b"\xff"]
)
def test_a_damaged_full_file_is_told_at_the_start(
    directory: Path, content: bytes
) -> None:
    written(directory, 1)
    (directory / "audit-99999999999999999999.jsonl").write_bytes(content)

    with pytest.raises(IntegrityError) as caught, opened(directory):
        pass

    assert caught.value.reason is Reason.AUDIT_CORRUPT


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(UnavailableError) as caught, opened(tmp_path / "file" / "audit"):
        pass

    assert caught.value.reason is Reason.AUDIT_UNAVAILABLE


def test_a_log_that_is_not_there_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        verify_audit_log(tmp_path)


def test_others_cannot_read_the_files(sink: FileAuditLog, directory: Path) -> None:
    sink.append(audit_event())

    assert directory.stat().st_mode & 0o077 == 0
    assert {path.stat().st_mode & 0o077 for path in directory.iterdir()} == {0}
