import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from strongroom.v1 import artifact_service_pb2 as _artifact_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VerifyVersionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class VerifyFinding(_message.Message):
    __slots__ = ("version", "path", "ok", "reason", "message", "refs")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    version: int
    path: str
    ok: bool
    reason: str
    message: str
    refs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., path: _Optional[str] = ..., ok: bool = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., refs: _Optional[_Iterable[str]] = ...) -> None: ...

class VerifyProgress(_message.Message):
    __slots__ = ("verified_bytes", "total_bytes")
    VERIFIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    verified_bytes: int
    total_bytes: int
    def __init__(self, verified_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class VerifyReport(_message.Message):
    __slots__ = ("version_count", "file_count", "verified_bytes", "damaged_count")
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    version_count: int
    file_count: int
    verified_bytes: int
    damaged_count: int
    def __init__(self, version_count: _Optional[int] = ..., file_count: _Optional[int] = ..., verified_bytes: _Optional[int] = ..., damaged_count: _Optional[int] = ...) -> None: ...

class VerifyVersionResponse(_message.Message):
    __slots__ = ("finding", "progress", "report")
    FINDING_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    finding: VerifyFinding
    progress: VerifyProgress
    report: VerifyReport
    def __init__(self, finding: _Optional[_Union[VerifyFinding, _Mapping]] = ..., progress: _Optional[_Union[VerifyProgress, _Mapping]] = ..., report: _Optional[_Union[VerifyReport, _Mapping]] = ...) -> None: ...

class CheckServerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("check", "ok", "detail", "hint")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    check: str
    ok: bool
    detail: str
    hint: str
    def __init__(self, check: _Optional[str] = ..., ok: bool = ..., detail: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class CheckServerResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CheckResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CheckResult, _Mapping]]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("version", "store_id", "principal", "key_exchange", "tls_version", "certificate_expire_time", "roles", "kinds")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    KEY_EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    TLS_VERSION_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    version: str
    store_id: str
    principal: str
    key_exchange: str
    tls_version: str
    certificate_expire_time: _timestamp_pb2.Timestamp
    roles: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[_artifact_service_pb2.ArtifactKind]
    def __init__(self, version: _Optional[str] = ..., store_id: _Optional[str] = ..., principal: _Optional[str] = ..., key_exchange: _Optional[str] = ..., tls_version: _Optional[str] = ..., certificate_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., roles: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[_artifact_service_pb2.ArtifactKind, str]]] = ...) -> None: ...
