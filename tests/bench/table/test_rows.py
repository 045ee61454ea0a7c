# SPDX-License-Identifier: Apache-2.0
"""Ratios point the right way, and rows say what they keep."""

import json
from pathlib import Path

import pytest

from tests.bench.table.rows import Aim, at_most, compare, format_rows, write_rows

AIM = Aim(1.0, 2.0)


def test_less_time_is_better() -> None:
    row = compare("a", "s", [1.0, 2.0, 4.0], ("peer", [3.0, 2.0, 8.0]), AIM)

    assert row.ratio == 2.0
    assert row.spread == (1.0, 3.0)
    assert (row.ours, row.peer_value) == (2.0, 3.0)


def test_more_calls_are_better() -> None:
    row = compare("a", "calls/s", [10.0], ("peer", [40.0]), AIM)

    assert row.ratio == 0.25


def test_the_ratio_is_that_of_pairs_and_not_of_medians() -> None:
    row = compare("a", "s", [1.0, 10.0, 100.0], ("peer", [2.0, 10.0, 50.0]), AIM)

    assert row.ratio == 1.0
    assert row.spread == (0.5, 2.0)


@pytest.mark.parametrize(
    ("theirs", "verdict"), [(0.5, "MISSED"), (1.0, "met"), (2.0, "stretch")]
)
def test_a_row_says_which_aim_it_keeps(theirs: float, verdict: str) -> None:
    row = compare("a", "s", [1.0], ("peer", [theirs]), AIM)

    assert row.verdict == verdict
    assert verdict in format_rows([row])


def test_at_most_so_many_times_the_peer() -> None:
    row = compare("a", "ms", [2.5], ("peer", [1.0]), at_most(2.5, 1.5))

    assert row.verdict == "met"


@pytest.mark.parametrize("ours", [[], [0.0], [1.0, -1.0]])
def test_nothing_is_compared_with_nothing(ours: list[float]) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare("a", "s", ours, ("peer", [1.0] * len(ours)), AIM)


def test_series_of_different_lengths_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="zip"):
        compare("a", "s", [1.0], ("peer", [1.0, 2.0]), AIM)


def test_rows_are_written_as_a_list(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    write_rows([compare("a", "s", [1.0], ("peer", [2.0]), AIM)], path)

    (row,) = json.loads(path.read_text())

    assert set(row) == {
        *("case", "ours", "peer", "peer_value", "unit"),
        *("ratio", "spread", "target", "stretch"),
    }
    assert row["ratio"] == 2.0
