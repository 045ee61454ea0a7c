# SPDX-License-Identifier: Apache-2.0
"""Weights from S3 into a trainer's memory, through a sidecar that runs: G2, G2b, R2.

Loaders of tensors are timed without their imports; programs that write a file, whole.
The sidecar has seen none of the bytes: each round puts them into a new project.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.bench.checkpoints import tensors_of, write_checkpoint
from tests.bench.measuring import (
    GIB,
    MIB,
    BenchError,
    Usage,
    clear_peak,
    run_measured,
    say,
)
from tests.bench.peers import Boto3, S5cmd, Strongroom, Tool
from tests.bench.stacks import PEER_BUCKET, BenchStack
from tests.bench.table.profiles import Again, profile_missed
from tests.bench.table.rows import Aim, Row, at_most, compare
from tests.bench.table.settings import BenchSettings

RUNAI: Final = "Run:ai streamer"
S3TORCH: Final = "s3torchconnector"
RAW: Final = "strongroom, raw"
COMPACT: Final = "strongroom, compact"
_NAME: Final = "model.safetensors"
_CHILD: Final = Path(__file__).with_name("load_tensors.py")
_SOURCES: Final = Path(__file__).resolve().parents[3] / "client"

_RAW: Final = {
    RUNAI: Aim(2.5, 3.5),
    "boto3 tuned": Aim(1.5, 2.2),
    "s5cmd": Aim(1.15, 1.35),
}
_COMPACT: Final = {RUNAI: Aim(1.2, 2)}
_MEMORY: Final = {RUNAI: at_most(0.6, 0.5), S3TORCH: at_most(0.35, 0.3)}


@dataclass(frozen=True, slots=True)
class _Loads:
    """Runs loaders in an environment with torch."""

    stack: BenchStack
    work: Path
    settings: BenchSettings
    before: tuple[str, ...] = ()

    def ours(self, project: str) -> Usage:
        """Load by `Client.tensors`, through the sidecar."""
        config = str(self.stack.client_file)
        return self._run("strongroom", config, f"{project}/model")

    def peer(self, name: str, prefix: str) -> Usage:
        """Load what boto3 has stored, by one of the others."""
        loader = {RUNAI: "runai", S3TORCH: "s3torch"}[name]
        key = f"{prefix}/v/{_NAME}"
        return self._run(loader, PEER_BUCKET, key, self.stack.endpoint)

    def _run(self, loader: str, *arguments: str) -> Usage:
        programs = self.settings.programs
        path = [str(_SOURCES)]
        environ = self.stack.environ
        if loader != "strongroom":
            path, environ = [programs.loaders], self.stack.peer_environ
        usage = run_measured(
            [*self.before, programs.torch, str(_CHILD), loader, *arguments],
            watched=self.stack.watched,
            environ={**environ, "PYTHONPATH": ":".join(path)},
            cwd=self.work,
            scratch=self.work,
        )
        told = _told(usage.out)
        # Without imports, and of the loader alone: what it says of itself.
        return replace(
            usage,
            wall_s=float(told["seconds"]),
            client_peak_bytes=int(told["peak_bytes"]),
            out=f"{told['tensors']} {told['bytes']} {told['sum']}",
        )


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Load the same weights by everybody, round by round."""
    if not settings.programs.torch:
        say("left out, for want of torch: G2, G2b and R2")
        return []
    folder = work / "weights"
    folder.mkdir()
    size = write_checkpoint(folder / _NAME, tensors_of(settings.size_bytes), 1)
    beside = stack.with_sidecar()
    loads = _Loads(beside, work, settings)
    taken: dict[str, list[Usage]] = {}
    rounds = settings.rounds()
    for turn in rounds:
        names = [RAW, COMPACT, "boto3 tuned"]
        if settings.programs.s5cmd:
            names.append("s5cmd")
        if settings.programs.loaders:
            names += [RUNAI, S3TORCH]
        _store(stack, work, folder, str(turn))
        loaded = set[str]()
        for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
            clear_peak(beside.watched.sidecar)
            usage = _load(loads, name, str(turn))
            taken.setdefault(name, []).append(usage)
            rounds.note(usage.foreign)
            loaded |= {usage.out} - {""}
            say(f"round {turn + 1}: {name}: {usage.wall_s:.2f} s")
        if len(loaded) > 1:
            message = f"loaders found different tensors: {sorted(loaded)}"
            raise BenchError(message)
    return profile_missed(
        _rows(taken, size), settings, beside.watched, _again(loads, stack, folder)
    )


def _store(stack: BenchStack, work: Path, folder: Path, turn: str) -> None:
    """Store the weights where nobody has read them: raw, compact, and plain."""
    for codec in ("raw", "compact"):
        artifact = f"load-{codec}-{turn}/model"
        tool = Strongroom(codec, stack, work, artifact, "weights", codec)
        tool.prepare()
        tool.put(folder, "v")
    Boto3(stack, work, f"load-{turn}").put(folder, "v")


def _load(loads: _Loads, name: str, turn: str) -> Usage:
    prefix = f"load-{turn}"
    if name in {RAW, COMPACT}:
        return loads.ours(f"load-{name.rpartition(' ')[2]}-{turn}")
    if name in {RUNAI, S3TORCH}:
        return loads.peer(name, prefix)
    stack, work = loads.stack, loads.work
    tool: Tool = Boto3(stack, work, prefix)
    if name == "s5cmd":
        tool = S5cmd(stack, work, prefix, loads.settings.programs.s5cmd)
    usage = tool.get("v", work / "target")
    shutil.rmtree(work / "target")
    return replace(usage, out="")


def _rows(taken: dict[str, list[Usage]], size_bytes: int) -> list[Row]:
    what = f"weights of {size_bytes / GIB:.2g} GiB by a sidecar, cold"
    rows = [
        compare(
            f"{case} {what}{how}", "s",
            [usage.wall_s for usage in taken[mine]],
            (peer, [usage.wall_s for usage in taken[peer]]),
            aim,
            usages=(taken[mine], taken[peer]),
        )
        for case, how, mine, aims in (
            ("G2 load", ", raw", RAW, _RAW),
            ("G2b load", ", compact", COMPACT, _COMPACT),
        )
        for peer, aim in aims.items()
        if peer in taken
    ]  # fmt: skip
    return rows + [
        compare(
            f"R2 memory of who loads {what}", "MiB",
            [usage.client_peak_bytes / MIB for usage in taken[RAW]],
            (peer, [usage.client_peak_bytes / MIB for usage in taken[peer]]),
            aim,
            usages=(taken[RAW], taken[peer]),
        )
        for peer, aim in _MEMORY.items()
        if peer in taken
    ]  # fmt: skip


def _again(loads: _Loads, stack: BenchStack, folder: Path) -> dict[str, Again]:
    def again(codec: str, name: str) -> Again:
        def prepare() -> None:
            artifact = f"load-{codec}-{name}/model"
            tool = Strongroom(codec, stack, loads.work, artifact, "weights", codec)
            tool.prepare()
            tool.put(folder, "v")

        def run(before: tuple[str, ...]) -> None:
            replace(loads, before=before).ours(f"load-{codec}-{name}")

        return Again(run, prepare)

    return {
        "G2": again("raw", "again"),
        "G2b": again("compact", "again"),
        "R2": again("raw", "memory"),
    }


def _told(out: str) -> dict[str, Any]:
    lines = (line for line in reversed(out.splitlines()) if line[:1] == "{")
    told: dict[str, Any] = json.loads(next(lines, "{}"))
    return told
