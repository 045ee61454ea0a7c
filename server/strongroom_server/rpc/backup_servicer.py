# SPDX-License-Identifier: Apache-2.0
"""BackupService: backups are taken, shown, checked and kept."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import (
    ArtifactName,
    ProjectName,
    parse_artifact_name,
    parse_project_name,
)
from strongroom.v1 import backup_service_pb2 as pb
from strongroom.v1 import backup_service_pb2_grpc as pb_grpc
from strongroom_server.core.layout import MAX_BACKUP_NUMBER
from strongroom_server.rpc import convert_backups as convert
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.failures import no_backups
from strongroom_server.rpc.pulses import pulsing
from strongroom_server.rpc.showing import sendable
from strongroom_server.services.backups import (
    Asked,
    BackupFinding,
    BackupProgress,
    Backups,
    ExtendedBackup,
    TakenBackup,
    note_backup,
)

MAX_NAMES: Final = 100
#: What is shown of the backups that there are, and of what is none.
MAX_BACKUPS: Final = 1000
MAX_UNTRUSTED: Final = 100
_ROOT_PIECE_BYTES: Final = 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Of year 9999, so that it is a time.
_MAX_SECONDS: Final = 253_402_300_799


class BackupServicer(pb_grpc.BackupServiceServicer):
    """Answers from `Backups`; the guard has decided who may ask.

    Args:
        backups: None where the settings know of no backup bucket.
    """

    def __init__(self, backups: Backups | None = None) -> None:
        self._backups = backups

    def CreateBackup(
        self, request: pb.CreateBackupRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.CreateBackupResponse]:
        """Take a backup; its signed root's digest goes into the audit log."""
        opening = pb.BackupProgress(stage="looking at the backup bucket")
        yield from pulsing(
            self._create(request),
            pb.CreateBackupResponse(progress=opening),
            is_progress=lambda part: part.HasField("progress"),
        )

    def _create(
        self, request: pb.CreateBackupRequest
    ) -> Iterator[pb.CreateBackupResponse]:
        call = current_call()
        asked = Asked(
            _names(request.names),
            call.caller.trace_id,
            call.caller.audit_id,
            request.allow_rewound,
            request.read_all,
            call.check,
        )
        for item in self._need().create(asked):
            if isinstance(item, TakenBackup):
                note_backup(call.note, item)
                summary = sendable(convert.summary_message(item))
                yield pb.CreateBackupResponse(summary=summary)
            else:
                progress = convert.progress_message(item)
                yield pb.CreateBackupResponse(progress=progress)

    def ListBackups(
        self, request: pb.ListBackupsRequest, context: grpc.ServicerContext
    ) -> pb.ListBackupsResponse:
        """List the backups that there are, the newest first."""
        state = self._need().look()
        untrusted = sorted(state.untrusted.items(), reverse=True)
        return sendable(
            pb.ListBackupsResponse(
                backups=[
                    convert.backup_message(saved, state.counts[saved.number])
                    for saved in state.backups[:MAX_BACKUPS]
                ],
                untrusted=[
                    pb.UntrustedBackup(number=number, problem=error.message)
                    for number, error in untrusted[:MAX_UNTRUSTED]
                ],
                total_count=len(state.backups),
            )
        )

    def GetBackup(
        self, request: pb.GetBackupRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.GetBackupResponse]:
        """Tell about one backup, with its signed root if that is wanted."""
        saved = self._need().find(_number(request.number))
        yield pb.GetBackupResponse(backup=convert.backup_message(saved))
        if request.with_root:
            for offset in range(0, len(saved.data), _ROOT_PIECE_BYTES):
                piece = saved.data[offset : offset + _ROOT_PIECE_BYTES]
                yield pb.GetBackupResponse(root=piece)

    def VerifyBackup(
        self, request: pb.VerifyBackupRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.VerifyBackupResponse]:
        """Hold the backup bucket against the root of a backup."""
        opening = pb.BackupProgress(stage="opening the backup")
        yield from pulsing(
            self._verify(request),
            pb.VerifyBackupResponse(progress=opening),
            is_progress=lambda part: part.HasField("progress"),
        )

    def _verify(
        self, request: pb.VerifyBackupRequest
    ) -> Iterator[pb.VerifyBackupResponse]:
        call = current_call()
        found = self._need().verify(
            _number(request.number), deep=request.deep, check=call.check
        )
        for item in found:
            match item:
                case BackupProgress():
                    progress = convert.progress_message(item)
                    yield pb.VerifyBackupResponse(progress=progress)
                case BackupFinding():
                    finding = convert.finding_message(item)
                    yield pb.VerifyBackupResponse(finding=finding)
                case _:
                    call.count("backup", item.number)
                    call.count("problems", item.problem_count)
                    report = convert.report_message(item)
                    yield pb.VerifyBackupResponse(report=report)

    def ExtendBackup(
        self, request: pb.ExtendBackupRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExtendBackupResponse]:
        """Lock everything of a backup until a later time."""
        opening = pb.BackupProgress(stage="opening the backup")
        yield from pulsing(
            self._extend(request),
            pb.ExtendBackupResponse(progress=opening),
            is_progress=lambda part: part.HasField("progress"),
        )

    def _extend(
        self, request: pb.ExtendBackupRequest
    ) -> Iterator[pb.ExtendBackupResponse]:
        call = current_call()
        number, until = _named(request.number), _time(request.until.seconds)
        for item in self._need().extend(number, until, check=call.check):
            if isinstance(item, ExtendedBackup):
                call.note("root", item.backup.root_digest)
                call.note("protected_until", item.backup.protected_until.isoformat())
                backup = convert.backup_message(item.backup)
                yield pb.ExtendBackupResponse(backup=backup)
            else:
                progress = convert.progress_message(item)
                yield pb.ExtendBackupResponse(progress=progress)

    def SetBackupHold(
        self, request: pb.SetBackupHoldRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.SetBackupHoldResponse]:
        """Put a legal hold on everything of a backup, or lift it."""
        opening = pb.BackupProgress(stage="opening the backup")
        yield from pulsing(
            self._hold(request),
            pb.SetBackupHoldResponse(progress=opening),
            is_progress=lambda part: part.HasField("progress"),
        )

    def _hold(
        self, request: pb.SetBackupHoldRequest
    ) -> Iterator[pb.SetBackupHoldResponse]:
        call, number = current_call(), _named(request.number)
        held = self._need().hold(number, is_held=request.held, check=call.check)
        for item in held:
            if isinstance(item, ExtendedBackup):
                call.note("root", item.backup.root_digest)
                call.note("held", "true" if request.held else "false")
                backup = convert.backup_message(item.backup)
                yield pb.SetBackupHoldResponse(backup=backup)
            else:
                progress = convert.progress_message(item)
                yield pb.SetBackupHoldResponse(progress=progress)

    def _need(self) -> Backups:
        if self._backups is None:
            raise no_backups()
        return self._backups


