# SPDX-License-Identifier: Apache-2.0
"""Audit logs in files, as the tests open and fill them."""

from contextlib import AbstractContextManager
from pathlib import Path

from strongroom_server.adapters.audit_log import FileAuditLog, open_audit_log
from tests.contract.audit_sink_suite import audit_event
from tests.support.clock import ManualClock
from tests.support.entropy import SeededEntropy

#: A little more than a line of `audit_event` has.
LINE_BYTES = 600


def opened(
    directory: Path, rotate_bytes: int = 2**20, seed: int = 0
) -> AbstractContextManager[FileAuditLog]:
    return open_audit_log(
        directory,
        clock=ManualClock(),
        entropy=SeededEntropy(seed),
        rotate_bytes=rotate_bytes,
    )


def written(directory: Path, count: int) -> Path:
    """Write a log of `count` events; return its file."""
    with opened(directory) as log:
        for turn in range(count):
            log.append(audit_event(turn=str(turn)))
    return directory / "audit.jsonl"


def append_many(log: FileAuditLog, count: int) -> None:
    for _ in range(count):
        log.append(audit_event())
