# SPDX-License-Identifier: Apache-2.0
"""The values that the SDK takes and returns: plain, immutable, free of protobuf."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from strongroom.format.names import ArtifactName


class Kind(StrEnum):
    """What an artifact holds."""

    DATASET = "DATASET"
    CHECKPOINT = "CHECKPOINT"
    WEIGHTS = "WEIGHTS"


class Change(StrEnum):
    """How a file or tensor differs between two versions."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    MODIFIED = "MODIFIED"
    UNCHANGED = "UNCHANGED"


class Action(StrEnum):
    """What happened to an artifact."""

    CREATE = "CREATE"
    COMMIT = "COMMIT"
    MOVE_REF = "MOVE_REF"


@dataclass(frozen=True, slots=True)
class Project:
    """The owner of artifacts and of a key domain."""

    #: `demo` in `demo/minilm`.
    name: str
    create_time: datetime
    #: The keyed id under which stored objects and Vault keys know the project.
    project_id: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A movable name that points at a version."""

    name: str
    #: The number of the version that it points at.
    version: int
    update_time: datetime
    #: Changes with every move; pass it to `Client.move_ref`.
    etag: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A named thing that has versions."""

    #: `demo/minilm`.
    name: str
    kind: Kind
    create_time: datetime
    #: The number of the newest version; 0 if there is none.
    latest_version: int
    #: All refs but `latest`, by name.
    refs: tuple[Ref, ...]
    #: The keyed id under which stored objects and audit entries know it.
    artifact_id: str


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable, committed set of files."""

    artifact: ArtifactName
    number: int
    #: `sha256:…`; recompute it with the recipe `format.digest.EXPLAIN_DIGEST`.
    digest: str
    create_time: datetime
    #: The SPIFFE id that wrote it.
    creator: str
    file_count: int
    #: The sum of the files' sizes.
    size_bytes: int
    #: What was newly stored for it, after deduplication and encryption.
    stored_bytes: int
    message: str
    metadata: Mapping[str, str]
    #: The trace in which it was written.
    trace_id: str
    #: The refs that point at it, `latest` among them.
    refs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name that people write, with the number: `demo/minilm@3`."""
        return f"{self.artifact.short}@{self.number}"

    @property
    def uri(self) -> str:
        """The URI with the number: `strongroom://demo/minilm@3`."""
        return f"strongroom://{self.name}"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version."""

    path: str
    size_bytes: int
    #: `sha256:…`.
    digest: str
    executable: bool


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry of an artifact's history."""

    number: int
    action: Action
    create_time: datetime
    #: The SPIFFE id that did it.
    actor: str
    #: The version committed or pointed at; 0 for CREATE.
    version: int
    #: The ref that moved; "" unless MOVE_REF.
    ref: str
    #: Where the ref pointed before; 0 if it is new.
    previous_version: int
    reason: str
    #: The version's digest; "" unless COMMIT.
    digest: str
    #: SHA-256 of the stored entry, 64 hex digits; the next entry names it.
    entry_digest: str
    trace_id: str
    audit_id: str
    #: The ids of the keys that signed it.
    key_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorChange:
    """How one tensor differs; type, shape and size are of the newer version."""

    tensor: str
    change: Change
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """How one file differs."""

    path: str
    change: Change
    #: In the older version; None if ADDED.
    base: File | None
    #: In the newer version; None if REMOVED.
    target: File | None
    #: By name; only for safetensors files.
    tensors: tuple[TensorChange, ...]


@dataclass(frozen=True, slots=True)
class DiffSummary:
    """What a comparison found in all."""

    base: Version
    target: Version
    added_count: int
    removed_count: int
    modified_count: int
    unchanged_count: int
    #: How many bytes of chunks the newer version shares with the older one.
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class Diff:
    """How two versions differ."""

    #: By path; unchanged ones only if they were asked for.
    files: tuple[FileChange, ...]
    summary: DiffSummary


@dataclass(frozen=True, slots=True)
class VerifyFinding:
    """What was found about one file, or about a version if `path` is empty."""

    version: int
    path: str
    ok: bool
    reason: str
    message: str
    #: The refs that point at the version.
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found in all."""

    version_count: int
    file_count: int
    verified_bytes: int
    #: How many files or versions are damaged.
    damaged_count: int
    #: What is damaged, at most the first 1000; whole files are only counted.
    damaged: tuple[VerifyFinding, ...]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check of the server."""

    check: str
    ok: bool
    #: What was seen.
    detail: str
    #: What to do, if it failed.
    hint: str


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is, and whom it takes the caller for."""

    version: str
    store_id: str
    #: The SPIFFE id that the server sees of the caller.
    principal: str
    key_exchange: str
    tls_version: str
    #: Until when the server's certificate is valid.
    certificate_expire_time: datetime
    roles: tuple[str, ...]
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a push, pull or verification has come."""

    done_bytes: int
    #: 0 if not known yet.
    total_bytes: int
    file_count: int = 0
    #: The file at work; "" between files.
    path: str = ""


#: Called now and then while bytes move, perhaps on another thread; never at the
#: same time twice. What it raises ends the transfer.
ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did."""

    version: Version
    #: Whether the content equals the version that was newest before, so that no
    #: new version was made.
    unchanged: bool
    #: How many bytes of files were sent.
    sent_bytes: int
    #: How many bytes were newly stored, after deduplication and encryption.
    stored_bytes: int
    #: Directories without any file; a version holds none of them.
    empty_directory_count: int
    trace_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull did."""

    version: Version
    #: Where the files are now, as given.
    target: str
    file_count: int
    received_bytes: int
    trace_id: str = field(default="", compare=False)
