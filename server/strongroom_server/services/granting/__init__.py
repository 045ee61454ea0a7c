# SPDX-License-Identifier: Apache-2.0
"""Granting: versions opened for sidecars (`opening`), word of their end (`feed`).

And versions that sidecars write (`writing`).
"""

from strongroom_server.services.granting.feed import GrantFeed
from strongroom_server.services.granting.opening import Granted, Granting
from strongroom_server.services.granting.writing import (
    GrantedPart,
    GrantedUpload,
    GrantedWriting,
    WrittenFile,
)

__all__ = [
    "GrantFeed",
    "Granted",
    "GrantedPart",
    "GrantedUpload",
    "GrantedWriting",
    "Granting",
    "WrittenFile",
]
