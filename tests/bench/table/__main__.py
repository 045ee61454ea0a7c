# SPDX-License-Identifier: Apache-2.0
"""`make bench`: Strongroom beside its peers on one S3, in one run, as ratios.

    make bench
    make bench BENCH_ARGS="--cases one-file --size 128MiB --rounds 1"

Starts a stack of its own in a temporary folder on this disk. Prints the table and
writes `build/bench.json`. Exit code 0 if everything could be measured, whatever the
ratios are: they vary with the machine, and each row says what it was to reach.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.bench.bench_memory import parse_size
from tests.bench.measuring import MIB, BenchError, end_like_interrupt, say
from tests.bench.peers import find_programs
from tests.bench.stacks import BenchStack, running_stack
from tests.bench.table import many_files, one_file, shared_memory, small_calls
from tests.bench.table.rows import Row, format_rows, write_rows
from tests.bench.table.settings import BenchSettings

ROOT: Final = Path(__file__).resolve().parents[3]
CASES: Final[Mapping[str, Callable[[BenchStack, Path, BenchSettings], list[Row]]]] = {
    "small-calls": small_calls.measure,
    "one-file": one_file.measure,
    "many-files": many_files.measure,
    "shared-memory": shared_memory.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Run the cases; return the exit code."""
    end_like_interrupt()
    given = _options(arguments)
    programs = find_programs(given.tools.resolve())
    settings = BenchSettings(
        given.size, given.files, given.rounds, given.seconds, programs
    )
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    rows: list[Row] = []
    try:
        for case in given.cases:
            # Its own stack: what one case stores must not slow down the next.
            with (
                tempfile.TemporaryDirectory(prefix="bench-", dir=build) as name,
                running_stack(Path(name) / "stack") as stack,
            ):
                say(f"{case} ...")
                rows += CASES[case](stack, Path(name).resolve(), settings)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    for peer, program in (
        ("restic (Debian: apt-get install restic)", programs.restic),
        ("s5cmd", programs.s5cmd),
        ("rclone", programs.rclone),
        ("awscli", programs.aws),
    ):
        if not program:
            say(f"left out, not installed: {peer}")
    say(format_rows(rows))
    write_rows(rows, given.json)
    missed = sum(row.verdict == "MISSED" for row in rows)
    say(f"bench: {len(rows)} rows, {missed} below their aim; {given.json}")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='make bench BENCH_ARGS="..."')
    parser.add_argument("--size", type=parse_size, default=512 * MIB, metavar="512MiB")
    parser.add_argument("--files", type=int, default=20_000, metavar="20000")
    parser.add_argument("--rounds", type=int, default=3, metavar="3")
    parser.add_argument("--seconds", type=float, default=3.0, help="Of each load.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--tools", type=Path, default=ROOT / "build" / "bench-tools")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
