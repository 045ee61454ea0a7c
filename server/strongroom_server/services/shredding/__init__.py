# SPDX-License-Identifier: Apache-2.0
"""Shredding a project: destroying it (`shredding`), and hearing of it (`watch`)."""

from strongroom_server.services.shredding.shredding import (
    Approval,
    DoomedPreview,
    Shredding,
    ShredPreview,
    ShredSettings,
)
from strongroom_server.services.shredding.watch import ShredWatch

__all__ = [
    "Approval",
    "DoomedPreview",
    "ShredPreview",
    "ShredSettings",
    "ShredWatch",
    "Shredding",
]
