# SPDX-License-Identifier: Apache-2.0
"""One large file of bytes that no codec shrinks, whole processes: P1, P2, G1, R1.

Ours is there twice: with a client that calls the server, and with one that calls a
sidecar beside it.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.checkpoints import blocks
from tests.bench.measuring import GIB, MIB, BenchError, Usage, clear_peak, say
from tests.bench.more_peers import (
    ENCRYPTION_CLIENT,
    ENCRYPTION_SDK,
    Dvc,
    EncryptionClient,
)
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
from tests.bench.table.profiles import BY_SIDECAR, Again, profile_missed
from tests.bench.table.random_file import write_random
from tests.bench.table.rows import Aim, Row, at_most, compare
from tests.bench.table.settings import BenchSettings

OURS: Final = "strongroom"
SIDECAR: Final = f"strongroom{BY_SIDECAR}"
#: Content that no round has.
_PROFILED: Final = 1000
_GB: Final = 1e9

_PUT: Final = {
    "boto3 tuned": Aim(0.85, 1.1),
    "boto3 default": Aim(1.0, 1.3),
    "aws s3 cp": Aim(1.0, 1.3),
    "rclone crypt": Aim(1.6, 2.2),
    "restic": Aim(2.3, 3.2),
    ENCRYPTION_SDK: Aim(1.3, 1.8),
    ENCRYPTION_CLIENT: Aim(1.3, 1.7),
    "dvc": Aim(1.6, 2.2),
}
_PUT_CPU: Final = {"boto3 default": at_most(0.5, 0.25), "rclone crypt": Aim(4, 8)}
_GET: Final = {
    "s5cmd": Aim(0.75, 1.1),
    "boto3 default": Aim(1.3, 1.9),
    "rclone crypt": Aim(1.2, 1.8),
    "restic": Aim(2.4, 3.8),
    ENCRYPTION_SDK: Aim(2.7, 4),
    ENCRYPTION_CLIENT: Aim(8, 12),
}
_MEMORY: Final = {
    "aws s3 cp": at_most(1.0, 0.65),
    "restic": at_most(0.8, 0.55),
    "dvc": at_most(0.2, 0.125),
}


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Store and read the file with every tool, round by round."""
    beside = stack.with_sidecar()
    ours = Strongroom(OURS, stack, work, "bench/one-file", "dataset")
    sidecar = Strongroom(SIDECAR, beside, work, "beside/one-file", "dataset")
    trial = _Trial(beside, work, settings.size_bytes)
    tools: list[Tool] = [ours, sidecar, *_peers(beside, work, settings)]
    puts: dict[str, list[Usage]] = {tool.name: [] for tool in tools}
    gets: dict[str, list[Usage]] = {tool.name: [] for tool in tools}
    rounds = settings.rounds()
    for turn in rounds:
        digest = trial.write(turn)
        for tool in [*tools[turn % len(tools) :], *tools[: turn % len(tools)]]:
            put, get = trial.run(tool, turn, digest)
            puts[tool.name].append(put)
            gets[tool.name].append(get)
            rounds.note(max(put.foreign, get.foreign))
            say(
                f"round {turn + 1}: {tool.name}: put {put.wall_s:.2f} s, "
                f"get {get.wall_s:.2f} s; foreign {max(put.foreign, get.foreign):.2f}"
            )
    rows = _rows(settings.size_bytes, puts, gets)
    return profile_missed(rows, settings, beside.watched, _again(trial, ours, sidecar))


@dataclass(frozen=True, slots=True)
class _Trial:
    """The file, and what is done with it."""

    stack: BenchStack
    work: Path
    size_bytes: int

    @property
    def folder(self) -> Path:
        return self.work / "one-file"

    def write(self, turn: int) -> str:
        """Write the file; return its digest."""
        self.folder.mkdir(exist_ok=True)
        # Other bytes each time, or tools that know them would send nothing.
        return write_random(self.folder / "data.bin", self.size_bytes, seed=turn)

    def run(self, tool: Tool, turn: int, digest: str) -> tuple[Usage, Usage]:
        """Store it and read it back."""
        version, target = f"v{turn}", self.work / "target"
        for pid in self.stack.watched.ours:
            clear_peak(pid)
        put, get = tool.put(self.folder, version), tool.get(version, target)
        _check(tool.name, target, digest)
        shutil.rmtree(target)
        return put, get


