# SPDX-License-Identifier: Apache-2.0
"""How much is measured, and with which peers."""

import math
from dataclasses import dataclass
from pathlib import Path

from tests.bench.programs import Programs
from tests.bench.table.pace import Rounds


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What is asked for.

    Attributes:
        size_bytes: Of the large file.
        file_count: Files of the dataset.
        round_count: How many pairs each row is the median of.
        seconds: How long clients call.
        programs: Where the peers are.
        deadline_s: On the monotonic clock, when the case should have ended.
        profiles: A folder for what limits rows that are missed; None for none.
    """

    size_bytes: int
    file_count: int
    round_count: int
    seconds: float
    programs: Programs
    deadline_s: float = math.inf
    profiles: Path | None = None

    def rounds(self) -> Rounds:
        """Begin to count the rounds of a case."""
        return Rounds(self.round_count, self.deadline_s)
