# SPDX-License-Identifier: Apache-2.0
"""Auditing: every server's events in one log, signed, checked and searched."""

from strongroom_server.services.auditing.checkpoints import Checkpointer
from strongroom_server.services.auditing.cosigning import Cosigner
from strongroom_server.services.auditing.key_use import (
    CallNotes,
    JournalHeads,
    KeyRequests,
    KeyUse,
)
from strongroom_server.services.auditing.queries import AuditQuery
from strongroom_server.services.auditing.reading import AuditReader, Reader
from strongroom_server.services.auditing.reconciling import (
    Reconciliation,
    Span,
    check_compared,
    check_explained,
    read_vault_log,
    reconcile,
)
from strongroom_server.services.auditing.shipping import Shipper
from strongroom_server.services.auditing.trail import AuditTrail, open_trail

__all__ = [
    "AuditQuery",
    "AuditReader",
    "AuditTrail",
    "CallNotes",
    "Checkpointer",
    "Cosigner",
    "JournalHeads",
    "KeyRequests",
    "KeyUse",
    "Reader",
    "Reconciliation",
    "Shipper",
    "Span",
    "check_compared",
    "check_explained",
    "open_trail",
    "read_vault_log",
    "reconcile",
]
