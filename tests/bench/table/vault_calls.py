# SPDX-License-Identifier: Apache-2.0
"""How often OpenBao is asked for a put or a get, by its own audit log: V1.

The number must not grow with what is put: each is measured with a small file and with
a large one. What changes a journal is signed by OpenBao, whatever is cached; the
profile names every path that was asked for.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import strongroom
from tests.bench.measuring import MIB, say
from tests.bench.stacks import BenchStack
from tests.bench.table.profiles import note_missed
from tests.bench.table.random_file import write_random
from tests.bench.table.rows import Aim, Row, compare
from tests.bench.table.settings import BenchSettings

PEER: Final = "limit"
_TIMES: Final = 10
#: Nothing at all cannot be divided by.
_LEAST: Final = 0.01
_AIM: Final = Aim(1, 10)


def measure(stack: BenchStack, work: Path, settings: BenchSettings) -> list[Row]:
    """Count for puts and gets of two sizes."""
    large = min(settings.size_bytes, 128 * MIB)
    rows, paths = [], Counter[str]()
    folder, target = work / "vault", work / "target"
    folder.mkdir()
    with strongroom.Client(stack.settings) as client:
        for size in (64 * 1024, large):
            artifact = f"vault/of-{size}"
            # The first use of a key takes one call more, and is not counted.
            write_random(folder / "data.bin", size, seed=-1)
            client.push(folder, artifact, kind="dataset")

            def put(turn: int, size: int = size, artifact: str = artifact) -> None:
                write_random(folder / "data.bin", size, seed=turn)
                client.push(folder, artifact, kind="dataset")

            def get(_turn: int, artifact: str = artifact) -> None:
                client.pull(artifact, target)
                shutil.rmtree(target)

            what = f"of {size / MIB:.4g} MiB"
            rows += [
                _row(f"V1 put {what}", put, stack, settings, paths),
                _row(f"V1 get {what}", get, stack, settings, paths),
            ]
    text = "".join(f"{count:6} {path}\n" for path, count in paths.most_common())
    return note_missed(rows, settings, "V1", text)


def _row(
    case: str,
    run: Callable[[int], None],
    stack: BenchStack,
    settings: BenchSettings,
    paths: Counter[str],
) -> Row:
    taken = list[float]()
    for turn in range(settings.round_count):
        before = _requests(stack)
        for place in range(_TIMES):
            run(turn * _TIMES + place)
        asked = _requests(stack) - before
        taken.append(max(_LEAST, asked.total() / _TIMES))
        paths.update({f"{case}: {path}": count for path, count in asked.items()})
    say(f"{case}: {taken} calls")
    limit = [1.0] * len(taken)
    return compare(case, "calls", taken, (PEER, limit), _AIM)


def _requests(stack: BenchStack) -> Counter[str]:
    """Count what OpenBao was asked since it runs, by operation and path."""
    found = Counter[str]()
    with stack.vault_audit.open() as file:
        for line in file:
            # A line that is being written is counted the next time.
            if not line.endswith("\n"):
                break
            entry = json.loads(line)
            if entry.get("type") == "request":
                request = entry["request"]
                found[f"{request['operation']} {request['path']}"] += 1
    return found
