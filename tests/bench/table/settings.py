# SPDX-License-Identifier: Apache-2.0
"""How much is measured, and with which peers."""

from dataclasses import dataclass

from tests.bench.peers import Programs


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What is asked for.

    Attributes:
        size_bytes: Of the large file.
        file_count: Files of the dataset.
        round_count: How many pairs each row is the median of.
        seconds: How long clients call.
        programs: Where the peers are.
    """

    size_bytes: int
    file_count: int
    round_count: int
    seconds: float
    programs: Programs
