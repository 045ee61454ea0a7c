# SPDX-License-Identifier: Apache-2.0
"""Chaos on real parts: `make chaos`.

Several servers, one SeaweedFS and one OpenBao on loopback; workers push, pull, move,
delete and sweep while processes are killed, indexes deleted, and a proxy breaks
connections to S3 and Vault. At the end all is calm, every server starts with an empty
index, and what was acknowledged must be there: 0 lost, 0 wrong, 0 stuck.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import strongroom
from strongroom.errors import StrongroomError
from tests.chaos.cluster import SWEEP, Cluster
from tests.chaos.harm import Harm
from tests.chaos.load import OPERATION_S, Sweeper, Worker
from tests.chaos.model import Model

#: Of the sweeps that end a run: condemn, wait for their grace, remove.
LAST_SWEEPS: Final = 2


@dataclass
class Outcome:
    """What came of it."""

    seed: int
    seconds: float = 0.0
    operations: dict[str, int] = field(default_factory=dict)
    things: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    index_deletions: int = 0
    lost: int = 0
    wrong: int = 0
    stuck: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not self.problems and not self.stuck


def chaos(
    root: Path, *, seconds: float, kills: int, servers: int, workers: int, seed: int
) -> Outcome:
    """Run chaos in a folder, check the model at the end, and leave nothing running."""
    model, started = Model(root / "journal.jsonl"), time.monotonic()
    cluster = Cluster(root / "cluster", count=servers, seed=seed)
    harm = Harm(cluster, model, seed=seed)
    outcome, ends = Outcome(seed), threading.Event()
    loads: list[Worker | Sweeper] = []
    try:
        cluster.start()
        _say(f"{servers} servers are up after {time.monotonic() - started:.0f} s")
        loads += [
            Worker(f"w{number}", cluster, model, seed=seed, folder=root)
            for number in range(workers)
        ]
        loads.append(Sweeper(cluster, model, seed=seed))
        threads = _start(loads, ends)
        harm.do(seconds=seconds, kills=kills)
        ends.set()
        _say("calm: everything is mended, and operations may end")
        cluster.calm()
        outcome.stuck = _join(threads, model)
        _check(cluster, model, root, seed=seed)
    except StrongroomError as error:
        model.problem(f"the run ended early: {error}")
    finally:
        ends.set()
        harm.close()
        for load in loads:
            load.close()
        cluster.stop()
    for pid in cluster.left_over():
        model.problem(f"process {pid} is left over")
    model.close()
    return _summarise(outcome, cluster, model, harm, time.monotonic() - started)


def _start(
    loads: Sequence[Worker | Sweeper], ends: threading.Event
) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=load.run, args=(ends,), name=load.name, daemon=True)
        for load in loads
    ]
    for thread in threads:
        thread.start()
    return threads


def _join(threads: Sequence[threading.Thread], model: Model) -> int:
    """Wait for the operations under way; return how many are stuck."""
    deadline = time.monotonic() + OPERATION_S
    for thread in threads:
        thread.join(timeout=max(0.0, deadline - time.monotonic()))
    stuck = [thread.name for thread in threads if thread.is_alive()]
    for name in stuck:
        model.note("stuck", thread=name)
    return len(stuck)


def _check(cluster: Cluster, model: Model, root: Path, *, seed: int) -> None:
    _say("every server starts anew, without its index")
    cluster.restart_without_indexes()
    sweeper = Sweeper(cluster, model, seed=seed)
    try:
        for _ in range(LAST_SWEEPS):
            sweeper.sweep()
            time.sleep(SWEEP["grace_s"])
    except StrongroomError as error:
        model.problem(f"a sweep in calm: {error}")
    finally:
        sweeper.close()
    _say("every version is read, and the store verified")
    with ThreadPoolExecutor(cluster.count) as executor:
        list(
            executor.map(partial(_check_by, cluster, model, root), range(cluster.count))
        )
    with strongroom.Client(cluster.settings(0)) as client:
        for without_keys in (True, False):
            try:
                report = client.verify_store(without_keys=without_keys)
            except StrongroomError as error:
                model.problem(f"verify of the store: {error}")
                continue
            for finding in report.damaged:
                model.problem(f"verify found {finding}")
            what = "objects verified without keys" if without_keys else "verified"
            model.count_things(f"{what} at the end", report.object_count)


def _check_by(cluster: Cluster, model: Model, root: Path, number: int) -> None:
    with strongroom.Client(cluster.settings(number)) as client:
        try:
            model.check_end(client, root, share=number, of=cluster.count)
        except StrongroomError as error:
            model.problem(f"the check through server {number}: {error}")


def _summarise(
    outcome: Outcome, cluster: Cluster, model: Model, harm: Harm, seconds: float
) -> Outcome:
    faults: Counter[str] = Counter()
    for proxy in cluster.proxies:
        faults.update({f"{proxy.name} {k}": n for k, n in proxy.faults.items() if n})
    outcome.seconds = seconds
    outcome.operations = dict(sorted(model.done.items()))
    outcome.things = dict(sorted(model.things.items()))
    outcome.refused = dict(sorted(model.refused.items()))
    outcome.kills = dict(sorted(cluster.kills.items()))
    outcome.faults = dict(sorted(faults.items()))
    outcome.index_deletions = harm.index_deletions
    outcome.problems = model.problems
    outcome.lost = sum("lost" in text for text in model.problems)
    outcome.wrong = len(model.problems) - outcome.lost
    return outcome


def show(outcome: Outcome) -> None:
    """Print what came of it."""
    for caption in ("operations", "things", "refused", "kills", "faults"):
        for name, count in getattr(outcome, caption).items():
            print(f"chaos: {caption:<10} {count:>8}  {name}")
    for text in outcome.problems[:50]:
        print(f"chaos: PROBLEM {text}")
    print(
        f"chaos: seed {outcome.seed}, {outcome.seconds:.0f} s, "
        f"{sum(outcome.operations.values())} operations done, "
        f"{sum(outcome.refused.values())} refused, "
        f"{sum(outcome.kills.values())} kills, "
        f"{sum(outcome.faults.values())} faults, "
        f"{outcome.index_deletions} index deletions, "
        f"{outcome.things.get('objects removed', 0)} objects removed by sweeps"
    )
    print(
        f"chaos: {outcome.lost} lost, {outcome.wrong} wrong, {outcome.stuck} stuck",
        flush=True,
    )


def _say(text: str) -> None:
    print(f"chaos: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _interrupt(*_: object) -> None:
    """Have the run end its processes; once: who presses twice ends them no sooner."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run chaos in a temporary folder; keep the folder if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=Path, help="write the outcome there, too")
    parser.add_argument("--keep", action="store_true", help="keep the folder anyway")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    root = Path(tempfile.mkdtemp(prefix="strongroom-chaos-"))
    try:
        outcome = chaos(
            root,
            seconds=60 * options.minutes,
            kills=options.kills,
            servers=options.servers,
            workers=options.workers,
            seed=options.seed,
        )
    except KeyboardInterrupt:
        print(f"chaos: interrupted; seed {options.seed}; everything is in {root}")
        return 130
    show(outcome)
    if options.json:
        options.json.write_text(json.dumps(asdict(outcome), indent=1))
    if options.keep or not outcome.is_good:
        print(f"chaos: everything is kept in {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
