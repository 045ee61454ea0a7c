# SPDX-License-Identifier: Apache-2.0
"""Processes of a stack: start, recognise, watch and stop them.

A process is known by its process file: number, start time and boot. A number
that the system has given to another process since is thereby told apart, so a
stranger is never signalled.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.errors import Reason, UnavailableError
from strongroom_server.dev import launch
from strongroom_server.dev.private_files import make_private_folder

#: How much of a log is shown when a process fails to start.
LOG_LINES = 12
_LAUNCH_TIMEOUT_S = 20.0
_POLL_S = 0.02
_KILL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to run one process, and where its traces lie.

    Attributes:
        name: Unique in the stack; names the process file and the log.
        command: Program and arguments; never holds a secret, for anybody may
            read the arguments of a process.
        cwd: Relative paths in `command` start here.
        environ: The whole environment, apart from HOME, TMPDIR, PATH and LANG.
        port: What to show in `status`.
        stop_timeout_s: How long SIGTERM may take before SIGKILL follows.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    port: int
    environ: Mapping[str, str] = field(default_factory=dict)
    stop_timeout_s: float = 10.0


class ManagedProcess:
    """One process of a stack, running or not.

    Args:
        spec: How to run it.
        root: The stack's folder; process file, log, HOME and TMPDIR lie in it.
        reason: The cause to report if it does not start.
    """

    def __init__(self, spec: ProcessSpec, root: Path, reason: Reason) -> None:
        self.spec = spec
        self.log = root / "logs" / f"{spec.name}.log"
        self.process_file = root / "run" / f"{spec.name}.json"
        self._root = root
        self._reason = reason

    @property
    def pid(self) -> int | None:
        """The number of the running process; None if it does not run."""
        try:
            record = json.loads(self.process_file.read_text("utf-8"))
            pid = int(record["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if _is_same_process(pid, record) else None

    @property
    def age_s(self) -> float | None:
        """How long the process has been running, in seconds."""
        pid = self.pid
        if pid is None:
            return None
        ticks = launch.start_ticks(Path(f"/proc/{pid}/stat").read_text("utf-8"))
        uptime_s = float(Path("/proc/uptime").read_text("utf-8").split()[0])
        return max(0.0, uptime_s - ticks / os.sysconf("SC_CLK_TCK"))

    def start(self) -> None:
        """Start the process unless it runs; do not wait until it is ready.

        Raises:
            UnavailableError: The process could not be made.
        """
        if self.pid is not None:
            return
        make_private_folder(self.log.parent)
        make_private_folder(self.process_file.parent)
        make_private_folder(self.spec.cwd)
        self.process_file.unlink(missing_ok=True)
        home = make_private_folder(self._root / "home")
        environ = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "TMPDIR": str(make_private_folder(self._root / "tmp")),
            **self.spec.environ,
        }
        launcher = [
            *(sys.executable, "-I", "-S", launch.__file__),
            *(str(self.process_file), str(self.log), str(self.spec.cwd)),
            *self.spec.command,
        ]
        # Not to be interrupted between the new process and its file: whoever cleans
        # up after Ctrl-C must see it.
        mask = signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        )
        try:
            subprocess.run(
                launcher,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                check=True,
                timeout=_LAUNCH_TIMEOUT_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise self.failure("could not be launched") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def wait_until(
        self,
        condition: Callable[[], bool],
        timeout_s: float,
        otherwise: str,
    ) -> None:
        """Wait for a condition, but no longer than the process lives.

        Raises:
            UnavailableError: The process ended, or the time ran out; with the
                last lines of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.pid is None:
                raise self.failure("ended while it was starting")
            if time.monotonic() > deadline:
                raise self.failure(f"{otherwise} within {timeout_s:.0f} s")
            time.sleep(_POLL_S)

    def failure(self, what: str) -> UnavailableError:
        """Make the error that tells what happened, with the end of the log."""
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
        except OSError:
            lines = []
        tail = "".join(f"\n  | {line[:300]}" for line in lines)
        return UnavailableError(
            f"{self.spec.name} {what}.{tail}",
            reason=self._reason,
            hint=f"Read {self.log}, then run `strongroom dev up` again.",
            process=self.spec.name,
            log=self.log,
        )

    def stop(self) -> bool:
        """End the process: SIGTERM, wait, SIGKILL; say whether it was running.

        Raises:
            UnavailableError: It is still there after SIGKILL.
        """
        with self._pinned() as descriptor:
            if descriptor is None:
                self.process_file.unlink(missing_ok=True)
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not _has_ended(descriptor, self.spec.stop_timeout_s):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                if not _has_ended(descriptor, _KILL_TIMEOUT_S):
                    raise self.failure("does not end, not even on SIGKILL")
        self.process_file.unlink(missing_ok=True)
        return True

    @contextlib.contextmanager
    def _pinned(self) -> Iterator[int | None]:
        """Hold the process by a descriptor, so that its number cannot be re-used.

        Opened first and compared afterwards: what the descriptor holds is then
        the process that was compared.
        """
        pid = self.pid
        descriptor = None
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
        try:
            yield descriptor if self.pid == pid else None
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _has_ended(descriptor: int, timeout_s: float) -> bool:
    """Wait for the end of the process that a pidfd holds."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _is_same_process(pid: int, record: Mapping[str, object]) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8")
        current = launch.process_record(pid)
    except (OSError, ValueError, IndexError):
        return False
    is_dead = state.rpartition(")")[2].split()[0] in "ZX"
    return not is_dead and current == record
