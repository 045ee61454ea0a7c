import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from strongroom.v1 import artifact_service_pb2 as _artifact_service_pb2
from strongroom.v1 import transfer_service_pb2 as _transfer_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ObjectState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBJECT_STATE_UNSPECIFIED: _ClassVar[ObjectState]
    OBJECT_STATE_NEEDED: _ClassVar[ObjectState]
    OBJECT_STATE_UNNEEDED: _ClassVar[ObjectState]
    OBJECT_STATE_CONDEMNED: _ClassVar[ObjectState]
    OBJECT_STATE_PERMANENT: _ClassVar[ObjectState]
    OBJECT_STATE_UNKNOWN: _ClassVar[ObjectState]
OBJECT_STATE_UNSPECIFIED: ObjectState
OBJECT_STATE_NEEDED: ObjectState
OBJECT_STATE_UNNEEDED: ObjectState
OBJECT_STATE_CONDEMNED: ObjectState
OBJECT_STATE_PERMANENT: ObjectState
OBJECT_STATE_UNKNOWN: ObjectState

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

class VerifyStoreRequest(_message.Message):
    __slots__ = ("name", "without_keys", "resume_token", "max_bytes_per_second", "repair", "committed_within_days")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_KEYS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_WITHIN_DAYS_FIELD_NUMBER: _ClassVar[int]
    name: str
    without_keys: bool
    resume_token: str
    max_bytes_per_second: int
    repair: bool
    committed_within_days: int
    def __init__(self, name: _Optional[str] = ..., without_keys: bool = ..., resume_token: _Optional[str] = ..., max_bytes_per_second: _Optional[int] = ..., repair: bool = ..., committed_within_days: _Optional[int] = ...) -> None: ...

class StoreFinding(_message.Message):
    __slots__ = ("object", "reason", "message", "at_risk", "repaired", "mended")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    MENDED_FIELD_NUMBER: _ClassVar[int]
    object: str
    reason: str
    message: str
    at_risk: _containers.RepeatedCompositeFieldContainer[VersionAtRisk]
    repaired: bool
    mended: bool
    def __init__(self, object: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., at_risk: _Optional[_Iterable[_Union[VersionAtRisk, _Mapping]]] = ..., repaired: bool = ..., mended: bool = ...) -> None: ...

class VersionAtRisk(_message.Message):
    __slots__ = ("name", "paths", "path_count", "refs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    PATH_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    path_count: int
    refs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., path_count: _Optional[int] = ..., refs: _Optional[_Iterable[str]] = ...) -> None: ...

class VerifyStoreProgress(_message.Message):
    __slots__ = ("stage", "verified_bytes", "total_bytes", "resume_token")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    stage: str
    verified_bytes: int
    total_bytes: int
    resume_token: str
    def __init__(self, stage: _Optional[str] = ..., verified_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., resume_token: _Optional[str] = ...) -> None: ...

class VerifyStoreReport(_message.Message):
    __slots__ = ("artifact_count", "version_count", "object_count", "verified_bytes", "damaged_count", "repaired_count", "unreferenced_count", "unreferenced_bytes", "mended_count")
    ARTIFACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    OBJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNREFERENCED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNREFERENCED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MENDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    artifact_count: int
    version_count: int
    object_count: int
    verified_bytes: int
    damaged_count: int
    repaired_count: int
    unreferenced_count: int
    unreferenced_bytes: int
    mended_count: int
    def __init__(self, artifact_count: _Optional[int] = ..., version_count: _Optional[int] = ..., object_count: _Optional[int] = ..., verified_bytes: _Optional[int] = ..., damaged_count: _Optional[int] = ..., repaired_count: _Optional[int] = ..., unreferenced_count: _Optional[int] = ..., unreferenced_bytes: _Optional[int] = ..., mended_count: _Optional[int] = ...) -> None: ...

