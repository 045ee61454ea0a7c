# SPDX-License-Identifier: Apache-2.0
"""What one command takes: wall time, CPU of everybody involved, peak memory."""

import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

MIB: Final = 1 << 20
GIB: Final = 1 << 30
_SAMPLE_EVERY_S: Final = 0.02
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_ERROR_BYTES: Final = 2000


class BenchError(Exception):
    """The measurement could not be made, or what came back is wrong."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The processes beside the command, by number.

    Attributes:
        server: The Strongroom server.
        store: SeaweedFS, all of it.
    """

    server: int
    store: Sequence[int]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one command took.

    Attributes:
        wall_s: From its start to its end, process start included.
        client_cpu_s: Processor time of the command and of what it started.
        server_cpu_s: Processor time of the Strongroom server meanwhile.
        store_cpu_s: Processor time of SeaweedFS meanwhile.
        foreign: The share of all processors that others used meanwhile, 0 to 1.
        client_peak_bytes: The command's largest resident size.
        server_peak_bytes: The server's largest resident size since `clear_peak`.
        out: What it printed on standard output.
    """

    wall_s: float
    client_cpu_s: float
    server_cpu_s: float
    store_cpu_s: float
    foreign: float
    client_peak_bytes: int
    server_peak_bytes: int
    out: str


def run_measured(
    command: Sequence[str],
    *,
    watched: Watched,
    environ: Mapping[str, str],
    cwd: Path,
    scratch: Path,
    timeout_s: float = 1800.0,
    out_file: Path | None = None,
) -> Usage:
    """Run one command to its end and say what it took.

    Args:
        command: The program and its arguments.
        watched: Whose processor time is told beside the command's.
        environ: Its whole environment.
        cwd: Where it runs.
        scratch: A folder for what it prints; not one that it reads.
        timeout_s: It is killed after this long.
        out_file: Takes standard output, if there may be too much to hold.

    Raises:
        BenchError: It failed, or took too long; with the end of what it said.
    """
    output = (out_file or scratch / "bench-output.txt").open("w+")
    errors = (scratch / "bench-errors.txt").open("w+")
    # What others left to be written to the disk is not this command's.
    os.sync()
    before = _Moment.now(watched)
    with (
        output,
        errors,
        subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            text=True,
        ) as process,
    ):
        peak = PeakSampler(process.pid)
        peak.start()
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            message = f"{command[0]} took more than {timeout_s:.0f} s"
            raise BenchError(message) from error
        finally:
            process.kill()
            peak.stop()
        after = _Moment.now(watched)
        if code:
            raise BenchError(f"{' '.join(command)}\nended with {code}: {_end(errors)}")
        output.seek(0)
        out = "" if out_file else output.read()
    return after.since(before, peak.bytes, peak_bytes(watched.server), out)


def peak_bytes(pid: int) -> int:
    """Return the largest resident size of a process so far; 0 if it ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def clear_peak(pid: int) -> None:
    """Let the peak of a process begin anew.

    Raises:
        BenchError: It may not be asked that.
    """
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
    except OSError as error:
        raise BenchError(f"the peak of process {pid} cannot be reset") from error


@dataclass(slots=True)
class PeakSampler:
    """Notes the kernel's own high-water mark of a process until it ends.

    `ru_maxrss` will not do: it begins with the size of the process that forked.

    Attributes:
        pid: The process.
        bytes: The mark when it was last seen.
    """

    pid: int
    bytes: int = 0
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_EVERY_S):
            self.bytes = max(self.bytes, peak_bytes(self.pid))


@dataclass(frozen=True, slots=True)
class _Moment:
    wall_s: float
    children_s: float
    server_s: float
    store_s: float
    machine_s: float

    @classmethod
    def now(cls, watched: Watched) -> "_Moment":
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            time.monotonic(),
            used.ru_utime + used.ru_stime,
            cpu_seconds(watched.server),
            sum(map(cpu_seconds, watched.store)),
            _machine_seconds(),
        )

    def since(
        self, before: "_Moment", client_peak: int, server_peak: int, out: str
    ) -> Usage:
        wall_s = self.wall_s - before.wall_s
        client_s = self.children_s - before.children_s
        server_s = self.server_s - before.server_s
        store_s = self.store_s - before.store_s
        others_s = self.machine_s - before.machine_s - client_s - server_s - store_s
        return Usage(
            wall_s,
            client_s,
            server_s,
            store_s,
            max(0.0, others_s / (wall_s * (os.cpu_count() or 1))),
            client_peak,
            server_peak,
            out,
        )


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used.

    Raises:
        BenchError: It has ended.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise BenchError(f"process {pid} has ended") from error
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _machine_seconds() -> float:
    """Return the processor time that anybody has used, on all processors."""
    line = Path("/proc/stat").read_text("ascii").splitlines()[0]
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def _end(errors: TextIO) -> str:
    errors.seek(0)
    return errors.read()[-_ERROR_BYTES:]


def say(text: str = "") -> None:
    """Print one line of the report."""
    print(text, flush=True)


def end_like_interrupt() -> None:
    """Let SIGTERM end us as Ctrl-C does: nothing is left running or lying about."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
