# SPDX-License-Identifier: Apache-2.0
"""What calls cost with access and audit on, beside the same server without them."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.bench.measuring import say

#: What is left out of each server that is measured.
WITHOUT: Final[Mapping[str, tuple[str, ...]]] = {
    "both on": (),
    "access only": ("audit",),
    "audit only": ("access",),
    "both off": ("access", "audit"),
}
#: What a decision may add to the median of one client's call, in microseconds.
ACCESS_BUDGET_US: Final = 150.0


@dataclass(frozen=True)
class Figures:
    """One run of a load on one server.

    Attributes:
        rate: Calls a second.
        p50: Median, in microseconds.
        p99: The 99th percentile, in microseconds.
        cpu: Processor time of the server a call, in microseconds.
    """

    rate: float
    p50: float
    p99: float
    cpu: float

    @classmethod
    def of(cls, micros: Sequence[int], *, seconds: float, cpu_us: float) -> "Figures":
        """Sum up a run; `cpu_us` is for one call."""
        ordered = sorted(micros)
        return cls(
            len(ordered) / seconds,
            float(ordered[len(ordered) // 2]),
            float(ordered[len(ordered) * 99 // 100]),
            cpu_us,
        )


Key = tuple[str, int, str]


@dataclass
class CallReport:
    """Runs by call, number of clients, and server; the rounds in their order."""

    runs: dict[Key, list[Figures]] = field(default_factory=dict)

    def add(self, call: str, clients: int, server: str, figures: Figures) -> None:
        """Take in one run."""
        self.runs.setdefault((call, clients, server), []).append(figures)

    def lines(self) -> Iterator[str]:
        """Yield the table: medians over the rounds, and how far they were apart."""
        yield (
            f"{'call':<7} {'clients':>7}  {'server':<12} {'calls/s':>8} {'p50 us':>8} "
            f"{'p99 us':>8} {'cpu us':>7}  {'p50 from .. to':>16}"
        )
        for (call, clients, server), rounds in self.runs.items():
            p50 = [item.p50 for item in rounds]
            yield (
                f"{call:<7} {clients:>7}  {server:<12} "
                f"{_median(rounds, 'rate'):>8.0f} {statistics.median(p50):>8.0f} "
                f"{_median(rounds, 'p99'):>8.0f} {_median(rounds, 'cpu'):>7.0f}  "
                f"{min(p50):>7.0f} .. {max(p50):.0f}"
            )

    def overheads(self) -> Iterator[str]:
        """Yield what access, audit and both add, each round by itself."""
        for call, clients in dict.fromkeys(key[:2] for key in self.runs):
            for name, server, base in _PARTS:
                p50 = self.added(call, clients, server, base, "p50")
                cpu = self.added(call, clients, server, base, "cpu")
                ratio = statistics.median(
                    more.rate / less.rate
                    for more, less in self._pairs(call, clients, server, base)
                )
                yield (
                    f"{call:<7} {clients:>7}  {name:<12} {p50:>+8.0f} us at p50 "
                    f"{cpu:>+6.0f} us cpu   {ratio:.2f} of the calls/s"
                )

    def added(
        self, call: str, clients: int, server: str, base: str, figure: str
    ) -> float:
        """Return by how much a figure grows: the median of the rounds' differences."""
        return statistics.median(
            float(getattr(more, figure) - getattr(less, figure))
            for more, less in self._pairs(call, clients, server, base)
        )

    def access_us(self) -> float | None:
        """Return what access adds to one client's median; None if not measured."""
        if ("info", 1, "access only") not in self.runs:
            return None
        return self.added("info", 1, "access only", "both off", "p50")

    def _pairs(
        self, call: str, clients: int, server: str, base: str
    ) -> Iterator[tuple[Figures, Figures]]:
        # What was measured in one round had the same machine around it.
        yield from zip(
            self.runs[call, clients, server],
            self.runs[call, clients, base],
            strict=True,
        )


#: What is told apart, and between which servers it is the difference.
_PARTS: Final = (
    ("access", "access only", "both off"),
    ("audit", "audit only", "both off"),
    ("both", "both on", "both off"),
)


def print_report(report: CallReport) -> None:
    """Print it all."""
    for line in report.lines():
        say(line)
    say()
    say("what they add, the median of the rounds' differences:")
    for line in report.overheads():
        say(line)
    access = report.access_us()
    if access is not None:
        verdict = "kept" if access <= ACCESS_BUDGET_US else "MISSED"
        say()
        say(
            f"access adds {access:.0f} us at p50 to a call of one client; the aim of "
            f"{ACCESS_BUDGET_US:.0f} us is {verdict}"
        )


def _median(rounds: Sequence[Figures], figure: str) -> float:
    return statistics.median(float(getattr(item, figure)) for item in rounds)
