# SPDX-License-Identifier: Apache-2.0
"""Projects, artifacts, versions, refs, files and differences, from messages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.format.digest import parse_digest
from strongroom.format.names import (
    DigestSelector,
    NumberSelector,
    VersionName,
    parse_artifact_name,
    parse_project_name,
    parse_ref_name,
    parse_selector,
    parse_version_name,
)
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.values import (
    Action,
    Artifact,
    ArtifactPolicy,
    Change,
    DiffSummary,
    File,
    FileChange,
    JournalEntry,
    Kind,
    Project,
    Ref,
    TensorChange,
    Version,
    VersionInput,
    VersionState,
)

_Word = TypeVar("_Word")
_WIRE_KINDS: Final = {
    Kind.DATASET: pb.ARTIFACT_KIND_DATASET,
    Kind.CHECKPOINT: pb.ARTIFACT_KIND_CHECKPOINT,
    Kind.WEIGHTS: pb.ARTIFACT_KIND_WEIGHTS,
}


def kind_to_message(kind: Kind | str | None) -> pb.ArtifactKind:
    """Return the wire's word for a kind; None is UNSPECIFIED.

    Raises:
        InvalidArgumentError: The text names no kind (ARGUMENT_INVALID).
    """
    if kind is None:
        return pb.ARTIFACT_KIND_UNSPECIFIED
    try:
        word = Kind(kind.upper())
    except ValueError as error:
        known = ", ".join(Kind)
        message = f"kind {kind!r} is not one of {known}"
        raise InvalidArgumentError(message, kind=kind) from error
    return _WIRE_KINDS[word]


def project_of(message: pb.Project) -> Project:
    """Return the project that a message describes."""
    return Project(
        name=parse_project_name(message.name).project,
        create_time=time_of(message.create_time),
        project_id=message.project_id,
    )


def ref_of(message: pb.Ref) -> Ref:
    """Return the ref that a message describes."""
    return Ref(
        name=parse_ref_name(message.name).ref,
        version=message.version,
        update_time=time_of(message.update_time),
        etag=message.etag,
        protected_until=_until_of(message),
    )


def _until_of(message: pb.Version | pb.Ref) -> datetime | None:
    is_protected = message.HasField("protected_until")
    return time_of(message.protected_until) if is_protected else None


def artifact_of(message: pb.Artifact) -> Artifact:
    """Return the artifact that a message describes."""
    return Artifact(
        name=parse_artifact_name(message.name).short,
        kind=kind_of(message.kind),
        create_time=time_of(message.create_time),
        latest_version=message.latest_version,
        refs=tuple(ref_of(ref) for ref in message.refs),
        artifact_id=message.artifact_id,
        policy=policy_of(message.policy),
        held=message.held,
        policy_etag=message.policy_etag,
        exclusive=message.exclusive,
    )


def policy_of(message: pb.ArtifactPolicy) -> ArtifactPolicy:
    """Return the policy that a message describes."""
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


def policy_to_message(policy: ArtifactPolicy) -> pb.ArtifactPolicy:
    """Return a policy as the wire has it."""
    return pb.ArtifactPolicy(
        keep_last=policy.keep_last,
        keep_best=policy.keep_best,
        best_by=policy.best_by,
        best_order=policy.best_order,
        keep_days=policy.keep_days,
        trash_days=policy.trash_days,
        codec=policy.codec,
        cuts=policy.cuts,
    )


def version_of(message: pb.Version) -> Version:
    """Return the version that a message describes."""
    return Version(
        artifact=parse_version_name(message.name).artifact,
        number=message.number,
        digest=message.digest,
        create_time=time_of(message.create_time),
        creator=message.creator,
        file_count=message.file_count,
        size_bytes=message.size_bytes,
        stored_bytes=message.stored_bytes,
        message=message.message,
        metadata=dict(sorted(message.metadata.items())),
        trace_id=message.trace_id,
        refs=tuple(message.refs),
        state=state_of(message.state),
        purge_time=(
            time_of(message.purge_time) if message.HasField("purge_time") else None
        ),
        held=message.held,
        run=message.lineage.run,
        inputs=tuple(_input_of(item) for item in message.lineage.inputs),
        more_inputs=message.lineage.more_inputs,
        digested_by=tuple(message.digested_by),
        protected_until=_until_of(message),
    )


def _input_of(message: pb.VersionInput) -> VersionInput:
    name = parse_version_name(message.name)
    selector = parse_selector(name.selector)
    if not isinstance(selector, NumberSelector):
        text = f"the server names an input {name.short}, not by its number"
        raise IntegrityError(text, reason=Reason.MANIFEST_CORRUPT)
    return VersionInput(name.artifact, selector.number, message.digest)


def state_of(value: pb.VersionState) -> VersionState:
    """Return the state that a message names; servers before 0.2 name none."""
    if value == pb.VERSION_STATE_UNSPECIFIED:
        return VersionState.LIVE
    return word(VersionState, pb.VersionState.Name, value, "VERSION_STATE_")


def answered_version_of(message: pb.Version, asked: VersionName) -> Version:
    """Return the version that a message describes, if it is one that was asked for.

    Whoever names a version by its digest need not trust the server for it.

    Raises:
        IntegrityError: It is of another artifact, number or digest
            (MANIFEST_CORRUPT).
    """
    version = version_of(message)
    selector = parse_selector(asked.selector)
    fits = version.artifact == asked.artifact and parse_version_name(message.name) == (
        VersionName(version.artifact, str(version.number))
    )
    match selector:
        case NumberSelector(number):
            fits = fits and version.number == number
        case DigestSelector(prefix):
            fits = fits and parse_digest(version.digest).startswith(prefix)
        case _:
            pass  # where a ref points, only the server knows
    if not fits:
        message_text = (
            f"asked for {asked.short}, but the server answered {version.name}"
        )
        raise IntegrityError(
            f"{message_text} with the digest {version.digest}",
            reason=Reason.MANIFEST_CORRUPT,
            hint="Do not use what it answers; report it.",
            asked=asked.short,
            answered=version.name,
        )
    return version


def file_of(message: pb.File) -> File:
    """Return the file that a message describes."""
    return File(
        path=message.path,
        size_bytes=message.size_bytes,
        digest=message.digest,
        executable=message.executable,
    )


def journal_entry_of(message: pb.JournalEntry) -> JournalEntry:
    """Return the journal entry that a message describes."""
    return JournalEntry(
        number=message.number,
        action=word(Action, pb.JournalAction.Name, message.action, "JOURNAL_ACTION_"),
        create_time=time_of(message.create_time),
        actor=message.actor,
        version=message.version,
        ref=message.ref,
        previous_version=message.previous_version,
        reason=message.reason,
        digest=message.digest,
        entry_digest=message.entry_digest,
        trace_id=message.trace_id,
        audit_id=message.audit_id,
        key_ids=tuple(message.key_ids),
        hold=message.hold,
        policy=policy_of(message.policy) if message.HasField("policy") else None,
        purged_versions=tuple(message.purged_versions),
        sweep_epoch=message.sweep_epoch,
        approval=message.approval,
        approvers=tuple(message.approvers),
    )


def file_change_of(message: pb.FileChange) -> FileChange:
    """Return the change of a file that a message describes."""
    return FileChange(
        path=message.path,
        change=_change(message.change),
        base=file_of(message.base) if message.HasField("base") else None,
        target=file_of(message.target) if message.HasField("target") else None,
        tensors=tuple(
            TensorChange(
                tensor=tensor.tensor,
                change=_change(tensor.change),
                dtype=tensor.dtype,
                shape=tuple(tensor.shape),
                size_bytes=tensor.size_bytes,
            )
            for tensor in message.tensors
        ),
    )


def diff_summary_of(message: pb.DiffSummary) -> DiffSummary:
    """Return the summary of a comparison that a message describes."""
    return DiffSummary(
        base=version_of(message.base),
        target=version_of(message.target),
        added_count=message.added_count,
        removed_count=message.removed_count,
        modified_count=message.modified_count,
        unchanged_count=message.unchanged_count,
        shared_bytes=message.shared_bytes,
    )


def kind_of(value: pb.ArtifactKind) -> Kind:
    """Return the kind that a message names."""
    return word(Kind, pb.ArtifactKind.Name, value, "ARTIFACT_KIND_")


def _change(value: pb.Change) -> Change:
    return word(Change, pb.Change.Name, value, "CHANGE_")


def word(
    words: Callable[[str], _Word],
    name_of: Callable[[int], str],
    value: int,
    prefix: str,
) -> _Word:
    """Return the SDK's word for an enum's value.

    Raises:
        PreconditionError: The server is newer than this client
            (FORMAT_UNSUPPORTED).
    """
    try:
        return words(name_of(value).removeprefix(prefix))
    except ValueError as error:
        message = f"the server uses a word that this client lacks: {prefix}{value}"
        raise PreconditionError(
            message,
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade this client: pip install --upgrade strongroom",
            value=value,
        ) from error


def time_of(value: Timestamp) -> datetime:
    """Return an instant, in UTC."""
    return value.ToDatetime(UTC)
