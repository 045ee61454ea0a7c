import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from strongroom.v1 import artifact_service_pb2 as _artifact_service_pb2
from strongroom.v1 import transfer_service_pb2 as _transfer_service_pb2
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

class WriteGrantedRequest(_message.Message):
    __slots__ = ("start", "names", "seal", "put", "stored", "items", "commit")
    START_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    start: _transfer_service_pb2.WriteStart
    names: NameChunks
    seal: SealPack
    put: PutPack
    stored: StoredPack
    items: GrantedItems
    commit: _transfer_service_pb2.WriteCommit
    def __init__(self, start: _Optional[_Union[_transfer_service_pb2.WriteStart, _Mapping]] = ..., names: _Optional[_Union[NameChunks, _Mapping]] = ..., seal: _Optional[_Union[SealPack, _Mapping]] = ..., put: _Optional[_Union[PutPack, _Mapping]] = ..., stored: _Optional[_Union[StoredPack, _Mapping]] = ..., items: _Optional[_Union[GrantedItems, _Mapping]] = ..., commit: _Optional[_Union[_transfer_service_pb2.WriteCommit, _Mapping]] = ...) -> None: ...

class WriteGrantedResponse(_message.Message):
    __slots__ = ("grant", "position", "named", "sealed", "url", "progress", "result", "draft_part")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DRAFT_PART_FIELD_NUMBER: _ClassVar[int]
    grant: WriteGrant
    position: _transfer_service_pb2.WritePosition
    named: NamedChunks
    sealed: SealedPack
    url: PackUrl
    progress: _transfer_service_pb2.WriteProgress
    result: _transfer_service_pb2.WriteResult
    draft_part: _transfer_service_pb2.DraftPart
    def __init__(self, grant: _Optional[_Union[WriteGrant, _Mapping]] = ..., position: _Optional[_Union[_transfer_service_pb2.WritePosition, _Mapping]] = ..., named: _Optional[_Union[NamedChunks, _Mapping]] = ..., sealed: _Optional[_Union[SealedPack, _Mapping]] = ..., url: _Optional[_Union[PackUrl, _Mapping]] = ..., progress: _Optional[_Union[_transfer_service_pb2.WriteProgress, _Mapping]] = ..., result: _Optional[_Union[_transfer_service_pb2.WriteResult, _Mapping]] = ..., draft_part: _Optional[_Union[_transfer_service_pb2.DraftPart, _Mapping]] = ...) -> None: ...

class WriteGrant(_message.Message):
    __slots__ = ("grant_id", "store_id", "project_id", "domain_id", "epoch", "suite", "codec", "cuts", "cut_key", "delta_base", "max_open_packs", "max_open_chunks")
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    CUTS_FIELD_NUMBER: _ClassVar[int]
    CUT_KEY_FIELD_NUMBER: _ClassVar[int]
    DELTA_BASE_FIELD_NUMBER: _ClassVar[int]
    MAX_OPEN_PACKS_FIELD_NUMBER: _ClassVar[int]
    MAX_OPEN_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    grant_id: str
    store_id: bytes
    project_id: bytes
    domain_id: bytes
    epoch: int
    suite: int
    codec: str
    cuts: str
    cut_key: bytes
    delta_base: int
    max_open_packs: int
    max_open_chunks: int
    def __init__(self, grant_id: _Optional[str] = ..., store_id: _Optional[bytes] = ..., project_id: _Optional[bytes] = ..., domain_id: _Optional[bytes] = ..., epoch: _Optional[int] = ..., suite: _Optional[int] = ..., codec: _Optional[str] = ..., cuts: _Optional[str] = ..., cut_key: _Optional[bytes] = ..., delta_base: _Optional[int] = ..., max_open_packs: _Optional[int] = ..., max_open_chunks: _Optional[int] = ...) -> None: ...

class ChunkNames(_message.Message):
    __slots__ = ("digests", "plain_bytes")
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    PLAIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    digests: bytes
    plain_bytes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, digests: _Optional[bytes] = ..., plain_bytes: _Optional[_Iterable[int]] = ...) -> None: ...

