# SPDX-License-Identifier: Apache-2.0
"""The life of keys: what there is (`inventory`), and what is done (`lifecycle`).

A re-wrap is the part with steps of its own (`rewrapping`).
"""

from strongroom_server.services.keys.inventory import KeyEntry, SlotState
from strongroom_server.services.keys.lifecycle import KeyLife
from strongroom_server.services.keys.reports import (
    KeyProgress,
    RetireReport,
    RewrapReport,
    RotateReport,
    VersionCount,
)

__all__ = [
    "KeyEntry",
    "KeyLife",
    "KeyProgress",
    "RetireReport",
    "RewrapReport",
    "RotateReport",
    "SlotState",
    "VersionCount",
]
