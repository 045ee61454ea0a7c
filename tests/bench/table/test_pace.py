# SPDX-License-Identifier: Apache-2.0
"""Rounds are as many as asked for, one more if disturbed, fewer if time runs out."""

import itertools
import math

from tests.bench.table.pace import Rounds


def test_rounds_are_as_many_as_wanted() -> None:
    assert list(Rounds(3, math.inf)) == [0, 1, 2]


def test_a_disturbed_round_is_made_up_for_once() -> None:
    rounds = Rounds(3, math.inf)

    seen = []
    for turn in rounds:
        seen.append(turn)
        rounds.note(0.5)
        rounds.note(0.0)

    assert seen == [0, 1, 2, 3]
    assert rounds.noisy == 4


def test_no_round_begins_that_would_end_too_late() -> None:
    clock = itertools.count(0, 10).__next__

    assert list(Rounds(9, 45.0, clock=clock)) == [0, 1]


def test_the_first_round_is_always_given() -> None:
    assert list(Rounds(3, -math.inf)) == [0]
