# SPDX-License-Identifier: Apache-2.0
"""Backups: taking them, checking them, keeping them, and what they protect."""

from strongroom_server.services.backups.backups import Backups
from strongroom_server.services.backups.placing import KnownAs
from strongroom_server.services.backups.protection import (
    BackupState,
    Protection,
    counts_of,
)
from strongroom_server.services.backups.results import (
    BackupFinding,
    BackupProgress,
    BackupReport,
    ExtendedBackup,
    TakenBackup,
)
from strongroom_server.services.backups.schedule import (
    LOOK_S,
    BackupSchedule,
    note_backup,
)
from strongroom_server.services.backups.taking import Asked, BackupRules

__all__ = [
    "LOOK_S",
    "Asked",
    "BackupFinding",
    "BackupProgress",
    "BackupReport",
    "BackupRules",
    "BackupSchedule",
    "BackupState",
    "Backups",
    "ExtendedBackup",
    "KnownAs",
    "Protection",
    "TakenBackup",
    "counts_of",
    "note_backup",
]
