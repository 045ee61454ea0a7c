# SPDX-License-Identifier: Apache-2.0
"""Types what a person would type, shows what it prints, and checks what is claimed."""

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"
_WIDTH: Final = 100
#: No step may take longer than this many seconds.
_STEP_TIMEOUT_S: Final = 240.0


class ClaimError(Exception):
    """Something that the demo says is not so."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did.

    Attributes:
        exit_code: 0 if it went well.
        text: What it printed, standard error included.
    """

    exit_code: int
    text: str


def headline(text: str) -> None:
    """Start a step."""
    bold, plain = (_BOLD, _PLAIN) if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


def say(text: str) -> None:
    """Print a line of explanation."""
    print(f"  # {text}", flush=True)


def claim(holds: object, text: str) -> None:
    """Print what was checked, or end the demo.

    Raises:
        ClaimError: If it does not hold.
    """
    if not holds:
        raise ClaimError(f"not so: {text}")
    print(f"  ok: {text}", flush=True)


def run(*arguments: str, exit_code: int | None = 0) -> Outcome:
    """Run a command of this virtual environment and show it with its output.

    Args:
        arguments: The program (`strongroom` or `python`) and its arguments.
        exit_code: What it must end with; None if anything but 0 will do.

    Raises:
        ClaimError: If it ends otherwise, or not within `_STEP_TIMEOUT_S`.
    """
    print(f"  $ {shlex.join(arguments)}", flush=True)
    program = Path(sys.executable).parent / arguments[0]
    columns = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 40)).columns)
    with subprocess.Popen(
        [str(program), *arguments[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": str(columns), "PYTHONUNBUFFERED": "1"},
    ) as process:
        deadline = threading.Timer(_STEP_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            text = _show(process.stdout or ())
            ended = process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            deadline.cancel()
    if ended != exit_code if exit_code is not None else ended == 0:
        wanted = "an error" if exit_code is None else f"exit code {exit_code}"
        raise ClaimError(f"{wanted} expected, but {arguments[0]} ended with {ended}")
    return Outcome(ended, text)


def typed(path: Path) -> str:
    """Spell a path the short way, from the current folder where that is possible."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    current = Path.cwd()
    if absolute.is_relative_to(current):
        return str(absolute.relative_to(current))
    return str(absolute)


def sizes(byte_count: int) -> str:
    """Spell a number of bytes for people."""
    value = float(byte_count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004 - a kibibyte
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} GiB"


def _show(output: Iterable[str]) -> str:
    """Print lines as they come, indented, and return them all."""
    lines: list[str] = []
    for line in output:
        print(f"    {line.rstrip()}", flush=True)
        lines.append(line)
    return "".join(lines)
