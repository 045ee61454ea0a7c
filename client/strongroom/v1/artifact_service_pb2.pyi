import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArtifactKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARTIFACT_KIND_UNSPECIFIED: _ClassVar[ArtifactKind]
    ARTIFACT_KIND_DATASET: _ClassVar[ArtifactKind]
    ARTIFACT_KIND_CHECKPOINT: _ClassVar[ArtifactKind]
    ARTIFACT_KIND_WEIGHTS: _ClassVar[ArtifactKind]

class JournalAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOURNAL_ACTION_UNSPECIFIED: _ClassVar[JournalAction]
    JOURNAL_ACTION_CREATE: _ClassVar[JournalAction]
    JOURNAL_ACTION_COMMIT: _ClassVar[JournalAction]
    JOURNAL_ACTION_MOVE_REF: _ClassVar[JournalAction]
    JOURNAL_ACTION_DELETE: _ClassVar[JournalAction]
    JOURNAL_ACTION_UNDELETE: _ClassVar[JournalAction]
    JOURNAL_ACTION_RETAIN: _ClassVar[JournalAction]
    JOURNAL_ACTION_POLICY: _ClassVar[JournalAction]
    JOURNAL_ACTION_FENCE: _ClassVar[JournalAction]

class VersionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERSION_STATE_UNSPECIFIED: _ClassVar[VersionState]
    VERSION_STATE_LIVE: _ClassVar[VersionState]
    VERSION_STATE_DELETED: _ClassVar[VersionState]
    VERSION_STATE_PURGED: _ClassVar[VersionState]

