# SPDX-License-Identifier: Apache-2.0
"""The calls of ArtifactService that decide what is kept: trash, holds, policies."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from strongroom.errors import PreconditionError, Reason
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    VersionName,
    parse_artifact_name,
    parse_version_name,
)
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom.v1 import artifact_service_pb2_grpc as pb_grpc
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc import convert, failures
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.showing import (
    may_list_refs,
    seen_artifact,
    seen_keeping,
    seen_version,
    sendable,
)
from strongroom_server.rpc.targets import names_a_version
from strongroom_server.services.retention import Creation, Retention, VersionKeeping


class RetentionCalls(pb_grpc.ArtifactServiceServicer):
    """Answers from the use case `Retention`; the guard has decided who may ask."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention

    def DeleteVersion(
        self, request: pb.DeleteVersionRequest, context: grpc.ServicerContext
    ) -> pb.Version:
        """Put a version into the trash."""
        call, name = current_call(), parse_version_name(request.name)
        with _refs_hidden(name.artifact):
            record = self._retention.delete(
                name,
                reason=request.reason,
                request_id=request.request_id,
                validate_only=request.validate_only,
                caller=call.caller,
            )
        call.count("version", record.number)
        return sendable(convert.version_message(seen_version(record)))

    def UndeleteVersion(
        self, request: pb.UndeleteVersionRequest, context: grpc.ServicerContext
    ) -> pb.Version:
        """Take a version out of the trash."""
        call = current_call()
        record = self._retention.undelete(
            parse_version_name(request.name),
            reason=request.reason,
            request_id=request.request_id,
            caller=call.caller,
        )
        call.count("version", record.number)
        return sendable(convert.version_message(seen_version(record)))

    def SetHold(
        self, request: pb.SetHoldRequest, context: grpc.ServicerContext
    ) -> pb.Artifact:
        """Set or lift a legal hold."""
        record = self._retention.hold(
            artifact_or_version(request.name),
            hold=request.hold,
            reason=request.reason,
            request_id=request.request_id,
            caller=current_call().caller,
        )
        return sendable(convert.artifact_message(seen_artifact(record)))

    def SetPolicy(
        self, request: pb.SetPolicyRequest, context: grpc.ServicerContext
    ) -> pb.Artifact:
        """Change how an artifact's versions are stored and kept."""
        name = parse_artifact_name(request.name)
        record = self._retention.set_policy(
            name,
            convert.parse_policy(request.policy),
            reason=request.reason,
            request_id=request.request_id,
            etag=request.etag,
            creation=_creation(request, name),
            validate_only=request.validate_only,
            caller=current_call().caller,
        )
        return sendable(convert.artifact_message(seen_artifact(record)))

    def ExplainRetention(
        self, request: pb.ExplainRetentionRequest, context: grpc.ServicerContext
    ) -> pb.ExplainRetentionResponse:
        """Say why versions are kept, and until when."""
        name = artifact_or_version(request.name)
        artifact = name.artifact if isinstance(name, VersionName) else name
        report = self._retention.explain(name)
        versions = [seen_keeping(item, artifact) for item in report.versions]
        return sendable(
            pb.ExplainRetentionResponse(
                versions=[_explanation(item) for item in versions],
                policy=convert.policy_message(report.policy),
            )
        )


def artifact_or_version(name: str) -> ArtifactName | VersionName:
    """Return what a resource name names: a version, or a whole artifact."""
    if names_a_version(name):
        return parse_version_name(name)
    return parse_artifact_name(name)


def _creation(request: pb.SetPolicyRequest, name: ArtifactName) -> Creation | None:
    """Return what a policy may make on the way: no more than a push may.

    Raises:
        PermissionDeniedError: It is to make the artifact, and the caller may not
            write versions of it.
    """
    kind = convert.parse_kind(request.kind)
    if kind is None:
        return None
    call, needed = current_call(), AccessAction.VERSION_WRITE
    if not call.may(needed, name.resource):
        raise failures.denied(needed, name.resource, call.caller.principal)
    project = ProjectName(name.project).resource
    return Creation(kind, call.may(AccessAction.PROJECT_CREATE, project))


def _explanation(item: VersionKeeping) -> pb.RetentionExplanation:
    keeping = item.keeping
    return pb.RetentionExplanation(
        version=keeping.version,
        state=convert.state_value(keeping.state),
        kept=keeping.kept,
        causes=keeping.causes,
        until=convert.timestamp(keeping.until) if keeping.until else None,
        exclusive_bytes=item.exclusive_bytes,
    )


@contextmanager
def _refs_hidden(artifact: ArtifactName) -> Iterator[None]:
    """Name no ref to a caller who may not list refs, not in an error either."""
    try:
        yield
    except PreconditionError as error:
        if error.reason is not Reason.VERSION_IN_USE or may_list_refs(artifact):
            raise
        message = "the version is in use: a ref points at it"
        raise PreconditionError(
            message, reason=Reason.VERSION_IN_USE, hint=error.hint
        ) from None