class NameChunks(_message.Message):
    __slots__ = ("chunks",)
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    chunks: ChunkNames
    def __init__(self, chunks: _Optional[_Union[ChunkNames, _Mapping]] = ...) -> None: ...

class NamedChunks(_message.Message):
    __slots__ = ("chunk_ids", "keys", "stored")
    CHUNK_IDS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    chunk_ids: bytes
    keys: bytes
    stored: bytes
    def __init__(self, chunk_ids: _Optional[bytes] = ..., keys: _Optional[bytes] = ..., stored: _Optional[bytes] = ...) -> None: ...

class SealPack(_message.Message):
    __slots__ = ("chunks", "stored_bytes", "codecs", "bases")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    BASES_FIELD_NUMBER: _ClassVar[int]
    chunks: ChunkNames
    stored_bytes: _containers.RepeatedScalarFieldContainer[int]
    codecs: bytes
    bases: _containers.RepeatedCompositeFieldContainer[DeltaBase]
    def __init__(self, chunks: _Optional[_Union[ChunkNames, _Mapping]] = ..., stored_bytes: _Optional[_Iterable[int]] = ..., codecs: _Optional[bytes] = ..., bases: _Optional[_Iterable[_Union[DeltaBase, _Mapping]]] = ...) -> None: ...

class DeltaBase(_message.Message):
    __slots__ = ("chunk_id", "path")
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    chunk_id: bytes
    path: str
    def __init__(self, chunk_id: _Optional[bytes] = ..., path: _Optional[str] = ...) -> None: ...

class SealedPack(_message.Message):
    __slots__ = ("header", "padding_bytes", "trailer")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PADDING_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRAILER_FIELD_NUMBER: _ClassVar[int]
    header: bytes
    padding_bytes: int
    trailer: bytes
    def __init__(self, header: _Optional[bytes] = ..., padding_bytes: _Optional[int] = ..., trailer: _Optional[bytes] = ...) -> None: ...

class PutPack(_message.Message):
    __slots__ = ("pack", "digest", "crc32")
    PACK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    pack: int
    digest: bytes
    crc32: int
    def __init__(self, pack: _Optional[int] = ..., digest: _Optional[bytes] = ..., crc32: _Optional[int] = ...) -> None: ...

class PackUrl(_message.Message):
    __slots__ = ("url", "headers")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    url: str
    headers: _containers.ScalarMap[str, str]
    def __init__(self, url: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ...) -> None: ...

class StoredPack(_message.Message):
    __slots__ = ("pack", "version_id")
    PACK_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    pack: int
    version_id: str
    def __init__(self, pack: _Optional[int] = ..., version_id: _Optional[str] = ...) -> None: ...

class GrantedItems(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[GrantedItem]
    def __init__(self, items: _Optional[_Iterable[_Union[GrantedItem, _Mapping]]] = ...) -> None: ...

class GrantedItem(_message.Message):
    __slots__ = ("file", "same", "copy", "removal")
    FILE_FIELD_NUMBER: _ClassVar[int]
    SAME_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    REMOVAL_FIELD_NUMBER: _ClassVar[int]
    file: WrittenFile
    same: _transfer_service_pb2.FileSame
    copy: _transfer_service_pb2.FileCopy
    removal: _transfer_service_pb2.FileRemoval
    def __init__(self, file: _Optional[_Union[WrittenFile, _Mapping]] = ..., same: _Optional[_Union[_transfer_service_pb2.FileSame, _Mapping]] = ..., copy: _Optional[_Union[_transfer_service_pb2.FileCopy, _Mapping]] = ..., removal: _Optional[_Union[_transfer_service_pb2.FileRemoval, _Mapping]] = ...) -> None: ...

class WrittenFile(_message.Message):
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
    chunks: ChunkNames
    unfinished: bool
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[str] = ..., executable: bool = ..., chunks: _Optional[_Union[ChunkNames, _Mapping]] = ..., unfinished: bool = ...) -> None: ...
