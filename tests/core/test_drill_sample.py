# SPDX-License-Identifier: Apache-2.0
"""Samples of drills: by the seed alone, fair to all versions, within their room."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from strongroom_server.core.drill_sample import Drawn, draw, draw_window
from tests.support.samples import ARTIFACT_ID, PROJECT, filled

OTHER = filled("other", 18)
JOURNALS = (
    (PROJECT, ARTIFACT_ID, ((1, 3), (5, 5))),
    (PROJECT, OTHER, ((2, 2),)),
    (OTHER, ARTIFACT_ID, ()),
)
ALL = {
    *(Drawn(PROJECT, ARTIFACT_ID, number) for number in (1, 2, 3, 5)),
    Drawn(PROJECT, OTHER, 2),
}


def seed_of(number: int) -> bytes:
    return filled(f"seed {number}", 16)


def test_a_seed_draws_the_same_and_another_one_something_else() -> None:
    orders = {tuple(draw(seed_of(number), JOURNALS, 9)) for number in range(20)}

    assert draw(seed_of(0), JOURNALS, 9) == draw(seed_of(0), JOURNALS[::-1], 9)
    assert all(set(order) == ALL for order in orders)
    assert len(orders) > 10


def test_each_version_comes_first_about_as_often() -> None:
    first = Counter(draw(seed_of(number), JOURNALS, 1)[0] for number in range(500))

    assert set(first) == ALL
    assert min(first.values()) > 60


def test_no_more_is_drawn_than_asked_for() -> None:
    assert len(draw(seed_of(1), JOURNALS, 2)) == 2
    assert draw(seed_of(1), (), 2) == []


@given(st.integers(0, 2**50), st.integers(1, 2**40), st.integers(0, 1000))
def test_a_window_lies_within_a_version_and_its_room(
    size_bytes: int, room_bytes: int, number: int
) -> None:
    drawn = Drawn(PROJECT, ARTIFACT_ID, number)

    start, end = draw_window(seed_of(number), drawn, size_bytes, room_bytes)

    assert 0 <= start <= end <= size_bytes
    assert end - start == min(size_bytes, room_bytes)


def test_windows_of_a_large_version_lie_everywhere() -> None:
    drawn = Drawn(PROJECT, ARTIFACT_ID, 1)

    starts = [draw_window(seed_of(number), drawn, 1000, 10)[0] for number in range(200)]

    assert Counter(start // 100 for start in starts).keys() >= set(range(9))
