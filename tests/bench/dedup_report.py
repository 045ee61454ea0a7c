# SPDX-License-Identifier: Apache-2.0
"""What `bench_dedup` found: tables, limits of bytes, gates of time."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.bench.measuring import Usage, say

OURS: Final = "strongroom"
RESTIC: Final = "restic"
PLAIN: Final = ("boto3 tuned", "s5cmd")

#: What a version may add, as a share of its plaintext.
V1_SHARE: Final = 0.70
V2_SHARE: Final = 0.05
V3_SHARE: Final = 0.22
#: What one changed file of a dataset may add beyond itself.
CHANGED_FILE_BYTES: Final = 256 * 1024
#: What a version may add that holds no tensor that is not stored already: the
#: file's header, a page of the file table, and records.
RECORDS_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: what it took, and what it added to the store, in bytes."""

    usage: Usage
    added_bytes: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of bytes, and whether it is kept.

    Attributes:
        text: What is limited.
        found: What was found, at worst.
        wanted: The limit.
        met: Whether it is kept.
    """

    text: str
    found: str
    wanted: str
    met: bool


@dataclass
class Report:
    """Everything that was measured.

    Attributes:
        plain: Bytes of plaintext, by `what version`.
        samples: One for each round, by what, version and tool.
        tensor_bytes: Bytes of all tensors of the checkpoint.
        moved_bytes: What storing the tensors of v1 again has added.
        moved_shared: How many bytes of that version v1 has, too.
        file_count: Files of the dataset.
        changed_bytes: The size of the file that changes in it.
    """

    plain: dict[str, int] = field(default_factory=dict)
    samples: dict[tuple[str, str], dict[str, list[Sample]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    tensor_bytes: int = 0
    moved_bytes: list[int] = field(default_factory=list)
    moved_shared: list[int] = field(default_factory=list)
    file_count: int = 0
    changed_bytes: int = 0

    def add(
        self, what: str, version: str, tool: str, usage: Usage, added_bytes: int
    ) -> None:
        """Note one measurement."""
        self.samples[what, version][tool].append(Sample(usage, added_bytes))

    @property
    def bytes_are_met(self) -> bool:
        """Whether every limit of bytes is kept."""
        return all(limit.met for limit in self.limits())

    def limits(self) -> list[Limit]:
        """Compare with the limits of bytes; the worst round counts."""
        found = [
            self._share("checkpoint", "v1", V1_SHARE),
            self._share("checkpoint", "v2", V2_SHARE),
            self._share("checkpoint", "v3", V3_SHARE),
        ]
        if ("trained", "v1") in self.samples:
            found.append(self._share("trained", "v1", V1_SHARE))
        shared = min(self.moved_shared)
        found.append(
            Limit(
                "unchanged tensors, moved: bytes of them stored anew",
                f"{self.tensor_bytes - shared:,}",
                "0",
                shared >= self.tensor_bytes,
            )
        )
        moved = max(self.moved_bytes)
        found.append(
            _bytes("the same: header, file table, records", moved, RECORDS_BYTES)
        )
        added = self._added("dataset", "v2", OURS) - self.changed_bytes
        text = f"one file of {self.file_count:,} changed: bytes beyond the file"
        return [*found, _bytes(text, added, CHANGED_FILE_BYTES)]

    def gates(self) -> list[Limit]:
        """Compare with the gates P3 to P5; they decide nothing."""
        return [
            *self._gates("P3", "v1", plain=1.0, restic=2.3, share=0.67),
            *self._gates("P4", "v2", plain=4.0, restic=3.0, share=0.045),
            *self._gates("P5", "v3", plain=1.5, restic=3.5, share=0.20),
            *self._gate_restic_bytes("P4", "v2", 0.4),
            *self._gate_restic_bytes("P5", "v3", 0.2),
        ]

    def ratios(self, what: str, version: str, tool: str) -> list[float]:
        """Return how many times longer than we a tool took, in each round."""
        tools = self.samples[what, version]
        return [
            theirs.usage.wall_s / ours.usage.wall_s
            for theirs, ours in zip(tools[tool], tools[OURS], strict=True)
        ]

    def plain_bytes(self, what: str, version: str) -> int:
        """Return the plaintext of what was stored or read."""
        if what == "trained":
            return self.plain["weights"]
        return self.plain[
            f"{'dataset' if what == 'dataset' else 'checkpoint'} {version}"
        ]

    def as_record(self) -> dict[str, object]:
        """Return all of it as a JSON object."""
        return {
            "plain_bytes": self.plain,
            "samples": [
                {
                    "what": what,
                    "version": version,
                    "tool": tool,
                    "seconds": [round(item.usage.wall_s, 3) for item in items],
                    "added_bytes": [item.added_bytes for item in items],
                    "client_cpu_s": [round(i.usage.client_cpu_s, 2) for i in items],
                    "server_cpu_s": [round(i.usage.server_cpu_s, 2) for i in items],
                    "store_cpu_s": [round(i.usage.store_cpu_s, 2) for i in items],
                    "foreign": [round(i.usage.foreign, 3) for i in items],
                }
                for (what, version), tools in self.samples.items()
                for tool, items in tools.items()
            ],
            "limits": [_record(limit) for limit in self.limits()],
            "gates": [_record(gate) for gate in self.gates()],
        }

    def _added(self, what: str, version: str, tool: str) -> int:
        items = self.samples[what, version][tool]
        return max(item.added_bytes for item in items)

    def _share(self, what: str, version: str, wanted: float) -> Limit:
        share = self._added(what, version, OURS) / self.plain_bytes(what, version)
        name = "trained weights" if what == "trained" else f"{what} {version}"
        text = f"{name}: stored / plaintext"
        return Limit(text, f"{share:.4f}", f"<= {wanted}", share <= wanted)

    def _gates(
        self, name: str, version: str, *, plain: float, restic: float, share: float
    ) -> Iterator[Limit]:
        tools = self.samples["checkpoint", version]
        for tool, wanted in (*((peer, plain) for peer in PLAIN), (RESTIC, restic)):
            if tool in tools:
                ratio = statistics.median(self.ratios("checkpoint", version, tool))
                text = f"{name} put {version}: times faster than {tool}"
                yield Limit(text, f"{ratio:.2f}", f">= {wanted}", ratio >= wanted)
        limit = self._share("checkpoint", version, share)
        yield Limit(f"{name} {limit.text}", limit.found, limit.wanted, limit.met)

    def _gate_restic_bytes(
        self, name: str, version: str, wanted: float
    ) -> Iterator[Limit]:
        if RESTIC in self.samples["checkpoint", version]:
            theirs = self._added("checkpoint", version, RESTIC)
            ratio = self._added("checkpoint", version, OURS) / theirs
            text = f"{name} {version}: bytes added / restic's"
            yield Limit(text, f"{ratio:.3f}", f"<= {wanted}", ratio <= wanted)


def print_report(report: Report) -> None:
    """Print the tables, the limits and the gates."""
    for (what, version), tools in report.samples.items():
        plain = report.plain_bytes(what, version)
        say(f"\n{_TITLES[what].format(version=version)}: {plain:,} bytes of plaintext")
        say(_HEADING if what != "read" else _HEADING.replace("added", "-----"))
        for tool, items in tools.items():
            ratio = ""
            if OURS in tools and tool != OURS:
                ratio = f"{statistics.median(report.ratios(what, version, tool)):.2f}"
            say(_row(tool, items, plain, ratio))
    say("\nLimits of bytes (one that is missed fails the bench)")
    _print_limits(report.limits())
    say("\nGates of time and bytes (told, not enforced)")
    _print_limits(report.gates())


_TITLES: Final = {
    "checkpoint": "put checkpoint {version}, made weights",
    "trained": "put trained weights, bf16",
    "codec": "put checkpoint {version} anew, by codec",
    "read": "read checkpoint {version} back to files",
    "dataset": "put dataset {version}",
}
_HEADING: Final = (
    f"{'':<20}{'bytes added':>15}{'/plain':>8}{'s median':>10}{'min-max':>13}"
    f"{'CPU-s':>8}{'store':>7}{'others':>8}{'x ours':>8}"
)


def _row(tool: str, items: Sequence[Sample], plain: int, ratio: str) -> str:
    added = max(item.added_bytes for item in items)
    seconds = [item.usage.wall_s for item in items]
    ours = [item.usage.client_cpu_s + item.usage.server_cpu_s for item in items]
    store = [item.usage.store_cpu_s for item in items]
    foreign = [item.usage.foreign for item in items]
    shown = (f"{added:,}", f"{added / plain:.4f}") if added else ("", "")
    spread = f"{min(seconds):.2f}-{max(seconds):.2f}"
    return (
        f"{tool:<20}{shown[0]:>15}{shown[1]:>8}"
        f"{statistics.median(seconds):>10.2f}{spread:>13}"
        f"{statistics.median(ours):>8.1f}{statistics.median(store):>7.1f}"
        f"{statistics.median(foreign):>8.0%}{ratio:>8}"
    )


def _print_limits(limits: Sequence[Limit]) -> None:
    for limit in limits:
        verdict = "met" if limit.met else "MISSED"
        say(f"{limit.text:<58}{limit.found:>12}  {limit.wanted:<12}{verdict}")


def _bytes(text: str, found: int, wanted: int) -> Limit:
    return Limit(text, f"{found:,}", f"<= {wanted:,}", found <= wanted)


def _record(limit: Limit) -> dict[str, object]:
    return {
        "text": limit.text,
        "found": limit.found,
        "wanted": limit.wanted,
        "met": limit.met,
    }
