# SPDX-License-Identifier: Apache-2.0
"""One large file of bytes that no codec shrinks, whole processes: P1, P2, G1, R1."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.checkpoints import blocks
from tests.bench.measuring import GIB, MIB, BenchError, Usage, clear_peak, say
from tests.bench.peers import (
    AwsCli,
    Boto3,
    RcloneCrypt,
    Restic,
    S5cmd,
    Strongroom,
    Tool,
)
from tests.bench.stacks import BenchStack
from tests.bench.table.random_file import write_random
from tests.bench.table.rows import Aim, Row, at_most, compare
from tests.bench.table.settings import BenchSettings

OURS: Final = "strongroom"
_GB: Final = 1e9

_PUT: Final = {
    "boto3 tuned": Aim(0.85, 1.1),
    "boto3 default": Aim(1.0, 1.3),
    "aws s3 cp": Aim(1.0, 1.3),
    "rclone crypt": Aim(1.6, 2.2),
    "restic": Aim(2.3, 3.2),
}
_PUT_CPU: Final = {"boto3 default": at_most(0.5, 0.25), "rclone crypt": Aim(4, 8)}
_GET: Final = {
    "s5cmd": Aim(0.75, 1.1),
    "boto3 default": Aim(1.3, 1.9),
    "rclone crypt": Aim(1.2, 1.8),
    "restic": Aim(2.4, 3.8),
}
_MEMORY: Final = {"aws s3 cp": at_most(1.0, 0.65), "restic": at_most(0.8, 0.55)}


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Store and read the file with every tool, round by round."""
    folder = work / "one-file"
    folder.mkdir()
    tools: list[Tool] = [
        Strongroom(OURS, stack, work, "bench/one-file", "dataset"),
        *_peers(stack, work, settings),
    ]
    puts: dict[str, list[Usage]] = {tool.name: [] for tool in tools}
    gets: dict[str, list[Usage]] = {tool.name: [] for tool in tools}
    for turn in range(settings.round_count):
        # Other bytes each time, or tools that know them would send nothing.
        digest = write_random(folder / "data.bin", settings.size_bytes, seed=turn)
        for tool in [*tools[turn % len(tools) :], *tools[: turn % len(tools)]]:
            version = f"v{turn}"
            clear_peak(stack.watched.server)
            puts[tool.name].append(tool.put(folder, version))
            target = work / "target"
            gets[tool.name].append(tool.get(version, target))
            _check(tool.name, target, digest)
            shutil.rmtree(target)
            say(
                f"round {turn + 1}: {tool.name}: put {puts[tool.name][-1].wall_s:.2f} "
                f"s, get {gets[tool.name][-1].wall_s:.2f} s"
            )
    shutil.rmtree(folder)
    return _rows(settings.size_bytes, puts, gets)


def _peers(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Tool]:
    programs = settings.programs
    peers: list[Tool] = [
        Boto3(stack, work, "one-boto3"),
        Boto3(stack, work, "one-boto3-default", "boto3 default", tuned=False),
    ]
    if programs.aws:
        peers.append(AwsCli(stack, work, "one-aws", programs.aws))
    if programs.s5cmd:
        peers.append(S5cmd(stack, work, "one-s5cmd", programs.s5cmd))
    if programs.rclone:
        peers.append(RcloneCrypt(stack, work, "one-rclone", programs.rclone))
    if programs.restic:
        restic = Restic(stack, work, "one-restic", programs.restic)
        restic.prepare()
        peers.append(restic)
    return peers


def _rows(
    size_bytes: int, puts: dict[str, list[Usage]], gets: dict[str, list[Usage]]
) -> list[Row]:
    def cpu(usages: Sequence[Usage]) -> list[float]:
        return [
            (usage.client_cpu_s + usage.server_cpu_s) / (size_bytes / _GB)
            for usage in usages
        ]

    def wall(usages: Sequence[Usage]) -> list[float]:
        return [usage.wall_s for usage in usages]

    def peak(name: str) -> list[float]:
        both = zip(puts[name], gets[name], strict=True)
        if name == OURS:
            return [
                max(a.server_peak_bytes, b.server_peak_bytes) / MIB for a, b in both
            ]
        return [max(a.client_peak_bytes, b.client_peak_bytes) / MIB for a, b in both]

    what = f"a file of {size_bytes / GIB:.2g} GiB"
    rows = []
    for case, unit, aims, series in (
        (f"P1 put {what}", "s", _PUT, lambda name: wall(puts[name])),
        (f"P2 CPU of putting {what}", "CPU-s/GB", _PUT_CPU, lambda n: cpu(puts[n])),
        (f"G1 get {what}", "s", _GET, lambda name: wall(gets[name])),
        (f"R1 server's memory, {what}", "MiB", _MEMORY, peak),
    ):
        rows += [
            compare(case, unit, series(OURS), (peer, series(peer)), aim)
            for peer, aim in aims.items()
            if peer in puts
        ]
    return rows


def _check(name: str, target: Path, wanted: str) -> None:
    digest = hashlib.sha256()
    for block in blocks(next(target.rglob("data.bin"))):
        digest.update(block)
    if digest.hexdigest() != wanted:
        message = f"{name} gave back other bytes than it took"
        raise BenchError(message)
