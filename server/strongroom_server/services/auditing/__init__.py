# SPDX-License-Identifier: Apache-2.0
"""Auditing: every server's events in one log, signed, checked and searched."""

from strongroom_server.services.auditing.checkpoints import Checkpointer
from strongroom_server.services.auditing.reading import (
    AuditQuery,
    AuditReader,
    Reader,
)
from strongroom_server.services.auditing.shipping import Shipper
from strongroom_server.services.auditing.trail import AuditTrail, open_trail

__all__ = [
    "AuditQuery",
    "AuditReader",
    "AuditTrail",
    "Checkpointer",
    "Reader",
    "Shipper",
    "open_trail",
]
