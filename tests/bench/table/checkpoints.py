# SPDX-License-Identifier: Apache-2.0
"""Versions of a checkpoint, whole processes: P3 to P5, and G3, reading the last one.

`make bench-dedup` measures more of the same; here it is a part of the one table, and
once more with a client that calls a sidecar.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.bench.checkpoints import blocks, tensors_of, write_checkpoint
from tests.bench.measuring import GIB, BenchError, Usage, say
from tests.bench.more_peers import Borg
from tests.bench.peers import (
    Boto3,
    RcloneCrypt,
    Restic,
    S5cmd,
    Strongroom,
    Tool,
)
from tests.bench.stacks import BenchStack
from tests.bench.table.profiles import BY_SIDECAR, Again, profile_missed
from tests.bench.table.rows import Aim, Row, at_most, compare
from tests.bench.table.settings import BenchSettings

OURS: Final = "strongroom"
SIDECAR: Final = f"strongroom{BY_SIDECAR}"
PLAIN: Final = "plain bytes"
VERSIONS: Final = ("v1", "v2", "v3")
_NAME: Final = "model.safetensors"
_PROFILED: Final = 1000

#: What is put, and how much faster than each peer.
_PUT: Final = {
    "P3 put checkpoint v1": {
        "boto3 tuned": Aim(1.0, 1.35),
        "s5cmd": Aim(1.0, 1.35),
        "restic": Aim(2.3, 3.2),
        "rclone crypt": Aim(1.7, 2.4),
    },
    "P4 put v2, a tenth changed": {
        "boto3 tuned": Aim(4, 8),
        "s5cmd": Aim(4, 8),
        "restic": Aim(3, 6),
        "borg (local disk)": Aim(2.8, 5.5),
    },
    "P5 put v3, all changed": {
        "boto3 tuned": Aim(1.5, 2.2),
        "s5cmd": Aim(1.5, 2.2),
        "restic": Aim(3.5, 5.5),
    },
}
#: What each may add, as a share of its plaintext, and of what restic adds.
_ADDED: Final = {
    "P3 stored of v1": {PLAIN: at_most(0.67, 0.663)},
    "P4 added by v2": {PLAIN: at_most(0.045, 0.041), "restic": at_most(0.4, 0.38)},
    "P5 added by v3": {PLAIN: at_most(0.20, 0.185), "restic": at_most(0.2, 0.187)},
}
_GET: Final = {"s5cmd": Aim(0.3, 1.0), "restic": Aim(1.2, 2.5)}
#: Who is asked for some versions only.
_ONLY: Final = {"rclone crypt": ("v1",), "borg (local disk)": ("v1", "v2")}


@dataclass
class _Taken:
    """What was measured, by version or `get`, and tool; one for each round."""

    usages: dict[tuple[str, str], list[Usage]] = field(default_factory=dict)
    added: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, what: str, tool: str, usage: Usage, added_bytes: int) -> None:
        """Note one measurement."""
        self.usages.setdefault((what, tool), []).append(usage)
        self.added.setdefault((what, tool), []).append(float(max(1, added_bytes)))


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Store three versions with every tool, and read the last, round by round."""
    beside = stack.with_sidecar()
    folders, plain_bytes = _write_versions(work, settings.size_bytes)
    taken = _Taken()
    rounds = settings.rounds()
    for turn in rounds:
        tools = _tools(stack, beside, work, settings, turn)
        for version in VERSIONS:
            for tool in _turned(tools, turn):
                if version not in _ONLY.get(tool.name, VERSIONS):
                    continue
                before = tool.stored_bytes()
                for path in folders[version].iterdir():
                    path.touch()
                usage = tool.put(folders[version], version)
                taken.add(version, tool.name, usage, tool.stored_bytes() - before)
                rounds.note(usage.foreign)
                say(f"round {turn + 1}: {tool.name}: {version} {usage.wall_s:.2f} s")
        readers = [tool for tool in tools if tool.name in {OURS, SIDECAR, *_GET}]
        for tool in _turned(readers, turn):
            usage = _read(tool, work, folders["v3"])
            taken.add("get", tool.name, usage, 0)
            say(f"round {turn + 1}: {tool.name}: read v3 {usage.wall_s:.2f} s")
        shutil.rmtree(work / "restic-cache", ignore_errors=True)
    rows = _rows(taken, plain_bytes)
    again = _again(stack, beside, work, folders)
    return profile_missed(rows, settings, beside.watched, again)


