# SPDX-License-Identifier: Apache-2.0
"""A dataset of small files read in another order than it was stored: S3.

As training reads it: all of it, in shuffled batches of 64, into memory, through a
sidecar that has seen none of it. The peer writes all files with s5cmd, and reads them
in the same order.
"""

import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import strongroom
from tests.bench.measuring import BenchError, Meter, Usage, clear_peak, say
from tests.bench.peers import S5cmd, Strongroom
from tests.bench.small_files import write_dataset
from tests.bench.stacks import BenchStack
from tests.bench.table.profiles import BY_SIDECAR, Again, profile_missed
from tests.bench.table.rows import Aim, Row, compare
from tests.bench.table.settings import BenchSettings

PEER: Final = "s5cmd get, and read"
_BATCH: Final = 64
_SIZES: Final = (1024, 100 * 1024)
_PER_FOLDER: Final = 500
_AIM: Final = Aim(4, 8)


@dataclass(frozen=True, slots=True)
class _Dataset:
    """The files, and an order to read them in."""

    folder: Path
    total_bytes: int
    batches: Sequence[Sequence[str]]


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Read it both ways, round by round."""
    if not settings.programs.s5cmd:
        say("left out, for want of s5cmd: S3")
        return []
    beside = stack.with_sidecar()
    data = _write(work, settings.file_count)
    peer = S5cmd(beside, work, "shuffled", settings.programs.s5cmd)
    peer.put(data.folder, "v")
    ours, theirs = list[Usage](), list[Usage]()
    rounds = settings.rounds()
    for turn in rounds:
        _push(stack, work, data, str(turn))
        both: list[Callable[[], None]] = [
            lambda turn=turn: ours.append(_read(beside, data, str(turn))),  # type: ignore[misc]
            lambda: theirs.append(_read_files(peer, data)),
        ]
        for run in both[turn % 2 :] + both[: turn % 2]:
            run()
        rounds.note(max(ours[-1].foreign, theirs[-1].foreign))
        say(
            f"round {turn + 1}: strongroom {ours[-1].wall_s:.2f} s, "
            f"{PEER} {theirs[-1].wall_s:.2f} s"
        )
    row = compare(
        f"S3 read {settings.file_count} files, shuffled, cold{BY_SIDECAR}", "s",
        [usage.wall_s for usage in ours], (PEER, [usage.wall_s for usage in theirs]),
        _AIM, usages=(ours, theirs),
    )  # fmt: skip
    again = Again(
        lambda _before: _nothing_more(_read(beside, data, "again")),
        lambda: _push(stack, work, data, "again"),
    )
    return profile_missed([row], settings, beside.watched, {"S3-sidecar": again})


def _nothing_more(usage: Usage) -> None:
    """Take what a repetition measured, which nobody asked for."""
    del usage


def _write(work: Path, file_count: int) -> _Dataset:
    folder = work / "dataset"
    total = write_dataset(
        folder,
        count=file_count,
        sizes=_SIZES,
        per_folder=_PER_FOLDER,
        seed=file_count,
    )
    paths = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.bin")
    )
    random.Random(file_count).shuffle(paths)
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    return _Dataset(folder, total, batches)


def _push(stack: BenchStack, work: Path, data: _Dataset, name: str) -> None:
    # Of a new project the sidecar has no keys, and its chunks are others.
    Strongroom("strongroom", stack, work, f"shuffled-{name}/data", "dataset").put(
        data.folder, "v"
    )


def _read(stack: BenchStack, data: _Dataset, name: str) -> Usage:
    clear_peak(stack.watched.sidecar)
    found = 0
    with (
        Meter(stack.watched) as meter,
        strongroom.Client(stack.settings) as client,
        client.reader(f"shuffled-{name}/data") as reader,
    ):
        for views in reader.read_batches(data.batches):
            found += sum(len(view) for view in views)
    return _checked(meter, found, data)


def _read_files(peer: S5cmd, data: _Dataset) -> Usage:
    target = peer.work / "target"
    fetched = peer.get("v", target)
    began_s, found = time.monotonic(), 0
    for batch in data.batches:
        found += sum(len((target / path).read_bytes()) for path in batch)
    took_s = time.monotonic() - began_s
    shutil.rmtree(target)
    if found != data.total_bytes:
        message = f"s5cmd gave back {found} bytes of {data.total_bytes}"
        raise BenchError(message)
    return replace(fetched, wall_s=fetched.wall_s + took_s)


def _checked(meter: Meter, found: int, data: _Dataset) -> Usage:
    if meter.usage is None or found != data.total_bytes:
        message = f"{found} bytes of {data.total_bytes} came"
        raise BenchError(message)
    return meter.usage
