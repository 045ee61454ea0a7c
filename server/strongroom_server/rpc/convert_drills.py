# SPDX-License-Identifier: Apache-2.0
"""Messages about drills."""

from typing import Final

from strongroom.v1 import drill_service_pb2 as pb
from strongroom_server.core.drill import CanaryState
from strongroom_server.repository.drill_records import SavedDrill
from strongroom_server.rpc.convert import timestamp
from strongroom_server.services.drills import DrillProgress

_CANARIES: Final = {
    CanaryState.GOOD: pb.CANARY_STATE_GOOD,
    CanaryState.BAD: pb.CANARY_STATE_BAD,
    CanaryState.ABSENT: pb.CANARY_STATE_ABSENT,
}


def drill_progress_message(item: DrillProgress) -> pb.DrillProgress:
    """Return how far a drill has come."""
    return pb.DrillProgress(
        stage=item.stage, done_bytes=item.done_bytes, total_bytes=item.total_bytes
    )


def drill_message(saved: SavedDrill, *, whole: bool) -> pb.Drill:
    """Return a drill; `whole`: with its sample and its signed report."""
    report = saved.report
    message = pb.Drill(
        number=report.number,
        passed=report.passed,
        backup=report.backup.number,
        backup_root=report.backup.root,
        begin_time=timestamp(report.begin_time),
        end_time=timestamp(report.end_time),
        requester=report.requester,
        scheduled=report.scheduled,
        canary=_CANARIES[report.canary.state],
        version_count=report.version_count,
        file_count=report.file_count,
        restored_bytes=report.restored_bytes,
        read_bytes=report.read_bytes,
        request_count=report.request_count,
        open_ms=report.open_ms,
        restore_ms=report.restore_ms,
        recovery_time_ms=report.recovery_time_ms,
        recovery_point_seconds=report.recovery_point_s,
        finding_count=report.finding_count,
        findings=(
            pb.DrillFinding(
                object=item.object_key,
                reason=item.reason,
                message=item.message,
                name=item.name,
                path=item.path,
            )
            for item in report.findings
        ),
        notes=report.notes,
    )
    if whole:
        message.report = saved.data
        message.versions.extend(
            pb.DrilledVersion(
                name=item.name,
                digest=item.digest,
                whole=item.whole,
                file_count=item.file_count,
                restored_bytes=item.restored_bytes,
                ok=item.ok,
            )
            for item in report.versions
        )
    return message
