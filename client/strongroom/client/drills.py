# SPDX-License-Identifier: Apache-2.0
"""`Drills`: restores from backups that are run to see that they can be."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from strongroom import _convert, _telemetry
from strongroom._channel import methods
from strongroom.client.maintenance import Maintenance
from strongroom.errors import InternalError
from strongroom.v1 import drill_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import Drill, StageCallback


class Drills(Maintenance):
    """The part of `Client` that proves that backups can be restored."""

    def run_drill(
        self, backup: int = 0, *, progress: "StageCallback | None" = None
    ) -> "Drill":
        """Have a backup restored for real: its canary, and a sample of versions.

        The server restores from the backup bucket and Vault alone, into memory, holds
        every file against its digest, and keeps a signed report. A drill that failed
        is returned, not raised.

        Args:
            backup: Its number; 0 means the newest one.
            progress: Called as the server gets on.

        Raises:
            NotFoundError: There is no backup, or not this one (BACKUP_NOT_FOUND).
            PreconditionError: The server has no backups (SETTING_INVALID).
        """
        request = pb.RunDrillRequest(backup=backup)
        drill = None
        with (
            _telemetry.operation("drill"),
            self._caller.stream(methods.RUN_DRILL, request) as stream,
        ):
            for response in stream:
                if response.WhichOneof("part") == "drill":
                    drill = _convert.drill_of(response.drill)
                elif response.HasField("progress") and progress is not None:
                    progress(_convert.drill_stage_of(response.progress))
        if drill is None:
            message = "the server ended the drill without a report"
            raise InternalError(message)
        return drill

    def iter_drills(self) -> "Iterator[Drill]":
        """Yield the drills that there were, the newest first, without reports."""
        token = ""
        while True:
            request = pb.ListDrillsRequest(page_token=token)
            limit_s = self._caller.settings.transfer_timeout_s
            answer = self._caller.unary(methods.LIST_DRILLS, request, timeout_s=limit_s)
            yield from map(_convert.drill_of, answer.drills)
            token = answer.next_page_token
            if not token:
                return

    def drill(self, number: int) -> "Drill":
        """Return a drill with its signed report.

        Raises:
            NotFoundError: There is none (DRILL_NOT_FOUND).
        """
        request = pb.GetDrillRequest(drill=number)
        return _convert.drill_of(self._caller.unary(methods.GET_DRILL, request))
