# SPDX-License-Identifier: Apache-2.0
"""The audit log's adapter: append-only files, hash-chained and durable.

`log` is the port; `files` knows the directory: names, check, recovery.
"""

from strongroom_server.adapters.audit_log.files import (
    AuditSummary,
    read_lines,
    verify_audit_log,
)
from strongroom_server.adapters.audit_log.log import FileAuditLog, open_audit_log

__all__ = [
    "AuditSummary",
    "FileAuditLog",
    "open_audit_log",
    "read_lines",
    "verify_audit_log",
]
