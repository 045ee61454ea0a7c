# SPDX-License-Identifier: Apache-2.0
"""Drills: restores from backups that are run to see that they can be."""

from strongroom_server.services.drills.drilling import DrillLimits, DrillProgress
from strongroom_server.services.drills.drills import DrillPage, Drills
from strongroom_server.services.drills.engine import EngineParts
from strongroom_server.services.drills.watch import DrillWatch, OwnDrill, failed

__all__ = [
    "DrillLimits",
    "DrillPage",
    "DrillProgress",
    "DrillWatch",
    "Drills",
    "EngineParts",
    "OwnDrill",
    "failed",
]
