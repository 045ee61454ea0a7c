import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Backup(_message.Message):
    __slots__ = ("number", "create_time", "newest_commit_time", "protected_until", "held", "mode", "interval_seconds", "root_digest", "previous_digest", "whole", "project_ids", "artifact_ids", "artifact_count", "version_count", "object_count", "size_bytes", "new_object_count", "new_bytes", "missing_count", "missing", "trace_id", "audit_id")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEWEST_COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ROOT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_IDS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    OBJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEW_OBJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEW_BYTES_FIELD_NUMBER: _ClassVar[int]
    MISSING_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIT_ID_FIELD_NUMBER: _ClassVar[int]
    number: int
    create_time: _timestamp_pb2.Timestamp
    newest_commit_time: _timestamp_pb2.Timestamp
    protected_until: _timestamp_pb2.Timestamp
    held: bool
    mode: str
    interval_seconds: int
    root_digest: str
    previous_digest: str
    whole: bool
    project_ids: _containers.RepeatedScalarFieldContainer[str]
    artifact_ids: _containers.RepeatedScalarFieldContainer[str]
    artifact_count: int
    version_count: int
    object_count: int
    size_bytes: int
    new_object_count: int
    new_bytes: int
    missing_count: int
    missing: _containers.RepeatedScalarFieldContainer[str]
    trace_id: str
    audit_id: str
    def __init__(self, number: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest_commit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., protected_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held: bool = ..., mode: _Optional[str] = ..., interval_seconds: _Optional[int] = ..., root_digest: _Optional[str] = ..., previous_digest: _Optional[str] = ..., whole: bool = ..., project_ids: _Optional[_Iterable[str]] = ..., artifact_ids: _Optional[_Iterable[str]] = ..., artifact_count: _Optional[int] = ..., version_count: _Optional[int] = ..., object_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., new_object_count: _Optional[int] = ..., new_bytes: _Optional[int] = ..., missing_count: _Optional[int] = ..., missing: _Optional[_Iterable[str]] = ..., trace_id: _Optional[str] = ..., audit_id: _Optional[str] = ...) -> None: ...

class BackupProgress(_message.Message):
    __slots__ = ("stage", "done_count", "total_count", "copied_bytes")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    COPIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done_count: int
    total_count: int
    copied_bytes: int
    def __init__(self, stage: _Optional[str] = ..., done_count: _Optional[int] = ..., total_count: _Optional[int] = ..., copied_bytes: _Optional[int] = ...) -> None: ...

class CreateBackupRequest(_message.Message):
    __slots__ = ("names", "allow_rewound", "read_all")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_REWOUND_FIELD_NUMBER: _ClassVar[int]
    READ_ALL_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    allow_rewound: bool
    read_all: bool
    def __init__(self, names: _Optional[_Iterable[str]] = ..., allow_rewound: bool = ..., read_all: bool = ...) -> None: ...

class BackupSummary(_message.Message):
    __slots__ = ("backup", "copied_count", "copied_bytes", "extended_count", "sampled_count", "rotten_count", "notes")
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    COPIED_COUNT_FIELD_NUMBER: _ClassVar[int]
    COPIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXTENDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ROTTEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    copied_count: int
    copied_bytes: int
    extended_count: int
    sampled_count: int
    rotten_count: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ..., copied_count: _Optional[int] = ..., copied_bytes: _Optional[int] = ..., extended_count: _Optional[int] = ..., sampled_count: _Optional[int] = ..., rotten_count: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateBackupResponse(_message.Message):
    __slots__ = ("progress", "summary")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    progress: BackupProgress
    summary: BackupSummary
    def __init__(self, progress: _Optional[_Union[BackupProgress, _Mapping]] = ..., summary: _Optional[_Union[BackupSummary, _Mapping]] = ...) -> None: ...

class ListBackupsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UntrustedBackup(_message.Message):
    __slots__ = ("number", "problem")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    number: int
    problem: str
    def __init__(self, number: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...

class ListBackupsResponse(_message.Message):
    __slots__ = ("backups", "untrusted", "total_count")
    BACKUPS_FIELD_NUMBER: _ClassVar[int]
    UNTRUSTED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    backups: _containers.RepeatedCompositeFieldContainer[Backup]
    untrusted: _containers.RepeatedCompositeFieldContainer[UntrustedBackup]
    total_count: int
    def __init__(self, backups: _Optional[_Iterable[_Union[Backup, _Mapping]]] = ..., untrusted: _Optional[_Iterable[_Union[UntrustedBackup, _Mapping]]] = ..., total_count: _Optional[int] = ...) -> None: ...

class GetBackupRequest(_message.Message):
    __slots__ = ("number", "with_root")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WITH_ROOT_FIELD_NUMBER: _ClassVar[int]
    number: int
    with_root: bool
    def __init__(self, number: _Optional[int] = ..., with_root: bool = ...) -> None: ...

class GetBackupResponse(_message.Message):
    __slots__ = ("backup", "root")
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    backup: Backup
    root: bytes
    def __init__(self, backup: _Optional[_Union[Backup, _Mapping]] = ..., root: _Optional[bytes] = ...) -> None: ...

class VerifyBackupRequest(_message.Message):
    __slots__ = ("number", "deep")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DEEP_FIELD_NUMBER: _ClassVar[int]
    number: int
    deep: bool
    def __init__(self, number: _Optional[int] = ..., deep: bool = ...) -> None: ...

class BackupFinding(_message.Message):
    __slots__ = ("object", "problem")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    object: str
    problem: str
    def __init__(self, object: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class BackupReport(_message.Message):
    __slots__ = ("number", "object_count", "read_bytes", "problem_count", "locked_until", "shredded_count")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OBJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOCKED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    SHREDDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    number: int
    object_count: int
    read_bytes: int
    problem_count: int
    locked_until: _timestamp_pb2.Timestamp
    shredded_count: int
    def __init__(self, number: _Optional[int] = ..., object_count: _Optional[int] = ..., read_bytes: _Optional[int] = ..., problem_count: _Optional[int] = ..., locked_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., shredded_count: _Optional[int] = ...) -> None: ...

class VerifyBackupResponse(_message.Message):
    __slots__ = ("progress", "finding", "report")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FINDING_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    progress: BackupProgress
    finding: BackupFinding
    report: BackupReport
    def __init__(self, progress: _Optional[_Union[BackupProgress, _Mapping]] = ..., finding: _Optional[_Union[BackupFinding, _Mapping]] = ..., report: _Optional[_Union[BackupReport, _Mapping]] = ...) -> None: ...

class ExtendBackupRequest(_message.Message):
    __slots__ = ("number", "until")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    number: int
    until: _timestamp_pb2.Timestamp
    def __init__(self, number: _Optional[int] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExtendBackupResponse(_message.Message):
    __slots__ = ("progress", "backup")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    progress: BackupProgress
    backup: Backup
    def __init__(self, progress: _Optional[_Union[BackupProgress, _Mapping]] = ..., backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...

class SetBackupHoldRequest(_message.Message):
    __slots__ = ("number", "held")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    number: int
    held: bool
    def __init__(self, number: _Optional[int] = ..., held: bool = ...) -> None: ...

class SetBackupHoldResponse(_message.Message):
    __slots__ = ("progress", "backup")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    progress: BackupProgress
    backup: Backup
    def __init__(self, progress: _Optional[_Union[BackupProgress, _Mapping]] = ..., backup: _Optional[_Union[Backup, _Mapping]] = ...) -> None: ...
