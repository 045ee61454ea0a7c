# SPDX-License-Identifier: Apache-2.0
"""Turns itself into a process of the stack that outlives the command.

Run as a script of its own, `python -I -S launch.py PROCESS_FILE LOG CWD COMMAND
...`, with nothing but the standard library. The process file is written by the
new process itself, just before it becomes the command: from its first moment on
a component is known by a file that says which process it is, however the command
that started it ends. The environment is passed on as it is.
"""

import json
import os
import signal
import sys
from pathlib import Path

#: Where Linux tells one boot from another: a start time is counted from boot.
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def start_ticks(stat: str) -> int:
    """Take the start time, in clock ticks since boot, out of `/proc/PID/stat`.

    Source:
        proc_pid_stat(5): field 22; the name (field 2) may hold blanks and brackets.
    """
    return int(stat.rpartition(")")[2].split()[19])


def process_record(pid: int) -> dict[str, object]:
    """Say which process `pid` is, in a way that no later process can equal."""
    return {
        "pid": pid,
        "start_ticks": start_ticks(Path(f"/proc/{pid}/stat").read_text("utf-8")),
        "boot_id": BOOT_ID.read_text("utf-8").strip(),
    }


def become(process_file: Path, log: Path, cwd: Path, command: list[str]) -> None:
    """Write the process file, and become `command`; never returns."""
    os.umask(0o077)
    os.chdir(cwd)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    partial = process_file.with_suffix(".partial")
    partial.write_text(json.dumps(process_record(os.getpid())), "utf-8")
    partial.replace(process_file)
    # The command that starts us blocks these while it does, and a mask is inherited.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


def main() -> int:
    """Fork once, so that the process is nobody's child: `init` looks after it.

    The session is new already: the caller asked for one. Returns when the new
    process has become its command (0) or has failed to, which the log tells: the
    pipe closes by itself at that moment.
    """
    process_file, log, cwd = (Path(argument) for argument in sys.argv[1:4])
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            become(process_file, log, cwd, sys.argv[4:])
        except OSError as error:
            os.write(2, f"{sys.argv[4]} cannot be run: {error}\n".encode())
            os.write(writing, b"!")
        os._exit(1)
    os.close(writing)
    return len(os.read(reading, 1))


if __name__ == "__main__":
    sys.exit(main())
