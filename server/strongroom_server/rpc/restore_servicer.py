# SPDX-License-Identifier: Apache-2.0
"""RestoreService: versions of a backup, back in the store that is served."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import VersionName
from strongroom.v1 import restore_service_pb2 as pb
from strongroom.v1 import restore_service_pb2_grpc as pb_grpc
from strongroom_server.core.restore_records import (
    RestoreProgress,
    RestoreReport,
)
from strongroom_server.rpc.call import CallView, current_call
from strongroom_server.rpc.convert_restores import (
    plan_message,
    progress_message,
    receipt_message,
)
from strongroom_server.rpc.failures import no_backups
from strongroom_server.rpc.pulses import pulsing
from strongroom_server.rpc.retention_calls import artifact_or_version
from strongroom_server.services.restoring import LivingRequest, LivingRestore


@dataclass(frozen=True, slots=True)
class Restores:
    """What restores, and what signs the receipt of it."""

    use_case: LivingRestore
    sign: Callable[[RestoreReport], bytes]


class RestoreServicer(pb_grpc.RestoreServiceServicer):
    """Answers from the use case; the guard has decided who may ask.

    Args:
        restores: None where the settings know of no backups.
    """

    def __init__(self, restores: Restores | None = None) -> None:
        self._restores = restores

    def RestoreVersions(
        self, request: pb.RestoreVersionsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RestoreVersionsResponse]:
        """Restore a version into the living store, or say what that would do."""
        opening = pb.RestoreVersionsResponse(
            progress=pb.RestoreProgress(stage="opening the backup")
        )
        yield from pulsing(
            self._restore(self._need(), request),
            opening,
            is_progress=lambda part: part.HasField("progress"),
        )

    def _restore(
        self, restores: Restores, request: pb.RestoreVersionsRequest
    ) -> Iterator[pb.RestoreVersionsResponse]:
        call, wanted = current_call(), _wanted(request)
        if request.validate_only:
            plan = restores.use_case.plan(wanted)
            yield pb.RestoreVersionsResponse(plan=plan_message(plan))
            return
        for item in restores.use_case.run(wanted, caller=call.caller):
            call.check()
            if isinstance(item, RestoreProgress):
                yield pb.RestoreVersionsResponse(progress=progress_message(item))
            elif isinstance(item, RestoreReport):
                yield self._receipt(restores, call, item)

    def _receipt(
        self, restores: Restores, call: CallView, report: RestoreReport
    ) -> pb.RestoreVersionsResponse:
        call.count("backup", report.backup)
        call.count("restored", report.copied_count)
        call.count("damaged", report.damaged_count)
        call.note("backup_root", report.root_digest)
        receipt = restores.sign(report)
        return pb.RestoreVersionsResponse(receipt=receipt_message(report, receipt))

    def _need(self) -> Restores:
        if self._restores is None:
            raise no_backups()
        return self._restores


def _wanted(request: pb.RestoreVersionsRequest) -> LivingRequest:
    for field in ("backup", "max_bytes_per_second"):
        if getattr(request, field) < 0:
            message = f"{field} is negative"
            raise InvalidArgumentError(message, field=field)
    if not request.request_id:
        message = "request_id is missing"
        raise InvalidArgumentError(message, field="request_id")
    name = artifact_or_version(request.name)
    as_of = None
    if request.HasField("as_of_time"):
        try:
            as_of = request.as_of_time.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            message = "as_of_time is no time"
            raise InvalidArgumentError(message, field="as_of_time") from error
    return LivingRequest(
        artifact=name.artifact if isinstance(name, VersionName) else name,
        selector=name.selector if isinstance(name, VersionName) else "",
        backup=request.backup,
        as_of=as_of,
        request_id=request.request_id,
        max_bytes_per_second=request.max_bytes_per_second,
    )
