import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SlotState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLOT_STATE_UNSPECIFIED: _ClassVar[SlotState]
    SLOT_STATE_CURRENT: _ClassVar[SlotState]
    SLOT_STATE_OLD: _ClassVar[SlotState]
    SLOT_STATE_UNOPENED: _ClassVar[SlotState]
    SLOT_STATE_LOST: _ClassVar[SlotState]
SLOT_STATE_UNSPECIFIED: SlotState
SLOT_STATE_CURRENT: SlotState
SLOT_STATE_OLD: SlotState
SLOT_STATE_UNOPENED: SlotState
SLOT_STATE_LOST: SlotState

class KeyProgress(_message.Message):
    __slots__ = ("stage", "done_count", "total_count")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done_count: int
    total_count: int
    def __init__(self, stage: _Optional[str] = ..., done_count: _Optional[int] = ..., total_count: _Optional[int] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class KeyEntry(_message.Message):
    __slots__ = ("project", "project_id", "domain_id", "epoch", "slot", "kek", "kek_version", "newest_kek_version", "oldest_kek_version", "kek_version_time", "slot_time", "state", "passed_over", "artifact")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    KEK_FIELD_NUMBER: _ClassVar[int]
    KEK_VERSION_FIELD_NUMBER: _ClassVar[int]
    NEWEST_KEK_VERSION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_KEK_VERSION_FIELD_NUMBER: _ClassVar[int]
    KEK_VERSION_TIME_FIELD_NUMBER: _ClassVar[int]
    SLOT_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    project: str
    project_id: str
    domain_id: str
    epoch: int
    slot: int
    kek: str
    kek_version: int
    newest_kek_version: int
    oldest_kek_version: int
    kek_version_time: _timestamp_pb2.Timestamp
    slot_time: _timestamp_pb2.Timestamp
    state: SlotState
    passed_over: _containers.RepeatedScalarFieldContainer[str]
    artifact: str
    def __init__(self, project: _Optional[str] = ..., project_id: _Optional[str] = ..., domain_id: _Optional[str] = ..., epoch: _Optional[int] = ..., slot: _Optional[int] = ..., kek: _Optional[str] = ..., kek_version: _Optional[int] = ..., newest_kek_version: _Optional[int] = ..., oldest_kek_version: _Optional[int] = ..., kek_version_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., slot_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[SlotState, str]] = ..., passed_over: _Optional[_Iterable[str]] = ..., artifact: _Optional[str] = ...) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[KeyEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[KeyEntry, _Mapping]]] = ...) -> None: ...

class RotateKeksRequest(_message.Message):
    __slots__ = ("name", "older_than_seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    older_than_seconds: int
    def __init__(self, name: _Optional[str] = ..., older_than_seconds: _Optional[int] = ...) -> None: ...

class RotateReport(_message.Message):
    __slots__ = ("rotated_count", "young_count", "lost_count")
    ROTATED_COUNT_FIELD_NUMBER: _ClassVar[int]
    YOUNG_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    rotated_count: int
    young_count: int
    lost_count: int
    def __init__(self, rotated_count: _Optional[int] = ..., young_count: _Optional[int] = ..., lost_count: _Optional[int] = ...) -> None: ...

class RotateKeksResponse(_message.Message):
    __slots__ = ("progress", "report")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    progress: KeyProgress
    report: RotateReport
    def __init__(self, progress: _Optional[_Union[KeyProgress, _Mapping]] = ..., report: _Optional[_Union[RotateReport, _Mapping]] = ...) -> None: ...

class RewrapSlotsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class KekVersionCount(_message.Message):
    __slots__ = ("version", "slot_count", "old_count")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SLOT_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLD_COUNT_FIELD_NUMBER: _ClassVar[int]
    version: int
    slot_count: int
    old_count: int
    def __init__(self, version: _Optional[int] = ..., slot_count: _Optional[int] = ..., old_count: _Optional[int] = ...) -> None: ...

class RewrapReport(_message.Message):
    __slots__ = ("rewrapped_count", "current_count", "contested_count", "elapsed_seconds", "slot_count", "kek_count", "old_count", "unopened_count", "lost_count", "passed_over_count", "versions")
    REWRAPPED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTESTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SLOT_COUNT_FIELD_NUMBER: _ClassVar[int]
    KEK_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLD_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNOPENED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    rewrapped_count: int
    current_count: int
    contested_count: int
    elapsed_seconds: float
    slot_count: int
    kek_count: int
    old_count: int
    unopened_count: int
    lost_count: int
    passed_over_count: int
    versions: _containers.RepeatedCompositeFieldContainer[KekVersionCount]
    def __init__(self, rewrapped_count: _Optional[int] = ..., current_count: _Optional[int] = ..., contested_count: _Optional[int] = ..., elapsed_seconds: _Optional[float] = ..., slot_count: _Optional[int] = ..., kek_count: _Optional[int] = ..., old_count: _Optional[int] = ..., unopened_count: _Optional[int] = ..., lost_count: _Optional[int] = ..., passed_over_count: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[KekVersionCount, _Mapping]]] = ...) -> None: ...

