# SPDX-License-Identifier: Apache-2.0
"""`make bench`: Strongroom beside its peers on one S3, in one run, as ratios.

    make bench
    make bench BENCH_ARGS="--cases one-file --size 128MiB --rounds 1"

Each case starts a stack of its own in a temporary folder on this disk. Prints the
table and writes `build/bench.json`, after each case anew, so that an interruption
loses nothing; profiles of what is missed go to `build/bench-profiles`. Exit code 0 if
everything could be measured, whatever the ratios are: they vary with the machine, and
each row says what it was to reach. A case that fails is named, leaves the other rows
as they are, and makes it 1.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.bench_memory import parse_size
from tests.bench.measuring import MIB, end_like_interrupt, say
from tests.bench.programs import find_programs
from tests.bench.stacks import BenchStack, running_stack
from tests.bench.table import (
    checkpoints,
    loading,
    many_files,
    one_file,
    saving,
    shared_memory,
    shuffled,
    small_calls,
    vault_calls,
)
from tests.bench.table.rows import Row, format_counts, format_rows, write_rows
from tests.bench.table.settings import BenchSettings

ROOT: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Case:
    """Some rows that share a stack.

    Attributes:
        measure: Gives them.
        minutes: About how long it takes, as it comes: its share of the time.
    """

    measure: Callable[[BenchStack, Path, BenchSettings], list[Row]]
    minutes: float


CASES: Final[Mapping[str, Case]] = {
    "small-calls": Case(small_calls.measure, 2),
    "one-file": Case(one_file.measure, 7),
    "many-files": Case(many_files.measure, 9),
    "checkpoints": Case(checkpoints.measure, 6),
    "loading": Case(loading.measure, 3),
    "saving": Case(saving.measure, 2),
    "shuffled": Case(shuffled.measure, 3),
    "vault-calls": Case(vault_calls.measure, 1),
    "shared-memory": Case(shared_memory.measure, 2),
}


def main(arguments: Sequence[str]) -> int:
    """Run the cases; return the exit code."""
    end_like_interrupt()
    given = _options(arguments)
    given.json = given.json.resolve()  # programs are started in other folders
    programs = find_programs(given.tools.resolve())
    profiles = None if given.no_profile else given.json.parent / "bench-profiles"
    settings = BenchSettings(
        given.size,
        given.files,
        given.rounds,
        given.seconds,
        programs,
        profiles=profiles,
    )
    for peer in programs.left_out():
        say(f"left out, not installed: {peer}")
    rows: list[Row] = []
    failed: list[str] = []
    ends_s = time.monotonic() + 60 * given.minutes
    code = 0
    try:
        for place, case in enumerate(given.cases):
            later = sum(CASES[name].minutes for name in given.cases[place:])
            share = CASES[case].minutes / later
            now_s = time.monotonic()
            deadline_s = now_s + max(0.0, ends_s - now_s) * share
            rows += _run(case, replace(settings, deadline_s=deadline_s), failed)
            write_rows(rows, given.json)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        code = 130
    say()
    say(format_rows(rows))
    say("\nwhat was counted beside (medians)")
    say(format_counts(rows))
    missed = sum(row.verdict == "MISSED" for row in rows)
    say(f"bench: {len(rows)} rows, {missed} below their aim; {given.json}")
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return code or bool(failed)


def _run(case: str, settings: BenchSettings, failed: list[str]) -> list[Row]:
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    began_s = time.monotonic()
    say(f"{case} ...")
    try:
        # Its own stack: what one case stores must not slow down the next.
        with (
            tempfile.TemporaryDirectory(prefix="bench-", dir=build) as name,
            running_stack(Path(name) / "stack") as stack,
        ):
            rows = CASES[case].measure(stack, Path(name).resolve(), settings)
    except Exception as error:  # noqa: BLE001 - nothing may cost the other rows
        traceback.print_exc()
        print(f"bench: {case}: failed: {error}", file=sys.stderr)
        failed.append(case)
        return []
    say(f"{case}: {time.monotonic() - began_s:.0f} s")
    return rows


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='make bench BENCH_ARGS="..."')
    parser.add_argument("--size", type=parse_size, default=512 * MIB, metavar="512MiB")
    parser.add_argument("--files", type=int, default=20_000, metavar="20000")
    parser.add_argument("--rounds", type=int, default=3, metavar="3")
    parser.add_argument("--seconds", type=float, default=3.0, help="Of each load.")
    parser.add_argument(
        "--minutes",
        type=float,
        default=35.0,
        help="In all; each case gets a share, and one round at least.",
    )
    parser.add_argument("--no-profile", action="store_true", help="Of missed rows.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--tools", type=Path, default=ROOT / "build" / "bench-tools")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
