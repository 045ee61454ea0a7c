# SPDX-License-Identifier: Apache-2.0
"""What is told about restores, from messages."""

from strongroom._convert.catalog import time_of
from strongroom.v1 import restore_service_pb2 as pb
from strongroom.values import (
    NeededKek,
    RestoredVersion,
    RestorePlan,
    RestoreReceipt,
    Stage,
)


def restore_stage_of(message: pb.RestoreProgress) -> Stage:
    """Return how far a restore has come."""
    return Stage(message.stage, message.done_bytes, message.total_bytes, in_bytes=True)


def restore_plan_of(message: pb.RestorePlan) -> RestorePlan:
    """Return what a restore would do."""
    has_point = message.HasField("recovery_point")
    return RestorePlan(
        backup=message.backup,
        root_digest=message.root_digest,
        create_time=time_of(message.create_time),
        recovery_point=time_of(message.recovery_point) if has_point else None,
        protected_until=time_of(message.protected_until),
        held=message.held,
        file_count=message.file_count,
        size_bytes=message.size_bytes,
        estimated_s=message.estimated_seconds,
        keks=tuple(
            NeededKek(kek.kek, tuple(kek.versions), kek.problem) for kek in message.keks
        ),
    )


def restore_receipt_of(message: pb.RestoreReceipt) -> RestoreReceipt:
    """Return what a restore did."""
    return RestoreReceipt(
        backup=message.backup,
        copied_count=message.copied_count,
        versions=tuple(
            RestoredVersion(
                version.name,
                version.digest,
                version.file_count,
                version.size_bytes,
                version.new_version,
            )
            for version in message.versions
        ),
        damaged_count=message.damaged_count,
        damaged=tuple(message.damaged),
        seconds=message.seconds,
        receipt=message.receipt,
    )
