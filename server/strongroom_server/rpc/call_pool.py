# SPDX-License-Identifier: Apache-2.0
"""The threads that serve calls: as many as are needed, each kept for the next call.

gRPC wants a `ThreadPoolExecutor` and asks of it only to run something and to tell when
that is over. The library's own makes a future with two locks for each task, and takes
two more of the whole process: a tenth of what a short call costs (measured).
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar, cast

Params = ParamSpec("Params")
Result = TypeVar("Result")

_NAME: Final = "call"


class CallPool(ThreadPoolExecutor):
    """Runs what gRPC submits. Safe to use from many threads.

    It is for gRPC's own tasks only: what is submitted tells its errors itself, to the
    log and the caller, and nobody asks for its result. What it raises goes no further.
    """

    def __init__(self, max_threads: int) -> None:
        """Start no thread yet, and at most `max_threads`."""
        super().__init__(max_threads, _NAME)
        self._limit = max_threads
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        # One for each thread that waits. Lists take and give single things whole.
        self._idle: list[None] = []
        self._started: list[threading.Thread] = []
        self._closing = threading.Lock()
        self._is_closed = False

    def submit(
        self,
        fn: Callable[Params, Result],
        /,
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> "Future[Result]":
        """Run something soon; what is returned takes callbacks, and nothing else.

        Raises:
            RuntimeError: The pool is shut down.
        """
        task = _Task(lambda: fn(*args, **kwargs))
        try:
            self._idle.pop()
        except IndexError:
            self._grow()
        if self._is_closed:
            message = "cannot schedule new futures after shutdown"
            raise RuntimeError(message)
        self._tasks.put(task)
        return cast("Future[Result]", task)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (the library's)
        """End the threads once they have run what was submitted."""
        del cancel_futures
        with self._closing:
            self._is_closed = True
            self._tasks.put(None)
        if wait:
            for thread in self._started:
                thread.join()

    def _grow(self) -> None:
        """Start a thread for a task for which none waits, unless there are enough."""
        with self._closing:
            number = len(self._started)
            if number >= self._limit or self._is_closed:
                return
            name = f"{_NAME}_{number}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            # First: one that does not start is none.
            thread.start()
            self._started.append(thread)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                self._tasks.put(None)  # for the next thread
                return
            # gRPC has told of what went wrong; the thread is for others, too.
            with suppress(BaseException):
                task.run()
            # What a call held must go now, not when the next one comes.
            del task
            self._idle.append(None)


class _Task:
    """Something that is run once, and who wants to know when it is over."""

    __slots__ = ("_callbacks", "_is_over", "_work")

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._callbacks: list[Callable[[object], object]] = []
        self._is_over = False

    def run(self) -> None:
        """Run it."""
        try:
            self._work()
        finally:
            self._is_over = True
            self._call_back()

    def add_done_callback(self, fn: Callable[[object], object]) -> None:
        """Have `fn` called once it is over: by its thread, or now."""
        self._callbacks.append(fn)
        if self._is_over:
            self._call_back()

    def _call_back(self) -> None:
        # Each is popped by one of two threads only.
        while self._callbacks:
            try:
                fn = self._callbacks.pop()
            except IndexError:
                return
            fn(self)