def _names(names: Iterable[str]) -> tuple[ProjectName | ArtifactName, ...]:
    listed = list(dict.fromkeys(names))
    if len(listed) > MAX_NAMES:
        message = f"{len(listed)} names are too many: at most {MAX_NAMES}"
        raise InvalidArgumentError(message, field="names")
    return tuple(
        parse_artifact_name(name) if "/artifacts/" in name else parse_project_name(name)
        for name in listed
    )


def _number(number: int) -> int:
    """Return a backup's number, or 0 for the newest."""
    if not 0 <= number <= MAX_BACKUP_NUMBER:
        message = f"backup {number} cannot be"
        raise InvalidArgumentError(
            message, hint="See `strongroom backup ls`.", field="number"
        )
    return number


def _named(number: int) -> int:
    """Return the number of a backup that is changed: never just the newest."""
    if not number:
        message = "the backup is not named by its number"
        raise InvalidArgumentError(
            message, hint="See `strongroom backup ls`.", field="number"
        )
    return _number(number)


def _time(seconds: int) -> datetime:
    if not 0 < seconds <= _MAX_SECONDS:
        message = f"Unix second {seconds} is no time until which a backup can be locked"
        raise InvalidArgumentError(message, field="until")
    return _EPOCH + timedelta(seconds=seconds)
