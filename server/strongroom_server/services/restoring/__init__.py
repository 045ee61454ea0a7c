# SPDX-License-Identifier: Apache-2.0
"""Restores: what a backup holds, back where it is needed.

`choosing` says what of a backup is meant, `contents` what there is to choose from,
`planning` what that would cost. `folders`
writes plain files, `stores` copies stored objects into a bucket, `living` mends the
store that is being served and brings back what it no longer has. `backups` finds the
backup, and opens it; `receipts` signs what was done.
"""

from strongroom_server.services.restoring.backups import OpenedBackups
from strongroom_server.services.restoring.contents import HeldVersion, held_versions
from strongroom_server.services.restoring.folders import FolderRestore
from strongroom_server.services.restoring.living import LivingRequest, LivingRestore
from strongroom_server.services.restoring.parts import (
    ContentSource,
    Mending,
    RestoreItem,
    VersionRead,
    VersionWriter,
)
from strongroom_server.services.restoring.planning import plan_folder, plan_store
from strongroom_server.services.restoring.receipts import sign_report
from strongroom_server.services.restoring.stores import StoreRestore

__all__ = [
    "ContentSource",
    "FolderRestore",
    "HeldVersion",
    "LivingRequest",
    "LivingRestore",
    "Mending",
    "OpenedBackups",
    "RestoreItem",
    "StoreRestore",
    "VersionRead",
    "VersionWriter",
    "held_versions",
    "plan_folder",
    "plan_store",
    "sign_report",
]
