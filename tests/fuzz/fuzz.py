# SPDX-License-Identifier: Apache-2.0
"""Fuzzes every parser for a bounded time: `make fuzz`.

Each target runs in a process of its own, within 1 GiB of memory and ten seconds for
one input. What it finds new is kept below build/fuzz for the next run; an input that
breaks a parser is put into the corpus of its target, where the tests replay it.
"""

import argparse
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.corpus import CORPUS
from tests.fuzz.targets import TARGETS

GROWN: Final = Path("build/fuzz")
MAX_MEMORY_MIB: Final = 1024
ONE_INPUT_S: Final = 10
MAX_INPUT_BYTES: Final = 16_384
#: Beyond the seconds that libFuzzer was given: to start, and to end the last input.
SLACK_S: Final = 120

_DONE: Final = re.compile(r"^Done (\d+) runs? in (\d+) second", re.MULTILINE)
_PROGRESS: Final = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What fuzzing one target came to."""

    name: str
    executions: int
    coverage: int
    finding: str


def fuzz(name: str, seconds: int) -> Outcome:
    """Fuzz one target, starting from its corpus."""
    grown, findings = GROWN / name, GROWN / f"{name}.findings"
    for folder in (grown, findings):
        folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "tests.fuzz.fuzz_one", name,
        f"-max_total_time={seconds}", f"-rss_limit_mb={MAX_MEMORY_MIB}",
        f"-timeout={ONE_INPUT_S}", f"-max_len={MAX_INPUT_BYTES}",
        f"-artifact_prefix={findings}/", "-print_final_stats=1",
        str(grown), str(CORPUS / name),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + SLACK_S
    )
    ended = _DONE.search(done.stderr)
    progress = _PROGRESS.findall(done.stderr)
    coverage = int(progress[-1][1]) if progress else 0
    if done.returncode == 0 and ended:
        return Outcome(name, int(ended[1]), coverage, "")
    for path in findings.iterdir():
        shutil.copy(path, CORPUS / name / f"found-{path.name[-16:]}")
    executions = int(progress[-1][0]) if progress else 0
    return Outcome(
        name, executions, coverage, done.stderr[-3000:] or "it died silently"
    )


def main() -> int:
    """Fuzz all targets, two at a time, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    options = parser.parse_args()
    unknown = sorted(set(options.targets) - set(TARGETS))
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(TARGETS)}")
    names = options.targets or list(TARGETS)
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = []
        for outcome in pool.map(lambda name: fuzz(name, options.seconds), names):
            outcomes.append(outcome)
            state = "FOUND" if outcome.finding else "ok"
            print(
                f"fuzz: {outcome.name:<20} {outcome.executions:>12,} executions "
                f"{outcome.coverage:>6} edges  {state}",
                flush=True,
            )
    found = [outcome for outcome in outcomes if outcome.finding]
    for outcome in found:
        print(f"\n== {outcome.name}\n{outcome.finding}")
    total = sum(outcome.executions for outcome in outcomes)
    print(
        f"fuzz: {len(outcomes)} targets, {total:,} executions, "
        f"{len(found)} findings, {options.seconds} s each"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
