# SPDX-License-Identifier: Apache-2.0
"""What is told about backups, from messages."""

from strongroom._convert.catalog import time_of
from strongroom.v1 import backup_service_pb2 as pb
from strongroom.values import (
    Backup,
    BackupFinding,
    BackupListing,
    BackupReport,
    BackupSummary,
    Stage,
    UntrustedBackup,
)


def backup_of(message: pb.Backup) -> Backup:
    """Return the backup that a message describes."""
    has_versions = message.HasField("newest_commit_time")
    return Backup(
        number=message.number,
        create_time=time_of(message.create_time),
        newest_commit_time=(
            time_of(message.newest_commit_time) if has_versions else None
        ),
        protected_until=time_of(message.protected_until),
        held=message.held,
        mode=message.mode,
        interval_s=message.interval_seconds,
        root_digest=message.root_digest,
        previous_digest=message.previous_digest,
        whole=message.whole,
        project_ids=tuple(message.project_ids),
        artifact_ids=tuple(message.artifact_ids),
        artifact_count=message.artifact_count,
        version_count=message.version_count,
        object_count=message.object_count,
        size_bytes=message.size_bytes,
        new_object_count=message.new_object_count,
        new_bytes=message.new_bytes,
        missing_count=message.missing_count,
        missing=tuple(message.missing),
        trace_id=message.trace_id,
        audit_id=message.audit_id,
    )


def backup_stage_of(message: pb.BackupProgress) -> Stage:
    """Return how far a use case of backups has come."""
    return Stage(name=message.stage, done=message.done_count, total=message.total_count)


def backup_summary_of(message: pb.BackupSummary) -> BackupSummary:
    """Return the backup that was just taken."""
    return BackupSummary(
        backup=backup_of(message.backup),
        copied_count=message.copied_count,
        copied_bytes=message.copied_bytes,
        extended_count=message.extended_count,
        sampled_count=message.sampled_count,
        rotten_count=message.rotten_count,
        notes=tuple(message.notes),
    )


def backup_listing_of(message: pb.ListBackupsResponse) -> BackupListing:
    """Return the backups that there are."""
    return BackupListing(
        backups=tuple(map(backup_of, message.backups)),
        untrusted=tuple(
            UntrustedBackup(item.number, item.problem) for item in message.untrusted
        ),
        total_count=message.total_count,
    )


def backup_finding_of(message: pb.BackupFinding) -> BackupFinding:
    """Return what is wrong with an object of a backup."""
    return BackupFinding(message.object, message.problem)


def backup_report_of(message: pb.BackupReport) -> BackupReport:
    """Return what the check of a backup found."""
    is_dated = message.HasField("locked_until")
    return BackupReport(
        number=message.number,
        object_count=message.object_count,
        read_bytes=message.read_bytes,
        problem_count=message.problem_count,
        locked_until=time_of(message.locked_until) if is_dated else None,
        shredded_count=message.shredded_count,
    )
