# SPDX-License-Identifier: Apache-2.0
"""The command line as a process: Ctrl-C, SIGTERM, closed pipes, terminals, traces."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from strongroom._system import monotonic_s
from tests.client.engine import Engine, write_config
from tests.client.trees import MIB, leftovers, write_tree
from tests.support.cutting_proxy import Plan, cutting_proxy

STRONGROOM = Path(sys.executable).with_name("strongroom")


def start(config: Path, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [STRONGROOM, "--config", config, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.alone
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_pull_ends_within_a_second_and_leaves_nothing(
    engine: Engine, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    settings = engine.settings(tmp_path / "certificates")
    config = write_config(settings, tmp_path / "direct.toml")
    tree = write_tree(tmp_path / "in", {"big": os.urandom(8 * MIB)})
    assert finish(start(config, "push", str(tree), "demo/interrupted"))[0] == 0

    # A server that falls silent in the middle holds the pull where it is.
    with cutting_proxy(f"http://{engine.endpoint}") as proxy:
        proxy.plans.append(Plan(answer_bytes=3 * MIB, stalls=True))
        endpoint = proxy.endpoint.removeprefix("http://")
        proxied = engine.settings(tmp_path / "proxied", endpoint=endpoint)
        config = write_config(proxied, tmp_path / "proxied.toml")
        process = start(config, "pull", "demo/interrupted", str(tmp_path / "out"))
        wait_for_bytes(tmp_path)
        process.send_signal(number)
        begun_s = monotonic_s()
        ended, _, err = finish(process)
        took_s = monotonic_s() - begun_s

    assert ended == code
    assert took_s < 1.0
    assert "interrupted" in err
    assert not (tmp_path / "out").exists()
    assert leftovers(tmp_path) == []


def wait_for_bytes(folder: Path) -> None:
    waiting = threading.Event()
    for _ in range(600):
        if any(path.stat().st_size for path in folder.glob(".out.strongroom-*/big")):
            return
        waiting.wait(0.05)
    message = "the pull does not start"
    raise AssertionError(message)


@pytest.mark.alone
def test_an_interrupted_push_ends_within_a_second_and_stores_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    settings = engine.settings(tmp_path / "certificates")
    config = write_config(settings, tmp_path / "direct.toml")
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    (tree / "huge").touch()
    os.truncate(tree / "huge", 40 << 30)  # sparse: nothing but a long way to go

    process = start(config, "push", str(tree), "demo/endless", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    begun_s = monotonic_s()
    code, _, _ = finish(process)
    took_s = monotonic_s() - begun_s

    assert code == 130
    assert took_s < 1.0
    assert finish(start(config, "show", "demo/endless"))[0] == 10


def test_a_reader_that_has_enough_is_no_error(engine: Engine, tmp_path: Path) -> None:
    settings = engine.settings(tmp_path / "certificates")
    config = write_config(settings, tmp_path / "client.toml")
    tree = write_tree(tmp_path / "in", {"big": bytes(8 * MIB)})
    assert finish(start(config, "push", str(tree), "demo/piped"))[0] == 0

    command = f"{STRONGROOM} --config {config} cat demo/piped/big | head -c 10"
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, timeout=60, check=False
    )

    assert done.stdout == bytes(10)
    assert done.stderr == b""


def test_a_terminal_gets_a_bar_with_rate_and_time_left(
    engine: Engine, tmp_path: Path
) -> None:
    settings = engine.settings(tmp_path / "certificates")
    config = write_config(settings, tmp_path / "client.toml")
    tree = write_tree(tmp_path / "in", {"big": bytes(64 * MIB)})
    ours, theirs = pty.openpty()

    process = subprocess.Popen(
        [STRONGROOM, "--config", config, "push", tree, "demo/bar"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break  # the terminal's other side is gone
        seen += data
    os.close(ours)

    assert process.wait(60) == 0
    assert b"MiB" in seen
    assert b"/s" in seen


def test_a_trace_shows_the_calls_of_one_command(engine: Engine, tmp_path: Path) -> None:
    settings = engine.settings(tmp_path / "certificates")
    config = write_config(settings, tmp_path / "client.toml")
    spans = tmp_path / "telemetry/client-spans.jsonl"
    config.write_text(config.read_text() + f'spans_file = "{spans}"\n')
    tree = write_tree(tmp_path / "in", {"a": b"1"})
    _, out, _ = finish(start(config, "push", str(tree), "demo/traced", "--json"))
    summary = json.loads(out.splitlines()[-1])

    code, text, _ = finish(start(config, "trace", summary["trace_id"]))
    _, tree_json, _ = finish(start(config, "trace", summary["trace_id"], "--json"))

    assert code == 0
    first, second = text.splitlines()
    assert "strongroom.push" in first
    assert "TransferService/WriteVersion" in second
    assert "[audit " in second
    assert json.loads(tree_json)["children"][0]["name"] in second
    assert spans.stat().st_mode & 0o077 == 0
    assert finish(start(config, "trace", "f" * 32))[0] == 10
