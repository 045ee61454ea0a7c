# SPDX-License-Identifier: Apache-2.0
"""Messages from values, and values from messages; nothing is decided here."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.records import (
    Action,
    ArtifactPolicy,
    ArtifactRecord,
    Change,
    CheckResult,
    DiffSummary,
    FileBlock,
    FileChange,
    FileEnded,
    FileRecord,
    FileStarted,
    JournalRecord,
    Kind,
    MappedFile,
    ProjectRecord,
    RefRecord,
    SharedBlock,
    TensorChange,
    TransferItem,
    VerifyFinding,
    VerifyProgress,
    VerifyReport,
    VersionRecord,
    VersionState,
)
from strongroom_server.rpc.convert_lineage import lineage_message

_KINDS: Final = {
    Kind.DATASET: artifact_pb.ARTIFACT_KIND_DATASET,
    Kind.CHECKPOINT: artifact_pb.ARTIFACT_KIND_CHECKPOINT,
    Kind.WEIGHTS: artifact_pb.ARTIFACT_KIND_WEIGHTS,
}
_ACTIONS: Final = {
    Action.CREATE: artifact_pb.JOURNAL_ACTION_CREATE,
    Action.COMMIT: artifact_pb.JOURNAL_ACTION_COMMIT,
    Action.MOVE_REF: artifact_pb.JOURNAL_ACTION_MOVE_REF,
    Action.DELETE: artifact_pb.JOURNAL_ACTION_DELETE,
    Action.UNDELETE: artifact_pb.JOURNAL_ACTION_UNDELETE,
    Action.RETAIN: artifact_pb.JOURNAL_ACTION_RETAIN,
    Action.POLICY: artifact_pb.JOURNAL_ACTION_POLICY,
    Action.FENCE: artifact_pb.JOURNAL_ACTION_FENCE,
}
_STATES: Final = {
    VersionState.LIVE: artifact_pb.VERSION_STATE_LIVE,
    VersionState.DELETED: artifact_pb.VERSION_STATE_DELETED,
    VersionState.PURGED: artifact_pb.VERSION_STATE_PURGED,
}
_CHANGES: Final = {
    Change.ADDED: artifact_pb.CHANGE_ADDED,
    Change.REMOVED: artifact_pb.CHANGE_REMOVED,
    Change.MODIFIED: artifact_pb.CHANGE_MODIFIED,
    Change.UNCHANGED: artifact_pb.CHANGE_UNCHANGED,
}
#: What a step has at most beside its path and data: numbers, digest, tags, lengths.
_STEP_BYTES: Final = 128
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(time: datetime) -> Timestamp:
    """Return an instant as protobuf has it; one without a zone is UTC's."""
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return Timestamp(seconds=seconds, nanos=since.microseconds * 1000)


def kind_value(kind: Kind) -> artifact_pb.ArtifactKind:
    """Return the enum value of a kind."""
    return _KINDS[kind]


def parse_kind(value: int) -> Kind | None:
    """Return the kind of an enum value; None if none is said.

    Raises:
        InvalidArgumentError: This server does not know the value.
    """
    if value == artifact_pb.ARTIFACT_KIND_UNSPECIFIED:
        return None
    for kind, known in _KINDS.items():
        if value == known:
            return kind
    message = f"artifact kind {value} is not known here"
    raise InvalidArgumentError(message, kind=value)


def project_message(record: ProjectRecord) -> artifact_pb.Project:
    """Return a project."""
    return artifact_pb.Project(
        name=record.name.resource,
        create_time=timestamp(record.create_time),
        project_id=record.project_id,
    )


def ref_message(record: RefRecord) -> artifact_pb.Ref:
    """Return a ref."""
    return artifact_pb.Ref(
        name=record.name.resource,
        version=record.version,
        update_time=timestamp(record.update_time),
        etag=record.etag,
    )


def artifact_message(record: ArtifactRecord) -> artifact_pb.Artifact:
    """Return an artifact with its refs."""
    return artifact_pb.Artifact(
        name=record.name.resource,
        kind=kind_value(record.kind),
        create_time=timestamp(record.create_time),
        latest_version=record.latest_version,
        refs=[ref_message(ref) for ref in record.refs],
        artifact_id=record.artifact_id,
        policy=policy_message(record.policy),
        held=record.held,
        policy_etag=record.policy_etag,
        exclusive=record.exclusive,
    )


def policy_message(policy: ArtifactPolicy) -> artifact_pb.ArtifactPolicy:
    """Return a policy."""
    return artifact_pb.ArtifactPolicy(
        keep_last=policy.keep_last,
        keep_best=policy.keep_best,
        best_by=policy.best_by,
        best_order=policy.best_order,
        keep_days=policy.keep_days,
        trash_days=policy.trash_days,
        codec=policy.codec,
        cuts=policy.cuts,
    )


def parse_policy(message: artifact_pb.ArtifactPolicy) -> ArtifactPolicy:
    """Return the policy that a message describes; the use case checks it."""
    return ArtifactPolicy(
        keep_last=message.keep_last,
        keep_best=message.keep_best,
        best_by=message.best_by,
        best_order=message.best_order,
        keep_days=message.keep_days,
        trash_days=message.trash_days,
        codec=message.codec,
        cuts=message.cuts,
    )


def state_value(state: VersionState) -> artifact_pb.VersionState:
    """Return the enum value of a version's state."""
    return _STATES[state]


