# SPDX-License-Identifier: Apache-2.0
"""A dataset of many small files, whole processes: S1, S2, S5.

Peers that take minutes for it get the first part of it only, and so do we beside them.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from strongroom_server.dev.seaweed import BUCKET
from tests.bench.measuring import BenchError, Usage, say
from tests.bench.more_peers import Dvc
from tests.bench.peers import (
    AwsCli,
    RcloneCrypt,
    Restic,
    S5cmd,
    Strongroom,
    Tool,
)
from tests.bench.small_files import write_dataset
from tests.bench.stacks import BenchStack
from tests.bench.table.profiles import BY_SIDECAR, Again, note_missed, profile_missed
from tests.bench.table.rows import Aim, Row, at_most, compare
from tests.bench.table.settings import BenchSettings

OURS: Final = "strongroom"
SIDECAR: Final = f"strongroom{BY_SIDECAR}"
#: What slow peers get of the dataset.
_SLOW_SHARE: Final = 1 / 8
_PROFILED: Final = 1000
#: Bytes of one file: between these.
SIZES: Final = (1024, 100 * 1024)
_PER_FOLDER: Final = 500

_PUT: Final = {
    "s5cmd": Aim(2.7, 3.5),
    "restic": Aim(1.7, 2.3),
    "rclone crypt": Aim(3.5, 4.5),
    "aws s3 cp": Aim(11, 14),
    "dvc": Aim(7, 9),
}
_GET: Final = {
    "s5cmd": Aim(3, 5),
    "restic": Aim(1.4, 2.2),
    "rclone crypt": Aim(4, 6.5),
    "aws s3 cp": Aim(22, 37),
}
#: Of the plain bytes, and in objects: packs for each thousand files, and the rest.
_STORED: Final = at_most(1.004, 1.0025)
_PACKS_PER_THOUSAND: Final = 3.15
_OTHER_OBJECTS: Final = 17


@dataclass
class _Trial:
    """A dataset of some size, and who stores and reads it."""

    work: Path
    file_count: int
    tools: list[Tool]
    puts: dict[str, list[Usage]] = field(default_factory=dict)
    gets: dict[str, list[Usage]] = field(default_factory=dict)

    @property
    def what(self) -> str:
        return f"{self.file_count} files of 1 to 100 KiB"

    @property
    def folder(self) -> Path:
        return self.work / "many-files"

    def write(self, turn: int) -> int:
        """Write the dataset; return its bytes."""
        return write_dataset(
            self.folder,
            count=self.file_count,
            sizes=SIZES,
            per_folder=_PER_FOLDER,
            seed=self.file_count + turn,
        )

    def run(self, tool: Tool, turn: int, total: int) -> tuple[Usage, Usage]:
        """Store it and read it back."""
        put = tool.put(self.folder, f"v{turn}")
        target = self.work / "target"
        get = tool.get(f"v{turn}", target)
        _check(tool.name, target, total)
        shutil.rmtree(target)
        self.puts.setdefault(tool.name, []).append(put)
        self.gets.setdefault(tool.name, []).append(get)
        say(
            f"round {turn + 1}: {self.file_count} files, {tool.name}: "
            f"put {put.wall_s:.1f} s, get {get.wall_s:.1f} s; "
            f"foreign {max(put.foreign, get.foreign):.2f}"
        )
        return put, get

    def rows(self) -> list[Row]:
        """Compare everybody with us."""
        return [
            compare(
                f"{case} {self.what}{end}", "s",
                [usage.wall_s for usage in series[mine]],
                (peer, [usage.wall_s for usage in series[peer]]),
                aim,
                usages=(series[mine], series[peer]),
            )
            for mine, end in ((OURS, ""), (SIDECAR, BY_SIDECAR))
            for case, series, aims in (
                ("S1 put", self.puts, _PUT), ("S2 get", self.gets, _GET)
            )
            for peer, aim in aims.items()
            if mine in series and peer in series
        ]  # fmt: skip


@dataclass
class _Stored:
    """What a push of ours added to the bucket, round by round."""

    stack: BenchStack
    plain: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)
    objects: list[float] = field(default_factory=list)
    #: Of the last round, by folder: how many objects, and their bytes.
    folders: Counter[str] = field(default_factory=Counter)
    folder_bytes: Counter[str] = field(default_factory=Counter)

    def look(self) -> dict[str, int]:
        """Return the objects that there are, with their bytes."""
        return dict(self.stack.objects(BUCKET))

    def add(self, before: Mapping[str, int], total: int) -> None:
        """Note what has come since."""
        new = {key: size for key, size in self.look().items() if key not in before}
        self.plain.append(float(total))
        self.stored.append(float(sum(new.values())))
        self.objects.append(float(len(new)))
        self.folders = Counter(key.partition("/")[0] for key in new)
        self.folder_bytes = Counter()
        for key, size in new.items():
            self.folder_bytes[key.partition("/")[0]] += size

    def told(self, trial: "_Trial") -> str:
        """Return what the last round stored, by folder."""
        parts = [
            f"{self.folder_bytes[name]:>14,} bytes in {count:>6,} objects  {name}/"
            for name, count in self.folders.most_common()
        ]
        title = f"S5 {trial.what}: {self.plain[-1]:,.0f} bytes in the clear"
        return "\n".join([title, "", *parts, ""])

    def rows(self, trial: _Trial) -> list[Row]:
        """Compare with the limits."""
        packs = _PACKS_PER_THOUSAND * trial.file_count / 1000
        limit = [_OTHER_OBJECTS + packs] * len(self.objects)
        peer = ("plain bytes", self.plain)
        return [
            compare(f"S5 stored of {trial.what}", "bytes", self.stored, peer, _STORED),
            compare(
                f"S5 objects of {trial.what}", "objects", self.objects,
                ("limit", limit), Aim(1, 1),
            ),
        ]  # fmt: skip


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Store and read a dataset with every tool, round by round."""
    beside = stack.with_sidecar()
    ours = Strongroom(OURS, stack, work, "bench/many-files", "dataset")
    sidecar = Strongroom(SIDECAR, beside, work, "beside/many-files", "dataset")
    whole = _Trial(
        work, settings.file_count, [ours, sidecar, *_peers(beside, work, settings)]
    )
    slow = _slow_peers(beside, work, settings)
    part = _Trial(
        work,
        max(1, int(settings.file_count * _SLOW_SHARE)),
        [Strongroom(OURS, stack, work, "part/many-files", "dataset"), *slow],
    )
    stored = _Stored(stack)
    rounds = settings.rounds()
    for turn in rounds:
        for trial in (whole, part):
            total = trial.write(turn)
            for tool in _turned(trial.tools, turn):
                before = stored.look() if tool is ours else {}
                put, get = trial.run(tool, turn, total)
                if tool is ours:
                    stored.add(before, total)
                rounds.note(max(put.foreign, get.foreign))
            shutil.rmtree(trial.folder)
    rows = [*whole.rows(), *part.rows(), *stored.rows(whole)]
    rows = note_missed(rows, settings, "S5", stored.told(whole))
    again = {**_again(whole, ours, ""), **_again(whole, sidecar, "-sidecar")}
    return profile_missed(rows, settings, beside.watched, again)


