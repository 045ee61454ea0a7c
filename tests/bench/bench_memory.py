# SPDX-License-Identifier: Apache-2.0
"""Push and pull one large file and measure the memory of server and client.

    make bench-memory
    make bench-memory BENCH_ARGS="--size 256MiB"

Starts a stack of its own in a temporary folder on this disk, and removes both.
Exit code 0 if the bytes came back whole within the limit, else 1.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = Path(sys.executable).parent / "strongroom"
LIMIT_MIB: Final = 512
MIB: Final = 1 << 20
_UNITS: Final = {"MiB": MIB, "GiB": 1 << 30}
_SAMPLE_EVERY_S: Final = 0.02
_COMMAND_TIMEOUT_S: Final = 1800.0


class BenchError(Exception):
    """The measurement could not be made, or what came back is wrong."""


@dataclass(slots=True)
class Peak:
    """The largest resident sizes seen, in bytes.

    Attributes:
        server: The kernel's own high-water mark of the server.
        client: The kernel's own high-water mark of the client.
        together: The largest sum of both at one moment, sampled.
    """

    server: int = 0
    client: int = 0
    together: int = 0

    @property
    def bound(self) -> int:
        """What both together cannot have exceeded: the sum of their peaks."""
        return self.server + self.client


@dataclass(slots=True)
class Watch:
    """Samples two processes until it is stopped.

    Attributes:
        peak: What was seen so far.
    """

    server_pid: int
    client_pid: int
    peak: Peak = field(default_factory=Peak)
    _done: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Sample until `stop`; the thread's body."""
        while not self._done.wait(_SAMPLE_EVERY_S):
            server, server_peak = resident_bytes(self.server_pid)
            client, client_peak = resident_bytes(self.client_pid)
            peak = self.peak
            peak.server = max(peak.server, server_peak)
            peak.client = max(peak.client, client_peak)
            peak.together = max(peak.together, server + client)

    def stop(self) -> None:
        """End `watch`."""
        self._done.set()


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; return the exit code."""
    # Ends as Ctrl-C does, so that nothing is left running or lying about.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description="Peak memory of push and pull.")
    parser.add_argument("--size", type=parse_size, default=4 << 30, metavar="4GiB")
    size_bytes = parser.parse_args(arguments).size
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as name:
        folder = Path(name)
        # Stored, pulled and pushed at once, and room for the rest.
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < 3 * size_bytes + (1 << 30):
            say(f"bench-memory: {free_bytes // MIB} MiB of disk are too few")
            return 1
        try:
            peak = measure(folder, size_bytes)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            say(f"bench-memory: failed: {error}")
            return 1
        except KeyboardInterrupt:
            say("bench-memory: interrupted")
            return 130
    peak_mib = -(-peak // MIB)
    say(f"peak RSS server+client: {peak_mib} MiB (limit {LIMIT_MIB})")
    return 0 if peak_mib <= LIMIT_MIB else 1


def measure(folder: Path, size_bytes: int) -> int:
    """Push and pull a file of `size_bytes`; return the peak memory in bytes."""
    source, target = folder / "source.bin", folder / "target.bin"
    digest = write_random(source, size_bytes)
    with running_stack(folder) as server_pid:
        pushed = timed(
            folder, server_pid, size_bytes, "push", source.name, "bench/file"
        )
        source.unlink()
        pulled = timed(
            folder,
            server_pid,
            size_bytes,
            "pull",
            f"bench/file@1/{source.name}",
            target.name,
        )
        if sha256_of(target) != digest:
            raise BenchError("what was pulled is not what was pushed")
    say(f"{size_bytes // MIB} MiB came back whole: sha256:{digest}")
    return max(pushed.bound, pulled.bound)


def timed(
    folder: Path, server_pid: int, size_bytes: int, verb: str, *arguments: str
) -> Peak:
    """Run one command beside the server and print what it took."""
    # The server's mark starts anew, so that each command shows its own peak; where
    # that is forbidden, the mark of the command before makes the result no smaller.
    with contextlib.suppress(PermissionError):
        Path(f"/proc/{server_pid}/clear_refs").write_text("5")
    started = time.monotonic()
    with subprocess.Popen(
        [str(PROGRAM), verb, *arguments, "--no-progress"],
        cwd=folder,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        watch = Watch(server_pid, process.pid)
        thread = threading.Thread(target=watch.watch)
        thread.start()
        try:
            exit_code = process.wait(timeout=_COMMAND_TIMEOUT_S)
        except BaseException:
            process.kill()
            raise
        finally:
            watch.stop()
            thread.join()
    elapsed_s = time.monotonic() - started
    if exit_code:
        raise BenchError(f"strongroom {verb} ended with {exit_code}")
    peak = watch.peak
    say(
        f"{verb}: {elapsed_s:.1f} s, {size_bytes / (1 << 30) / elapsed_s:.2f} GiB/s;"
        f" peak RSS server {peak.server // MIB} MiB, client {peak.client // MIB} MiB,"
        f" at one moment {peak.together // MIB} MiB"
    )
    return peak


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[int]:
    """Run a stack in `folder`; yield the process id of the Strongroom server."""
    try:
        # In here, so that what an interrupted start has started is stopped, too.
        stack(folder, "up")
        yield server_pid_of(json.loads(stack(folder, "status"))["processes"])
    finally:
        stack(folder, "down")


def server_pid_of(processes: Sequence[dict[str, object]]) -> int:
    """Find the Strongroom server in what `strongroom dev status --json` printed."""
    for process in processes:
        if process.get("name") == "server":
            return int(str(process["pid"]))
    raise BenchError("`strongroom dev status` names no server")


def stack(folder: Path, verb: str) -> str:
    """Run `strongroom dev …` on the stack in `folder`; return what it printed."""
    done = subprocess.run(
        [str(PROGRAM), "dev", verb, "--json"],
        cwd=folder,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"strongroom dev {verb} ended with {done.returncode}")
    return done.stdout


def plain_environment() -> dict[str, str]:
    """Return the environment without settings that point to another stack."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STRONGROOM_")
    }


def resident_bytes(pid: int) -> tuple[int, int]:
    """Return how much of a process is in memory now and was at most; 0 if it ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
    return int(sizes.get("VmRSS", 0)) * 1024, int(sizes.get("VmHWM", 0)) * 1024


def write_random(path: Path, size_bytes: int) -> str:
    """Write a file that no codec can shrink; return its SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size_bytes, MIB):
            block = os.urandom(min(MIB, size_bytes - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(text: str) -> None:
    """Print one line of the report."""
    print(text, flush=True)


def parse_size(text: str) -> int:
    """Read `256MiB` or `4GiB`."""
    match = re.fullmatch(r"([1-9][0-9]*)(MiB|GiB)", text)
    if match is None:
        message = f"{text!r} is no size: write 256MiB or 4GiB"
        raise argparse.ArgumentTypeError(message)
    return int(match[1]) * _UNITS[match[2]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
