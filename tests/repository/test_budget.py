# SPDX-License-Identifier: Apache-2.0
"""The byte budget: never more than it has, given back by whoever took it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.repository.budget import ByteBudget


def test_what_is_not_there_is_not_taken() -> None:
    budget = ByteBudget(10)

    assert budget.try_take(7)
    assert not budget.try_take(4)
    assert budget.try_take(3)
    assert budget.free_bytes == 0


def test_what_is_given_back_can_be_taken_again() -> None:
    budget = ByteBudget(10)
    budget.take(10)

    budget.give_back(10)

    assert budget.try_take(10)


def test_more_than_there_is_takes_all_and_gives_all_back() -> None:
    budget = ByteBudget(10)

    budget.take(50)
    assert not budget.try_take(1)
    budget.give_back(50)

    assert budget.free_bytes == 10


def test_who_waits_goes_on_when_enough_is_given_back() -> None:
    budget = ByteBudget(10)
    budget.take(10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.take, 6, timeout_s=30.0)
        budget.give_back(5)
        assert not waiting.done()
        budget.give_back(5)
        waiting.result(30.0)

    assert budget.free_bytes == 4


def test_who_waits_too_long_is_told_and_takes_nothing() -> None:
    budget = ByteBudget(10)
    budget.take(5)

    with pytest.raises(UnavailableError) as caught:
        budget.take(6, timeout_s=0.01)

    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert budget.free_bytes == 5


def test_many_threads_never_hold_more_than_there_is() -> None:
    budget, lock = ByteBudget(10), threading.Lock()
    held, most = 0, 0

    def work(size: int) -> None:
        nonlocal held, most
        for _ in range(200):
            budget.take(size, timeout_s=30.0)
            with lock:
                held += size
                most = max(most, held)
            with lock:
                held -= size
            budget.give_back(size)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [1, 2, 3, 4, 7, 10]))

    assert most <= 10
    assert budget.free_bytes == 10