def _again(trial: _Trial, tool: Strongroom, end: str) -> dict[str, Again]:
    def prepare() -> None:
        trial.write(_PROFILED + len(end))

    def put(before: tuple[str, ...]) -> None:
        replace(tool, before=before).put(trial.folder, "profiled")
        shutil.rmtree(trial.folder)

    def get(before: tuple[str, ...]) -> None:
        target = trial.work / "target"
        replace(tool, before=before).get("v0", target)
        shutil.rmtree(target)

    return {f"S1{end}": Again(put, prepare), f"S2{end}": Again(get)}


def _turned(tools: Sequence[Tool], turn: int) -> list[Tool]:
    """Let another tool be first in each round."""
    first = turn % len(tools)
    return [*tools[first:], *tools[:first]]


def _peers(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Tool]:
    programs = settings.programs
    tools: list[Tool] = []
    if programs.s5cmd:
        tools.append(S5cmd(stack, work, "many-s5cmd", programs.s5cmd))
    if programs.restic:
        restic = Restic(stack, work, "many-restic", programs.restic)
        restic.prepare()
        tools.append(restic)
    return tools


def _slow_peers(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Tool]:
    programs = settings.programs
    tools: list[Tool] = []
    if programs.rclone:
        tools.append(RcloneCrypt(stack, work, "many-rclone", programs.rclone))
    if programs.aws:
        tools.append(AwsCli(stack, work, "many-aws", programs.aws))
    if programs.dvc:
        tools.append(Dvc(stack, work, "many-dvc", programs.dvc))
    return tools


def _check(name: str, target: Path, wanted_bytes: int) -> None:
    found = sum(path.stat().st_size for path in target.rglob("*.bin"))
    if found != wanted_bytes:
        message = f"{name} gave back {found} bytes of {wanted_bytes}"
        raise BenchError(message)
