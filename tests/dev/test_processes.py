# SPDX-License-Identifier: Apache-2.0
"""Processes of a stack: recognised by more than their number, ended in time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.dev.launch import process_record
from strongroom_server.dev.processes import ManagedProcess, ProcessSpec

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"


def managed(root: Path, *command: str, stop_timeout_s: float = 5.0) -> ManagedProcess:
    spec = ProcessSpec(
        name="thing",
        command=command,
        cwd=root / "thing",
        port=0,
        stop_timeout_s=stop_timeout_s,
    )
    return ManagedProcess(spec, root, Reason.TRANSPORT)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ManagedProcess]:
    process = managed(tmp_path, "/bin/sleep", "600")
    yield process
    process.stop()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_process_is_started_once_and_stopped(sleeper: ManagedProcess) -> None:
    assert (sleeper.pid, sleeper.age_s) == (None, None)

    sleeper.start()
    pid = sleeper.pid
    sleeper.start()

    assert pid is not None
    assert sleeper.pid == pid
    assert 0 <= (sleeper.age_s or 0) < 60
    assert (sleeper.stop(), sleeper.stop()) == (True, False)
    assert not Path(f"/proc/{pid}/exe").exists()


def test_it_has_a_session_and_an_environment_of_its_own(
    sleeper: ManagedProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")

    sleeper.start()

    pid = sleeper.pid or 0
    environ = Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0")
    assert sorted(filter(None, environ)) == [
        f"HOME={tmp_path / 'home'}",
        "LANG=C.UTF-8",
        "PATH=/usr/bin:/bin",
        f"TMPDIR={tmp_path / 'tmp'}",
    ]
    assert os.getsid(pid) != os.getsid(0)
    blocked = Path(f"/proc/{pid}/status").read_text("utf-8")
    assert "SigBlk:\t0000000000000000" in blocked


def test_a_number_that_was_re_used_is_not_ours(
    sleeper: ManagedProcess, stranger: subprocess.Popen[bytes]
) -> None:
    record = process_record(stranger.pid)
    sleeper.process_file.parent.mkdir(parents=True)
    for other in (
        {**record, "start_ticks": int(str(record["start_ticks"])) - 1},
        {**record, "boot_id": "another boot"},
        {"pid": stranger.pid},
        [stranger.pid],
        {},
    ):
        sleeper.process_file.write_text(json.dumps(other), "utf-8")

        assert sleeper.pid is None
        assert sleeper.stop() is False
        assert stranger.poll() is None


def test_a_process_file_that_is_cut_off_names_nobody(sleeper: ManagedProcess) -> None:
    sleeper.process_file.parent.mkdir(parents=True)
    sleeper.process_file.write_text('{"pid": 1', "utf-8")

    assert sleeper.pid is None


def test_a_dead_process_that_nobody_has_reaped_is_dead(
    sleeper: ManagedProcess, stranger: subprocess.Popen[bytes]
) -> None:
    sleeper.process_file.parent.mkdir(parents=True)
    sleeper.process_file.write_text(json.dumps(process_record(stranger.pid)), "utf-8")
    assert sleeper.pid == stranger.pid

    os.kill(stranger.pid, signal.SIGKILL)
    os.waitid(os.P_PID, stranger.pid, os.WEXITED | os.WNOWAIT)

    assert sleeper.pid is None


def test_who_ignores_sigterm_is_killed_after_the_deadline(tmp_path: Path) -> None:
    process = managed(tmp_path, sys.executable, "-c", STUBBORN, stop_timeout_s=0.3)
    process.start()
    pid = process.pid
    process.wait_until(lambda: _ignores_sigterm(pid), 10, "did not get ready")

    begin = time.monotonic()
    assert process.stop() is True

    assert 0.3 <= time.monotonic() - begin < 5
    assert process.pid is None


def _ignores_sigterm(pid: int | None) -> bool:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored.split()[1], 16) & 1 << (signal.SIGTERM - 1))


def test_a_program_that_is_not_there_is_an_error_with_the_log(tmp_path: Path) -> None:
    process = managed(tmp_path, str(tmp_path / "nowhere"))

    with pytest.raises(UnavailableError, match="could not be launched") as caught:
        process.start()

    assert "cannot be run: [Errno 2]" in caught.value.message
    assert str(process.log) in caught.value.hint
    assert process.pid is None


def test_a_process_that_ends_at_once_is_an_error_with_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    process = managed(tmp_path, "/bin/sh", "-c", "seq 100; echo no luck >&2; exit 3")
    process.start()

    with pytest.raises(UnavailableError, match="ended while it was start") as caught:
        process.wait_until(lambda: False, 10, "did not get ready")

    assert "no luck" in caught.value.message
    assert "\n  | 100" in caught.value.message
    assert "\n  | 50" not in caught.value.message


def test_a_process_that_does_not_get_ready_is_an_error(
    sleeper: ManagedProcess,
) -> None:
    sleeper.start()

    with pytest.raises(UnavailableError, match="did not get ready within 0 s"):
        sleeper.wait_until(lambda: False, 0.1, "did not get ready")
