# SPDX-License-Identifier: Apache-2.0
"""What one command takes: wall time, CPU, memory, page faults, requests of S3."""

import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self, TextIO

from tests.bench.store_counts import StoreCounts, read_store_counts

MIB: Final = 1 << 20
#: A larger share of the processors used by others spoils a measurement.
MAX_FOREIGN: Final = 0.15
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
        sidecar: Strongroom's sidecar; 0 if there is none.
        beside: Whose processor time is nobody's here, but not foreign: OpenBao's.
        store_metrics: Where the S3 gateway tells what it was asked; "" if nowhere.
    """

    server: int
    store: Sequence[int]
    sidecar: int = 0
    beside: Sequence[int] = ()
    store_metrics: str = ""

    @property
    def ours(self) -> tuple[int, ...]:
        """Strongroom's own processes that serve."""
        return (self.server, self.sidecar) if self.sidecar else (self.server,)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one command took.

    Attributes:
        wall_s: From its start to its end, process start included.
        client_cpu_s: Processor time of the command and of what it started.
        server_cpu_s: Processor time of the Strongroom server and of its sidecar
            meanwhile.
        store_cpu_s: Processor time of SeaweedFS meanwhile.
        foreign: The share of all processors that others used meanwhile, 0 to 1.
        client_peak_bytes: The command's largest resident size.
        server_peak_bytes: The server's largest resident size since `clear_peak`.
        out: What it printed on standard output.
        client_faults: Pages that the command touched first (`ru_minflt`).
        server_faults: Pages that Strongroom's processes touched first meanwhile.
        sidecar_peak_bytes: The sidecar's largest resident size since `clear_peak`.
        asked: What the store was asked for meanwhile; None where nobody counts.
    """

    wall_s: float
    client_cpu_s: float
    server_cpu_s: float
    store_cpu_s: float
    foreign: float
    client_peak_bytes: int
    server_peak_bytes: int
    out: str
    client_faults: int = 0
    server_faults: int = 0
    sidecar_peak_bytes: int = 0
    asked: StoreCounts | None = None

    @property
    def cpu_s(self) -> float:
        """Processor time of the command and of Strongroom's processes."""
        return self.client_cpu_s + self.server_cpu_s


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
    usage = after.since(before, watched)
    return replace(usage, client_peak_bytes=peak.bytes, out=out)


@dataclass(slots=True)
class Meter:
    """Measures what a block of our own code takes, as if it were a command.

    Attributes:
        usage: What it took; there once the block has ended.
    """

    watched: Watched
    usage: Usage | None = None
    _before: "_Moment | None" = None

    def __enter__(self) -> Self:
        clear_peak(os.getpid())
        self._before = _Moment.now(self.watched, own=True)
        return self

    def __exit__(self, *_: object) -> None:
        after = _Moment.now(self.watched, own=True)
        if self._before is not None:
            usage = after.since(self._before, self.watched)
            self.usage = replace(usage, client_peak_bytes=peak_bytes(os.getpid()))


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
    """Notes the kernel's own high-water marks of a process until it ends.

    Of what it starts, too: the largest of all counts.

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
            for pid in (self.pid, *_children(self.pid)):
                self.bytes = max(self.bytes, peak_bytes(pid))


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started; none if it ended."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in text.split()]


@dataclass(frozen=True, slots=True)
class _Moment:
    wall_s: float
    children_s: float
    own_s: float
    server_s: float
    store_s: float
    beside_s: float
    machine_s: float
    client_faults: int
    server_faults: int
    asked: StoreCounts | None
    own: bool

    @classmethod
    def now(cls, watched: Watched, *, own: bool = False) -> "_Moment":
        """Look at everybody.

        Args:
            watched: The processes beside.
            own: Whether this process itself is the client that is measured.
        """
        asked = None
        if watched.store_metrics:
            asked = read_store_counts(watched.store_metrics)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        this = resource.getrusage(resource.RUSAGE_SELF)
        faults = children.ru_minflt + (this.ru_minflt if own else 0)
        return cls(
            time.monotonic(),
            children.ru_utime + children.ru_stime,
            this.ru_utime + this.ru_stime,
            sum(map(cpu_seconds, watched.ours)),
            sum(map(cpu_seconds, watched.store)),
            sum(map(cpu_seconds, watched.beside)),
            _machine_seconds(),
            faults,
            sum(map(first_touches, watched.ours)),
            asked,
            own,
        )

    def since(self, before: "_Moment", watched: Watched) -> Usage:
        wall_s = self.wall_s - before.wall_s
        children_s = self.children_s - before.children_s
        own_s = self.own_s - before.own_s
        server_s = self.server_s - before.server_s
        store_s = self.store_s - before.store_s
        known_s = children_s + own_s + server_s + store_s
        known_s += self.beside_s - before.beside_s
        others_s = self.machine_s - before.machine_s - known_s
        asked = None
        if self.asked is not None and before.asked is not None:
            asked = self.asked.since(before.asked)
        return Usage(
            wall_s,
            children_s + (own_s if self.own else 0.0),
            server_s,
            store_s,
            max(0.0, others_s / (wall_s * (os.cpu_count() or 1))),
            0,
            peak_bytes(watched.server),
            "",
            self.client_faults - before.client_faults,
            self.server_faults - before.server_faults,
            peak_bytes(watched.sidecar) if watched.sidecar else 0,
            asked,
        )


def first_touches(pid: int) -> int:
    """Return how many pages a process has touched first (`minflt`).

    Raises:
        BenchError: It has ended.
    """
    return int(_stat(pid)[7])


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used.

    Raises:
        BenchError: It has ended.
    """
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _stat(pid: int) -> list[str]:
    """Return the fields of `/proc/PID/stat` from the state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise BenchError(f"process {pid} has ended") from error
    return text.rpartition(")")[2].split()


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
