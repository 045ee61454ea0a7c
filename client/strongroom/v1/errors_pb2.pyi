from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_NAME_MALFORMED: _ClassVar[ErrorReason]
    ERROR_REASON_PATH_MALFORMED: _ClassVar[ErrorReason]
    ERROR_REASON_ARGUMENT_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_BLOCK_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_OFFSET_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_FILE_UNSUPPORTED: _ClassVar[ErrorReason]
    ERROR_REASON_SETTING_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_CERTIFICATE_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_CERTIFICATE_EXPIRED: _ClassVar[ErrorReason]
    ERROR_REASON_CERTIFICATE_UNTRUSTED: _ClassVar[ErrorReason]
    ERROR_REASON_IDENTITY_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_ACTION_NOT_ALLOWED: _ClassVar[ErrorReason]
    ERROR_REASON_METHOD_UNKNOWN: _ClassVar[ErrorReason]
    ERROR_REASON_PROJECT_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_ARTIFACT_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_VERSION_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_REF_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_PATH_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_PROJECT_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_TARGET_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_REF_MOVED: _ClassVar[ErrorReason]
    ERROR_REASON_JOURNAL_CONTENDED: _ClassVar[ErrorReason]
    ERROR_REASON_SOURCE_CHANGED: _ClassVar[ErrorReason]
    ERROR_REASON_KIND_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_REF_RESERVED: _ClassVar[ErrorReason]
    ERROR_REASON_VERSION_DELETED: _ClassVar[ErrorReason]
    ERROR_REASON_KEK_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_KEK_ACCESS_DENIED: _ClassVar[ErrorReason]
    ERROR_REASON_FORMAT_UNSUPPORTED: _ClassVar[ErrorReason]
    ERROR_REASON_STORE_UNSUITABLE: _ClassVar[ErrorReason]
    ERROR_REASON_STORE_ACCESS_DENIED: _ClassVar[ErrorReason]
    ERROR_REASON_OFFSET_PAST_END: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_MANY_CALLS: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_LARGE: _ClassVar[ErrorReason]
    ERROR_REASON_DISK_FULL: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_SERVICE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_SERVICE_SEALED: _ClassVar[ErrorReason]
    ERROR_REASON_STORE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_AUDIT_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_INDEX_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_DRAINING: _ClassVar[ErrorReason]
    ERROR_REASON_TRANSPORT: _ClassVar[ErrorReason]
    ERROR_REASON_STALLED: _ClassVar[ErrorReason]
    ERROR_REASON_CHUNK_CORRUPT: _ClassVar[ErrorReason]
    ERROR_REASON_CHUNK_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_MANIFEST_CORRUPT: _ClassVar[ErrorReason]
    ERROR_REASON_MANIFEST_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_JOURNAL_CORRUPT: _ClassVar[ErrorReason]
    ERROR_REASON_JOURNAL_REWOUND: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_SLOT_CORRUPT: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_SLOT_MISSING: _ClassVar[ErrorReason]
    ERROR_REASON_RECORD_CORRUPT: _ClassVar[ErrorReason]
    ERROR_REASON_SIGNATURE_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_DIGEST_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_AUDIT_CORRUPT: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_EXCEEDED: _ClassVar[ErrorReason]
    ERROR_REASON_CANCELLED: _ClassVar[ErrorReason]
    ERROR_REASON_VERSION_PURGED: _ClassVar[ErrorReason]
    ERROR_REASON_VERSION_IN_USE: _ClassVar[ErrorReason]
    ERROR_REASON_LEGAL_HOLD: _ClassVar[ErrorReason]
    ERROR_REASON_SWEEP_OVERTOOK: _ClassVar[ErrorReason]
    ERROR_REASON_SWEEP_NOT_ALLOWED: _ClassVar[ErrorReason]
    ERROR_REASON_PLAN_STALE: _ClassVar[ErrorReason]
    ERROR_REASON_UPLOAD_CONFLICT: _ClassVar[ErrorReason]
    ERROR_REASON_COPY_UNSUITABLE: _ClassVar[ErrorReason]
    ERROR_REASON_BASE_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_POLICY_CHANGED: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_MANY_OWN_CALLS: _ClassVar[ErrorReason]
    ERROR_REASON_IDENTITY_REVOKED: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_EXCHANGE_REFUSED: _ClassVar[ErrorReason]
    ERROR_REASON_KEK_VERSION_IN_USE: _ClassVar[ErrorReason]
    ERROR_REASON_STEP_UP_REQUIRED: _ClassVar[ErrorReason]
    ERROR_REASON_APPROVAL_REQUIRED: _ClassVar[ErrorReason]
    ERROR_REASON_TOKEN_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_TOKEN_EXPIRED: _ClassVar[ErrorReason]
    ERROR_REASON_APPROVAL_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_APPROVAL_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_APPROVAL_EXPIRED: _ClassVar[ErrorReason]
    ERROR_REASON_APPROVAL_USED: _ClassVar[ErrorReason]
    ERROR_REASON_APPROVAL_DENIED: _ClassVar[ErrorReason]
    ERROR_REASON_KEY_SHREDDED: _ClassVar[ErrorReason]
    ERROR_REASON_KEK_APPROVAL_PENDING: _ClassVar[ErrorReason]
    ERROR_REASON_RECEIPT_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_LOGIN_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_WITNESS_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_AUDIT_UNEXPLAINED: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_NAME_MALFORMED: ErrorReason
