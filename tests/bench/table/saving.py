# SPDX-License-Identifier: Apache-2.0
"""How long a training waits for a save that is pushed behind it, by a sidecar: P6.

Beside it what saves by itself: safetensors to memory and to the page cache, torch, and
boto3, which uploads. One process makes all saves, so that the tensors are the same.
"""

import json
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.measuring import BenchError, run_measured, say
from tests.bench.peers import Boto3
from tests.bench.stacks import BenchStack
from tests.bench.table.profiles import note_missed
from tests.bench.table.random_file import write_random
from tests.bench.table.rows import Aim, Row, compare
from tests.bench.table.settings import BenchSettings

_CHILD: Final = Path(__file__).with_name("save_tensors.py")
_SOURCES: Final = Path(__file__).resolve().parents[3] / "client"
#: Where files are in memory.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_AIMS: Final = {
    "save_file to tmpfs": Aim(3.5, 6),
    "save_file to disk": Aim(1.7, 2.8),
    "torch.save to disk": Aim(9, 15),
    "boto3 tuned": Aim(35, 60),
}


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Save the same tensors by everybody, round by round."""
    if not settings.programs.torch:
        say("left out, for want of torch: P6")
        return []
    folder = work / "saving"
    (folder / "tree").mkdir(parents=True)
    told = _save(stack.with_sidecar(), folder, settings)
    write_random(folder / "tree/model.safetensors", settings.size_bytes)
    told["boto3 tuned"] = [
        Boto3(stack, work, f"saving-{turn}").put(folder / "tree", "v").wall_s
        for turn in range(len(told["ours"]))
    ]
    shutil.rmtree(folder)
    if not any(told["handed_bytes"]):
        message = "the sidecar did not read the tensors by itself"
        raise BenchError(message)
    mib = settings.size_bytes / 2**20
    case = f"P6 wait for a save of {mib:.0f} MiB of tensors"
    say(f"{case}: done, {max(told['faults']):.0f} pages touched first")
    rows = [
        compare(case, "s", told["ours"], (name, told[name]), aim)
        for name, aim in _AIMS.items()
    ]
    return note_missed(rows, settings, "P6", _limit(case, told))


def _limit(case: str, told: dict[str, list[float]]) -> str:
    ours, copy = median(told["ours"]), median(told["one copy"])
    return (
        f"{case}\n\n"
        f"save() returned after {ours:.4f} s.\n"
        f"One thread copies the same tensors to memory that it has touched before in "
        f"{copy:.4f} s, {copy / ours:.0%} of it.\n"
        f"Pages touched first meanwhile: {max(told['faults']):.0f}.\n"
    )


def _save(
    stack: BenchStack, folder: Path, settings: BenchSettings
) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory(dir=_MEMORY) as memory:
        usage = run_measured(
            [
                *(settings.programs.torch, str(_CHILD), str(stack.client_file)),
                *("saving/run", str(settings.size_bytes)),
                *(str(settings.round_count), memory, str(folder)),
            ],
            watched=stack.watched,
            environ={**stack.environ, "PYTHONPATH": str(_SOURCES)},
            cwd=folder,
            scratch=folder,
        )
    found: dict[str, list[float]] = json.loads(usage.out)
    return found
