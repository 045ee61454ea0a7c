# SPDX-License-Identifier: Apache-2.0
"""`strongroom dev` as a command: what it prints where, and how it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from strongroom_server.dev.addresses import HOST
from strongroom_server.dev.private_files import write_record

COMMAND = (str(Path(sys.executable).with_name("strongroom")), "dev")


def run(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **environ},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_it_says_what_it_can_do(tmp_path: Path) -> None:
    result = run("--help", cwd=tmp_path)

    assert result.returncode == 0
    assert all(word in result.stdout for word in ("up", "down", "status", "env"))


def test_status_of_nothing_is_3_and_says_what_to_do(tmp_path: Path) -> None:
    result = run("status", cwd=tmp_path)

    assert result.returncode == 3
    assert "vault          down" in result.stdout
    assert f"There is no stack in {tmp_path / '.strongroom'}" in result.stderr
    assert "strongroom dev up" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_status_speaks_json(tmp_path: Path) -> None:
    result = run("status", "--json", "--dir", "elsewhere", cwd=tmp_path)

    answer = json.loads(result.stdout)
    assert result.returncode == 3
    assert answer["root"] == str(tmp_path / "elsewhere")
    assert answer["healthy"] is False
    assert [process["name"] for process in answer["processes"]] == [
        *("vault", "store-master", "store-volume", "store-filer", "store-s3"),
        "server",
    ]


def test_the_folder_may_come_from_the_environment(tmp_path: Path) -> None:
    result = run("status", "--json", cwd=tmp_path, STRONGROOM_DEV_DIR="/x/y")

    assert json.loads(result.stdout)["root"] == "/x/y"


def test_the_nearest_stack_above_is_found(tmp_path: Path) -> None:
    root = tmp_path / ".strongroom"
    write_record(root / "stack.json", {"format": 1, "ports": {}})
    below = tmp_path / "work" / "deep"
    (below / ".strongroom").mkdir(parents=True)

    found = run("status", "--json", cwd=below)
    named = run("status", "--json", "--dir", ".strongroom", cwd=below)

    assert json.loads(found.stdout)["root"] == str(root)
    assert json.loads(named.stdout)["root"] == str(below / ".strongroom")


def test_down_of_nothing_is_well(tmp_path: Path) -> None:
    text = run("down", cwd=tmp_path)
    answer = run("down", "--json", cwd=tmp_path)

    assert (text.returncode, answer.returncode) == (0, 0)
    assert text.stdout == ""
    assert "Nothing was running" in text.stderr
    assert json.loads(answer.stdout)["stopped"] == []


def test_env_prints_exports_for_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    ports = {"vault": 20001, "store-s3": 20002}
    write_record(folder / "stack.json", {"format": 1, "ports": ports})

    result = run("env", "--dir", str(folder), cwd=tmp_path)

    assert result.stdout.splitlines() == [
        f"export STRONGROOM_DEV_DIR='{folder}'",
        f"export STRONGROOM_CONFIG='{folder}/client.toml'",
        "export BAO_ADDR=https://127.0.0.1:20001",
        f"export BAO_CACERT='{folder}/vault/tls/ca.crt'",
        "export AWS_ENDPOINT_URL_S3=http://127.0.0.1:20002",
    ]


def test_an_error_is_three_lines_and_an_exit_code(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", "utf-8")

    result = run("up", "--dir", str(tmp_path), cwd=tmp_path)

    assert result.returncode == 16
    assert result.stdout == ""
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        *("strongroom", "  why", "  next"),
    ]


def test_an_error_speaks_json(tmp_path: Path) -> None:
    result = run("env", "--json", cwd=tmp_path)

    answer = json.loads(result.stderr)
    assert result.returncode == 10
    assert answer["reason"] == "PATH_NOT_FOUND"
    assert "strongroom dev up" in answer["hint"]


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_an_interrupted_up_leaves_nothing_running(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "stack"
    with subprocess.Popen(
        [*COMMAND, "up", "--dir", str(folder)], stderr=subprocess.PIPE, text=True
    ) as command:
        deadline = time.monotonic() + 30
        while not (folder / "run" / "vault.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        command.send_signal(number)
        _, stderr = command.communicate(timeout=60)

    status = run("status", "--json", "--dir", str(folder), cwd=tmp_path)
    assert command.returncode == code
    assert "strongroom: interrupted" in stderr
    assert "is stopped again" in stderr
    healths = [process["health"] for process in json.loads(status.stdout)["processes"]]
    assert set(healths) == {"down"}


@pytest.mark.e2e
@pytest.mark.slow
def test_a_whole_stack_comes_up_and_goes_down(tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    try:
        first = run("up", "--json", cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        answer = json.loads(first.stdout)
        host, _, port = answer["endpoint"].rpartition(":")
        with socket.create_connection((host, int(port)), 5):
            pass
        status = run("status", cwd=tmp_path)
        again = run("up", cwd=tmp_path)
    finally:
        down = run("down", cwd=tmp_path)

    assert answer["healthy"] is True
    assert status.returncode == 0
    assert [line.split()[:2] for line in status.stdout.splitlines()] == [
        [process["name"], "ok"] for process in answer["processes"]
    ]
    assert "server: already running" in again.stderr
    assert "strongroom doctor" in again.stderr
    assert down.returncode == 0
    # HOME and the working directory were both this folder.
    assert {path.name for path in tmp_path.iterdir()} - before == {".strongroom"}
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection((HOST, int(port)), 5).close()
        pytest.fail("the server is still there")
