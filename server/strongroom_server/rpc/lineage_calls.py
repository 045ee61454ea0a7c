# SPDX-License-Identifier: Apache-2.0
"""The call of ArtifactService about lineage."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Sequence
from typing import Final

import grpc

from strongroom.format.names import ArtifactName, parse_version_name
from strongroom.v1 import artifact_service_pb2 as pb
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.retention_calls import RetentionCalls
from strongroom_server.rpc.showing import MAX_ANSWER_BYTES, seen_version, sendable
from strongroom_server.services.lineage import Lineages, LineageStep
from strongroom_server.services.retention import Retention

#: At most, before each message of a repeated field: its tag, and its length.
_FIELD_BYTES: Final = 6
#: For `incomplete`.
_SLACK_BYTES: Final = 16


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
        answer = pb.GetLineageResponse(
            version=convert.version_message(seen_version(report.version)),
            incomplete=not report.is_complete,
        )
        # Half of what is left is for either side, and for the other what it leaves.
        room_bytes = MAX_ANSWER_BYTES - answer.ByteSize() - _SLACK_BYTES
        results, _ = _fitting(report.results, room_bytes // 2)
        used_bytes = sum(map(_size, results))
        sources, left_out = _fitting(report.sources, room_bytes - used_bytes)
        used_bytes = sum(map(_size, sources))
        results, more = _fitting(report.results, room_bytes - used_bytes)
        answer.sources.extend(sources)
        answer.results.extend(results)
        answer.incomplete |= left_out or more
        return sendable(answer)


def _fitting(
    steps: Sequence[LineageStep], room_bytes: int
) -> tuple[list[pb.LineageVersion], bool]:
    """Return the nearest steps, as many as there is room for, and if some are not."""
    told: list[pb.LineageVersion] = []
    for step in steps:
        message = _step_message(step)
        room_bytes -= _size(message)
        if room_bytes < 0:
            return told, True
        told.append(message)
    return told, False


def _size(message: pb.LineageVersion) -> int:
    return message.ByteSize() + _FIELD_BYTES


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