class RewrapSlotsResponse(_message.Message):
    __slots__ = ("progress", "report")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    progress: KeyProgress
    report: RewrapReport
    def __init__(self, progress: _Optional[_Union[KeyProgress, _Mapping]] = ..., report: _Optional[_Union[RewrapReport, _Mapping]] = ...) -> None: ...

class RetireKeksRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RetireReport(_message.Message):
    __slots__ = ("retired_count", "done_count", "held_count", "lost_count", "notes")
    RETIRED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    retired_count: int
    done_count: int
    held_count: int
    lost_count: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, retired_count: _Optional[int] = ..., done_count: _Optional[int] = ..., held_count: _Optional[int] = ..., lost_count: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class RetireKeksResponse(_message.Message):
    __slots__ = ("progress", "report")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    progress: KeyProgress
    report: RetireReport
    def __init__(self, progress: _Optional[_Union[KeyProgress, _Mapping]] = ..., report: _Optional[_Union[RetireReport, _Mapping]] = ...) -> None: ...

class StartEpochRequest(_message.Message):
    __slots__ = ("name", "after_epoch")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    name: str
    after_epoch: int
    def __init__(self, name: _Optional[str] = ..., after_epoch: _Optional[int] = ...) -> None: ...

class KeyEpoch(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class PreviewShredRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DoomedArtifact(_message.Message):
    __slots__ = ("artifact", "version_count", "refs", "held")
    class RefsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    artifact: str
    version_count: int
    refs: _containers.ScalarMap[str, int]
    held: bool
    def __init__(self, artifact: _Optional[str] = ..., version_count: _Optional[int] = ..., refs: _Optional[_Mapping[str, int]] = ..., held: bool = ...) -> None: ...

class ShredPreview(_message.Message):
    __slots__ = ("name", "kek", "slot_count", "artifacts", "artifact_count", "version_count", "ref_count", "stored_bytes", "held_count", "kek_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEK_FIELD_NUMBER: _ClassVar[int]
    SLOT_COUNT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    REF_COUNT_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_COUNT_FIELD_NUMBER: _ClassVar[int]
    KEK_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    kek: str
    slot_count: int
    artifacts: _containers.RepeatedCompositeFieldContainer[DoomedArtifact]
    artifact_count: int
    version_count: int
    ref_count: int
    stored_bytes: int
    held_count: int
    kek_count: int
    def __init__(self, name: _Optional[str] = ..., kek: _Optional[str] = ..., slot_count: _Optional[int] = ..., artifacts: _Optional[_Iterable[_Union[DoomedArtifact, _Mapping]]] = ..., artifact_count: _Optional[int] = ..., version_count: _Optional[int] = ..., ref_count: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., held_count: _Optional[int] = ..., kek_count: _Optional[int] = ...) -> None: ...

class ShredArtifactRequest(_message.Message):
    __slots__ = ("name", "reason", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ShredProjectRequest(_message.Message):
    __slots__ = ("name", "reason", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    request_id: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ShredReceipt(_message.Message):
    __slots__ = ("name", "receipt")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    name: str
    receipt: bytes
    def __init__(self, name: _Optional[str] = ..., receipt: _Optional[bytes] = ...) -> None: ...

class GetShredReceiptRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListShreddedRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Shredded(_message.Message):
    __slots__ = ("name", "shred_time", "requester", "reason", "finished", "kek")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHRED_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    KEK_FIELD_NUMBER: _ClassVar[int]
    name: str
    shred_time: _timestamp_pb2.Timestamp
    requester: str
    reason: str
    finished: bool
    kek: str
    def __init__(self, name: _Optional[str] = ..., shred_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requester: _Optional[str] = ..., reason: _Optional[str] = ..., finished: bool = ..., kek: _Optional[str] = ...) -> None: ...

class ListShreddedResponse(_message.Message):
    __slots__ = ("shredded", "total_count")
    SHREDDED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    shredded: _containers.RepeatedCompositeFieldContainer[Shredded]
    total_count: int
    def __init__(self, shredded: _Optional[_Iterable[_Union[Shredded, _Mapping]]] = ..., total_count: _Optional[int] = ...) -> None: ...

class ListSigningKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SigningKey(_message.Message):
    __slots__ = ("key_id", "algorithm", "data")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    algorithm: str
    data: bytes
    def __init__(self, key_id: _Optional[str] = ..., algorithm: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class ListSigningKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[SigningKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[SigningKey, _Mapping]]] = ...) -> None: ...
