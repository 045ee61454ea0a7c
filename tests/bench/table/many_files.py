# SPDX-License-Identifier: Apache-2.0
"""A dataset of many small files, whole processes: S1, S2, S5."""

import shutil
from pathlib import Path
from typing import Final

from strongroom_server.dev.seaweed import BUCKET
from tests.bench.measuring import BenchError, Usage, say
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
from tests.bench.table.rows import Aim, Row, at_most, compare
from tests.bench.table.settings import BenchSettings

OURS: Final = "strongroom"
#: Bytes of one file: between these.
SIZES: Final = (1024, 100 * 1024)
_PER_FOLDER: Final = 500

_PUT: Final = {
    "s5cmd": Aim(2.7, 3.5),
    "restic": Aim(1.7, 2.3),
    "rclone crypt": Aim(3.5, 4.5),
    "aws s3 cp": Aim(11, 14),
}
_GET: Final = {
    "s5cmd": Aim(3, 5),
    "restic": Aim(1.4, 2.2),
    "rclone crypt": Aim(4, 6.5),
    "aws s3 cp": Aim(22, 37),
}
#: Of the plain bytes, and in objects.
_STORED: Final = at_most(1.004, 1.0025)
_MAX_OBJECTS: Final = 80


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Store and read a dataset with every tool, round by round."""
    puts: dict[str, list[Usage]] = {}
    gets: dict[str, list[Usage]] = {}
    stored, objects, plain = list[float](), list[float](), list[float]()
    tools = _tools(stack, work, settings)
    for turn in range(settings.round_count):
        folder = work / "many-files"
        total = write_dataset(
            folder,
            count=settings.file_count,
            sizes=SIZES,
            per_folder=_PER_FOLDER,
            seed=settings.file_count + turn,
        )
        for tool in [*tools[turn % len(tools) :], *tools[: turn % len(tools)]]:
            before = list(stack.objects(BUCKET)) if tool.name == OURS else []
            put = tool.put(folder, f"v{turn}")
            if tool.name == OURS:
                after = list(stack.objects(BUCKET))
                plain.append(float(total))
                stored.append(float(_sum(after) - _sum(before)))
                objects.append(float(len(after) - len(before)))
            target = work / "target"
            get = tool.get(f"v{turn}", target)
            _check(tool.name, target, total)
            shutil.rmtree(target)
            puts.setdefault(tool.name, []).append(put)
            gets.setdefault(tool.name, []).append(get)
            say(f"round {turn + 1}: {tool.name}: put {put.wall_s:.1f} s, "
                f"get {get.wall_s:.1f} s")  # fmt: skip
        shutil.rmtree(folder)
    what = f"{settings.file_count} files of 1 to 100 KiB"
    rows = [
        compare(
            f"{case} {what}", "s",
            [usage.wall_s for usage in series[OURS]],
            (peer, [usage.wall_s for usage in series[peer]]),
            aim,
        )
        for case, series, aims in (("S1 put", puts, _PUT), ("S2 get", gets, _GET))
        for peer, aim in aims.items()
        if peer in series
    ]  # fmt: skip
    limit = [_MAX_OBJECTS * settings.file_count / 20_000] * len(objects)
    return [
        *rows,
        compare(
            f"S5 stored of {what}", "bytes", stored, ("plain bytes", plain), _STORED
        ),
        compare(
            f"S5 objects of {what}", "objects", objects, ("limit", limit), Aim(1, 1)
        ),
    ]


def _tools(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Tool]:
    programs = settings.programs
    tools: list[Tool] = [Strongroom(OURS, stack, work, "bench/many-files", "dataset")]
    if programs.s5cmd:
        tools.append(S5cmd(stack, work, "many-s5cmd", programs.s5cmd))
    if programs.rclone:
        tools.append(RcloneCrypt(stack, work, "many-rclone", programs.rclone))
    if programs.aws:
        tools.append(AwsCli(stack, work, "many-aws", programs.aws))
    if programs.restic:
        restic = Restic(stack, work, "many-restic", programs.restic)
        restic.prepare()
        tools.append(restic)
    return tools


def _sum(objects: list[tuple[str, int]]) -> int:
    return sum(size for _, size in objects)


def _check(name: str, target: Path, wanted_bytes: int) -> None:
    found = sum(path.stat().st_size for path in target.rglob("*.bin"))
    if found != wanted_bytes:
        message = f"{name} gave back {found} bytes of {wanted_bytes}"
        raise BenchError(message)
