# SPDX-License-Identifier: Apache-2.0
"""The life of keys: what there is (`inventory`), and what is done (`lifecycle`).

A re-wrap is the part with steps of its own (`rewrapping`), and whether a restored
Vault fits a store is asked without a server (`vault_check`).
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
from strongroom_server.services.keys.vault_check import (
    ProblemKind,
    VaultCheck,
    VaultProblem,
    VaultReport,
    check_found,
)

__all__ = [
    "KeyEntry",
    "KeyLife",
    "KeyProgress",
    "ProblemKind",
    "RetireReport",
    "RewrapReport",
    "RotateReport",
    "SlotState",
    "VaultCheck",
    "VaultProblem",
    "VaultReport",
    "VersionCount",
    "check_found",
]
