# SPDX-License-Identifier: Apache-2.0
"""`make simulate`: many seeds on some processes, and the planted bugs; or one seed.

python -m tests.simulation --seeds 100000 --minutes 15 --jobs 2 --start 0
python -m tests.simulation --seed 4711 --trace
"""

import argparse
import gc
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Final

from tests.simulation.planted import PLANTED
from tests.simulation.schedule import HungError
from tests.simulation.seeds import Outcome, simulate, starts

PLANTED_SEEDS: Final = 10_000
#: A seed takes milliseconds; one that takes so long waits for what cannot come.
_SEED_LIMIT_S: Final = 60
_BATCH: Final = 100
#: Seeds of one process, which then needs some 500 MiB of memory.
_SHARE: Final = 1500
_TELL_EVERY_S: Final = 30.0
_MAX_SHOWN: Final = 20


@dataclass
class Totals:
    """What many seeds came to."""

    seeds: int = 0
    steps: int = 0
    cpu_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Take in one seed."""
        self.seeds += 1
        self.steps += outcome.steps
        self.faults += outcome.faults
        self.calls += outcome.calls
        if outcome.violation:
            self.violations.append((outcome.seed, outcome.violation))

    def join(self, other: "Totals") -> None:
        """Take in many."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.cpu_s += other.cpu_s
        self.faults += other.faults
        self.calls += other.calls
        self.violations += other.violations


def main() -> int:
    """Run what the command line says; return the exit code."""
    options = _options()
    signal.signal(signal.SIGALRM, _hung)
    if options.seed is not None:
        return _replay(options.seed, options.plant, trace=options.trace)
    begun = time.monotonic()
    found = _find_planted(options.start) if not options.no_planted else {}
    totals = _run(options)
    seconds = time.monotonic() - begun
    _report(totals, found, options, seconds)
    missed = [name for name, seed in found.items() if seed is None]
    return 1 if totals.violations or missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate SIMULATE_ARGS=...")
    parser.add_argument("--seeds", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--trace", action="store_true", help="print its every step")
    parser.add_argument("--plant", choices=sorted(PLANTED), help="with this bug")
    parser.add_argument("--no-planted", action="store_true")
    return parser.parse_args()


def _replay(seed: int, plant: str | None, *, trace: bool) -> int:
    lines: list[str] = []
    outcome = limited(seed, plant, trace=lines)
    if trace:
        print("\n".join(lines))
    print(f"seed {seed}: {outcome.steps} steps, trace {outcome.digest:08x}")
    print(outcome.violation or "no violation")
    return 1 if outcome.violation else 0


def limited(
    seed: int, plant: str | None = None, *, trace: list[str] | None = None
) -> Outcome:
    """Run a seed, for a minute at most."""
    signal.alarm(_SEED_LIMIT_S)
    try:
        return simulate(
            seed, plant=PLANTED[plant] if plant else nullcontext, trace=trace
        )
    finally:
        signal.alarm(0)


def _hung(number: int, frame: object) -> None:
    raise HungError


def _find_planted(start: int) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name in PLANTED:
        outcomes = (limited(start + n, name) for n in range(PLANTED_SEEDS))
        bad = next((item for item in outcomes if item.violation), None)
        found[name] = None if bad is None else bad.seed
        if bad is None:
            print(f"planted bug, {name}: NOT FOUND in {PLANTED_SEEDS} seeds")
        else:
            count = bad.seed - start + 1
            print(f"planted bug, {name}: found after {count} seeds (seed {bad.seed})")
            print(f"    {bad.violation[:200]}")
        sys.stdout.flush()
    return found


def _run(options: argparse.Namespace) -> Totals:
    starts()
    gc.freeze()
    totals = Totals()
    for batch in _batches(options):
        for seed, violation in batch.violations:
            if len(totals.violations) < _MAX_SHOWN:
                print(f"VIOLATION in seed {seed}: {violation[:400]}")
                print(f"    replay: {replay_command(seed)}")
        totals.join(batch)
        sys.stdout.flush()
    return totals


def _batches(options: argparse.Namespace) -> Iterator[Totals]:
    """Yield what processes send, each of which runs some seeds and ends."""
    deadline = time.monotonic() + options.minutes * 60
    seeds = range(options.start, options.start + options.seeds)
    waiting = iter([seeds[at : at + _SHARE] for at in range(0, len(seeds), _SHARE)])
    running: dict[Connection, ForkProcess] = {}
    told, done = time.monotonic(), 0
    while True:
        while len(running) < options.jobs and time.monotonic() < deadline:
            share = next(waiting, None)
            if share is None:
                break
            pipe, process = _start(share, deadline)
            running[pipe] = process
        if not running:
            return
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            try:
                batch: Totals = ready.recv()
            except EOFError:
                _end(running.pop(ready))
                ready.close()
                continue
            done += batch.seeds
            yield batch
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            print(f"... {done} seeds")


def _start(seeds: range, deadline: float) -> tuple[Connection, ForkProcess]:
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_job, args=(seeds, deadline, sending), daemon=True)
    process.start()
    sending.close()
    return receiving, process


def _end(process: ForkProcess) -> None:
    process.join(_SEED_LIMIT_S)
    if process.exitcode != 0:
        # Its seeds are lost, and nothing may be said of them.
        sys.exit(f"simulate: a process ended with {process.exitcode}")


def _job(seeds: range, deadline: float, pipe: Connection) -> None:
    # What a seed leaves is in cycles; ending the process is the cheapest way to
    # free it: looking for it takes a fifth of the time.
    gc.disable()
    totals, begun = Totals(), time.process_time()
    for seed in seeds:
        if time.monotonic() >= deadline:
            break
        totals.add(limited(seed))
        if totals.seeds == _BATCH:
            totals.cpu_s = time.process_time() - begun
            pipe.send(totals)
            totals, begun = Totals(), time.process_time()
    totals.cpu_s = time.process_time() - begun
    pipe.send(totals)
    pipe.close()


def replay_command(seed: int) -> str:
    """Return how to run a seed again."""
    return f'make simulate SIMULATE_ARGS="--seed {seed} --trace"'


def _report(
    totals: Totals,
    found: dict[str, int | None],
    options: argparse.Namespace,
    seconds: float,
) -> None:
    for title, counts in (("fault", totals.faults), ("call", totals.calls)):
        for name, count in sorted(counts.items()):
            print(f"{title}: {name}: {count}")
    each_ms = totals.cpu_s / max(totals.seeds, 1) * 1000
    print(f"simulate: {totals.seeds} seeds, {totals.steps} steps, {seconds:.0f} s "
          f"on {options.jobs} processes, {each_ms:.1f} ms CPU a seed")  # fmt: skip
    print(f"simulate: {totals.faults.total()} faults, {len(totals.faults)} kinds")
    if found:
        there = sum(seed is not None for seed in found.values())
        print(f"simulate: {there} of {len(found)} planted bugs found")
    print(f"simulate: {len(totals.violations)} violations")


if __name__ == "__main__":
    sys.exit(main())