class VerifyStoreResponse(_message.Message):
    __slots__ = ("finding", "progress", "report")
    FINDING_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    finding: StoreFinding
    progress: VerifyStoreProgress
    report: VerifyStoreReport
    def __init__(self, finding: _Optional[_Union[StoreFinding, _Mapping]] = ..., progress: _Optional[_Union[VerifyStoreProgress, _Mapping]] = ..., report: _Optional[_Union[VerifyStoreReport, _Mapping]] = ...) -> None: ...

class RepairStart(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RepairCommit(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RepairVersionRequest(_message.Message):
    __slots__ = ("start", "items", "commit")
    START_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    start: RepairStart
    items: _transfer_service_pb2.TransferItems
    commit: RepairCommit
    def __init__(self, start: _Optional[_Union[RepairStart, _Mapping]] = ..., items: _Optional[_Union[_transfer_service_pb2.TransferItems, _Mapping]] = ..., commit: _Optional[_Union[RepairCommit, _Mapping]] = ...) -> None: ...

class RepairReport(_message.Message):
    __slots__ = ("damaged_count", "repaired_count", "stored_bytes", "damaged_paths", "lost_table_count")
    DAMAGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_COUNT_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_PATHS_FIELD_NUMBER: _ClassVar[int]
    LOST_TABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    damaged_count: int
    repaired_count: int
    stored_bytes: int
    damaged_paths: _containers.RepeatedScalarFieldContainer[str]
    lost_table_count: int
    def __init__(self, damaged_count: _Optional[int] = ..., repaired_count: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., damaged_paths: _Optional[_Iterable[str]] = ..., lost_table_count: _Optional[int] = ...) -> None: ...

class RepairVersionResponse(_message.Message):
    __slots__ = ("wanted", "report")
    WANTED_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    wanted: RepairWanted
    report: RepairReport
    def __init__(self, wanted: _Optional[_Union[RepairWanted, _Mapping]] = ..., report: _Optional[_Union[RepairReport, _Mapping]] = ...) -> None: ...

class RepairWanted(_message.Message):
    __slots__ = ("paths", "complete")
    PATHS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    complete: bool
    def __init__(self, paths: _Optional[_Iterable[str]] = ..., complete: bool = ...) -> None: ...

class PlanSweepRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class SweepProgress(_message.Message):
    __slots__ = ("stage", "done_count", "total_count")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done_count: int
    total_count: int
    def __init__(self, stage: _Optional[str] = ..., done_count: _Optional[int] = ..., total_count: _Optional[int] = ...) -> None: ...

class SweepSummary(_message.Message):
    __slots__ = ("trashed_count", "purged_count", "condemned_count", "condemned_bytes", "removed_count", "removed_bytes", "kept_count", "notes")
    TRASHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PURGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONDEMNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONDEMNED_BYTES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    trashed_count: int
    purged_count: int
    condemned_count: int
    condemned_bytes: int
    removed_count: int
    removed_bytes: int
    kept_count: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, trashed_count: _Optional[int] = ..., purged_count: _Optional[int] = ..., condemned_count: _Optional[int] = ..., condemned_bytes: _Optional[int] = ..., removed_count: _Optional[int] = ..., removed_bytes: _Optional[int] = ..., kept_count: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class PlanSweepResponse(_message.Message):
    __slots__ = ("progress", "plan", "summary")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    progress: SweepProgress
    plan: bytes
    summary: SweepSummary
    def __init__(self, progress: _Optional[_Union[SweepProgress, _Mapping]] = ..., plan: _Optional[bytes] = ..., summary: _Optional[_Union[SweepSummary, _Mapping]] = ...) -> None: ...

class SweepStart(_message.Message):
    __slots__ = ("request_id", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ApplySweepRequest(_message.Message):
    __slots__ = ("start", "plan")
    START_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    start: SweepStart
    plan: bytes
    def __init__(self, start: _Optional[_Union[SweepStart, _Mapping]] = ..., plan: _Optional[bytes] = ...) -> None: ...

class ApplySweepResponse(_message.Message):
    __slots__ = ("progress", "summary")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    progress: SweepProgress
    summary: SweepSummary
    def __init__(self, progress: _Optional[_Union[SweepProgress, _Mapping]] = ..., summary: _Optional[_Union[SweepSummary, _Mapping]] = ...) -> None: ...

class ExplainObjectRequest(_message.Message):
    __slots__ = ("object",)
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    object: str
    def __init__(self, object: _Optional[str] = ...) -> None: ...

class ObjectUse(_message.Message):
    __slots__ = ("name", "cause", "keeps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    KEEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    cause: str
    keeps: bool
    def __init__(self, name: _Optional[str] = ..., cause: _Optional[str] = ..., keeps: bool = ...) -> None: ...

class ObjectExplanation(_message.Message):
    __slots__ = ("exists", "state", "causes", "condemn_time", "use_count", "hidden_count")
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    CONDEMN_TIME_FIELD_NUMBER: _ClassVar[int]
    USE_COUNT_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    exists: bool
    state: ObjectState
    causes: _containers.RepeatedScalarFieldContainer[str]
    condemn_time: _timestamp_pb2.Timestamp
    use_count: int
    hidden_count: int
    def __init__(self, exists: bool = ..., state: _Optional[_Union[ObjectState, str]] = ..., causes: _Optional[_Iterable[str]] = ..., condemn_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., use_count: _Optional[int] = ..., hidden_count: _Optional[int] = ...) -> None: ...

class ExplainObjectResponse(_message.Message):
    __slots__ = ("use", "progress", "explanation")
    USE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    use: ObjectUse
    progress: SweepProgress
    explanation: ObjectExplanation
    def __init__(self, use: _Optional[_Union[ObjectUse, _Mapping]] = ..., progress: _Optional[_Union[SweepProgress, _Mapping]] = ..., explanation: _Optional[_Union[ObjectExplanation, _Mapping]] = ...) -> None: ...

class RebuildIndexRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RebuildIndexResponse(_message.Message):
    __slots__ = ("done_count", "total_count", "chunk_count", "damaged_count")
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    done_count: int
    total_count: int
    chunk_count: int
    damaged_count: int
    def __init__(self, done_count: _Optional[int] = ..., total_count: _Optional[int] = ..., chunk_count: _Optional[int] = ..., damaged_count: _Optional[int] = ...) -> None: ...

class CheckServerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckResult(_message.Message):
    __slots__ = ("check", "ok", "detail", "hint", "code", "reason")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    check: str
    ok: bool
    detail: str
    hint: str
    code: str
    reason: str
    def __init__(self, check: _Optional[str] = ..., ok: bool = ..., detail: _Optional[str] = ..., hint: _Optional[str] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CheckServerResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CheckResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CheckResult, _Mapping]]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("version", "store_id", "principal", "key_exchange", "tls_version", "certificate_expire_time", "roles", "kinds", "workload", "login")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    KEY_EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    TLS_VERSION_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    LOGIN_FIELD_NUMBER: _ClassVar[int]
    version: str
    store_id: str
    principal: str
    key_exchange: str
    tls_version: str
    certificate_expire_time: _timestamp_pb2.Timestamp
    roles: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[_artifact_service_pb2.ArtifactKind]
    workload: str
    login: Login
    def __init__(self, version: _Optional[str] = ..., store_id: _Optional[str] = ..., principal: _Optional[str] = ..., key_exchange: _Optional[str] = ..., tls_version: _Optional[str] = ..., certificate_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., roles: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[_artifact_service_pb2.ArtifactKind, str]]] = ..., workload: _Optional[str] = ..., login: _Optional[_Union[Login, _Mapping]] = ...) -> None: ...

class Login(_message.Message):
    __slots__ = ("auth_time", "mfa", "acr", "amr")
    AUTH_TIME_FIELD_NUMBER: _ClassVar[int]
    MFA_FIELD_NUMBER: _ClassVar[int]
    ACR_FIELD_NUMBER: _ClassVar[int]
    AMR_FIELD_NUMBER: _ClassVar[int]
    auth_time: _timestamp_pb2.Timestamp
    mfa: bool
    acr: str
    amr: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, auth_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mfa: bool = ..., acr: _Optional[str] = ..., amr: _Optional[_Iterable[str]] = ...) -> None: ...