class Change(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_UNSPECIFIED: _ClassVar[Change]
    CHANGE_ADDED: _ClassVar[Change]
    CHANGE_REMOVED: _ClassVar[Change]
    CHANGE_MODIFIED: _ClassVar[Change]
    CHANGE_UNCHANGED: _ClassVar[Change]
ARTIFACT_KIND_UNSPECIFIED: ArtifactKind
ARTIFACT_KIND_DATASET: ArtifactKind
ARTIFACT_KIND_CHECKPOINT: ArtifactKind
ARTIFACT_KIND_WEIGHTS: ArtifactKind
JOURNAL_ACTION_UNSPECIFIED: JournalAction
JOURNAL_ACTION_CREATE: JournalAction
JOURNAL_ACTION_COMMIT: JournalAction
JOURNAL_ACTION_MOVE_REF: JournalAction
JOURNAL_ACTION_DELETE: JournalAction
JOURNAL_ACTION_UNDELETE: JournalAction
JOURNAL_ACTION_RETAIN: JournalAction
JOURNAL_ACTION_POLICY: JournalAction
JOURNAL_ACTION_FENCE: JournalAction
VERSION_STATE_UNSPECIFIED: VersionState
VERSION_STATE_LIVE: VersionState
VERSION_STATE_DELETED: VersionState
VERSION_STATE_PURGED: VersionState
CHANGE_UNSPECIFIED: Change
CHANGE_ADDED: Change
CHANGE_REMOVED: Change
CHANGE_MODIFIED: Change
CHANGE_UNCHANGED: Change

class ArtifactPolicy(_message.Message):
    __slots__ = ("keep_last", "keep_days", "trash_days", "codec", "cuts", "keep_best", "best_by", "best_order")
    KEEP_LAST_FIELD_NUMBER: _ClassVar[int]
    KEEP_DAYS_FIELD_NUMBER: _ClassVar[int]
    TRASH_DAYS_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    KEEP_BEST_FIELD_NUMBER: _ClassVar[int]
    BEST_BY_FIELD_NUMBER: _ClassVar[int]
    BEST_ORDER_FIELD_NUMBER: _ClassVar[int]
    keep_last: int
    keep_days: int
    trash_days: int
    codec: str
    cuts: str
    keep_best: int
    best_by: str
    best_order: str
    def __init__(self, keep_last: _Optional[int] = ..., keep_days: _Optional[int] = ..., trash_days: _Optional[int] = ..., codec: _Optional[str] = ..., cuts: _Optional[str] = ..., keep_best: _Optional[int] = ..., best_by: _Optional[str] = ..., best_order: _Optional[str] = ...) -> None: ...

class Project(_message.Message):
    __slots__ = ("name", "create_time", "project_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    project_id: str
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., project_id: _Optional[str] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("name", "kind", "create_time", "latest_version", "refs", "artifact_id", "policy", "held", "policy_etag", "exclusive")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LATEST_VERSION_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    POLICY_ETAG_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ArtifactKind
    create_time: _timestamp_pb2.Timestamp
    latest_version: int
    refs: _containers.RepeatedCompositeFieldContainer[Ref]
    artifact_id: str
    policy: ArtifactPolicy
    held: bool
    policy_etag: str
    exclusive: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ArtifactKind, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., latest_version: _Optional[int] = ..., refs: _Optional[_Iterable[_Union[Ref, _Mapping]]] = ..., artifact_id: _Optional[str] = ..., policy: _Optional[_Union[ArtifactPolicy, _Mapping]] = ..., held: bool = ..., policy_etag: _Optional[str] = ..., exclusive: bool = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("name", "number", "digest", "create_time", "creator", "file_count", "size_bytes", "stored_bytes", "message", "metadata", "trace_id", "refs", "state", "purge_time", "held", "digested_by", "lineage", "protected_until")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PURGE_TIME_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    DIGESTED_BY_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: int
    digest: str
    create_time: _timestamp_pb2.Timestamp
    creator: str
    file_count: int
    size_bytes: int
    stored_bytes: int
    message: str
    metadata: _containers.ScalarMap[str, str]
    trace_id: str
    refs: _containers.RepeatedScalarFieldContainer[str]
    state: VersionState
    purge_time: _timestamp_pb2.Timestamp
    held: bool
    digested_by: _containers.RepeatedScalarFieldContainer[str]
    lineage: Lineage
    protected_until: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., number: _Optional[int] = ..., digest: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., creator: _Optional[str] = ..., file_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., trace_id: _Optional[str] = ..., refs: _Optional[_Iterable[str]] = ..., state: _Optional[_Union[VersionState, str]] = ..., purge_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., held: bool = ..., digested_by: _Optional[_Iterable[str]] = ..., lineage: _Optional[_Union[Lineage, _Mapping]] = ..., protected_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Lineage(_message.Message):
    __slots__ = ("run", "inputs", "more_inputs")
    RUN_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MORE_INPUTS_FIELD_NUMBER: _ClassVar[int]
    run: str
    inputs: _containers.RepeatedCompositeFieldContainer[VersionInput]
    more_inputs: int
    def __init__(self, run: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[VersionInput, _Mapping]]] = ..., more_inputs: _Optional[int] = ...) -> None: ...

class VersionInput(_message.Message):
    __slots__ = ("name", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class Ref(_message.Message):
    __slots__ = ("name", "version", "update_time", "etag", "protected_until")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    update_time: _timestamp_pb2.Timestamp
    etag: str
    protected_until: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., protected_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("path", "size_bytes", "digest", "executable")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    digest: str
    executable: bool
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[str] = ..., executable: bool = ...) -> None: ...

