# SPDX-License-Identifier: Apache-2.0
"""What callers see: refs only with the right to list them, and what fits a message."""

from dataclasses import replace
from typing import Final, TypeVar

from google.protobuf.message import Message

from strongroom.errors import ExhaustedError, Reason
from strongroom.format.names import ArtifactName
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
from strongroom_server.rpc.call import current_call

#: Below every client's default limit of 4 MiB for a message.
MAX_ANSWER_BYTES: Final = 3_500_000

Answer = TypeVar("Answer", bound=Message)


def seen_artifact(record: ArtifactRecord) -> ArtifactRecord:
    """Return an artifact as the caller may see it."""
    return record if _may_list_refs(record.name) else replace(record, refs=())


def seen_version(record: VersionRecord) -> VersionRecord:
    """Return a version as the caller may see it."""
    return record if _may_list_refs(record.artifact) else replace(record, refs=())


def seen_change(item: FileChange | DiffSummary) -> FileChange | DiffSummary:
    """Return a part of a comparison as the caller may see it."""
    if isinstance(item, FileChange):
        return item
    return replace(item, base=seen_version(item.base), target=seen_version(item.target))


def seen_finding(
    item: VerifyFinding | VerifyProgress | VerifyReport, artifact: ArtifactName
) -> VerifyFinding | VerifyProgress | VerifyReport:
    """Return a part of a verification as the caller may see it."""
    if not isinstance(item, VerifyFinding) or _may_list_refs(artifact):
        return item
    return replace(item, refs=())


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


def _may_list_refs(name: ArtifactName) -> bool:
    return current_call().may(AccessAction.REF_LIST, name.resource)
