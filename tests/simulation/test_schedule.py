# SPDX-License-Identifier: Apache-2.0
"""The scheduler: one task at a time, time that it makes, futures, and death."""

from random import Random

import pytest

from tests.simulation.schedule import CrashError, Scheduler, StuckError
from tests.simulation.workers import SimExecutor, SimFuture


class Process:
    dead = False


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(Random(1), leaps=0.0)


def test_tasks_take_turns(scheduler: Scheduler) -> None:
    seen: list[str] = []

    def run(name: str) -> None:
        for _ in range(20):
            seen.append(name)
            scheduler.pause(name)

    scheduler.spawn("a", lambda: run("a"))
    scheduler.spawn("b", lambda: run("b"))
    scheduler.run()

    assert sorted(seen) == ["a"] * 20 + ["b"] * 20
    assert seen != sorted(seen)


def test_who_sleeps_wakes_in_time_and_in_order(scheduler: Scheduler) -> None:
    woken: list[tuple[int, float]] = []

    def run(seconds: int) -> None:
        scheduler.sleep(seconds)
        woken.append((seconds, scheduler.now_s))

    for seconds in (30, 10, 20):
        scheduler.spawn(f"{seconds}", lambda seconds=seconds: run(seconds))  # type: ignore[misc]
    scheduler.run()

    assert [seconds for seconds, _ in woken] == [10, 20, 30]
    assert all(now_s >= seconds for seconds, now_s in woken)


def test_work_runs_on_as_many_workers_as_there_are(scheduler: Scheduler) -> None:
    executor = SimExecutor(scheduler, Process(), 2)
    running: list[int] = []
    most: list[int] = []

    def work(number: int) -> int:
        running.append(number)
        scheduler.pause("work")
        most.append(len(running))
        running.remove(number)
        return number * number

    def run() -> None:
        futures = [executor.submit(work, number) for number in range(6)]
        assert [future.result() for future in futures] == [0, 1, 4, 9, 16, 25]

    scheduler.spawn("a", run)
    scheduler.run()

    assert max(most) == 2


def test_an_error_of_the_work_is_its_waiters(scheduler: Scheduler) -> None:
    executor = SimExecutor(scheduler, Process(), 1)

    def run() -> None:
        future = executor.submit(lambda: 1 // 0)
        assert isinstance(future.exception(), ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            future.result()

    scheduler.spawn("a", run)
    scheduler.run()


def test_a_wait_ends_with_its_time(scheduler: Scheduler) -> None:
    def run() -> None:
        future: SimFuture[int] = SimFuture(scheduler)
        with pytest.raises(TimeoutError):
            future.result(timeout=5)
        assert scheduler.now_s >= 5

    scheduler.spawn("a", run)
    scheduler.run()


def test_work_that_is_cancelled_does_not_begin(scheduler: Scheduler) -> None:
    executor = SimExecutor(scheduler, Process(), 1)
    begun: list[int] = []

    def run() -> None:
        first = executor.submit(begun.append, 1)
        second = executor.submit(begun.append, 2)
        assert second.cancel()
        first.result()
        assert not first.cancel()

    scheduler.spawn("a", run)
    scheduler.run()

    assert begun == [1]


def test_the_tasks_of_a_process_end_with_it(scheduler: Scheduler) -> None:
    process = Process()
    executor = SimExecutor(scheduler, process, 2)
    ended: list[str] = []

    def wait(name: str) -> None:
        try:
            if name == "sleeps":
                scheduler.sleep(1000)
            else:
                executor.submit(scheduler.sleep, 1000).result()
        except CrashError:
            ended.append(name)

    def kill() -> None:
        for _ in range(10):
            scheduler.pause("wait")
        process.dead = True
        scheduler.release(process)

    scheduler.spawn("sleeps", lambda: wait("sleeps"), process=process)
    scheduler.spawn("waits", lambda: wait("waits"), process=process)
    scheduler.spawn("kills", kill)
    scheduler.run()

    assert sorted(ended) == ["sleeps", "waits"]


def test_who_waits_for_nothing_is_stuck(scheduler: Scheduler) -> None:
    future: SimFuture[int] = SimFuture(scheduler)
    scheduler.spawn("waits", future.result)

    with pytest.raises(StuckError, match="waits"):
        scheduler.run()
    scheduler.abandon()
