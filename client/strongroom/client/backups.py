# SPDX-License-Identifier: Apache-2.0
"""`Backups`: taken into another bucket, locked there, checked and kept."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from strongroom import _convert, _telemetry, values
from strongroom._channel import methods
from strongroom.client.catalog import parse_artifact
from strongroom.client.drills import Drills
from strongroom.errors import IntegrityError, InternalError, Reason
from strongroom.format.names import ProjectName
from strongroom.v1 import backup_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import (
        Backup,
        BackupFinding,
        BackupListing,
        BackupReport,
        BackupSummary,
        Stage,
        StageCallback,
    )

#: Of a signed root, whatever a server sends.
_MAX_ROOT_BYTES = 32 * 1024 * 1024


class Backups(Drills):
    """The part of `Client` that takes backups; none can be removed by it."""

    def create_backup(
        self,
        names: Sequence[str] = (),
        *,
        allow_rewound: bool = False,
        read_all: bool = False,
        progress: "StageCallback | None" = None,
    ) -> "BackupSummary":
        """Have a backup taken; broken off anywhere, the next call goes on with it.

        Args:
            names: Projects, and `project/artifact`; nothing means the whole store.
            allow_rewound: Whether journals may be shorter than in earlier backups,
                since the store was restored to an earlier time.
            read_all: Whether everything is read back that earlier backups hold, and
                copied anew if it has rotted; without it, a sample is.
            progress: Called as the server gets on.

        Raises:
            PreconditionError: The server has no backup bucket (SETTING_INVALID), or
                that does not keep its locks (STORE_UNSUITABLE).
            IntegrityError: Something is damaged or gone, and no earlier backup has
                it; names it.
        """
        request = pb.CreateBackupRequest(
            names=map(_resource, names), allow_rewound=allow_rewound, read_all=read_all
        )
        summary = None
        with (
            _telemetry.operation("backup"),
            self._caller.stream(methods.CREATE_BACKUP, request) as stream,
        ):
            for response in stream:
                if response.WhichOneof("part") == "summary":
                    summary = _convert.backup_summary_of(response.summary)
                elif response.HasField("progress") and progress is not None:
                    progress(_convert.backup_stage_of(response.progress))
        if summary is None:
            raise _unfinished("backup")
        return summary

    def backups(self) -> "BackupListing":
        """Return the backups that there are, the newest first."""
        limit_s = self._caller.settings.transfer_timeout_s
        answer = self._caller.unary(
            methods.LIST_BACKUPS, pb.ListBackupsRequest(), timeout_s=limit_s
        )
        return _convert.backup_listing_of(answer)

    def backup(self, number: int = 0) -> "Backup":
        """Return a backup by its number; the newest one for 0.

        Raises:
            NotFoundError: There is none (BACKUP_NOT_FOUND).
        """
        return self._backup(number, with_root=False)[0]

    def backup_root(self, number: int = 0) -> "tuple[Backup, bytes]":
        """Return a backup with its signed root: `strongroom backup prove` checks it.

        Raises:
            NotFoundError: There is none (BACKUP_NOT_FOUND).
        """
        return self._backup(number, with_root=True)

    def verify_backup(
        self,
        number: int = 0,
        *,
        deep: bool = False,
        progress: "StageCallback | None" = None,
    ) -> "tuple[BackupReport, tuple[BackupFinding, ...]]":
        """Have a backup checked; return the report, and everything that is wrong.

        Args:
            number: Of the backup; 0 means the newest one.
            deep: Whether to read every byte back, not only to look that every object
                is there and locked.
            progress: Called as the server gets on.

        Raises:
            NotFoundError: There is none (BACKUP_NOT_FOUND).
        """
        findings, report = [], None
        for part in self.iter_verify_backup(number, deep=deep):
            match part:
                case values.BackupFinding():
                    findings.append(part)
                case values.BackupReport():
                    report = part
                case values.Stage():
                    if progress is not None:
                        progress(part)
        if report is None:
            raise _unfinished("check")
        return report, tuple(findings)

    def iter_verify_backup(
        self, number: int = 0, *, deep: bool = False
    ) -> "Iterator[BackupFinding | Stage | BackupReport]":
        """Have a backup checked; yield what is found as it is. See `verify_backup`."""
        request = pb.VerifyBackupRequest(number=number, deep=deep)
        with (
            _telemetry.operation("verify-backup"),
            self._caller.stream(methods.VERIFY_BACKUP, request) as stream,
        ):
            for response in stream:
                part = response.WhichOneof("part")
                if part == "finding":
                    yield _convert.backup_finding_of(response.finding)
                elif part == "report":
                    yield _convert.backup_report_of(response.report)
                elif part == "progress":
                    yield _convert.backup_stage_of(response.progress)

    def extend_backup(
        self, number: int, until: datetime, *, progress: "StageCallback | None" = None
    ) -> "Backup":
        """Have everything of a backup locked until a later time.

        Args:
            number: Of the backup.
            until: Until when, in whole seconds. Nobody can take that back.
            progress: Called as the server gets on.

        Raises:
            NotFoundError: There is none (BACKUP_NOT_FOUND).
            InvalidArgumentError: The time is no later one, or too far away.
        """
        request = pb.ExtendBackupRequest(
            number=number, until=Timestamp(seconds=int(until.timestamp()))
        )
        backup = None
        with (
            _telemetry.operation("extend-backup"),
            self._caller.stream(methods.EXTEND_BACKUP, request) as stream,
        ):
            for response in stream:
                if response.WhichOneof("part") == "backup":
                    backup = _convert.backup_of(response.backup)
                elif response.HasField("progress") and progress is not None:
                    progress(_convert.backup_stage_of(response.progress))
        if backup is None:
            raise _unfinished("extension")
        return backup

    def hold_backup(
        self, number: int, *, held: bool = True, progress: "StageCallback | None" = None
    ) -> "Backup":
        """Have a legal hold put on everything of a backup, or lifted.

        Args:
            number: Of the backup.
            held: Whether it is to be held.
            progress: Called as the server gets on.

        Raises:
            NotFoundError: There is none (BACKUP_NOT_FOUND).
        """
        request = pb.SetBackupHoldRequest(number=number, held=held)
        backup = None
        with (
            _telemetry.operation("hold-backup"),
            self._caller.stream(methods.SET_BACKUP_HOLD, request) as stream,
        ):
            for response in stream:
                if response.WhichOneof("part") == "backup":
                    backup = _convert.backup_of(response.backup)
                elif response.HasField("progress") and progress is not None:
                    progress(_convert.backup_stage_of(response.progress))
        if backup is None:
            raise _unfinished("hold")
        return backup

    def _backup(self, number: int, *, with_root: bool) -> "tuple[Backup, bytes]":
        request = pb.GetBackupRequest(number=number, with_root=with_root)
        backup, root = None, bytearray()
        with self._caller.stream(methods.GET_BACKUP, request) as stream:
            for response in stream:
                if response.WhichOneof("part") == "backup":
                    backup = _convert.backup_of(response.backup)
                root += response.root
                if len(root) > _MAX_ROOT_BYTES:
                    message = f"the root of backup {number} does not end"
                    raise IntegrityError(message, reason=Reason.RECORD_CORRUPT)
        if backup is None:
            raise _unfinished("answer")
        return backup, bytes(root)


def _resource(name: str) -> str:
    return parse_artifact(name).resource if "/" in name else ProjectName(name).resource


def _unfinished(what: str) -> InternalError:
    message = f"the server ended the {what} without its result"
    return InternalError(message)