def _again(trial: _Trial, ours: Strongroom, sidecar: Strongroom) -> dict[str, Again]:
    def put(tool: Strongroom, seed: int) -> Again:
        def prepare() -> None:
            trial.write(seed)

        def run(before: tuple[str, ...]) -> None:
            replace(tool, before=before).put(trial.folder, f"v{seed}")

        return Again(run, prepare)

    def get(tool: Strongroom) -> Again:
        def run(before: tuple[str, ...]) -> None:
            target = trial.work / "target"
            replace(tool, before=before).get("v0", target)
            shutil.rmtree(target)

        return Again(run)

    runs: dict[str, Again] = {}
    for place, (end, tool) in enumerate((("", ours), ("-sidecar", sidecar))):
        for number, name in enumerate(("P1", "P2", "R1")):
            seed = _PROFILED + 10 * place + number
            runs[name + end] = put(tool, seed)
        runs[f"G1{end}"] = get(tool)
    return runs


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
    if programs.encryption:
        peers += [
            EncryptionClient(name, stack, work, prefix, programs.encryption)
            for name, prefix in (
                (ENCRYPTION_SDK, "one-esdk"),
                (ENCRYPTION_CLIENT, "one-s3ec"),
            )
        ]
    if programs.dvc:
        peers.append(Dvc(stack, work, "one-dvc", programs.dvc))
    return peers


def _rows(
    size_bytes: int, puts: dict[str, list[Usage]], gets: dict[str, list[Usage]]
) -> list[Row]:
    def cpu(usages: Sequence[Usage]) -> list[float]:
        return [usage.cpu_s / (size_bytes / _GB) for usage in usages]

    def wall(usages: Sequence[Usage]) -> list[float]:
        return [usage.wall_s for usage in usages]

    what = f"a file of {size_bytes / GIB:.2g} GiB"
    rows = []
    for mine, end in ((OURS, ""), (SIDECAR, BY_SIDECAR)):
        for case, unit, aims, series, figures in (
            (f"P1 put {what}", "s", _PUT, puts, wall),
            (f"P2 CPU of putting {what}", "CPU-s/GB", _PUT_CPU, puts, cpu),
            (f"G1 get {what}", "s", _GET, gets, wall),
        ):
            rows += [
                compare(
                    case + end, unit, figures(series[mine]),
                    (peer, figures(series[peer])), aim,
                    usages=(series[mine], series[peer]),
                )
                for peer, aim in aims.items()
                if peer in series
            ]  # fmt: skip
        rows += [
            compare(
                f"R1 memory of what serves, {what}{end}", "MiB",
                _peaks(mine, puts, gets), (peer, _peaks(peer, puts, gets)), aim,
                usages=(puts[mine], puts[peer]),
            )
            for peer, aim in _MEMORY.items()
            if peer in puts
        ]  # fmt: skip
    return rows


def _peaks(
    name: str, puts: dict[str, list[Usage]], gets: dict[str, list[Usage]]
) -> list[float]:
    """Return the peak of both ways: of what serves, or of a peer's process."""

    def peak(usage: Usage) -> int:
        if name == OURS:
            return usage.server_peak_bytes
        return usage.sidecar_peak_bytes if name == SIDECAR else usage.client_peak_bytes

    both = zip(puts[name], gets[name], strict=True)
    return [max(peak(put), peak(get)) / MIB for put, get in both]


def _check(name: str, target: Path, wanted: str) -> None:
    digest = hashlib.sha256()
    for block in blocks(next(target.rglob("data.bin"))):
        digest.update(block)
    if digest.hexdigest() != wanted:
        message = f"{name} gave back other bytes than it took"
        raise BenchError(message)
