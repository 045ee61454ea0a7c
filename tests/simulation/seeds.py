# SPDX-License-Identifier: Apache-2.0
"""One seed: what it starts with, who takes part, and what must hold at the end."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from random import Random
from typing import Final

from tests.simulation.bucket import Bucket
from tests.simulation.clients import HOUR_S, Client
from tests.simulation.final import check_store
from tests.simulation.keeping import (
    delete,
    hold,
    let_go,
    set_policy,
    sweep,
    undelete,
)
from tests.simulation.machine import Machines
from tests.simulation.model import Model, ViolationError
from tests.simulation.pushing import fill, push
from tests.simulation.reading import create_project, move, read
from tests.simulation.schedule import HungError, Scheduler, StuckError
from tests.simulation.swaps import swapped

#: Steps after which no more faults strike, and in which everything must end then.
FAULTY_STEPS: Final = 3000
CALM_STEPS: Final = 20_000
_STICKINESS: Final = (0.0, 0.5, 0.9, 0.97)

Plant = Callable[[], AbstractContextManager[object]]


#: How often seeds begin without a store, with an empty one, and with one in use.
_START_WEIGHTS: Final = (1, 2, 7)
#: What clients do, and how often.
_QUICK_ACTS: Final = (
    (push, read, move, create_project, delete, undelete, hold, set_policy),
    (40, 25, 12, 5, 6, 4, 3, 3),
)
#: The same where days pass and sweeps go on.
_SLOW_ACTS: Final = (
    (push, read, move, delete, undelete, hold, set_policy),
    (40, 15, 6, 20, 7, 4, 8),
)


@dataclass
class Outcome:
    """What a seed came to."""

    seed: int
    steps: int
    digest: int
    violation: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Start:
    """A store that is there before a seed begins, with what the model knows of it."""

    bucket: Bucket
    keks: dict[str, bytes]
    #: What the index of the server that made it holds.
    index: dict[bytes, bytes]
    tell: Callable[[Model], None]


def simulate(
    seed: int, *, plant: Plant = nullcontext, trace: list[str] | None = None
) -> Outcome:
    """Run a seed to its end."""
    with ExitStack() as stack:
        stack.enter_context(swapped())
        stack.enter_context(plant())
        return _simulate(seed, trace)


def _simulate(seed: int, trace: list[str] | None) -> Outcome:
    random = Random(seed)
    scheduler = Scheduler(
        random,
        stickiness=_STICKINESS[int(random.random() * len(_STICKINESS))],
        trace=trace,
    )
    outcome = Outcome(seed, 0, 0)
    try:
        _run(random, scheduler, outcome)
    except (ViolationError, StuckError, HungError) as error:
        outcome.violation = f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is a finding
        outcome.violation = f"{type(error).__name__} escaped: {error}"
    finally:
        scheduler.abandon()
    outcome.steps, outcome.digest = scheduler.steps, scheduler.digest
    return outcome


def _run(random: Random, scheduler: Scheduler, outcome: Outcome) -> None:
    start = starts()[random.choices((0, 1, 2), _START_WEIGHTS)[0]]
    model = Model()
    start.tell(model)
    machines = Machines(
        random, scheduler, start.bucket.copy(), start.keks, outcome.faults
    )
    if random.random() < 0.8:
        machines.index = start.index
    outcome.calls = machines.calls
    with_sweeps = random.random() < 0.35
    if with_sweeps:
        # The trash of the start is old by now.
        scheduler.now_s = 3 * 24 * HOUR_S
    machines.start(1 + int(random.random() * 3))
    # A sweep takes many steps, and meets one push after the other.
    clients = 1 + int(random.random() * 2)
    if not with_sweeps:
        clients += random.random() < 0.6
    for number in range(clients):
        client = Client(f"c{number}", machines, model, is_slow=with_sweeps)
        actions = 1 + (random.random() < 0.3)
        scheduler.spawn(client.name, partial(_act, client, actions))
    for number in range(1 + (random.random() < 0.2) if with_sweeps else 0):
        client = Client(f"s{number}", machines, model, is_slow=True)
        scheduler.spawn(client.name, partial(sweep, client))
    if machines.faults.rate:
        scheduler.spawn("fate", partial(_disturb, machines))
    scheduler.on_step(FAULTY_STEPS, machines.heal)
    scheduler.max_steps = FAULTY_STEPS + CALM_STEPS
    scheduler.run()
    machines.heal()
    check_store(machines, model)


def _act(client: Client, count: int) -> None:
    acts, weights = _SLOW_ACTS if client.is_slow else _QUICK_ACTS
    chosen = client.random.choices(acts, weights, k=count)
    if client.is_slow and client.chance(0.5):
        # Before the first sweep, so that the upload can be overtaken by it.
        chosen[0] = push
    for act in chosen:
        client.machines.calls[act.__name__] += 1
        act(client)
        client.linger(0.7)


def _disturb(machines: Machines) -> None:
    for _ in range(int(machines.random.random() * 60)):
        machines.scheduler.pause("fate")
        machines.disturb()


@cache
def starts() -> tuple[Start, ...]:
    """Return the stores that seeds begin with: none, an empty one, one in use."""
    empty = Start(Bucket(), {}, {}, lambda _: None)
    project = _grown(empty, 1, (create_project,))
    return empty, project, _grown(project, 2, (fill, let_go, move))


def _grown(start: Start, seed: int, acts: Sequence[Callable[[Client], None]]) -> Start:
    """Return what a store becomes when nothing goes wrong."""
    random = Random(seed)
    scheduler = Scheduler(random)
    machines = Machines(random, scheduler, start.bucket.copy(), start.keks, Counter())
    machines.faults.stop()
    model = Model()
    client = Client("c", machines, model)

    def act() -> None:
        for item in acts:
            item(client)

    with swapped():
        machines.start(1)
        scheduler.run()
        scheduler.spawn("c", act)
        scheduler.run()

    def tell(fresh: Model) -> None:
        fresh.projects |= model.projects
        fresh.seen |= model.seen
        for pushes in model.pushes.values():
            for push_ in pushes.values():
                ended = None if push_.ended is None else -1
                fresh.pushing(replace(push_, began=-1, ended=ended))
        for changes in model.changes.values():
            for change in changes.values():
                ended = None if change.ended is None else -1
                fresh.changing(replace(change, began=-1, ended=ended))

    index = dict(machines.servers[0].index.items)
    return Start(machines.bucket, dict(machines.keys._keks), index, tell)
