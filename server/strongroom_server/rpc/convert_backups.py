# SPDX-License-Identifier: Apache-2.0
"""Messages about backups."""

from typing import Final

from strongroom.v1 import backup_service_pb2 as pb
from strongroom_server.core.scope import format_id
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.rpc.convert import timestamp
from strongroom_server.services.backups import (
    BackupFinding,
    BackupProgress,
    BackupReport,
    TakenBackup,
    counts_of,
)

#: Keys of objects that the store has lost, in one message.
MAX_MISSING: Final = 100


def progress_message(item: BackupProgress) -> pb.BackupProgress:
    """Return how far a use case has come."""
    return pb.BackupProgress(
        stage=item.stage,
        done_count=item.done_count,
        total_count=item.total_count,
        copied_bytes=item.copied_bytes,
    )


def backup_message(
    saved: SavedBackup, counts: tuple[int, int] | None = None
) -> pb.Backup:
    """Return a backup.

    Args:
        saved: What it says of itself.
        counts: Of its artifacts and versions, where its root has no journals any more.
    """
    root = saved.root
    artifacts, versions = counts or counts_of(root.journals)
    newest = root.newest_commit_time
    return pb.Backup(
        number=root.number,
        create_time=timestamp(root.create_time),
        newest_commit_time=None if newest is None else timestamp(newest),
        protected_until=timestamp(saved.protected_until),
        held=saved.is_held,
        mode=root.mode,
        interval_seconds=root.interval_s,
        root_digest=saved.root_digest,
        previous_digest=root.previous,
        whole=root.is_whole,
        project_ids=map(format_id, root.scope),
        artifact_ids=[format_id(artifact) for _, artifact in root.artifacts],
        artifact_count=artifacts,
        version_count=versions,
        object_count=root.object_count,
        size_bytes=root.size_bytes,
        new_object_count=root.new_object_count,
        new_bytes=root.new_bytes,
        missing_count=root.missing_count,
        missing=root.missing[:MAX_MISSING],
        trace_id=root.trace_id,
        audit_id=root.audit_id,
    )


def summary_message(taken: TakenBackup) -> pb.BackupSummary:
    """Return a backup that was just taken."""
    return pb.BackupSummary(
        backup=backup_message(taken.backup),
        copied_count=taken.copied_count,
        copied_bytes=taken.copied_bytes,
        extended_count=taken.extended_count,
        sampled_count=taken.sampled_count,
        rotten_count=taken.rotten_count,
        notes=taken.notes,
    )


def finding_message(item: BackupFinding) -> pb.BackupFinding:
    """Return what is wrong with an object."""
    return pb.BackupFinding(object=item.object, problem=item.problem)


def report_message(item: BackupReport) -> pb.BackupReport:
    """Return what a check has found."""
    until = item.locked_until
    return pb.BackupReport(
        number=item.number,
        object_count=item.object_count,
        read_bytes=item.read_bytes,
        problem_count=item.problem_count,
        locked_until=None if until is None else timestamp(until),
        shredded_count=item.shredded_count,
    )