def _write_versions(work: Path, size_bytes: int) -> tuple[dict[str, Path], int]:
    tensors = tensors_of(size_bytes)
    folders, plain_bytes = {}, 0
    for number, version in enumerate(VERSIONS, 1):
        folders[version] = work / version
        folders[version].mkdir()
        plain_bytes = write_checkpoint(folders[version] / _NAME, tensors, number)
    return folders, plain_bytes


def _tools(
    stack: BenchStack,
    beside: BenchStack,
    work: Path,
    settings: BenchSettings,
    turn: int,
) -> list[Tool]:
    """Make everybody anew: nobody may know a version from another round."""
    programs = settings.programs
    tools: list[Tool] = [
        # A project of its own shares no bytes.
        Strongroom(OURS, stack, work, f"run-{turn}/model", "checkpoint"),
        Strongroom(SIDECAR, beside, work, f"beside-{turn}/model", "checkpoint"),
        Boto3(beside, work, f"ck-boto3-{turn}"),
    ]
    if programs.s5cmd:
        tools.append(S5cmd(beside, work, f"ck-s5cmd-{turn}", programs.s5cmd))
    if programs.rclone:
        tools.append(RcloneCrypt(beside, work, f"ck-rclone-{turn}", programs.rclone))
    if programs.restic:
        restic = Restic(beside, work, f"ck-restic-{turn}", programs.restic)
        restic.prepare()
        tools.append(restic)
    if programs.borg:
        borg = Borg(beside, work, f"ck-borg-{turn}", programs.borg)
        borg.prepare()
        tools.append(borg)
    return tools


def _turned(tools: Sequence[Tool], turn: int) -> list[Tool]:
    """Let another tool be first in each round."""
    first = turn % len(tools)
    return [*tools[first:], *tools[:first]]


def _read(tool: Tool, work: Path, wanted: Path) -> Usage:
    target = work / "target"
    usage = tool.get("v3", target)
    if _digest(next(target.rglob(_NAME))) != _digest(wanted / _NAME):
        message = f"{tool.name} gave back other bytes than it took"
        raise BenchError(message)
    shutil.rmtree(target)
    return usage


def _rows(taken: _Taken, plain_bytes: int) -> list[Row]:
    what = f" of {plain_bytes / GIB:.2g} GiB"
    rows = []
    for mine, end in ((OURS, ""), (SIDECAR, BY_SIDECAR)):
        for version, (put, puts), (added, limits) in zip(
            VERSIONS, _PUT.items(), _ADDED.items(), strict=True
        ):
            rows += _timed(taken, version, mine, f"{put}{what}{end}", puts)
            for peer, aim in limits.items():
                ours = taken.added[version, mine]
                theirs = taken.added.get((version, peer), [])
                if peer == PLAIN:
                    theirs = [float(plain_bytes)] * len(ours)
                if theirs:
                    case = f"{added}{what}{end}"
                    rows.append(compare(case, "bytes", ours, (peer, theirs), aim))
        rows += _timed(taken, "get", mine, f"G3 get v3{what}{end}", _GET)
    return rows


def _timed(
    taken: _Taken, version: str, mine: str, case: str, aims: dict[str, Aim]
) -> list[Row]:
    ours = taken.usages[version, mine]
    return [
        compare(
            case, "s",
            [usage.wall_s for usage in ours],
            (peer, [usage.wall_s for usage in theirs]),
            aim,
            usages=(ours, theirs),
        )
        for peer, aim in aims.items()
        if (theirs := taken.usages.get((version, peer)))
    ]  # fmt: skip


def _again(
    stack: BenchStack, beside: BenchStack, work: Path, folders: dict[str, Path]
) -> dict[str, Again]:
    def put(tool: Strongroom, version: str) -> Again:
        def prepare() -> None:
            for earlier in VERSIONS[: VERSIONS.index(version)]:
                tool.put(folders[earlier], earlier)

        def run(before: tuple[str, ...]) -> None:
            replace(tool, before=before).put(folders[version], version)

        return Again(run, prepare)

    runs: dict[str, Again] = {}
    for end, where in (("", stack), ("-sidecar", beside)):
        for place, version in enumerate(VERSIONS):
            project = f"profiled-{version}{end}"
            tool = Strongroom(OURS, where, work, f"{project}/model", "checkpoint")
            runs[f"P{3 + place}{end}"] = put(tool, version)

        def get(
            before: tuple[str, ...], where: BenchStack = where, end: str = end
        ) -> None:
            source = f"{'beside' if end else 'run'}-0/model"
            tool = Strongroom(OURS, where, work, source, "checkpoint", before=before)
            tool.pull_number(len(VERSIONS), work / "target")
            shutil.rmtree(work / "target")

        runs[f"G3{end}"] = Again(get)
    return runs


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest()
