# SPDX-License-Identifier: Apache-2.0
"""Messages about restores."""

from strongroom.v1 import restore_service_pb2 as pb
from strongroom_server.core.restore_records import (
    RestorePlan,
    RestoreProgress,
    RestoreReport,
)
from strongroom_server.rpc.convert import timestamp


def progress_message(item: RestoreProgress) -> pb.RestoreProgress:
    """Return how far a restore is."""
    return pb.RestoreProgress(
        stage=item.stage,
        done_count=item.done_count,
        done_bytes=item.done_bytes,
        total_bytes=item.total_bytes,
    )


def plan_message(plan: RestorePlan) -> pb.RestorePlan:
    """Return what a restore would do."""
    point = plan.recovery_point
    return pb.RestorePlan(
        backup=plan.backup,
        root_digest=plan.root_digest,
        create_time=timestamp(plan.create_time),
        recovery_point=None if point is None else timestamp(point),
        protected_until=timestamp(plan.protected_until),
        held=plan.is_held,
        file_count=plan.file_count,
        size_bytes=plan.size_bytes,
        estimated_seconds=plan.estimated_s,
        keks=(
            pb.NeededKek(kek=kek.kek, versions=kek.versions, problem=kek.problem)
            for kek in plan.keks
        ),
    )


def receipt_message(report: RestoreReport, receipt: bytes) -> pb.RestoreReceipt:
    """Return what a restore did, with its signed receipt."""
    return pb.RestoreReceipt(
        backup=report.backup,
        copied_count=report.copied_count,
        versions=(
            pb.RestoredVersion(
                name=version.name,
                digest=version.digest,
                file_count=version.file_count,
                size_bytes=version.size_bytes,
                new_version=version.new_version,
            )
            for version in report.versions
        ),
        damaged_count=report.damaged_count,
        damaged=report.damaged,
        seconds=report.seconds,
        receipt=receipt,
    )
