# SPDX-License-Identifier: Apache-2.0
"""The calls of MaintenanceService that free space: plan, apply, explain an object."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterator

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import parse_project_name
from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom.v1 import maintenance_service_pb2_grpc as pb_grpc
from strongroom_server.core.sweep_plan import (
    MAX_PLAN_BYTES,
    SweepProgress,
    SweepSummary,
)
from strongroom_server.rpc import convert_upkeep
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.showing import may_know_use
from strongroom_server.services.sweeping import (
    ObjectExplanation,
    ObjectUse,
    Sweeping,
)


class SweepCalls(pb_grpc.MaintenanceServiceServicer):
    """Answers from the use case `Sweeping`; the guard has decided who may ask."""

    def __init__(self, sweeping: Sweeping) -> None:
        self._sweeping = sweeping

    def PlanSweep(
        self, request: pb.PlanSweepRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.PlanSweepResponse]:
        """Say what a sweep would do, and change nothing."""
        project = parse_project_name(request.name) if request.name else None
        for item in self._sweeping.plan(project):
            if isinstance(item, SweepProgress):
                progress = convert_upkeep.sweep_progress_message(item)
                yield pb.PlanSweepResponse(progress=progress)
                continue
            content = self._sweeping.encode(item)
            for start in range(0, len(content), convert_upkeep.PART_BYTES):
                part = content[start : start + convert_upkeep.PART_BYTES]
                yield pb.PlanSweepResponse(plan=part)
            _count(item.summary)
            summary = convert_upkeep.sweep_summary_message(item.summary)
            yield pb.PlanSweepResponse(summary=summary)

    def ApplySweep(
        self,
        request_iterator: Iterator[pb.ApplySweepRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.ApplySweepResponse]:
        """Do what a plan says, except what is needed again meanwhile.

        Raises:
            InvalidArgumentError: The requests are out of order, or the plan is not
                one that a server wrote.
        """
        call = current_call()
        start = next(request_iterator).start
        parts = self._sweeping.apply(
            _plan_of(request_iterator),
            reason=start.reason,
            request_id=start.request_id,
            caller=call.caller,
        )
        for item in parts:
            if isinstance(item, SweepProgress):
                # What was done so far stays done; the same plan goes on from there.
                call.check()
                progress = convert_upkeep.sweep_progress_message(item)
                yield pb.ApplySweepResponse(progress=progress)
            else:
                _count(item)
                summary = convert_upkeep.sweep_summary_message(item)
                yield pb.ApplySweepResponse(summary=summary)

    def ExplainObject(
        self, request: pb.ExplainObjectRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExplainObjectResponse]:
        """Say what keeps one stored object, or what a sweep does with it."""
        call, hidden_count = current_call(), 0
        for item in self._sweeping.explain(request.object):
            match item:
                case SweepProgress():
                    progress = convert_upkeep.sweep_progress_message(item)
                    yield pb.ExplainObjectResponse(progress=progress)
                case ObjectUse():
                    if may_know_use(item):
                        use = convert_upkeep.use_message(item)
                        yield pb.ExplainObjectResponse(use=use)
                    else:
                        hidden_count += 1
                case ObjectExplanation():
                    call.count("uses", item.use_count)
                    told = convert_upkeep.object_message(
                        item, hidden_count=hidden_count
                    )
                    yield pb.ExplainObjectResponse(explanation=told)


def _plan_of(requests: Iterator[pb.ApplySweepRequest]) -> bytes:
    content = bytearray()
    for request in requests:
        part = request.WhichOneof("part")
        if part != "plan":
            message = f"{part or 'nothing'} came where `plan` belongs"
            raise InvalidArgumentError(message)
        content += request.plan
        if len(content) > MAX_PLAN_BYTES:
            message = f"the plan has more than {MAX_PLAN_BYTES} bytes"
            raise InvalidArgumentError(
                message, hint="Plan again; a server writes none of that size."
            )
    return bytes(content)


def _count(summary: SweepSummary) -> None:
    call = current_call()
    call.count("trashed", summary.trashed_count)
    call.count("purged", summary.purged_count)
    call.count("condemned", summary.condemned_count)
    call.count("removed", summary.removed_count)
    call.count("kept", summary.kept_count)
