# SPDX-License-Identifier: Apache-2.0
"""What callers see: refs only with the right to list them, and what fits a message."""

from dataclasses import replace
from typing import Final, TypeVar

from google.protobuf.message import Message

from strongroom.errors import ExhaustedError, Reason
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core.access import AccessAction
from strongroom_server.core.records import (
    ArtifactRecord,
    DiffSummary,
    FileChange,
    VerifyFinding,
    VerifyProgress,
    VerifyReport,
    VersionRecord,
)
from strongroom_server.core.verify_records import StoreFinding
from strongroom_server.rpc.call import current_call
from strongroom_server.services.retention import VersionKeeping
from strongroom_server.services.sweeping import ObjectUse

#: Below every client's default limit of 4 MiB for a message.
MAX_ANSWER_BYTES: Final = 3_500_000

#: How a cause begins that names a ref; see core/retention.py.
_REF_CAUSE: Final = "ref "

Answer = TypeVar("Answer", bound=Message)


def seen_artifact(record: ArtifactRecord) -> ArtifactRecord:
    """Return an artifact as the caller may see it."""
    return record if may_list_refs(record.name) else replace(record, refs=())


def seen_version(record: VersionRecord) -> VersionRecord:
    """Return a version as the caller may see it."""
    return record if may_list_refs(record.artifact) else replace(record, refs=())


def seen_change(item: FileChange | DiffSummary) -> FileChange | DiffSummary:
    """Return a part of a comparison as the caller may see it."""
    if isinstance(item, FileChange):
        return item
    return replace(item, base=seen_version(item.base), target=seen_version(item.target))


def seen_finding(
    item: VerifyFinding | VerifyProgress | VerifyReport, artifact: ArtifactName
) -> VerifyFinding | VerifyProgress | VerifyReport:
    """Return a part of a verification as the caller may see it."""
    if not isinstance(item, VerifyFinding) or may_list_refs(artifact):
        return item
    return replace(item, refs=())


def seen_keeping(item: VersionKeeping, artifact: ArtifactName) -> VersionKeeping:
    """Return why a version is kept as the caller may see it."""
    if may_list_refs(artifact):
        return item
    causes = (
        "a ref needs it" if cause.startswith(_REF_CAUSE) else cause
        for cause in item.keeping.causes
    )
    keeping = replace(item.keeping, causes=tuple(dict.fromkeys(causes)))
    return replace(item, keeping=keeping)


def seen_store_finding(item: StoreFinding) -> StoreFinding:
    """Return damage with the versions that the caller may know of."""
    return replace(
        item,
        at_risk=tuple(
            risk if may_list_refs(risk.name.artifact) else replace(risk, refs=())
            for risk in item.at_risk
            if current_call().may(AccessAction.VERSION_LIST, risk.name.resource)
        ),
    )


def may_know_use(item: ObjectUse) -> bool:
    """Tell whether the caller may know of what needs an object."""
    match item.name:
        case VersionName():
            return current_call().may(AccessAction.VERSION_LIST, item.name.resource)
        case ArtifactName():
            return current_call().may(AccessAction.ARTIFACT_GET, item.name.resource)
        case None:
            return True


def may_list_refs(name: ArtifactName) -> bool:
    """Tell whether the caller may know an artifact's refs."""
    return current_call().may(AccessAction.REF_LIST, name.resource)


def sendable(message: Answer) -> Answer:
    """Return the message, if it fits; gRPC would refuse it without a reason.

    Raises:
        ExhaustedError: It is too large to be sent (TOO_LARGE).
    """
    size_bytes = message.ByteSize()
    if size_bytes > MAX_ANSWER_BYTES:
        raise ExhaustedError(
            f"the answer would have {size_bytes} bytes in one message; "
            f"at most {MAX_ANSWER_BYTES} can be sent",
            reason=Reason.TOO_LARGE,
            hint="It has too many refs or tensors to be told at once.",
            size_bytes=size_bytes,
        )
    return message
