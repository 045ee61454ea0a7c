# SPDX-License-Identifier: Apache-2.0
"""DrillService: restores that are run to see that they can be."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterator

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import drill_service_pb2 as pb
from strongroom.v1 import drill_service_pb2_grpc as pb_grpc
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.convert_drills import drill_message, drill_progress_message
from strongroom_server.rpc.failures import no_backups
from strongroom_server.rpc.pulses import PULSE_S, pulsing
from strongroom_server.services.drills import DrillProgress, Drills, DrillWatch

_MAX_DIGITS = 12


class DrillServicer(pb_grpc.DrillServiceServicer):
    """Answers from `Drills`; the guard has decided who may ask.

    Args:
        drills: None where the settings know of no backups.
        watch: Hears of what is run.
        pulse_s: After how many silent seconds it says again how far it is.
    """

    def __init__(
        self,
        drills: Drills | None = None,
        watch: DrillWatch | None = None,
        *,
        pulse_s: float = PULSE_S,
    ) -> None:
        self._drills = drills
        self._watch = watch
        self._pulse_s = pulse_s

    def RunDrill(
        self, request: pb.RunDrillRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RunDrillResponse]:
        """Restore from a backup, and keep a report; say meanwhile that it goes on."""
        if request.backup < 0:
            message = f"backup {request.backup} is negative"
            raise InvalidArgumentError(message, field="backup")
        opening = pb.RunDrillResponse(progress=pb.DrillProgress(stage="open"))
        yield from pulsing(
            self._run(self._need(), request.backup),
            opening,
            is_progress=lambda part: part.HasField("progress"),
            pulse_s=self._pulse_s,
        )

    def _run(self, drills: Drills, backup: int) -> Iterator[pb.RunDrillResponse]:
        call = current_call()
        for item in drills.run(backup, caller=call.caller, check=call.check):
            if isinstance(item, DrillProgress):
                progress = drill_progress_message(item)
                yield pb.RunDrillResponse(progress=progress)
                continue
            if self._watch is not None:
                self._watch.note(item)
            report = item.report
            call.count("drill", report.number)
            call.count("findings", report.finding_count)
            call.note("backup_root", report.backup.root)
            yield pb.RunDrillResponse(drill=drill_message(item, whole=True))

    def ListDrills(
        self, request: pb.ListDrillsRequest, context: grpc.ServicerContext
    ) -> pb.ListDrillsResponse:
        """List drills, the newest first."""
        token = request.page_token
        if request.page_size < 0:
            message = f"page_size {request.page_size} is negative"
            raise InvalidArgumentError(message, field="page_size")
        if token and not (
            token.isascii() and token.isdecimal() and len(token) <= _MAX_DIGITS
        ):
            message = "page_token is not one that this list gave"
            raise InvalidArgumentError(message, field="page_token")
        page = self._need().list(page_size=request.page_size, before=int(token or 0))
        return pb.ListDrillsResponse(
            drills=(drill_message(item, whole=False) for item in page.drills),
            next_page_token=str(page.next_before or ""),
        )

    def GetDrill(
        self, request: pb.GetDrillRequest, context: grpc.ServicerContext
    ) -> pb.Drill:
        """Return a drill with its signed report."""
        return drill_message(self._need().get(request.drill), whole=True)

    def _need(self) -> Drills:
        if self._drills is None:
            raise no_backups()
        return self._drills