def version_message(record: VersionRecord) -> artifact_pb.Version:
    """Return a version."""
    return artifact_pb.Version(
        name=record.name.resource,
        number=record.number,
        digest=record.digest,
        create_time=timestamp(record.create_time),
        creator=record.creator,
        file_count=record.file_count,
        size_bytes=record.size_bytes,
        stored_bytes=record.stored_bytes,
        message=record.message,
        metadata=dict(record.metadata),
        trace_id=record.trace_id,
        refs=record.refs,
        state=state_value(record.state),
        purge_time=timestamp(record.purge_time) if record.purge_time else None,
        held=record.held,
        digested_by=record.digested_by,
        lineage=lineage_message(record.lineage),
    )


def journal_message(record: JournalRecord) -> artifact_pb.JournalEntry:
    """Return a journal entry."""
    return artifact_pb.JournalEntry(
        number=record.number,
        action=_ACTIONS[record.action],
        create_time=timestamp(record.create_time),
        actor=record.actor,
        version=record.version,
        ref=record.ref,
        previous_version=record.previous_version,
        reason=record.reason,
        digest=record.digest,
        entry_digest=record.entry_digest,
        trace_id=record.trace_id,
        audit_id=record.audit_id,
        key_ids=record.key_ids,
        hold=record.hold,
        policy=policy_message(record.policy) if record.policy else None,
        purged_versions=record.purged_versions,
        sweep_epoch=record.sweep_epoch,
        approval=record.approved.approval_id if record.approved else "",
        approvers=record.approved.approvers if record.approved else (),
    )


def file_message(record: FileRecord) -> artifact_pb.File:
    """Return one file of a version."""
    return artifact_pb.File(
        path=record.path,
        size_bytes=record.size_bytes,
        digest=record.digest,
        executable=record.executable,
    )


def diff_message(item: FileChange | DiffSummary) -> artifact_pb.DiffVersionsResponse:
    """Return one part of a comparison."""
    if isinstance(item, FileChange):
        return artifact_pb.DiffVersionsResponse(
            file=artifact_pb.FileChange(
                path=item.path,
                change=_CHANGES[item.change],
                base=file_message(item.base) if item.base else None,
                target=file_message(item.target) if item.target else None,
                tensors=[_tensor_message(tensor) for tensor in item.tensors],
            )
        )
    return artifact_pb.DiffVersionsResponse(
        summary=artifact_pb.DiffSummary(
            base=version_message(item.base),
            target=version_message(item.target),
            added_count=item.added_count,
            removed_count=item.removed_count,
            modified_count=item.modified_count,
            unchanged_count=item.unchanged_count,
            shared_bytes=item.shared_bytes,
        )
    )


def _tensor_message(item: TensorChange) -> artifact_pb.TensorChange:
    return artifact_pb.TensorChange(
        tensor=item.tensor,
        change=_CHANGES[item.change],
        dtype=item.dtype,
        shape=item.shape,
        size_bytes=item.size_bytes,
    )


def set_transfer(message: transfer_pb.TransferItem, item: TransferItem) -> None:
    """Make an empty message say one step in a stream of files."""
    match item:
        case FileStarted():
            start = message.start
            start.path = item.path
            start.size_bytes = item.size_bytes
            start.executable = item.executable
            start.digest = item.digest
        case FileBlock():
            message.block.offset_bytes = item.offset_bytes
            message.block.data = bytes(item.data)
        case FileEnded():
            # An end without a digest is an end, too.
            message.end.SetInParent()
            message.end.digest = item.digest
        case SharedBlock():
            shared = message.shared
            shared.offset_bytes = item.offset_bytes
            shared.length_bytes = item.length_bytes
            shared.segment = item.segment
            shared.segment_offset_bytes = item.segment_offset_bytes
        case MappedFile():
            message.mapped.mapping = item.number


def max_transfer_bytes(item: TransferItem) -> int:
    """Return how many bytes the message of one step has at most.

    Of bytes in shared memory: how many the reader can give back once it is told.
    """
    match item:
        case FileStarted():
            return len(item.path.encode()) + _STEP_BYTES
        case FileBlock():
            return len(item.data) + _STEP_BYTES
        case SharedBlock():
            return item.length_bytes + _STEP_BYTES
        case FileEnded() | MappedFile():
            return _STEP_BYTES


def verify_message(
    item: VerifyFinding | VerifyProgress | VerifyReport,
) -> maintenance_pb.VerifyVersionResponse:
    """Return one part of a verification."""
    match item:
        case VerifyFinding():
            finding = maintenance_pb.VerifyFinding(
                version=item.version,
                path=item.path,
                ok=item.ok,
                reason=item.reason,
                message=item.message,
                refs=item.refs,
            )
            return maintenance_pb.VerifyVersionResponse(finding=finding)
        case VerifyProgress():
            progress = maintenance_pb.VerifyProgress(
                verified_bytes=item.verified_bytes, total_bytes=item.total_bytes
            )
            return maintenance_pb.VerifyVersionResponse(progress=progress)
        case VerifyReport():
            report = maintenance_pb.VerifyReport(
                version_count=item.version_count,
                file_count=item.file_count,
                verified_bytes=item.verified_bytes,
                damaged_count=item.damaged_count,
            )
            return maintenance_pb.VerifyVersionResponse(report=report)


def check_message(result: CheckResult) -> maintenance_pb.CheckResult:
    """Return the result of one check."""
    return maintenance_pb.CheckResult(
        check=result.check,
        ok=result.ok,
        detail=result.detail,
        hint=result.hint,
        code=result.code,
        reason=result.reason,
    )
