# SPDX-License-Identifier: Apache-2.0
"""The limits of calls: how many at once, and how long each may take."""

from dataclasses import dataclass

from strongroom_server.rpc.methods import TimeClass


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How many calls at once, in all and of a principal, and each for how long.

    Calls that only wait for news are counted by themselves, as `max_watches`.
    """

    max_calls: int = 64
    max_own_calls: int = 0  # as many as in all
    short_s: float = 60.0
    long_s: float = 600.0
    stream_s: float = 86_400.0
    max_watches: int = 256

    def seconds(self, time_class: TimeClass) -> float:
        """Return the limit of a class of methods."""
        match time_class:
            case TimeClass.SHORT:
                return self.short_s
            case TimeClass.LONG:
                return self.long_s
            case TimeClass.STREAM | TimeClass.WATCH:
                return self.stream_s
