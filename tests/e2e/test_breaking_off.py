# SPDX-License-Identifier: Apache-2.0
"""Transfers broken off in the middle leave nothing half visible, and end at once."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cli import LiveStack, Result
from tests.support.process_reads import ProcessReads
from tests.support.refusals import Asked, read_json, start

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.timeout(240)]

ARTIFACT = "breaking/off"
#: From the signal to the end of the process.
AT_ONCE_S = 1.0
#: What is written again and again: stored once, but sent each time.
RUN_BYTES = 32 * 1024 * 1024
RUNS = 16
#: How far a transfer is before it is broken off.
BEGUN_BYTES = 24 * 1024 * 1024
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a gigabyte in two files."""
    folder = tmp_path_factory.mktemp("breaking")
    run = os.urandom(RUN_BYTES)
    for name in ("a.bin", "b.bin"):
        with (folder / name).open("wb") as file:
            for _ in range(RUNS // 2):
                file.write(run)
    return folder


@pytest.fixture(scope="module")
def pushed(stack: LiveStack, tree: Path) -> LiveStack:
    """The stack, with the big version."""
    stack.check("push", str(tree), ARTIFACT)
    return stack


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let children see Ctrl-C even if whoever runs the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for a condition while a process runs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def staged_bytes(folder: Path) -> int:
    """Return how much lies in hidden places below a folder."""
    return sum(
        path.stat().st_size
        for hidden in folder.glob(".*")
        for path in hidden.rglob("*")
        if path.is_file()
    )


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> Result:
    """Send a signal; check that the process ends at once, and without a word more."""
    sent_s = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    lasted_s = time.monotonic() - sent_s

    assert lasted_s < AT_ONCE_S, (lasted_s, err)
    assert "Traceback" not in out + err
    *before, last = err.splitlines()
    assert last.startswith("strongroom: interrupted; no")
    # A push says how to go on, a long one also before it begins.
    assert all(" --resume " in line for line in before)
    assert len(before) <= 2
    return Result(process.returncode, out, err)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_push_that_is_interrupted_makes_no_version(
    stack: LiveStack, tree: Path, number: signal.Signals, code: int
) -> None:
    artifact = f"breaking/{number.name.lower()}"
    reads = ProcessReads(stack.pid("server"))
    push = stack.start("push", str(tree), artifact)
    wait_until(lambda: reads.so_far(push) > 2 * BEGUN_BYTES, push)

    assert interrupt(push, number).code == code

    shown = stack.run("show", artifact)
    assert shown.code == 10, shown
    # And nothing stands in the way of the next one.
    (tree.parent / "small").write_bytes(b"small")
    again = stack.check("push", str(tree.parent / "small"), artifact, "--json")
    assert again.summary["version"] == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_pull_that_is_interrupted_leaves_no_trace(
    pushed: LiveStack, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pull = pushed.start("pull", ARTIFACT, str(tmp_path / "new/out"))
    wait_until(lambda: staged_bytes(tmp_path / "new") > BEGUN_BYTES, pull)

    assert interrupt(pull, number).code == code

    # Not even the folder that was made for it.
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_dies_in_the_middle_of_a_pull_is_said_to_be_gone(
    pushed: LiveStack, tree: Path, tmp_path: Path
) -> None:
    server = pushed.pid("server")
    out = tmp_path / "out"
    pull = start(pushed, Asked(("pull", ARTIFACT, str(out), "--json")))
    try:
        wait_until(lambda: staged_bytes(tmp_path) > BEGUN_BYTES, pull)
        # While the client stands still, it cannot have got everything.
        pull.send_signal(signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
        assert staged_bytes(tmp_path) < RUNS * RUN_BYTES
        pull.send_signal(signal.SIGCONT)
        text, err = pull.communicate(timeout=PATIENCE_S)

        record = read_json(Result(pull.returncode, text, err))
        assert (pull.returncode, record["reason"]) == (17, "TRANSPORT"), record
        assert record["trace_id"]
        assert "cannot be reached" in record["message"]
        assert list(tmp_path.iterdir()) == []
    finally:
        pushed.up()
    pushed.check("pull", f"{ARTIFACT}/a.bin", str(out))
    assert out.read_bytes() == (tree / "a.bin").read_bytes()


def test_a_server_that_comes_back_is_not_even_noticed(
    pushed: LiveStack, tree: Path, tmp_path: Path
) -> None:
    server = pushed.pid("server")
    out = tmp_path / "out"
    pull = pushed.start("pull", ARTIFACT, str(out))
    try:
        wait_until(lambda: staged_bytes(tmp_path) > BEGUN_BYTES, pull)
        pull.send_signal(signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
    finally:
        pushed.up()
    pull.send_signal(signal.SIGCONT)
    _, err = pull.communicate(timeout=PATIENCE_S)

    assert pull.returncode == 0, err
    for name in ("a.bin", "b.bin"):
        assert (out / name).read_bytes() == (tree / name).read_bytes()
