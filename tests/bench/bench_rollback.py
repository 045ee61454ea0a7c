# SPDX-License-Identifier: Apache-2.0
"""A ref of a large artifact goes back: how long, and what S3 was asked for.

    make bench-rollback
    make bench-rollback BENCH_ARGS="--size 256MiB"

Starts a stack of its own in a temporary folder on this disk, pushes a file of random
bytes and the same with another beginning, points `prod` at the second, and has it
roll back. Tells for each step the time of the whole command, that of the server's
call, and the requests to S3 meanwhile, by kind and folder, those of the server's own
upkeep among them. Exit code 0 if the ref points where it should and no pack was read
or written, else 1.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.bench_memory import parse_size, write_random
from tests.bench.measuring import (
    MIB,
    BenchError,
    Usage,
    end_like_interrupt,
    run_measured,
    say,
)
from tests.bench.stacks import STRONGROOM, BenchStack, running_stack

ROOT: Final = Path(__file__).resolve().parents[2]
ARTIFACT: Final = "bench/weights"
PROD: Final = f"{ARTIFACT}@prod"
_TIMEOUT_S: Final = 3600.0
#: Until the server has written its spans down.
_SPANS_S: Final = 30.0
_S3: Final = "S3."
_MOVE: Final = "strongroom.v1.ArtifactService/MoveRef"


@dataclass(frozen=True)
class Step:
    """What one command did.

    Attributes:
        usage: What it took.
        move_s: How long the server took to move the ref, or to check that.
        requests: To S3 meanwhile, by kind and folder.
    """

    usage: Usage
    move_s: float
    requests: Counter[tuple[str, str]]

    @property
    def packs(self) -> int:
        """How many requests were about packs."""
        return sum(n for (_, folder), n in self.requests.items() if folder == "packs/")


@dataclass(frozen=True)
class Bench:
    """One run: a stack, and a folder with the file."""

    stack: BenchStack
    folder: Path

    def run(self, *arguments: str) -> Usage:
        """Run one command."""
        return run_measured(
            [str(STRONGROOM), *arguments],
            watched=self.stack.watched,
            environ=self.stack.environ,
            cwd=self.folder,
            scratch=self.folder,
            timeout_s=_TIMEOUT_S,
        )

    def watched(self, *arguments: str, moves: int = 0) -> Step:
        """Run one command, and say what the server asked S3 for meanwhile.

        Args:
            arguments: The command.
            moves: How often it moves a ref, or has it checked.
        """
        spans = self.stack.root / "telemetry" / "server-spans.jsonl"
        start = spans.stat().st_size
        usage = self.run(*arguments)
        ended = time.time_ns()
        found = self._spans_since(spans, start, moves)
        requests = Counter(
            (span["name"].removeprefix(_S3), _folder(span))
            for span in found
            if span["name"].startswith(_S3) and span["start_unix_nano"] <= ended
        )
        seconds = [_seconds(span) for span in found if span["name"] == _MOVE]
        return Step(usage, sum(seconds), requests)

    def _spans_since(self, path: Path, start: int, moves: int) -> list[dict[str, Any]]:
        """Return the server's spans behind a place of its file, once all are there."""
        deadline = time.monotonic() + _SPANS_S
        while True:
            with path.open("rb") as file:
                file.seek(start)
                lines = file.read().split(b"\n")[:-1]
            found = [json.loads(line) for line in lines]
            if sum(span["name"] == _MOVE for span in found) == moves:
                return found
            if time.monotonic() > deadline:
                raise BenchError(f"the server's spans tell of other moves than {moves}")
            time.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; return the exit code."""
    end_like_interrupt()
    parser = argparse.ArgumentParser(description="A ref that goes back.")
    parser.add_argument("--size", type=parse_size, default=4 << 30, metavar="4GiB")
    size_bytes = parser.parse_args(arguments).size
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rollback-", dir=build) as name:
        folder = Path(name)
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < 3 * size_bytes + (1 << 30):
            say(f"bench-rollback: {free_bytes // MIB} MiB of disk are too few")
            return 1
        try:
            pack_requests = measure(folder, size_bytes)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            say(f"bench-rollback: failed: {error}")
            return 1
        except KeyboardInterrupt:
            say("bench-rollback: interrupted")
            return 130
    say(f"requests about packs while the ref went back: {pack_requests}")
    return 1 if pack_requests else 0


def measure(folder: Path, size_bytes: int) -> int:
    """Do every step, print what it took; return how many requests were about packs.

    Raises:
        BenchError: The ref points elsewhere than it should.
    """
    source = folder / "weights.bin"
    write_random(source, size_bytes)
    with running_stack(folder / "stack") as stack:
        bench = Bench(stack, folder)
        _push(bench, source, 1)
        with source.open("r+b") as file:
            file.write(os.urandom(MIB))
        _push(bench, source, 2)
        _show(
            "what would change", bench.watched("rollback", PROD, "--dry-run", moves=1)
        )
        back = bench.watched("rollback", PROD, "--yes", moves=1)
        _show("rollback", back)
        _check(bench, 1)
        forth = bench.watched("rollback", PROD, "--to", "2", "--yes", moves=1)
        _show("taken back", forth)
        _check(bench, 2)
    return back.packs + forth.packs


def _push(bench: Bench, source: Path, number: int) -> None:
    pushed = bench.run("push", str(source), ARTIFACT, "--kind", "weights", "--json")
    bench.run("ref", "move", ARTIFACT, "prod", str(number))
    size_mib = source.stat().st_size // MIB
    say(f"version {number}: {size_mib} MiB pushed in {pushed.wall_s:.1f} s")


def _check(bench: Bench, number: int) -> None:
    shown = json.loads(bench.run("show", PROD, "--json").out.splitlines()[0])
    if shown["number"] != number:
        raise BenchError(f"{PROD} is version {shown['number']}, and not {number}")


def _show(name: str, step: Step) -> None:
    moved = f", the call {step.move_s * 1000:.1f} ms" if step.move_s else ""
    total = sum(step.requests.values())
    say(
        f"{name}: {step.usage.wall_s:.2f} s for the whole command{moved}; "
        f"{total} requests to S3, {step.packs} about packs"
    )
    for (kind, folder), count in sorted(step.requests.items()):
        say(f"  {count:4} {kind:<20} {folder}")


def _folder(span: dict[str, Any]) -> str:
    attributes = span["attributes"]
    key = str(attributes.get("aws.s3.key") or attributes.get("strongroom.prefix", ""))
    return f"{key.partition('/')[0]}/" if "/" in key else key or "(the bucket)"


def _seconds(span: dict[str, Any]) -> float:
    return float(span["end_unix_nano"] - span["start_unix_nano"]) / 1e9


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
