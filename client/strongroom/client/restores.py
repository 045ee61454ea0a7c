# SPDX-License-Identifier: Apache-2.0
"""`Restores`: versions of a backup, back in the store that is served."""

from datetime import datetime
from typing import TYPE_CHECKING

from strongroom import _convert, _system, _telemetry
from strongroom._channel import methods
from strongroom.client.backups import Backups
from strongroom.errors import InternalError, InvalidArgumentError
from strongroom.format.names import parse_uri
from strongroom.v1 import restore_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import RestorePlan, RestoreReceipt, StageCallback


class Restores(Backups):
    """The part of `Client` that restores from backups."""

    def restore(
        self,
        uri: str,
        *,
        backup: int = 0,
        as_of: datetime | None = None,
        request_id: str | None = None,
        max_bytes_per_second: int = 0,
        progress: "StageCallback | None" = None,
    ) -> "RestoreReceipt":
        """Restore a version of an artifact from a backup into the store.

        Records that the store has lost are put back, what is damaged of the artifact
        is mended, and the version comes back, as a new one if the store does not have
        it any more. Nothing is overwritten, and no ref moves but `latest`.

        Args:
            uri: `project/artifact`, or with `@version`, as the backup has it.
            backup: From which backup; 0 means the newest one.
            as_of: From the newest backup that was begun no later.
            request_id: A UUID4: repeating it restores once.
            max_bytes_per_second: How much to read at most; 0 means no limit.
            progress: Called as the server gets on.

        Raises:
            NotFoundError: There is no such backup (BACKUP_NOT_FOUND), or it has no
                such version.
            PreconditionError: The server has no backups (SETTING_INVALID), or the
                artifact went on otherwise than the backup has it (STORE_UNSUITABLE).
        """
        request = _request(uri, backup, as_of, request_id)
        request.max_bytes_per_second = max_bytes_per_second
        with (
            _telemetry.operation("restore"),
            self._caller.stream(methods.RESTORE_VERSIONS, request) as stream,
        ):
            for response in stream:
                if response.HasField("progress") and progress is not None:
                    progress(_convert.restore_stage_of(response.progress))
                if response.HasField("receipt"):
                    return _convert.restore_receipt_of(response.receipt)
        message = "the server ended the restore without a receipt"
        raise InternalError(message)

    def plan_restore(
        self, uri: str, *, backup: int = 0, as_of: datetime | None = None
    ) -> "RestorePlan":
        """Return what `restore` would do at most; changes nothing, errors as there."""
        request = _request(uri, backup, as_of, None)
        request.validate_only = True
        with self._caller.stream(methods.RESTORE_VERSIONS, request) as stream:
            for response in stream:
                if response.HasField("plan"):
                    return _convert.restore_plan_of(response.plan)
        message = "the server ended the restore without a plan"
        raise InternalError(message)


def _request(
    uri: str, backup: int, as_of: datetime | None, request_id: str | None
) -> pb.RestoreVersionsRequest:
    parsed = parse_uri(uri)
    if parsed.path:
        raise InvalidArgumentError(
            f"{uri}: a single file cannot be restored into the store, only its version",
            hint="strongroom-server restore --to-folder DIR --artifact … --path …",
        )
    # Without one, what is meant is `latest` of the backup, not of the store.
    is_version = "@" in uri
    request = pb.RestoreVersionsRequest(
        name=parsed.version.resource if is_version else parsed.artifact.resource,
        backup=backup,
        request_id=request_id or _system.new_request_id(),
    )
    if as_of is not None:
        request.as_of_time.FromDatetime(as_of)
    return request
