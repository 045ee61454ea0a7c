# SPDX-License-Identifier: Apache-2.0
"""What is told about drills, from messages."""

from strongroom._convert.catalog import time_of, word
from strongroom.v1 import drill_service_pb2 as pb
from strongroom.values import (
    CanaryState,
    Drill,
    DrilledVersion,
    DrillFinding,
    Stage,
)


def drill_of(message: pb.Drill) -> Drill:
    """Return the drill that a message describes."""
    return Drill(
        number=message.number,
        passed=message.passed,
        backup=message.backup,
        backup_root=message.backup_root,
        begin_time=time_of(message.begin_time),
        end_time=time_of(message.end_time),
        requester=message.requester,
        scheduled=message.scheduled,
        canary=word(CanaryState, pb.CanaryState.Name, message.canary, "CANARY_STATE_"),
        version_count=message.version_count,
        file_count=message.file_count,
        restored_bytes=message.restored_bytes,
        read_bytes=message.read_bytes,
        request_count=message.request_count,
        open_ms=message.open_ms,
        restore_ms=message.restore_ms,
        recovery_time_ms=message.recovery_time_ms,
        recovery_point_s=message.recovery_point_seconds,
        finding_count=message.finding_count,
        findings=tuple(map(_finding_of, message.findings)),
        versions=tuple(map(_version_of, message.versions)),
        notes=tuple(message.notes),
        report=message.report,
    )


def drill_stage_of(message: pb.DrillProgress) -> Stage:
    """Return how far a drill has come."""
    return Stage(message.stage, message.done_bytes, message.total_bytes, in_bytes=True)


def _finding_of(message: pb.DrillFinding) -> DrillFinding:
    return DrillFinding(
        message.object, message.reason, message.message, message.name, message.path
    )


def _version_of(message: pb.DrilledVersion) -> DrilledVersion:
    return DrilledVersion(
        message.name,
        message.digest,
        message.whole,
        message.file_count,
        message.restored_bytes,
        message.ok,
    )
