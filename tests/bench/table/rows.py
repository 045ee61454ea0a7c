# SPDX-License-Identifier: Apache-2.0
"""One row of the table: ours beside a peer's, as a ratio, with its aim.

A ratio above 1 means that we are better, whether less or more of the unit is good.
Each pair was measured in one round, one right after the other; the row's ratio is the
median of the pairs' ratios, its spread the least and the greatest of them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

#: Units of which less is better; of all others, more is.
_LESS: Final = frozenset({"s", "ms", "CPU-s/GB", "MiB", "bytes", "objects"})


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
        case: What was done, with the number that the plan gives it.
        ours: Our median.
        peer: Whom it is compared with.
        peer_value: The peer's median.
        unit: Of both.
        ratio: The median of the pairs; above 1 we are better.
        spread: The least and the greatest ratio.
        target: See `Aim`.
        stretch: See `Aim`.
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
) -> Row:
    """Return the row of two series, of which equal places were one pair.

    Args:
        case: What was done.
        unit: Of the values.
        ours: Our values.
        peer: The peer's name, and its values.
        aim: What the ratio is to be.

    Raises:
        ValueError: There are no pairs, or a value is not positive.
    """
    name, theirs = peer
    pairs = list(zip(ours, theirs, strict=True))
    if not pairs or min(min(pair) for pair in pairs) <= 0:
        message = f"{case}, {name}: nothing to compare: {pairs}"
        raise ValueError(message)
    less = unit in _LESS
    ratios = [their / our if less else our / their for our, their in pairs]
    return Row(
        case,
        median(ours),
        name,
        median(theirs),
        unit,
        median(ratios),
        (min(ratios), max(ratios)),
        aim.target,
        aim.stretch,
    )


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
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.spread
    return (
        row.case,
        f"{row.ours:.4g}",
        row.peer,
        f"{row.peer_value:.4g}",
        row.unit,
        f"{row.ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{row.target:.2f}, {row.stretch:.2f}",
        row.verdict,
    )
