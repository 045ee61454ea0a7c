# SPDX-License-Identifier: Apache-2.0
"""Sweeping: what it would do (`planning`), and doing it (`sweeper`, `marking`).

And what it does with one object, or why it leaves it alone (`explaining`).
"""

from strongroom_server.services.sweeping.explaining import ExplainedPart
from strongroom_server.services.sweeping.explanations import (
    ObjectExplanation,
    ObjectState,
    ObjectUse,
)
from strongroom_server.services.sweeping.planning import SweepSettings
from strongroom_server.services.sweeping.sweeper import Sweeping

__all__ = [
    "ExplainedPart",
    "ObjectExplanation",
    "ObjectState",
    "ObjectUse",
    "SweepSettings",
    "Sweeping",
]
