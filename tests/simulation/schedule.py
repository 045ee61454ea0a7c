# SPDX-License-Identifier: Apache-2.0
"""One seeded scheduler: tasks in greenlets, one at a time, time in its hands.

A task runs until it pauses, sleeps or waits for a future; then the scheduler draws
who is next. Nothing here or above it asks the operating system for anything, so a
seed and the code decide everything that happens.
"""

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Final, Protocol

from greenlet import getcurrent, greenlet

#: Between two steps; what a request to a store nearby takes.
STEP_S: Final = 0.005
#: How often time leaps to whoever sleeps, as if all others were slow.
LEAPS: Final = 0.02


class CrashError(BaseException):
    """The server of this task is gone; no `except Exception` may go on after it."""


class StuckError(Exception):
    """Tasks are left that will not end."""


class HungError(BaseException):
    """The simulation itself stands still: a real lock, or a loop without steps."""


class Mortal(Protocol):
    """A process that may be gone."""

    dead: bool


@dataclass
class Call:
    """One call of a client's: when it began, and what struck it."""

    began_s: float
    faults: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Task:
    """A greenlet, the process it runs in, and the call it works for."""

    name: str
    body: greenlet
    process: Mortal | None
    call: Call | None
    waiting: bool = False
    order: int = 0


class Scheduler:
    """Runs tasks until none is left; `random` is the only source of choice."""

    def __init__(
        self,
        random: Random,
        *,
        stickiness: float = 0.0,
        leaps: float = LEAPS,
        trace: list[str] | None = None,
    ) -> None:
        self.random = random
        self.now_s = 0.0
        self.steps = 0
        self.max_steps = 1_000_000
        self.digest = 0
        self.current: Task | None = None
        self._stickiness = stickiness
        self._leaps = leaps
        self._trace = trace
        self._hub = getcurrent()
        self._runnable: list[Task] = []
        self._sleeping: list[tuple[float, int, Task]] = []
        self._alive: dict[Task, None] = {}
        self._closed = False
        self._count = 0
        self._at: tuple[int, Callable[[], None]] | None = None
        self._last: Task | None = None

    def on_step(self, step: int, act: Callable[[], None]) -> None:
        """Do something once, before the step of this number."""
        self._at = (step, act)

    def spawn(
        self,
        name: str,
        run: Callable[[], object],
        *,
        process: Mortal | None = None,
        call: Call | None = None,
    ) -> Task:
        """Begin a task; it runs when it is drawn."""
        task = Task(name, greenlet(run, self._hub), process, call)
        self._alive[task] = None
        self._runnable.append(task)
        return task

    def run(self) -> None:
        """Run until every task has ended.

        Raises:
            StuckError: Some wait for what will not come, or for too long.
        """
        while self._alive:
            task = self._draw()
            if task is None:
                continue
            self.current = task
            task.body.switch()
            # Whoever ended is not always whom this loop let run: see `_leave`.
            ended, self.current = self.running(), None
            if ended.body.dead:
                del self._alive[ended]
                self._last = None

    def _draw(self) -> Task | None:
        """Draw who runs next; None if only somebody who sleeps on could."""
        self._wake_sleepers()
        runnable, random, last = self._runnable, self.random.random, self._last
        if not runnable:
            return None
        if last is None or random() >= self._stickiness or last not in runnable:
            last = self._last = runnable[int(random() * len(runnable))]
        runnable.remove(last)
        self._count_step()
        return last

    def _wake_sleepers(self) -> None:
        """Wake who has slept enough; if nobody else can run, whoever is first."""
        sleeping = self._sleeping
        if not sleeping:
            if not self._runnable:
                raise StuckError(self.left())
            return
        if (
            sleeping[0][0] <= self.now_s
            or not self._runnable
            or self.random.random() < self._leaps
        ):
            self._wake_first()

    def _is_plain_step(self) -> bool:
        """Tell whether nothing is to happen at the next step but a task's turn."""
        acts = self._at is not None and self.steps + 1 >= self._at[0]
        return not acts and self.steps < self.max_steps

    def _count_step(self) -> None:
        self.steps += 1
        if self._at is not None and self.steps >= self._at[0]:
            self._at[1]()
            self._at = None
        if self.steps > self.max_steps:
            raise StuckError(self.left())

    def abandon(self) -> None:
        """End what is left, at once."""
        self._closed = True
        for task in list(self._alive):
            self.current = task
            while not task.body.dead:
                with contextlib.suppress(CrashError):
                    task.body.throw(CrashError)
        self._alive.clear()

    def left(self) -> str:
        """Say which tasks have not ended."""
        names = sorted(task.name for task in self._alive)
        return f"after {self.steps} steps: {', '.join(names)}"

    def running(self) -> Task:
        """Return the task that runs."""
        if self.current is None:
            message = "this runs outside of every task"
            raise AssertionError(message)
        return self.current

    def note(self, text: str) -> None:
        """Add to the trace."""
        self.digest = zlib.crc32(text.encode(), self.digest)
        if self._trace is not None:
            name = self.current.name if self.current is not None else "-"
            self._trace.append(f"{self.steps:6d} {self.now_s:12.3f} {name:12} {text}")

    def pause(self, text: str) -> None:
        """Let others run.

        Raises:
            CrashError: The task's process has ended meanwhile.
        """
        task = self._task()
        self.note(text)
        self.now_s += STEP_S
        self._runnable.append(task)
        self._leave(task)

    def sleep(self, seconds: float) -> None:
        """Let time pass for this task; raises as `pause`."""
        task = self._task()
        self._put_to_sleep(task, seconds)
        self._leave(task)

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everybody; who sleeps until then becomes runnable."""
        self.now_s += seconds
        while self._sleeping and self._sleeping[0][0] <= self.now_s:
            self._wake_first()

    def wait(self, done: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait until `wake` is called and `done` says so, or time is over."""
        task = self._task()
        until = None if timeout_s is None else self.now_s + timeout_s
        task.waiting = True
        try:
            while not done() and (until is None or self.now_s < until):
                if until is not None:
                    self._put_to_sleep(task, until - self.now_s)
                self._leave(task)
        finally:
            task.waiting = False
            task.order = 0

    def wake(self) -> None:
        """Let those look again who wait for something."""
        ready = set(map(id, self._runnable))
        for task in self._alive:
            if task.waiting and task is not self.current and id(task) not in ready:
                self._forget_sleep(task)
                self._runnable.append(task)

    def release(self, process: Mortal) -> None:
        """Let every task of a process that has ended find that out."""
        ready = set(map(id, self._runnable))
        for task in self._alive:
            mine = task.process is process and task is not self.current
            if mine and id(task) not in ready:
                self._forget_sleep(task)
                self._runnable.append(task)

    def _task(self) -> Task:
        task = self.running()
        if self._closed or (task.process is not None and task.process.dead):
            raise CrashError
        return task

    def _leave(self, task: Task) -> None:
        """Let whoever is drawn run, and come back when it is this task.

        The draw is made here, not in the hub: often the same task goes on, and then
        nothing is switched. Only the hub acts between steps, and only it may fail.
        """
        drawn = self._draw() if self._runnable and self._is_plain_step() else None
        if drawn is not None:
            if drawn is not task:
                self.current = drawn
                drawn.body.switch()
        else:
            self._hub.switch()
        if task.process is not None and task.process.dead:
            raise CrashError

    def _put_to_sleep(self, task: Task, seconds: float) -> None:
        self._count += 1
        task.order = self._count
        heappush(self._sleeping, (self.now_s + seconds, self._count, task))

    def _wake_first(self) -> None:
        wake_s, order, task = heappop(self._sleeping)
        if task.order == order:
            self.now_s = max(self.now_s, wake_s)
            self._runnable.append(task)

    @staticmethod
    def _forget_sleep(task: Task) -> None:
        task.order = 0