class JournalEntry(_message.Message):
    __slots__ = ("number", "action", "create_time", "actor", "version", "ref", "previous_version", "reason", "digest", "entry_digest", "trace_id", "audit_id", "key_ids", "hold", "policy", "purged_versions", "sweep_epoch", "approval", "approvers")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ENTRY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIT_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PURGED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SWEEP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    APPROVERS_FIELD_NUMBER: _ClassVar[int]
    number: int
    action: JournalAction
    create_time: _timestamp_pb2.Timestamp
    actor: str
    version: int
    ref: str
    previous_version: int
    reason: str
    digest: str
    entry_digest: str
    trace_id: str
    audit_id: str
    key_ids: _containers.RepeatedScalarFieldContainer[str]
    hold: bool
    policy: ArtifactPolicy
    purged_versions: _containers.RepeatedScalarFieldContainer[int]
    sweep_epoch: int
    approval: str
    approvers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, number: _Optional[int] = ..., action: _Optional[_Union[JournalAction, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., version: _Optional[int] = ..., ref: _Optional[str] = ..., previous_version: _Optional[int] = ..., reason: _Optional[str] = ..., digest: _Optional[str] = ..., entry_digest: _Optional[str] = ..., trace_id: _Optional[str] = ..., audit_id: _Optional[str] = ..., key_ids: _Optional[_Iterable[str]] = ..., hold: bool = ..., policy: _Optional[_Union[ArtifactPolicy, _Mapping]] = ..., purged_versions: _Optional[_Iterable[int]] = ..., sweep_epoch: _Optional[int] = ..., approval: _Optional[str] = ..., approvers: _Optional[_Iterable[str]] = ...) -> None: ...

class FileChange(_message.Message):
    __slots__ = ("path", "change", "base", "target", "tensors")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    path: str
    change: Change
    base: File
    target: File
    tensors: _containers.RepeatedCompositeFieldContainer[TensorChange]
    def __init__(self, path: _Optional[str] = ..., change: _Optional[_Union[Change, str]] = ..., base: _Optional[_Union[File, _Mapping]] = ..., target: _Optional[_Union[File, _Mapping]] = ..., tensors: _Optional[_Iterable[_Union[TensorChange, _Mapping]]] = ...) -> None: ...

class TensorChange(_message.Message):
    __slots__ = ("tensor", "change", "dtype", "shape", "size_bytes")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    tensor: str
    change: Change
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    size_bytes: int
    def __init__(self, tensor: _Optional[str] = ..., change: _Optional[_Union[Change, str]] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class DiffSummary(_message.Message):
    __slots__ = ("base", "target", "added_count", "removed_count", "modified_count", "unchanged_count", "shared_bytes")
    BASE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ADDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHARED_BYTES_FIELD_NUMBER: _ClassVar[int]
    base: Version
    target: Version
    added_count: int
    removed_count: int
    modified_count: int
    unchanged_count: int
    shared_bytes: int
    def __init__(self, base: _Optional[_Union[Version, _Mapping]] = ..., target: _Optional[_Union[Version, _Mapping]] = ..., added_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., modified_count: _Optional[int] = ..., unchanged_count: _Optional[int] = ..., shared_bytes: _Optional[int] = ...) -> None: ...

class CreateProjectRequest(_message.Message):
    __slots__ = ("project_id", "request_id")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    request_id: str
    def __init__(self, project_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ListProjectsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListProjectsResponse(_message.Message):
    __slots__ = ("projects", "next_page_token")
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    projects: _containers.RepeatedCompositeFieldContainer[Project]
    next_page_token: str
    def __init__(self, projects: _Optional[_Iterable[_Union[Project, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListArtifactsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListArtifactsResponse(_message.Message):
    __slots__ = ("artifacts", "next_page_token", "shredded")
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SHREDDED_FIELD_NUMBER: _ClassVar[int]
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    next_page_token: str
    shredded: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., shredded: _Optional[_Iterable[str]] = ...) -> None: ...

class CreateArtifactRequest(_message.Message):
    __slots__ = ("parent", "artifact_id", "kind", "exclusive", "request_id")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    artifact_id: str
    kind: ArtifactKind
    exclusive: bool
    request_id: str
    def __init__(self, parent: _Optional[str] = ..., artifact_id: _Optional[str] = ..., kind: _Optional[_Union[ArtifactKind, str]] = ..., exclusive: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class GetArtifactRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[Version]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[Version, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("parent", "path", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    path: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., path: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("version", "files", "next_page_token")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    version: Version
    files: _containers.RepeatedCompositeFieldContainer[File]
    next_page_token: str
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., files: _Optional[_Iterable[_Union[File, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListJournalEntriesRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJournalEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[JournalEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[JournalEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DiffVersionsRequest(_message.Message):
    __slots__ = ("base", "target", "include_unchanged")
    BASE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    base: str
    target: str
    include_unchanged: bool
    def __init__(self, base: _Optional[str] = ..., target: _Optional[str] = ..., include_unchanged: bool = ...) -> None: ...

class DiffVersionsResponse(_message.Message):
    __slots__ = ("file", "summary")
    FILE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    file: FileChange
    summary: DiffSummary
    def __init__(self, file: _Optional[_Union[FileChange, _Mapping]] = ..., summary: _Optional[_Union[DiffSummary, _Mapping]] = ...) -> None: ...

class MoveRefRequest(_message.Message):
    __slots__ = ("name", "version", "etag", "reason", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    etag: str
    reason: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class DeleteVersionRequest(_message.Message):
    __slots__ = ("name", "reason", "request_id", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    request_id: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class UndeleteVersionRequest(_message.Message):
    __slots__ = ("name", "reason", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetHoldRequest(_message.Message):
    __slots__ = ("name", "hold", "reason", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    hold: bool
    reason: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., hold: bool = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetPolicyRequest(_message.Message):
    __slots__ = ("name", "policy", "reason", "request_id", "validate_only", "etag", "kind")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    name: str
    policy: ArtifactPolicy
    reason: str
    request_id: str
    validate_only: bool
    etag: str
    kind: ArtifactKind
    def __init__(self, name: _Optional[str] = ..., policy: _Optional[_Union[ArtifactPolicy, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., etag: _Optional[str] = ..., kind: _Optional[_Union[ArtifactKind, str]] = ...) -> None: ...

class ExplainRetentionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RetentionExplanation(_message.Message):
    __slots__ = ("version", "state", "kept", "causes", "until", "exclusive_bytes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_BYTES_FIELD_NUMBER: _ClassVar[int]
    version: int
    state: VersionState
    kept: bool
    causes: _containers.RepeatedScalarFieldContainer[str]
    until: _timestamp_pb2.Timestamp
    exclusive_bytes: int
    def __init__(self, version: _Optional[int] = ..., state: _Optional[_Union[VersionState, str]] = ..., kept: bool = ..., causes: _Optional[_Iterable[str]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exclusive_bytes: _Optional[int] = ...) -> None: ...

class ExplainRetentionResponse(_message.Message):
    __slots__ = ("versions", "policy")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[RetentionExplanation]
    policy: ArtifactPolicy
    def __init__(self, versions: _Optional[_Iterable[_Union[RetentionExplanation, _Mapping]]] = ..., policy: _Optional[_Union[ArtifactPolicy, _Mapping]] = ...) -> None: ...

class GetLineageRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class LineageVersion(_message.Message):
    __slots__ = ("name", "digest", "state", "create_time", "creator", "run", "distance", "via")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    state: VersionState
    create_time: _timestamp_pb2.Timestamp
    creator: str
    run: str
    distance: int
    via: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., state: _Optional[_Union[VersionState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., creator: _Optional[str] = ..., run: _Optional[str] = ..., distance: _Optional[int] = ..., via: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLineageResponse(_message.Message):
    __slots__ = ("version", "sources", "results", "incomplete")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    version: Version
    sources: _containers.RepeatedCompositeFieldContainer[LineageVersion]
    results: _containers.RepeatedCompositeFieldContainer[LineageVersion]
    incomplete: bool
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., sources: _Optional[_Iterable[_Union[LineageVersion, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[LineageVersion, _Mapping]]] = ..., incomplete: bool = ...) -> None: ...

class ListReadersRequest(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: str
    def __init__(self, parent: _Optional[str] = ...) -> None: ...

class VersionReader(_message.Message):
    __slots__ = ("principal", "since", "until", "count")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    principal: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    count: int
    def __init__(self, principal: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class ListReadersResponse(_message.Message):
    __slots__ = ("version", "readers", "incomplete")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    version: Version
    readers: _containers.RepeatedCompositeFieldContainer[VersionReader]
    incomplete: bool
    def __init__(self, version: _Optional[_Union[Version, _Mapping]] = ..., readers: _Optional[_Iterable[_Union[VersionReader, _Mapping]]] = ..., incomplete: bool = ...) -> None: ...
