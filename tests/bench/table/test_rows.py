# SPDX-License-Identifier: Apache-2.0
"""Ratios point the right way, and rows say what they keep."""

import json
from pathlib import Path

import pytest

from tests.bench.measuring import MIB, Usage
from tests.bench.store_counts import StoreCounts
from tests.bench.table.rows import (
    Aim,
    at_most,
    compare,
    format_counts,
    format_rows,
    write_rows,
)

AIM = Aim(1.0, 2.0)


def usage(wall_s: float, foreign: float = 0.0) -> Usage:
    return Usage(
        wall_s,
        client_cpu_s=1.0,
        server_cpu_s=2.0,
        store_cpu_s=3.0,
        foreign=foreign,
        client_peak_bytes=4 * MIB,
        server_peak_bytes=5 * MIB,
        out="",
        client_faults=6,
        server_faults=7,
        sidecar_peak_bytes=8 * MIB,
        asked=StoreCounts(9, 10 * MIB, 11 * MIB),
    )


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
        *("pairs", "noisy", "counts", "profile"),
    }
    assert row["ratio"] == 2.0


def test_what_was_counted_stands_beside_the_times() -> None:
    series = [usage(1.0)], [usage(2.0)]
    row = compare("P1 put", "s", [1.0], ("peer", [2.0]), AIM, usages=series)

    assert row.counts["ours"] == {
        "cpu_s": 3.0,
        "store_cpu_s": 3.0,
        "s3_requests": 9,
        "moved_mib": 21,
        "faults": 13,
        "peak_mib": 4,
        "server_peak_mib": 8,
        "foreign": 0,
    }
    lines = format_counts([row, row]).splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["strongroom", "peer"]


def test_pairs_that_others_disturbed_are_left_out() -> None:
    ours = [usage(1.0), usage(9.0, foreign=0.5), usage(1.0)]
    theirs = [usage(2.0), usage(1.0), usage(4.0)]
    row = compare(
        "a", "s",
        [item.wall_s for item in ours], ("peer", [item.wall_s for item in theirs]),
        AIM, usages=(ours, theirs),
    )  # fmt: skip

    assert (row.pairs, row.noisy, row.ratio, row.ours) == (2, 0, 3.0, 1.0)


def test_a_row_says_how_many_of_its_pairs_are_noisy_if_most_are() -> None:
    ours = [usage(1.0), usage(1.0, foreign=0.5), usage(1.0)]
    theirs = [usage(2.0), usage(1.0), usage(4.0, foreign=0.16)]
    row = compare(
        "a", "s",
        [1.0, 1.0, 1.0], ("peer", [item.wall_s for item in theirs]),
        AIM, usages=(ours, theirs),
    )  # fmt: skip

    assert (row.pairs, row.noisy, row.ratio) == (3, 2, 2.0)
    assert "2 of 3 pairs noisy" in format_rows([row])
