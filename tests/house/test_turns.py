# SPDX-License-Identifier: Apache-2.0
"""Tests that measure seconds run while no other process of the run tests anything."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.turns import Turns


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[list[Turns]]:
    """Three processes' views of one run."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Turns(tmp_path))) for _ in range(3)]


def test_most_tests_run_together(turns: list[Turns]) -> None:
    with turns[0].take(alone=False), turns[1].take(alone=False):
        pass


def test_one_that_is_to_be_alone_waits_for_others_and_they_for_it(
    turns: list[Turns],
) -> None:
    first, second, third = turns
    came, go_on, order = threading.Event(), threading.Event(), list[str]()

    def be_alone() -> None:
        with second.take(alone=True):
            order.append("alone")
            came.set()
            assert go_on.wait(10)
            order.append("still alone")

    def follow() -> None:
        with third.take(alone=False):
            order.append("another")

    with ThreadPoolExecutor(2) as executor:
        with first.take(alone=False):
            alone = executor.submit(be_alone)
            assert not came.wait(0.1), "others were there"
        assert came.wait(10)
        another = executor.submit(follow)
        with pytest.raises(TimeoutError):
            another.result(0.1)
        go_on.set()
        alone.result(10)
        another.result(10)

    assert order == ["alone", "still alone", "another"]
