# SPDX-License-Identifier: Apache-2.0
"""Every interleaving of writers and sweepers keeps what is needed; mutants do not."""

import pytest

from tests.model.sweep_model import (
    Actor,
    Mutation,
    Sweeper,
    Undeleter,
    Writer,
    explore,
)

#: Pushes to a journal that exists, sharing garbage.
TO_OLD = Writer("w1", "A", "x")
#: Pushes to a journal that does not exist yet, sharing garbage, and the trash.
TO_NEW = Writer("w2", "B", "x")
FROM_TRASH = Writer("w3", "B", "y")
#: Condemns, and sees it through, or sees through what another one condemned.
FIRST, SECOND = Sweeper("s1", 2), Sweeper("s2", 2)
HELPER = Sweeper("s2", 1)


@pytest.mark.parametrize(
    ("actors", "least_states"),
    [
        ((TO_OLD, TO_NEW, Undeleter(), FIRST), 25_000),
        pytest.param((TO_OLD, TO_NEW, HELPER, FIRST), 100_000, marks=pytest.mark.slow),
        ((FROM_TRASH, Undeleter(), SECOND, FIRST), 50_000),
        pytest.param(
            (TO_OLD, TO_NEW, FROM_TRASH, FIRST), 250_000, marks=pytest.mark.slow
        ),
    ],
)
def test_no_interleaving_loses_what_is_needed(
    actors: tuple[Actor, ...], least_states: int
) -> None:
    outcome = explore(actors)

    assert outcome.trace == ()
    assert outcome.states >= least_states


@pytest.mark.parametrize("mutation", [item for item in Mutation if item.value > 1])
def test_a_protocol_with_one_thing_wrong_is_found_out(mutation: Mutation) -> None:
    outcome = explore((TO_OLD, TO_NEW, Undeleter(), FIRST), mutation)

    assert outcome.trace
