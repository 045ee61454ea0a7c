# SPDX-License-Identifier: Apache-2.0
"""Chaos on real parts: `make chaos`.

Several servers, one SeaweedFS and one OpenBao on loopback; workers push, pull, move,
delete and sweep while processes are killed, indexes deleted, and a proxy breaks
connections to S3 and Vault. At the end all is calm, every server starts with an empty
index, and what was acknowledged must be there: 0 lost, 0 wrong, 0 stuck.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import strongroom
from strongroom.errors import StrongroomError
from tests.chaos.cluster import Cluster
from tests.chaos.load import OPERATION_S, Worker, sweep
from tests.chaos.model import Model
from tests.chaos.proxy import CALM, Odds

#: The weather changes: some of the time all is calm, so that work gets done.
S3_ODDS: Final = (
    CALM,
    Odds(error=0.02, delay=0.01, reset=0.002, cut=0.002),
    Odds(error=0.10, delay=0.05, reset=0.01, cut=0.01, stall=0.0005),
)
VAULT_ODDS: Final = (CALM, Odds(delay=0.05, reset=0.02), Odds(reset=0.1, stall=0.002))
#: Of the kills, how many hit what.
TARGETS: Final[tuple[tuple[str, int], ...]] = (("server", 6), ("weed", 3), ("bao", 1))
INDEX_CHANCE: Final = 0.4
VERIFY_S: Final = 300.0


@dataclass
class Outcome:
    """What came of it."""

    seed: int
    seconds: float
    operations: dict[str, int]
    refused: dict[str, int]
    kills: dict[str, int]
    faults: dict[str, int]
    index_deletions: int
    stuck: int
    problems: list[str] = field(default_factory=list)


def chaos(
    root: Path, *, seconds: float, kills: int, servers: int, workers: int, seed: int
) -> Outcome:
    """Run chaos in a folder, and check the model at the end."""
    model, started = Model(), time.monotonic()
    cluster = Cluster(root / "cluster", count=servers, seed=seed)
    ends = threading.Event()
    stuck = 0
    try:
        cluster.start()
        _say(f"{servers} servers are up after {time.monotonic() - started:.0f} s")
        loads = [
            Worker(number, cluster, model, seed=seed, folder=root)
            for number in range(workers)
        ]
        threads = [
            threading.Thread(target=load.run, args=(ends,), name=load.name, daemon=True)
            for load in loads
        ]
        threads.append(
            threading.Thread(
                target=sweep,
                args=(cluster, model, ends),
                kwargs={"seed": seed},
                daemon=True,
            )
        )
        for thread in threads:
            thread.start()
        deletions = _hurt(cluster, model, seconds=seconds, kills=kills, seed=seed)
        ends.set()
        cluster.calm()
        deadline = time.monotonic() + OPERATION_S
        for thread in threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
            stuck += thread.is_alive()
        for load in loads:
            load.close()
        _say("calm; every server starts anew, without its index")
        cluster.restart_without_indexes()
        _check(cluster, model)
        faults: Counter[str] = Counter()
        for proxy in cluster.proxies:
            faults.update({f"{proxy.name} {k}": n for k, n in proxy.faults.items()})
    finally:
        ends.set()
        cluster.stop()
    return Outcome(
        seed,
        time.monotonic() - started,
        dict(sorted(model.done.items())),
        dict(sorted(model.refused.items())),
        dict(cluster.kills),
        dict(sorted(faults.items())),
        deletions,
        stuck,
        model.problems,
    )


def _hurt(
    cluster: Cluster, model: Model, *, seconds: float, kills: int, seed: int
) -> int:
    """Kill on schedule, change the weather, delete indexes; return how many."""
    dice = random.Random(f"{seed}/hurt")
    names, weights = zip(*TARGETS, strict=True)
    started, deletions = time.monotonic(), 0
    for kill in range(kills):
        due = started + seconds * (kill + 0.5) / kills
        time.sleep(max(0.0, due - time.monotonic()))
        cluster.set_odds(s3=dice.choice(S3_ODDS), vault=dice.choice(VAULT_ODDS))
        target = dice.choices(names, weights)[0]
        number = dice.randrange(cluster.count)
        try:
            if target == "server":
                drop = dice.random() < INDEX_CHANCE
                deletions += drop
                cluster.kill_server(number, drop_index=drop)
            elif target == "weed":
                cluster.kill_store(dice.randrange(4))
            else:
                cluster.kill_vault()
            if dice.random() < INDEX_CHANCE / 4:
                deletions += cluster.deleted_index(number)
        except StrongroomError as error:
            # A part that does not come back in time is started again next time.
            model.refusal(f"restart of {target}", error)
        if (kill + 1) % 10 == 0:
            _say(f"{kill + 1} kills, {sum(model.done.values())} operations, "
                 f"{len(model.problems)} problems")  # fmt: skip
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    return deletions


def _check(cluster: Cluster, model: Model) -> None:
    for number in range(cluster.count):
        with strongroom.Client(cluster.settings(number)) as client:
            try:
                model.check_end(client)
            except StrongroomError as error:
                model.problem(f"the check through server {number}: {error}")
    with strongroom.Client(cluster.settings(0)) as client:
        try:
            report = client.verify_store()
        except StrongroomError as error:
            model.problem(f"verify of the store: {error}")
            return
    for finding in report.damaged:
        model.problem(f"verify found {finding}")
    model.count("versions verified at the end")
    model.done["versions verified at the end"] = report.version_count


def show(outcome: Outcome) -> None:
    """Print what came of it."""
    total = sum(n for name, n in outcome.operations.items()
                if not name.startswith(("objects", "versions")))  # fmt: skip
    print(f"chaos: seed {outcome.seed}, {outcome.seconds:.0f} s, {total} operations")
    for caption in ("operations", "refused", "kills", "faults"):
        for name, count in getattr(outcome, caption).items():
            print(f"chaos: {caption:<10} {count:>8}  {name}")
    print(f"chaos: kills {sum(outcome.kills.values())}, "
          f"faults {sum(outcome.faults.values())}, "
          f"index deletions {outcome.index_deletions}")  # fmt: skip
    lost = [text for text in outcome.problems if "lost" in text]
    wrong = [text for text in outcome.problems if "lost" not in text]
    for text in outcome.problems[:50]:
        print(f"chaos: PROBLEM {text}")
    print(f"chaos: {len(lost)} lost, {len(wrong)} wrong, {outcome.stuck} stuck")


def _say(text: str) -> None:
    print(f"chaos: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Run chaos in a temporary folder; keep the folder if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=Path, help="write the outcome there, too")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="strongroom-chaos-"))
    outcome = chaos(
        root,
        seconds=60 * options.minutes,
        kills=options.kills,
        servers=options.servers,
        workers=options.workers,
        seed=options.seed,
    )
    show(outcome)
    if options.json:
        options.json.write_text(json.dumps(asdict(outcome), indent=1))
    if outcome.problems or outcome.stuck:
        print(f"chaos: everything is kept in {root}")
        return 1
    shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
