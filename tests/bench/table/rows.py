# SPDX-License-Identifier: Apache-2.0
"""One row of the table: ours beside a peer's, as a ratio, with its aim.

A ratio above 1 means that we are better, whether less or more of the unit is good.
Each pair was measured in one round, one right after the other; the row's ratio is the
median of the pairs' ratios, its spread the least and the greatest of them. Pairs during
which others used much of the processors are left out, if enough others are left; if
not, the row says how many of its pairs were like that.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.measuring import MAX_FOREIGN, MIB, Usage

#: Units of which less is better; of all others, more is.
_LESS: Final = frozenset({"s", "ms", "CPU-s/GB", "MiB", "bytes", "objects", "calls"})
#: What is counted beside times, and how it is shown.
COUNTED: Final = {
    "cpu_s": "{:.2f}",
    "store_cpu_s": "{:.2f}",
    "s3_requests": "{:.0f}",
    "moved_mib": "{:.0f}",
    "faults": "{:.0f}",
    "peak_mib": "{:.0f}",
    "server_peak_mib": "{:.0f}",
    "foreign": "{:.2f}",
}

#: The medians of what was counted, by name.
Counts = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Aim:
    """What a row is to reach.

    Attributes:
        target: The ratio that it must have.
        stretch: The ratio that it would be good to have.
    """

    target: float
    stretch: float


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        case: What was done, behind its id in `docs/performance.md`.
        ours: Our median.
        peer: Whom it is compared with.
        peer_value: The peer's median.
        unit: Of both.
        ratio: The median of the pairs; above 1 we are better.
        spread: The least and the greatest ratio.
        target: See `Aim`.
        stretch: See `Aim`.
        pairs: How many it is the median of.
        noisy: How many of them others may have spoiled.
        counts: Medians of what was counted beside, ours and the peer's.
        profile: Where it is written what limits us; "" if nowhere.
    """

    case: str
    ours: float
    peer: str
    peer_value: float
    unit: str
    ratio: float
    spread: tuple[float, float]
    target: float
    stretch: float
    pairs: int = 0
    noisy: int = 0
    counts: Mapping[str, Counts] = field(default_factory=dict)
    profile: str = ""

    @property
    def verdict(self) -> str:
        """Which of its aims it keeps, in a word."""
        if self.ratio >= self.stretch:
            return "stretch"
        return "met" if self.ratio >= self.target else "MISSED"


def compare(
    case: str,
    unit: str,
    ours: Sequence[float],
    peer: tuple[str, Sequence[float]],
    aim: Aim,
    *,
    usages: tuple[Sequence[Usage], Sequence[Usage]] | None = None,
) -> Row:
    """Return the row of two series, of which equal places were one pair.

    Args:
        case: What was done.
        unit: Of the values.
        ours: Our values.
        peer: The peer's name, and its values.
        aim: What the ratio is to be.
        usages: What else was measured with ours, and with the peer's.

    Raises:
        ValueError: There are no pairs, or a value is not positive.
    """
    name, theirs = peer
    pairs = list(zip(ours, theirs, strict=True))
    if not pairs or min(min(pair) for pair in pairs) <= 0:
        message = f"{case}, {name}: nothing to compare: {pairs}"
        raise ValueError(message)
    places, noisy = _quiet_places(len(pairs), usages)
    counts: dict[str, Counts] = {}
    if usages is not None:
        mine, others = ([series[place] for place in places] for series in usages)
        counts = {"ours": count(mine), "peer": count(others)}
    pairs = [pairs[place] for place in places]
    less = unit in _LESS
    ratios = [their / our if less else our / their for our, their in pairs]
    return Row(
        case,
        median(our for our, _ in pairs),
        name,
        median(their for _, their in pairs),
        unit,
        median(ratios),
        (min(ratios), max(ratios)),
        aim.target,
        aim.stretch,
        len(pairs),
        noisy,
        counts,
    )


def count(usages: Sequence[Usage]) -> Counts:
    """Return the medians of what was counted."""
    found: dict[str, list[float]] = {name: [] for name in COUNTED}
    for usage in usages:
        found["cpu_s"].append(usage.cpu_s)
        found["store_cpu_s"].append(usage.store_cpu_s)
        found["faults"].append(usage.client_faults + usage.server_faults)
        found["peak_mib"].append(usage.client_peak_bytes / MIB)
        found["server_peak_mib"].append(
            max(usage.server_peak_bytes, usage.sidecar_peak_bytes) / MIB
        )
        found["foreign"].append(usage.foreign)
        if usage.asked is not None:
            found["s3_requests"].append(usage.asked.requests)
            moved = usage.asked.received_bytes + usage.asked.sent_bytes
            found["moved_mib"].append(moved / MIB)
    return {name: round(median(values), 3) for name, values in found.items() if values}


def _quiet_places(
    count_of_pairs: int, usages: tuple[Sequence[Usage], Sequence[Usage]] | None
) -> tuple[Sequence[int], int]:
    """Choose the pairs that count; say how many of them are noisy."""
    every = range(count_of_pairs)
    if usages is None:
        return every, 0
    both = list(zip(*usages, strict=True))
    quiet = [
        place
        for place in every
        if max(usage.foreign for usage in both[place]) <= MAX_FOREIGN
    ]
    if 2 * len(quiet) >= count_of_pairs:
        return quiet, 0
    return every, count_of_pairs - len(quiet)


def at_most(times: float, goal: float) -> Aim:
    """Return the aim of taking at most so many times as much as the peer."""
    return Aim(1 / times, 1 / goal)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def format_rows(rows: Sequence[Row]) -> str:
    """Return the table as text."""
    head = ("case", "ours", "peer", "theirs", "unit", "ratio", "spread", "aim", "")
    return _format([head, *(_cells(row) for row in rows)])


def format_counts(rows: Sequence[Row]) -> str:
    """Return what was counted beside the times: a line each for us and each peer."""
    lines: list[tuple[str, ...]] = [("case", "who", *COUNTED)]
    seen = set[tuple[str, ...]]()
    for row in rows:
        for side, who in (("ours", "strongroom"), ("peer", row.peer)):
            counts = row.counts.get(side)
            shown = tuple(
                form.format(counts[name]) if counts and name in counts else ""
                for name, form in COUNTED.items()
            )
            # What one command took stands beside the first row that is about it.
            if counts and (who, *shown) not in seen:
                seen.add((who, *shown))
                lines.append((row.case, who, *shown))
    return _format(lines)


def _format(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.spread
    noisy = f" ({row.noisy} of {row.pairs} pairs noisy)" if row.noisy else ""
    return (
        row.case,
        f"{row.ours:.4g}",
        row.peer,
        f"{row.peer_value:.4g}",
        row.unit,
        f"{row.ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{row.target:.2f}, {row.stretch:.2f}",
        row.verdict + noisy,
    )
