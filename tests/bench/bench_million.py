# SPDX-License-Identifier: Apache-2.0
"""One version of a million small files: push, list, compare, change one of them.

    make bench-million
    make bench-million BENCH_ARGS="--files 20000"

Starts a stack of its own in a temporary folder on this disk, and removes both; a
million files of 100 to 400 bytes take 4 GiB of disk while it runs.
Exit code 0 if everything came out right and neither the client nor the server ever
had more than 1 GiB in memory, else 1.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.measuring import (
    MIB,
    BenchError,
    Usage,
    clear_peak,
    end_like_interrupt,
    run_measured,
    say,
)
from tests.bench.small_files import change_one, write_dataset
from tests.bench.stacks import STRONGROOM, BenchStack, running_stack

ROOT: Final = Path(__file__).resolve().parents[2]
LIMIT_BYTES: Final = 1024 * MIB
ARTIFACT: Final = "bench/small-files"
PER_FOLDER: Final = 1000
#: Bytes of one file: between these, and on disk a block of 4 KiB each.
SIZES: Final = (100, 400)
_DISK_BYTES_PER_FILE: Final = 5120
_TIMEOUT_S: Final = 3600.0


@dataclass(frozen=True)
class Bench:
    """One run: a stack, and a folder with the dataset."""

    stack: BenchStack
    folder: Path

    def step(self, name: str, *arguments: str, out_file: Path | None = None) -> Usage:
        """Run one command, print a line about it, and check its memory."""
        clear_peak(self.stack.watched.server)
        before = self.stack.stored_bytes()
        usage = run_measured(
            [str(STRONGROOM), *arguments],
            watched=self.stack.watched,
            environ=self.stack.environ,
            cwd=self.folder,
            scratch=self.folder,
            timeout_s=_TIMEOUT_S,
            out_file=out_file,
        )
        added = self.stack.stored_bytes() - before
        say(
            f"{name:<10} {usage.wall_s:8.1f} s"
            f"  client {usage.client_cpu_s:7.1f} CPU-s"
            f" {usage.client_peak_bytes // MIB:5} MiB"
            f"  server {usage.server_cpu_s:7.1f} CPU-s"
            f" {usage.server_peak_bytes // MIB:5} MiB"
            f"  others {usage.foreign:4.0%}  stored {added:>12,} bytes"
        )
        worst = max(usage.client_peak_bytes, usage.server_peak_bytes)
        if worst > LIMIT_BYTES:
            raise BenchError(f"{name} had {worst // MIB} MiB in memory")
        return usage


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; return the exit code."""
    end_like_interrupt()
    parser = argparse.ArgumentParser(description="A million small files.")
    parser.add_argument("--files", type=int, default=1_000_000, metavar="1000000")
    count = parser.parse_args(arguments).files
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="million-", dir=build) as name:
        folder = Path(name)
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < count * _DISK_BYTES_PER_FILE + (1 << 30):
            say(f"bench-million: {free_bytes // MIB} MiB of disk are too few")
            return 1
        try:
            measure(folder, count)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            say(f"bench-million: failed: {error}")
            return 1
        except KeyboardInterrupt:
            say("bench-million: interrupted")
            return 130
    say(f"no process had more than {LIMIT_BYTES // MIB} MiB in memory")
    return 0


def measure(folder: Path, count: int) -> None:
    """Do every step and print what it took.

    Raises:
        BenchError: A result is wrong, or a process had too much in memory.
    """
    data = folder / "data"
    total = write_dataset(data, count=count, sizes=SIZES, per_folder=PER_FOLDER, seed=1)
    say(f"{count:,} files, {total:,} bytes")
    with running_stack(folder / "stack") as stack:
        bench = Bench(stack, folder)
        _push(bench, "push", data, count)
        _list(bench, count)
        changed = count // 2
        change_one(data, changed, per_folder=PER_FOLDER, seed=2)
        _push(bench, "push again", data, count)
        _diff(bench, f"/{changed:07}.bin", count)


def _push(bench: Bench, name: str, data: Path, count: int) -> None:
    usage = bench.step(name, "push", str(data), ARTIFACT, "--kind", "dataset", "--json")
    summary = _lines(usage.out)[-1]
    if summary["file_count"] != count or summary["unchanged"]:
        raise BenchError(f"{name}: {summary}")


def _list(bench: Bench, count: int) -> None:
    listing = bench.folder / "listing.jsonl"
    bench.step("list", "ls", f"{ARTIFACT}@1", "--json", out_file=listing)
    with listing.open() as lines:
        listed = sum(1 for _ in lines)
    if listed != count:
        raise BenchError(f"{listed} of {count} files were listed")
    listing.unlink()


def _diff(bench: Bench, changed: str, count: int) -> None:
    usage = bench.step("diff", "diff", f"{ARTIFACT}@1", "@2", "--json")
    *changes, summary = _lines(usage.out)
    paths = [str(item["path"]) for item in changes]
    if (
        len(paths) != 1
        or not paths[0].endswith(changed)
        or summary["unchanged_count"] != count - 1
    ):
        raise BenchError(f"diff: {paths[:10]}, {summary}")


def _lines(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines() if line]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
