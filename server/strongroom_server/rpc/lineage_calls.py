# SPDX-License-Identifier: Apache-2.0
"""The call of ArtifactService about lineage."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

import grpc

from strongroom.format.names import ArtifactName, parse_version_name
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.retention_calls import RetentionCalls
from strongroom_server.rpc.showing import seen_version, sendable
from strongroom_server.services.lineage import Lineages, LineageStep
from strongroom_server.services.retention import Retention


class LineageCalls(RetentionCalls):
    """Answers from the use case `Lineages`; the guard has decided who may ask."""

    def __init__(self, retention: Retention, lineages: Lineages) -> None:
        super().__init__(retention)
        self._lineages = lineages

    def GetLineage(
        self, request: pb.GetLineageRequest, context: grpc.ServicerContext
    ) -> pb.GetLineageResponse:
        """Say what a version was made from, and what was made from it."""
        call = current_call()

        def visible(name: ArtifactName) -> bool:
            return call.may(AccessAction.VERSION_LIST, name.resource)

        report = self._lineages.trace(
            parse_version_name(request.name), visible=visible, check=call.check
        )
        call.count("version", report.version.number)
        return sendable(
            pb.GetLineageResponse(
                version=convert.version_message(seen_version(report.version)),
                sources=map(_step_message, report.sources),
                results=map(_step_message, report.results),
                incomplete=not report.is_complete,
            )
        )


def _step_message(step: LineageStep) -> pb.LineageVersion:
    told = pb.LineageVersion(
        name=step.name.resource,
        digest=step.digest,
        distance=step.distance,
        via=[name.resource for name in step.via],
    )
    if step.record is not None:
        told.state = convert.state_value(step.record.state)
        told.create_time.CopyFrom(convert.timestamp(step.record.create_time))
        told.creator = step.record.creator
        told.run = step.record.lineage.run
    return told
