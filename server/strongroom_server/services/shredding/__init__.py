# SPDX-License-Identifier: Apache-2.0
"""Shredding projects, and artifacts alone (`shredding`); hearing of it (`watch`)."""

from strongroom_server.services.shredding.backup_slots import BackupSlots
from strongroom_server.services.shredding.listing import ShreddedRecord
from strongroom_server.services.shredding.previews import (
    Doomed,
    DoomedPreview,
    ShredPreview,
)
from strongroom_server.services.shredding.shredding import (
    Approval,
    Shredding,
    ShredSettings,
)
from strongroom_server.services.shredding.watch import ShredWatch

__all__ = [
    "Approval",
    "BackupSlots",
    "Doomed",
    "DoomedPreview",
    "ShredPreview",
    "ShredSettings",
    "ShredWatch",
    "ShreddedRecord",
    "Shredding",
]
