# SPDX-License-Identifier: Apache-2.0
"""How many rounds a case gets: one more if others disturbed, fewer if time runs out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench.measuring import MAX_FOREIGN, say


@dataclass(slots=True)
class Rounds:
    """Numbers of rounds, from 0; one more if others disturbed one.

    The first round is always given; another only if the longest one so far would
    still end in time.

    Attributes:
        wanted: How many are asked for.
        deadline_s: On the clock, when the last one should have ended.
        clock: Tells seconds.
        noisy: How many rounds so far somebody else disturbed.
    """

    wanted: int
    deadline_s: float
    clock: Callable[[], float] = time.monotonic
    noisy: int = 0
    _is_noisy: bool = field(default=False)

    def __iter__(self) -> Iterator[int]:
        longest_s = 0.0
        # One round more is what a disturbed run gets: the table has an end.
        for turn in range(self.wanted + 1):
            if turn == self.wanted and not self.noisy:
                return
            began_s = self.clock()
            if turn and began_s + longest_s > self.deadline_s:
                say(f"{turn} rounds only: the time for this case is over")
                return
            self._is_noisy = False
            yield turn
            self.noisy += self._is_noisy
            longest_s = max(longest_s, self.clock() - began_s)

    def note(self, foreign: float) -> None:
        """Tell which share of the processors others had in a measurement."""
        self._is_noisy = self._is_noisy or foreign > MAX_FOREIGN