ERROR_REASON_PATH_MALFORMED: ErrorReason
ERROR_REASON_ARGUMENT_INVALID: ErrorReason
ERROR_REASON_BLOCK_TOO_LARGE: ErrorReason
ERROR_REASON_OFFSET_MISMATCH: ErrorReason
ERROR_REASON_FILE_UNSUPPORTED: ErrorReason
ERROR_REASON_SETTING_INVALID: ErrorReason
ERROR_REASON_CERTIFICATE_MISSING: ErrorReason
ERROR_REASON_CERTIFICATE_EXPIRED: ErrorReason
ERROR_REASON_CERTIFICATE_UNTRUSTED: ErrorReason
ERROR_REASON_IDENTITY_INVALID: ErrorReason
ERROR_REASON_ACTION_NOT_ALLOWED: ErrorReason
ERROR_REASON_METHOD_UNKNOWN: ErrorReason
ERROR_REASON_PROJECT_NOT_FOUND: ErrorReason
ERROR_REASON_ARTIFACT_NOT_FOUND: ErrorReason
ERROR_REASON_VERSION_NOT_FOUND: ErrorReason
ERROR_REASON_REF_NOT_FOUND: ErrorReason
ERROR_REASON_PATH_NOT_FOUND: ErrorReason
ERROR_REASON_PROJECT_EXISTS: ErrorReason
ERROR_REASON_TARGET_EXISTS: ErrorReason
ERROR_REASON_REF_MOVED: ErrorReason
ERROR_REASON_JOURNAL_CONTENDED: ErrorReason
ERROR_REASON_SOURCE_CHANGED: ErrorReason
ERROR_REASON_KIND_MISMATCH: ErrorReason
ERROR_REASON_REF_RESERVED: ErrorReason
ERROR_REASON_VERSION_DELETED: ErrorReason
ERROR_REASON_KEK_MISSING: ErrorReason
ERROR_REASON_KEK_ACCESS_DENIED: ErrorReason
ERROR_REASON_FORMAT_UNSUPPORTED: ErrorReason
ERROR_REASON_STORE_UNSUITABLE: ErrorReason
ERROR_REASON_STORE_ACCESS_DENIED: ErrorReason
ERROR_REASON_OFFSET_PAST_END: ErrorReason
ERROR_REASON_TOO_MANY_CALLS: ErrorReason
ERROR_REASON_TOO_LARGE: ErrorReason
ERROR_REASON_DISK_FULL: ErrorReason
ERROR_REASON_KEY_SERVICE_UNAVAILABLE: ErrorReason
ERROR_REASON_KEY_SERVICE_SEALED: ErrorReason
ERROR_REASON_STORE_UNAVAILABLE: ErrorReason
ERROR_REASON_AUDIT_UNAVAILABLE: ErrorReason
ERROR_REASON_INDEX_UNAVAILABLE: ErrorReason
ERROR_REASON_DRAINING: ErrorReason
ERROR_REASON_TRANSPORT: ErrorReason
ERROR_REASON_STALLED: ErrorReason
ERROR_REASON_CHUNK_CORRUPT: ErrorReason
ERROR_REASON_CHUNK_MISSING: ErrorReason
ERROR_REASON_MANIFEST_CORRUPT: ErrorReason
ERROR_REASON_MANIFEST_MISSING: ErrorReason
ERROR_REASON_JOURNAL_CORRUPT: ErrorReason
ERROR_REASON_JOURNAL_REWOUND: ErrorReason
ERROR_REASON_KEY_SLOT_CORRUPT: ErrorReason
ERROR_REASON_KEY_SLOT_MISSING: ErrorReason
ERROR_REASON_RECORD_CORRUPT: ErrorReason
ERROR_REASON_SIGNATURE_INVALID: ErrorReason
ERROR_REASON_DIGEST_MISMATCH: ErrorReason
ERROR_REASON_AUDIT_CORRUPT: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_DEADLINE_EXCEEDED: ErrorReason
ERROR_REASON_CANCELLED: ErrorReason
ERROR_REASON_VERSION_PURGED: ErrorReason
ERROR_REASON_VERSION_IN_USE: ErrorReason
ERROR_REASON_LEGAL_HOLD: ErrorReason
ERROR_REASON_SWEEP_OVERTOOK: ErrorReason
ERROR_REASON_SWEEP_NOT_ALLOWED: ErrorReason
ERROR_REASON_PLAN_STALE: ErrorReason
ERROR_REASON_UPLOAD_CONFLICT: ErrorReason
ERROR_REASON_COPY_UNSUITABLE: ErrorReason
ERROR_REASON_BASE_MISMATCH: ErrorReason
ERROR_REASON_POLICY_CHANGED: ErrorReason
ERROR_REASON_TOO_MANY_OWN_CALLS: ErrorReason
ERROR_REASON_IDENTITY_REVOKED: ErrorReason
ERROR_REASON_KEY_EXCHANGE_REFUSED: ErrorReason
ERROR_REASON_KEK_VERSION_IN_USE: ErrorReason
ERROR_REASON_STEP_UP_REQUIRED: ErrorReason
ERROR_REASON_APPROVAL_REQUIRED: ErrorReason
ERROR_REASON_TOKEN_INVALID: ErrorReason
ERROR_REASON_TOKEN_EXPIRED: ErrorReason
ERROR_REASON_APPROVAL_NOT_FOUND: ErrorReason
ERROR_REASON_APPROVAL_INVALID: ErrorReason
ERROR_REASON_APPROVAL_EXPIRED: ErrorReason
ERROR_REASON_APPROVAL_USED: ErrorReason
ERROR_REASON_APPROVAL_DENIED: ErrorReason
ERROR_REASON_KEY_SHREDDED: ErrorReason
ERROR_REASON_KEK_APPROVAL_PENDING: ErrorReason
ERROR_REASON_RECEIPT_NOT_FOUND: ErrorReason
ERROR_REASON_LOGIN_UNAVAILABLE: ErrorReason
ERROR_REASON_WITNESS_UNAVAILABLE: ErrorReason
ERROR_REASON_AUDIT_UNEXPLAINED: ErrorReason

class StatusDetails(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[PackedDetail]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[PackedDetail, _Mapping]]] = ...) -> None: ...

class PackedDetail(_message.Message):
    __slots__ = ("type_url", "value")
    TYPE_URL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    type_url: str
    value: bytes
    def __init__(self, type_url: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class ErrorInfo(_message.Message):
    __slots__ = ("reason", "domain", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    reason: str
    domain: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[str] = ..., domain: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...
