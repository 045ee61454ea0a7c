from strongroom.v1 import artifact_service_pb2 as _artifact_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FileStart(_message.Message):
    __slots__ = ("path", "size_bytes", "executable", "digest")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    executable: bool
    digest: str
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., executable: bool = ..., digest: _Optional[str] = ...) -> None: ...

class Block(_message.Message):
    __slots__ = ("offset_bytes", "data")
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset_bytes: int
    data: bytes
    def __init__(self, offset_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class SharedBlock(_message.Message):
    __slots__ = ("offset_bytes", "length_bytes", "segment", "segment_offset_bytes")
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    offset_bytes: int
    length_bytes: int
    segment: int
    segment_offset_bytes: int
    def __init__(self, offset_bytes: _Optional[int] = ..., length_bytes: _Optional[int] = ..., segment: _Optional[int] = ..., segment_offset_bytes: _Optional[int] = ...) -> None: ...

class MappedFile(_message.Message):
    __slots__ = ("mapping",)
    MAPPING_FIELD_NUMBER: _ClassVar[int]
    mapping: int
    def __init__(self, mapping: _Optional[int] = ...) -> None: ...

class FileEnd(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    def __init__(self, digest: _Optional[str] = ...) -> None: ...

class FileSame(_message.Message):
    __slots__ = ("path", "size_bytes", "executable", "digest")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    executable: bool
    digest: str
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., executable: bool = ..., digest: _Optional[str] = ...) -> None: ...

class FileCopy(_message.Message):
    __slots__ = ("version", "source_path", "path")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    version: str
    source_path: str
    path: str
    def __init__(self, version: _Optional[str] = ..., source_path: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class FileSource(_message.Message):
    __slots__ = ("path", "size_bytes", "executable", "source", "offset_bytes", "modify_time_ns")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODIFY_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    executable: bool
    source: int
    offset_bytes: int
    modify_time_ns: int
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., executable: bool = ..., source: _Optional[int] = ..., offset_bytes: _Optional[int] = ..., modify_time_ns: _Optional[int] = ...) -> None: ...

class FileRemoval(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class TransferItem(_message.Message):
    __slots__ = ("start", "block", "end", "same", "copy", "removal", "shared", "mapped", "source")
    START_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SAME_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    REMOVAL_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    MAPPED_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    start: FileStart
    block: Block
    end: FileEnd
    same: FileSame
    copy: FileCopy
    removal: FileRemoval
    shared: SharedBlock
    mapped: MappedFile
    source: FileSource
    def __init__(self, start: _Optional[_Union[FileStart, _Mapping]] = ..., block: _Optional[_Union[Block, _Mapping]] = ..., end: _Optional[_Union[FileEnd, _Mapping]] = ..., same: _Optional[_Union[FileSame, _Mapping]] = ..., copy: _Optional[_Union[FileCopy, _Mapping]] = ..., removal: _Optional[_Union[FileRemoval, _Mapping]] = ..., shared: _Optional[_Union[SharedBlock, _Mapping]] = ..., mapped: _Optional[_Union[MappedFile, _Mapping]] = ..., source: _Optional[_Union[FileSource, _Mapping]] = ...) -> None: ...

class TransferItems(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[TransferItem]
    def __init__(self, items: _Optional[_Iterable[_Union[TransferItem, _Mapping]]] = ...) -> None: ...

class WriteStart(_message.Message):
    __slots__ = ("parent", "kind", "message", "metadata", "request_id", "resumable", "base_version", "draft_id", "replaces", "after_part", "exclusive", "lineage")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESUMABLE_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DRAFT_ID_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    AFTER_PART_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    kind: _artifact_service_pb2.ArtifactKind
    message: str
    metadata: _containers.ScalarMap[str, str]
    request_id: str
    resumable: bool
    base_version: int
    draft_id: str
    replaces: bool
    after_part: int
    exclusive: bool
    lineage: _artifact_service_pb2.Lineage
    def __init__(self, parent: _Optional[str] = ..., kind: _Optional[_Union[_artifact_service_pb2.ArtifactKind, str]] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ..., resumable: bool = ..., base_version: _Optional[int] = ..., draft_id: _Optional[str] = ..., replaces: bool = ..., after_part: _Optional[int] = ..., exclusive: bool = ..., lineage: _Optional[_Union[_artifact_service_pb2.Lineage, _Mapping]] = ...) -> None: ...

class WritePosition(_message.Message):
    __slots__ = ("file_count", "last_path", "open_path", "offset_bytes", "received_bytes", "modes_digest", "takes_sources")
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_PATH_FIELD_NUMBER: _ClassVar[int]
    OPEN_PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MODES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TAKES_SOURCES_FIELD_NUMBER: _ClassVar[int]
    file_count: int
    last_path: str
    open_path: str
    offset_bytes: int
    received_bytes: int
    modes_digest: bytes
    takes_sources: bool
    def __init__(self, file_count: _Optional[int] = ..., last_path: _Optional[str] = ..., open_path: _Optional[str] = ..., offset_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., modes_digest: _Optional[bytes] = ..., takes_sources: bool = ...) -> None: ...

class WriteCommit(_message.Message):
    __slots__ = ("file_count", "digest")
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    file_count: int
    digest: str
    def __init__(self, file_count: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class WriteVersionRequest(_message.Message):
    __slots__ = ("start", "items", "commit")
    START_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    start: WriteStart
    items: TransferItems
    commit: WriteCommit
    def __init__(self, start: _Optional[_Union[WriteStart, _Mapping]] = ..., items: _Optional[_Union[TransferItems, _Mapping]] = ..., commit: _Optional[_Union[WriteCommit, _Mapping]] = ...) -> None: ...

class WriteProgress(_message.Message):
    __slots__ = ("received_bytes", "stored_bytes", "takes_sources")
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TAKES_SOURCES_FIELD_NUMBER: _ClassVar[int]
    received_bytes: int
    stored_bytes: int
    takes_sources: bool
    def __init__(self, received_bytes: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., takes_sources: bool = ...) -> None: ...

class FileTaken(_message.Message):
    __slots__ = ("source", "digest")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    source: int
    digest: str
    def __init__(self, source: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class WriteResult(_message.Message):
    __slots__ = ("version", "unchanged")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_service_pb2.Version
    unchanged: bool
    def __init__(self, version: _Optional[_Union[_artifact_service_pb2.Version, _Mapping]] = ..., unchanged: bool = ...) -> None: ...

class DraftPart(_message.Message):
    __slots__ = ("number", "file_count", "size_bytes", "stored_bytes")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    number: int
    file_count: int
    size_bytes: int
    stored_bytes: int
    def __init__(self, number: _Optional[int] = ..., file_count: _Optional[int] = ..., size_bytes: _Optional[int] = ..., stored_bytes: _Optional[int] = ...) -> None: ...

class CommitDraftRequest(_message.Message):
    __slots__ = ("parent", "draft_id", "base_version", "base_newest", "expected_file_count", "message", "metadata", "kind", "after_part", "lineage")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DRAFT_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_NEWEST_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AFTER_PART_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    draft_id: str
    base_version: int
    base_newest: bool
    expected_file_count: int
    message: str
    metadata: _containers.ScalarMap[str, str]
    kind: _artifact_service_pb2.ArtifactKind
    after_part: int
    lineage: _artifact_service_pb2.Lineage
    def __init__(self, parent: _Optional[str] = ..., draft_id: _Optional[str] = ..., base_version: _Optional[int] = ..., base_newest: bool = ..., expected_file_count: _Optional[int] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., kind: _Optional[_Union[_artifact_service_pb2.ArtifactKind, str]] = ..., after_part: _Optional[int] = ..., lineage: _Optional[_Union[_artifact_service_pb2.Lineage, _Mapping]] = ...) -> None: ...

class CommitDraftResponse(_message.Message):
    __slots__ = ("version", "unchanged")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_service_pb2.Version
    unchanged: bool
    def __init__(self, version: _Optional[_Union[_artifact_service_pb2.Version, _Mapping]] = ..., unchanged: bool = ...) -> None: ...

class DiscardDraftRequest(_message.Message):
    __slots__ = ("parent", "draft_id")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    DRAFT_ID_FIELD_NUMBER: _ClassVar[int]
    parent: str
    draft_id: str
    def __init__(self, parent: _Optional[str] = ..., draft_id: _Optional[str] = ...) -> None: ...

class DiscardDraftResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WriteVersionResponse(_message.Message):
    __slots__ = ("progress", "result", "position", "draft_part", "taken")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DRAFT_PART_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    progress: WriteProgress
    result: WriteResult
    position: WritePosition
    draft_part: DraftPart
    taken: FileTaken
    def __init__(self, progress: _Optional[_Union[WriteProgress, _Mapping]] = ..., result: _Optional[_Union[WriteResult, _Mapping]] = ..., position: _Optional[_Union[WritePosition, _Mapping]] = ..., draft_part: _Optional[_Union[DraftPart, _Mapping]] = ..., taken: _Optional[_Union[FileTaken, _Mapping]] = ...) -> None: ...

class ReadVersionRequest(_message.Message):
    __slots__ = ("name", "paths", "offset_bytes", "length_bytes", "map")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    offset_bytes: int
    length_bytes: int
    map: bool
    def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., offset_bytes: _Optional[int] = ..., length_bytes: _Optional[int] = ..., map: bool = ...) -> None: ...

class ReadVersionResponse(_message.Message):
    __slots__ = ("version", "items")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_service_pb2.Version
    items: TransferItems
    def __init__(self, version: _Optional[_Union[_artifact_service_pb2.Version, _Mapping]] = ..., items: _Optional[_Union[TransferItems, _Mapping]] = ...) -> None: ...

class ReadFilesStart(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WantedFiles(_message.Message):
    __slots__ = ("paths", "offset_bytes", "length_bytes")
    PATHS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    offset_bytes: _containers.RepeatedScalarFieldContainer[int]
    length_bytes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, paths: _Optional[_Iterable[str]] = ..., offset_bytes: _Optional[_Iterable[int]] = ..., length_bytes: _Optional[_Iterable[int]] = ...) -> None: ...

class ReadFilesRequest(_message.Message):
    __slots__ = ("start", "wanted")
    START_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    start: ReadFilesStart
    wanted: WantedFiles
    def __init__(self, start: _Optional[_Union[ReadFilesStart, _Mapping]] = ..., wanted: _Optional[_Union[WantedFiles, _Mapping]] = ...) -> None: ...

class SharedPieces(_message.Message):
    __slots__ = ("segment", "segment_offset_bytes")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    segment: int
    segment_offset_bytes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, segment: _Optional[int] = ..., segment_offset_bytes: _Optional[_Iterable[int]] = ...) -> None: ...

class FoundFiles(_message.Message):
    __slots__ = ("length_bytes", "unfinished", "shared", "sha256", "data")
    LENGTH_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNFINISHED_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    length_bytes: _containers.RepeatedScalarFieldContainer[int]
    unfinished: _containers.RepeatedScalarFieldContainer[int]
    shared: SharedPieces
    sha256: bytes
    data: bytes
    def __init__(self, length_bytes: _Optional[_Iterable[int]] = ..., unfinished: _Optional[_Iterable[int]] = ..., shared: _Optional[_Union[SharedPieces, _Mapping]] = ..., sha256: _Optional[bytes] = ..., data: _Optional[bytes] = ...) -> None: ...

class ReadFilesResponse(_message.Message):
    __slots__ = ("version", "found")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    version: _artifact_service_pb2.Version
    found: FoundFiles
    def __init__(self, version: _Optional[_Union[_artifact_service_pb2.Version, _Mapping]] = ..., found: _Optional[_Union[FoundFiles, _Mapping]] = ...) -> None: ...
