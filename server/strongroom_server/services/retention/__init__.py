# SPDX-License-Identifier: Apache-2.0
"""Retention: changing what is kept (`changes`), of what may not exist (`creation`)."""

from strongroom_server.services.retention.changes import (
    Retention,
    RetentionReport,
    VersionKeeping,
)
from strongroom_server.services.retention.creation import NO_ARTIFACT, Creation

__all__ = [
    "NO_ARTIFACT",
    "Creation",
    "Retention",
    "RetentionReport",
    "VersionKeeping",
]
