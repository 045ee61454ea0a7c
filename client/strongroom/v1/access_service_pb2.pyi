from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainAccessRequest(_message.Message):
    __slots__ = ("principal", "action", "resource", "facts")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    principal: str
    action: str
    resource: str
    facts: CallFacts
    def __init__(self, principal: _Optional[str] = ..., action: _Optional[str] = ..., resource: _Optional[str] = ..., facts: _Optional[_Union[CallFacts, _Mapping]] = ...) -> None: ...

class CallFacts(_message.Message):
    __slots__ = ("tls_version", "key_exchange", "hour_utc", "mfa", "auth_age_s", "approvals", "workload")
    TLS_VERSION_FIELD_NUMBER: _ClassVar[int]
    KEY_EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    HOUR_UTC_FIELD_NUMBER: _ClassVar[int]
    MFA_FIELD_NUMBER: _ClassVar[int]
    AUTH_AGE_S_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    tls_version: str
    key_exchange: str
    hour_utc: int
    mfa: bool
    auth_age_s: int
    approvals: int
    workload: str
    def __init__(self, tls_version: _Optional[str] = ..., key_exchange: _Optional[str] = ..., hour_utc: _Optional[int] = ..., mfa: bool = ..., auth_age_s: _Optional[int] = ..., approvals: _Optional[int] = ..., workload: _Optional[str] = ...) -> None: ...

class ExplainAccessResponse(_message.Message):
    __slots__ = ("allowed", "policies", "errors", "assignments", "allowing_roles", "digest", "principal", "refusal", "remedy")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    ALLOWING_ROLES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    policies: _containers.RepeatedScalarFieldContainer[str]
    errors: _containers.RepeatedScalarFieldContainer[str]
    assignments: _containers.RepeatedCompositeFieldContainer[RoleAssignment]
    allowing_roles: _containers.RepeatedScalarFieldContainer[str]
    digest: str
    principal: str
    refusal: str
    remedy: AccessRemedy
    def __init__(self, allowed: bool = ..., policies: _Optional[_Iterable[str]] = ..., errors: _Optional[_Iterable[str]] = ..., assignments: _Optional[_Iterable[_Union[RoleAssignment, _Mapping]]] = ..., allowing_roles: _Optional[_Iterable[str]] = ..., digest: _Optional[str] = ..., principal: _Optional[str] = ..., refusal: _Optional[str] = ..., remedy: _Optional[_Union[AccessRemedy, _Mapping]] = ...) -> None: ...

class AccessRemedy(_message.Message):
    __slots__ = ("login", "max_age_s", "approvals")
    LOGIN_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_S_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    login: bool
    max_age_s: int
    approvals: int
    def __init__(self, login: bool = ..., max_age_s: _Optional[int] = ..., approvals: _Optional[int] = ...) -> None: ...

class RoleAssignment(_message.Message):
    __slots__ = ("id", "principal", "roles", "resources")
    ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    id: str
    principal: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    resources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., principal: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., resources: _Optional[_Iterable[str]] = ...) -> None: ...
