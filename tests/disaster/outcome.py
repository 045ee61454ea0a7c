# SPDX-License-Identifier: Apache-2.0
"""What came of a disaster: how long it took, what was lost, and how it is told."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from tests.disaster.contents import Loss, Written


@dataclass
class Recovery:
    """What a scenario tells of itself.

    Attributes:
        lost: Versions that nothing protected, and that are gone.
        seconds: What the recovery took, from its first command to its end.
        notes: What else was seen.
        seen: What was not as it was written, while the scenario went on.
    """

    lost: Sequence[Written] = ()
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    seen: list[Loss] = field(default_factory=list)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of a block to the recovery."""
        begin_s = time.monotonic()
        yield
        self.seconds += time.monotonic() - begin_s


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario ended.

    Attributes:
        name: Of the scenario.
        recovery_s: Until the last command of the recovery had ended.
        point_s: How much work is gone: from the newest commit that is there to the
            newest that there was.
        versions: How many versions were protected, and read back.
        lost: What of these is not as it was written.
        notes: What else was seen.
        error: What a documented command said that failed.
    """

    name: str
    recovery_s: float
    point_s: float
    versions: int
    lost: tuple[Loss, ...]
    notes: tuple[str, ...]
    error: str = ""

    @property
    def is_good(self) -> bool:
        """Whether everything that was protected is as it was written."""
        return not self.lost and not self.error

    @property
    def lost_bytes(self) -> int:
        """Bytes of protected versions that cannot be read."""
        return sum(loss.size_bytes for loss in self.lost)

    def lines(self) -> Iterator[str]:
        """Yield the outcome for people, the important line first."""
        word = "ok  " if self.is_good else "LOST"
        yield (
            f"{word} {self.name:<34} recovered in {self.recovery_s:6.1f} s, "
            f"point {self.point_s:6.1f} s, lost bytes {self.lost_bytes}, "
            f"{self.versions} versions identical"
        )
        for note in self.notes:
            yield f"       {note}"
        for loss in self.lost:
            yield f"  !    {loss.what}: {loss.why}"
        if self.error:
            yield f"  !    {self.error}"


def point_of(kept: Sequence[Written], lost: Sequence[Written]) -> float:
    """Return the seconds between the newest commit that is kept and the newest of all.

    0 if nothing was lost.
    """
    if not lost:
        return 0.0
    return (_newest(lost) - _newest(kept)).total_seconds()


def _newest(versions: Sequence[Written]) -> datetime:
    return max(version.time for version in versions)
