# SPDX-License-Identifier: Apache-2.0
"""Futures and executors whose waiters and workers are tasks of the scheduler."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, TypeVar, cast

from tests.simulation.schedule import CrashError, Mortal, Scheduler, Task

Result = TypeVar("Result")


class SimFuture(Future[Result]):
    """A future whose waiters wait by the scheduler.

    Nothing of the real one's locks is used: they would stop the only thread.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._value: Result | None = None
        self._error: BaseException | None = None
        self._finished = False
        self._begun = False
        self._dropped = False
        self._callbacks: list[Callable[[Future[Result]], object]] = []

    def begin(self) -> bool:
        """Return whether the work is still wanted."""
        self._begun = not self._dropped
        return self._begun

    def end(self, value: Result | None, error: BaseException | None) -> None:
        """Take in what the work came to."""
        self._value, self._error, self._finished = value, error, True
        self._tell()

    def cancel(self) -> bool:
        if self._begun or self._finished:
            return False
        if not self._dropped:
            self._dropped = self._finished = True
            self._tell()
        return True

    def cancelled(self) -> bool:
        return self._dropped

    def running(self) -> bool:
        return self._begun and not self._finished

    def done(self) -> bool:
        return self._finished

    def result(self, timeout: float | None = None) -> Result:
        self._wait(timeout)
        if self._error is not None:
            raise self._error
        return cast("Result", self._value)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return self._error

    def add_done_callback(self, fn: Callable[[Future[Result]], object]) -> None:
        if self._finished:
            fn(self)
        else:
            self._callbacks.append(fn)

    def _wait(self, timeout: float | None) -> None:
        if not self._finished:
            self._scheduler.wait(self.done, timeout)
        if not self._finished:
            raise TimeoutError
        if self._dropped:
            raise CancelledError

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback(self)
        self._scheduler.wake()


class SimExecutor(Executor):
    """A bounded number of workers, each a task of the same process."""

    def __init__(self, scheduler: Scheduler, process: Mortal, workers: int) -> None:
        self._scheduler = scheduler
        self._process = process
        self._free = workers
        self._queue: deque[tuple[SimFuture[Any], Callable[[], Any], Task | None]] = (
            deque()
        )

    def submit(
        self, fn: Callable[..., Result], /, *args: object, **kwargs: object
    ) -> Future[Result]:
        future: SimFuture[Result] = SimFuture(self._scheduler)
        self._queue.append(
            (future, lambda: fn(*args, **kwargs), self._scheduler.current)
        )
        self._begin()
        return future

    def _begin(self) -> None:
        while self._queue and self._free:
            future, work, task = self._queue.popleft()
            if not future.begin():
                continue
            self._free -= 1
            name = f"{task.name}'" if task is not None else "worker"
            self._scheduler.spawn(
                name,
                lambda future=future, work=work: self._work(future, work),  # type: ignore[misc]
                process=self._process,
                call=task.call if task is not None else None,
            )

    def _work(self, future: SimFuture[Any], work: Callable[[], Any]) -> None:
        if self._process.dead:
            return
        try:
            value, error = work(), None
        except CrashError:
            return
        except BaseException as caught:  # noqa: BLE001 -- it is the waiter's
            value, error = None, caught
        self._free += 1
        future.end(value, error)
        self._begin()
