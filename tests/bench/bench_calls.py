# SPDX-License-Identifier: Apache-2.0
"""Calls a second over mTLS with access and audit on, beside the same server without.

    make bench-calls
    make bench-calls BENCH_ARGS="--rounds 1 --seconds 1 --calls info"

Starts a stack of its own in a temporary folder, and four servers on it: with access
and audit, with one of them, with neither (`call_server`). In each round every server
answers one client, then sixteen, for a few seconds each; the order changes from round
to round. Three calls: `info` passes the guard and does nothing; `read` looks at a
version, with one listing in S3; `change` moves a ref, which Vault signs and S3 keeps,
and whose audit entries are in S3 before it is answered.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import strongroom
from strongroom.config import load_settings
from strongroom_server.dev.layout import StackLayout
from tests.bench.call_load import CALLS
from tests.bench.call_report import WITHOUT, CallReport, Figures, print_report
from tests.bench.measuring import BenchError, cpu_seconds, end_like_interrupt, say
from tests.bench.stacks import BenchStack, plain_environment, running_stack

ROOT: Final = Path(__file__).resolve().parents[2]
CLIENTS: Final = (1, 16)
_ACCOUNT: Final = "developer"
_START_S: Final = 60.0
_STOP_S: Final = 30.0
_SPARE_S: Final = 60.0


@dataclass(frozen=True)
class CallServer:
    """A server that runs.

    Attributes:
        name: Which of those in `WITHOUT`.
        pid: Its process.
        endpoint: Where it answers.
    """

    name: str
    pid: int
    endpoint: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="Of each load.")
    parser.add_argument("--calls", nargs="+", choices=CALLS, default=list(CALLS))
    options = parser.parse_args(arguments)
    end_like_interrupt()
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="calls-", dir=build) as folder,
            running_stack(Path(folder) / "stack") as stack,
        ):
            report = measure(
                stack, options.calls, rounds=options.rounds, seconds=options.seconds
            )
    except BenchError as error:
        print(f"bench-calls: {error}", file=sys.stderr)
        return 1
    print_report(report)
    say("bench-calls: ok")
    return 0


def measure(
    stack: BenchStack, calls: Sequence[str], *, rounds: int, seconds: float
) -> CallReport:
    """Let every server answer every load, round by round."""
    report = CallReport()
    _make_artifacts(stack)
    with contextlib.ExitStack() as running:
        servers = [
            running.enter_context(running_server(stack, name)) for name in WITHOUT
        ]
        for turn in range(rounds):
            # Whoever is first has no advantage for long.
            order = servers[turn % 4 :] + servers[: turn % 4]
            for call in calls:
                for clients in CLIENTS:
                    for server in order:
                        run = _run(stack, server, call, clients, seconds)
                        report.add(call, clients, server.name, run)
            say(f"round {turn + 1} of {rounds} is done")
    return _in_order(report)


def _in_order(report: CallReport) -> CallReport:
    places = list(WITHOUT)
    calls = list(CALLS)
    runs = sorted(
        report.runs.items(),
        key=lambda item: (
            calls.index(item[0][0]),
            item[0][1],
            places.index(item[0][2]),
        ),
    )
    return CallReport(dict(runs))


def _make_artifacts(stack: BenchStack) -> None:
    source = stack.root / "source"
    source.mkdir()
    (source / "a.txt").write_text("some data\n")
    settings = load_settings(config_file=StackLayout(stack.root).client_settings)
    with strongroom.Client(settings) as client:
        for number in range(max(CLIENTS)):
            client.push(source, f"calls/data-{number}", kind="dataset")


@contextlib.contextmanager
def running_server(
    stack: BenchStack, name: str, folder_name: str = ""
) -> Iterator[CallServer]:
    """Run one more server on a stack, with what `WITHOUT` leaves it."""
    folder = stack.root / (folder_name or name.replace(" ", "-"))
    folder.mkdir(mode=0o700)
    config = folder / "server.toml"
    config.write_text(_settings(stack, folder))
    config.chmod(0o600)
    left_out = [word for part in WITHOUT[name] for word in ("--without", part)]
    command = [sys.executable, "-m", "tests.bench.call_server", str(config), *left_out]
    log = folder / "log.jsonl"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=plain_environment(),
            stdin=subprocess.DEVNULL,
            stderr=errors,
        ) as process,
    ):
        try:
            port = _data_port(process, log)
            yield CallServer(name, process.pid, f"127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            process.kill()


def _settings(stack: BenchStack, folder: Path) -> str:
    """Return the stack's own settings, with other places and ports."""
    layout = StackLayout(stack.root)
    tables = tomllib.loads(layout.server_settings.read_text())
    any_port = "127.0.0.1:0"
    tables["listen"] |= {"data": any_port, "health": any_port, "admin": any_port}
    tables["index"]["path"] = str(folder / "index")
    tables["audit"]["path"] = str(folder / "audit")
    # One server has it, and calls without bytes have no use for it.
    tables.pop("shared_memory", None)
    # Spans are written by all four or by none; none is what a busy server has.
    tables["telemetry"] = {}
    return "".join(
        f"[{name}]\n"
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


def _data_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until a server serves; return the port that it took."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        for line in log.read_text().splitlines():
            told = _parsed(line)
            if told.get("event") == "serving":
                return int(told["data_port"])
        time.sleep(0.05)
    message = f"a server does not serve: {log.read_text()[-2000:]}"
    raise BenchError(message)


def _parsed(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _run(
    stack: BenchStack, server: CallServer, call: str, clients: int, seconds: float
) -> Figures:
    folder = StackLayout(stack.root).client(_ACCOUNT)
    before_s = cpu_seconds(server.pid)
    told = run_load(server.endpoint, folder, call, clients, seconds)
    cpu_s = cpu_seconds(server.pid) - before_s
    return Figures.of(
        told["micros"], seconds=told["seconds"], cpu_us=1e6 * cpu_s / told["made"]
    )


def run_load(
    endpoint: str, certificates: Path, call: str, clients: int, seconds: float
) -> dict[str, Any]:
    """Run `call_load` as a process of its own; return what it prints.

    Raises:
        BenchError: It failed.
    """
    command = [
        *(sys.executable, "-m", "tests.bench.call_load"),
        *("--endpoint", endpoint, "--certificates", str(certificates)),
        *("--call", call, "--clients", str(clients), "--seconds", str(seconds)),
    ]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds + _SPARE_S,
        check=False,
    )
    if run.returncode:
        message = f"{call} at {endpoint}: {run.stderr[-2000:]}"
        raise BenchError(message)
    return _parsed(run.stdout)


if __name__ == "__main__":
    sys.exit(main())
