import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from strongroom.v1 import artifact_service_pb2 as _artifact_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OpenVersionRequest(_message.Message):
    __slots__ = ("name", "paths")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class OpenVersionResponse(_message.Message):
    __slots__ = ("grant", "page")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    page: GrantPage
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping]] = ..., page: _Optional[_Union[GrantPage, _Mapping]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("grant_id", "version", "store_id", "project_id", "domain_id")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_ID_FIELD_NUMBER: _ClassVar[int]
    grant_id: str
    version: _artifact_service_pb2.Version
    store_id: bytes
    project_id: bytes
    domain_id: bytes
    def __init__(self, grant_id: _Optional[str] = ..., version: _Optional[_Union[_artifact_service_pb2.Version, _Mapping]] = ..., store_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., domain_id: _Optional[bytes] = ...) -> None: ...

class GrantPage(_message.Message):
    __slots__ = ("packs", "files", "lifetime", "expire_time")
    PACKS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    packs: _containers.RepeatedCompositeFieldContainer[GrantedPack]
    files: _containers.RepeatedCompositeFieldContainer[GrantedFile]
    lifetime: _duration_pb2.Duration
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, packs: _Optional[_Iterable[_Union[GrantedPack, _Mapping]]] = ..., files: _Optional[_Iterable[_Union[GrantedFile, _Mapping]]] = ..., lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GrantedPack(_message.Message):
    __slots__ = ("pack", "version_id", "url")
    PACK_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    pack: str
    version_id: str
    url: str
    def __init__(self, pack: _Optional[str] = ..., version_id: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class GrantedFile(_message.Message):
    __slots__ = ("path", "size_bytes", "digest", "executable", "chunks", "unfinished")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    UNFINISHED_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    digest: str
    executable: bool
    chunks: _containers.RepeatedCompositeFieldContainer[GrantedChunk]
    unfinished: bool
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[str] = ..., executable: bool = ..., chunks: _Optional[_Iterable[_Union[GrantedChunk, _Mapping]]] = ..., unfinished: bool = ...) -> None: ...

class GrantedChunk(_message.Message):
    __slots__ = ("chunk_id", "suite", "codec", "epoch", "pack_index", "offset_bytes", "stored_bytes", "plain_bytes", "key", "base")
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PACK_INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    PLAIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    chunk_id: bytes
    suite: int
    codec: int
    epoch: int
    pack_index: int
    offset_bytes: int
    stored_bytes: int
    plain_bytes: int
    key: bytes
    base: GrantedChunk
    def __init__(self, chunk_id: _Optional[bytes] = ..., suite: _Optional[int] = ..., codec: _Optional[int] = ..., epoch: _Optional[int] = ..., pack_index: _Optional[int] = ..., offset_bytes: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., plain_bytes: _Optional[int] = ..., key: _Optional[bytes] = ..., base: _Optional[_Union[GrantedChunk, _Mapping]] = ...) -> None: ...

class WatchGrantsRequest(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchGrantsResponse(_message.Message):
    __slots__ = ("revoked",)
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    revoked: _containers.RepeatedCompositeFieldContainer[RevokedGrant]
    def __init__(self, revoked: _Optional[_Iterable[_Union[RevokedGrant, _Mapping]]] = ...) -> None: ...

class RevokedGrant(_message.Message):
    __slots__ = ("name", "reason", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    message: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
