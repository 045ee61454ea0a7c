# SPDX-License-Identifier: Apache-2.0
"""The threads that serve calls: none is lost, and none is more than is needed."""

import threading
from collections.abc import Iterator

import pytest

from strongroom_server.rpc.call_pool import CallPool

PATIENCE_S = 10.0


@pytest.fixture
def pool() -> Iterator[CallPool]:
    pool = CallPool(3)
    yield pool
    pool.shutdown()


def test_tasks_that_wait_for_each_other_run_at_once(pool: CallPool) -> None:
    barrier = threading.Barrier(3)
    places = list[int]()

    for _ in range(3):
        pool.submit(lambda: places.append(barrier.wait(PATIENCE_S)))
    pool.shutdown()

    assert sorted(places) == [0, 1, 2]


def test_a_thread_that_did_not_start_takes_no_place(
    pool: CallPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="new thread"):
                pool.submit(lambda: None)
    ran = threading.Event()
    pool.submit(ran.set)

    assert ran.wait(PATIENCE_S)


def test_more_tasks_than_threads_all_run_and_no_thread_is_added(
    pool: CallPool,
) -> None:
    go, ran, names = threading.Event(), list[int](), set[str]()

    def work(number: int) -> None:
        go.wait(PATIENCE_S)
        names.add(threading.current_thread().name)
        ran.append(number)

    for number in range(50):
        pool.submit(work, number)
    go.set()
    pool.shutdown()

    assert sorted(ran) == list(range(50))
    assert names <= {"call_0", "call_1", "call_2"}


def test_many_submitters_lose_no_task(pool: CallPool) -> None:
    ran, told = list[int](), list[int]()

    def submit(first: int) -> None:
        for number in range(first, first + 200):
            task = pool.submit(ran.append, number)
            task.add_done_callback(lambda _, number=number: told.append(number))  # type: ignore[misc]  # its default is the number

    threads = [threading.Thread(target=submit, args=(n * 200,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    pool.shutdown()

    assert sorted(ran) == sorted(told) == list(range(800))


def test_a_callback_is_called_once_whether_early_or_late(pool: CallPool) -> None:
    go, ended, told = threading.Event(), threading.Event(), list[str]()
    task = pool.submit(go.wait, PATIENCE_S)
    task.add_done_callback(lambda _: told.append("early"))
    task.add_done_callback(lambda _: ended.set())
    go.set()
    assert ended.wait(PATIENCE_S)

    task.add_done_callback(lambda _: told.append("late"))
    pool.shutdown()

    assert told == ["early", "late"]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), GeneratorExit()])
def test_a_task_that_fails_is_over_and_costs_no_thread(
    pool: CallPool, error: BaseException
) -> None:
    told = list[str]()

    def fail() -> None:
        raise error

    for _ in range(10):
        pool.submit(fail).add_done_callback(lambda _: told.append("over"))
    pool.submit(told.append, "ran")
    pool.shutdown()

    assert sorted(told) == ["over"] * 10 + ["ran"]


def test_what_a_task_held_goes_when_it_is_over(pool: CallPool) -> None:
    ended, gone = threading.Event(), threading.Event()

    class Held:
        def __del__(self) -> None:
            gone.set()

    pool.submit(lambda _held: None, Held()).add_done_callback(lambda _: ended.set())

    assert ended.wait(PATIENCE_S)
    assert gone.wait(PATIENCE_S)


def test_after_its_end_nothing_is_taken(pool: CallPool) -> None:
    pool.submit(lambda: None)
    pool.shutdown()

    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(lambda: None)
    pool.shutdown(wait=False)
