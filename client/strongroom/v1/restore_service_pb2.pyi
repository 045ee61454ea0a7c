import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RestoreVersionsRequest(_message.Message):
    __slots__ = ("name", "backup", "as_of_time", "request_id", "validate_only", "max_bytes_per_second")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    name: str
    backup: int
    as_of_time: _timestamp_pb2.Timestamp
    request_id: str
    validate_only: bool
    max_bytes_per_second: int
    def __init__(self, name: _Optional[str] = ..., backup: _Optional[int] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., max_bytes_per_second: _Optional[int] = ...) -> None: ...

class RestoreVersionsResponse(_message.Message):
    __slots__ = ("progress", "plan", "receipt")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    progress: RestoreProgress
    plan: RestorePlan
    receipt: RestoreReceipt
    def __init__(self, progress: _Optional[_Union[RestoreProgress, _Mapping]] = ..., plan: _Optional[_Union[RestorePlan, _Mapping]] = ..., receipt: _Optional[_Union[RestoreReceipt, _Mapping]] = ...) -> None: ...

class RestoreProgress(_message.Message):
    __slots__ = ("stage", "done_count", "done_bytes", "total_bytes")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done_count: int
    done_bytes: int
    total_bytes: int
    def __init__(self, stage: _Optional[str] = ..., done_count: _Optional[int] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class NeededKek(_message.Message):
    __slots__ = ("kek", "versions", "problem")
    KEK_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    kek: str
    versions: _containers.RepeatedScalarFieldContainer[int]
    problem: str
    def __init__(self, kek: _Optional[str] = ..., versions: _Optional[_Iterable[int]] = ..., problem: _Optional[str] = ...) -> None: ...

class RestorePlan(_message.Message):
    __slots__ = ("backup", "root_digest", "create_time", "recovery_point", "protected_until", "held", "file_count", "size_bytes", "estimated_seconds", "keks")
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    ROOT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_POINT_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    KEKS_FIELD_NUMBER: _ClassVar[int]
    backup: int
    root_digest: str
    create_time: _timestamp_pb2.Timestamp
    recovery_point: _timestamp_pb2.Timestamp
    protected_until: _timestamp_pb2.Timestamp
    held: bool
    file_count: int
    size_bytes: int
    estimated_seconds: float
    keks: _containers.RepeatedCompositeFieldContainer[NeededKek]
    def __init__(self, backup: _Optional[int] = ..., root_digest: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., recovery_point: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., protected_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held: bool = ..., file_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., estimated_seconds: _Optional[float] = ..., keks: _Optional[_Iterable[_Union[NeededKek, _Mapping]]] = ...) -> None: ...

class RestoredVersion(_message.Message):
    __slots__ = ("name", "digest", "file_count", "size_bytes", "new_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEW_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    file_count: int
    size_bytes: int
    new_version: int
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., file_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., new_version: _Optional[int] = ...) -> None: ...

class RestoreReceipt(_message.Message):
    __slots__ = ("backup", "copied_count", "versions", "damaged_count", "damaged", "seconds", "receipt")
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    COPIED_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    backup: int
    copied_count: int
    versions: _containers.RepeatedCompositeFieldContainer[RestoredVersion]
    damaged_count: int
    damaged: _containers.RepeatedScalarFieldContainer[str]
    seconds: float
    receipt: bytes
    def __init__(self, backup: _Optional[int] = ..., copied_count: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[RestoredVersion, _Mapping]]] = ..., damaged_count: _Optional[int] = ..., damaged: _Optional[_Iterable[str]] = ..., seconds: _Optional[float] = ..., receipt: _Optional[bytes] = ...) -> None: ...
