import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CanaryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANARY_STATE_UNSPECIFIED: _ClassVar[CanaryState]
    CANARY_STATE_GOOD: _ClassVar[CanaryState]
    CANARY_STATE_BAD: _ClassVar[CanaryState]
    CANARY_STATE_ABSENT: _ClassVar[CanaryState]
CANARY_STATE_UNSPECIFIED: CanaryState
CANARY_STATE_GOOD: CanaryState
CANARY_STATE_BAD: CanaryState
CANARY_STATE_ABSENT: CanaryState

class RunDrillRequest(_message.Message):
    __slots__ = ("backup",)
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    backup: int
    def __init__(self, backup: _Optional[int] = ...) -> None: ...

class DrillProgress(_message.Message):
    __slots__ = ("stage", "done_bytes", "total_bytes")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done_bytes: int
    total_bytes: int
    def __init__(self, stage: _Optional[str] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class RunDrillResponse(_message.Message):
    __slots__ = ("progress", "drill")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DRILL_FIELD_NUMBER: _ClassVar[int]
    progress: DrillProgress
    drill: Drill
    def __init__(self, progress: _Optional[_Union[DrillProgress, _Mapping]] = ..., drill: _Optional[_Union[Drill, _Mapping]] = ...) -> None: ...

class DrillFinding(_message.Message):
    __slots__ = ("object", "reason", "message", "name", "path")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    object: str
    reason: str
    message: str
    name: str
    path: str
    def __init__(self, object: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., name: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class DrilledVersion(_message.Message):
    __slots__ = ("name", "digest", "whole", "file_count", "restored_bytes", "ok")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESTORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    whole: bool
    file_count: int
    restored_bytes: int
    ok: bool
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., whole: bool = ..., file_count: _Optional[int] = ..., restored_bytes: _Optional[int] = ..., ok: bool = ...) -> None: ...

class Drill(_message.Message):
    __slots__ = ("number", "passed", "backup", "backup_root", "begin_time", "end_time", "requester", "scheduled", "canary", "version_count", "file_count", "restored_bytes", "read_bytes", "request_count", "open_ms", "restore_ms", "recovery_time_ms", "recovery_point_seconds", "finding_count", "findings", "versions", "notes", "report")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    BACKUP_ROOT_FIELD_NUMBER: _ClassVar[int]
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESTORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_MS_FIELD_NUMBER: _ClassVar[int]
    RESTORE_MS_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_POINT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FINDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    number: int
    passed: bool
    backup: int
    backup_root: str
    begin_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    requester: str
    scheduled: bool
    canary: CanaryState
    version_count: int
    file_count: int
    restored_bytes: int
    read_bytes: int
    request_count: int
    open_ms: int
    restore_ms: int
    recovery_time_ms: int
    recovery_point_seconds: int
    finding_count: int
    findings: _containers.RepeatedCompositeFieldContainer[DrillFinding]
    versions: _containers.RepeatedCompositeFieldContainer[DrilledVersion]
    notes: _containers.RepeatedScalarFieldContainer[str]
    report: bytes
    def __init__(self, number: _Optional[int] = ..., passed: bool = ..., backup: _Optional[int] = ..., backup_root: _Optional[str] = ..., begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requester: _Optional[str] = ..., scheduled: bool = ..., canary: _Optional[_Union[CanaryState, str]] = ..., version_count: _Optional[int] = ..., file_count: _Optional[int] = ..., restored_bytes: _Optional[int] = ..., read_bytes: _Optional[int] = ..., request_count: _Optional[int] = ..., open_ms: _Optional[int] = ..., restore_ms: _Optional[int] = ..., recovery_time_ms: _Optional[int] = ..., recovery_point_seconds: _Optional[int] = ..., finding_count: _Optional[int] = ..., findings: _Optional[_Iterable[_Union[DrillFinding, _Mapping]]] = ..., versions: _Optional[_Iterable[_Union[DrilledVersion, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., report: _Optional[bytes] = ...) -> None: ...

class ListDrillsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDrillsResponse(_message.Message):
    __slots__ = ("drills", "next_page_token")
    DRILLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    drills: _containers.RepeatedCompositeFieldContainer[Drill]
    next_page_token: str
    def __init__(self, drills: _Optional[_Iterable[_Union[Drill, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDrillRequest(_message.Message):
    __slots__ = ("drill",)
    DRILL_FIELD_NUMBER: _ClassVar[int]
    drill: int
    def __init__(self, drill: _Optional[int] = ...) -> None: ...
