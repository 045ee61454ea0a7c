# SPDX-License-Identifier: Apache-2.0
"""The values that use cases take and give: projects, artifacts, versions, refs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Generic, Self, TypeVar

from strongroom.errors import StrongroomError
from strongroom.format.names import ArtifactName, ProjectName, RefName, VersionName
from strongroom_server.core.lineage import NO_LINEAGE, Lineage

Item = TypeVar("Item")


class Kind(StrEnum):
    """What an artifact holds."""

    DATASET = "DATASET"
    CHECKPOINT = "CHECKPOINT"
    WEIGHTS = "WEIGHTS"


class Action(StrEnum):
    """What a journal entry records."""

    CREATE = "CREATE"
    COMMIT = "COMMIT"
    MOVE_REF = "MOVE_REF"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"
    RETAIN = "RETAIN"
    POLICY = "POLICY"
    FENCE = "FENCE"


class Change(StrEnum):
    """How a file or tensor differs between two versions."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    MODIFIED = "MODIFIED"
    UNCHANGED = "UNCHANGED"


class VersionState(StrEnum):
    """Whether a version can be read."""

    LIVE = "LIVE"
    DELETED = "DELETED"
    PURGED = "PURGED"


@dataclass(frozen=True, slots=True)
class ArtifactPolicy:
    """How an artifact's versions are stored and kept.

    Attributes:
        keep_last: How many of the newest are kept; 0 means all, or, where the best
            are kept, one.
        keep_days: Younger ones are kept; 0 means no rule by age.
        trash_days: How long a deleted one can be undeleted.
        codec: `auto`, `raw`, `compact` or `delta`.
        cuts: Where chunks end: `aligned`, `fixed` or `content`.
        keep_best: How many of the best are kept, too; 0 means no such rule.
        best_by: The key of their metadata that has the number to tell them by.
        best_order: Which numbers are good: `min` or `max`.
    """

    keep_last: int = 0
    keep_days: int = 0
    trash_days: int = 30
    codec: str = "auto"
    cuts: str = "aligned"
    keep_best: int = 0
    best_by: str = ""
    best_order: str = ""

    @property
    def lets_go(self) -> bool:
        """Whether there are versions that it does not keep."""
        return bool(self.keep_last or self.keep_best)


#: Of an artifact whose policy nobody set.
DEFAULT_POLICY: Final = ArtifactPolicy()


@dataclass(frozen=True, slots=True)
class ApprovedBy:
    """Under which approval something was done, by its id, and who approved it."""

    approval_id: str
    approvers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: SPIFFE id, trace id (32 hex digits) and audit id of the call.

    `approved` says who else wanted what is asked for, if that was needed.
    """

    principal: str
    trace_id: str
    audit_id: str
    approved: ApprovedBy | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a listing; the token is empty on the last one."""

    items: tuple[Item, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project, with the keyed id that names it in S3 and Vault."""

    name: ProjectName
    project_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class RefRecord:
    """Where a ref points; the etag changes with every move."""

    name: RefName
    version: int
    update_time: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """An artifact; `latest_version` is 0 while it has none.

    `policy_etag` changes with every change of the policy. One that is exclusive has a
    key domain of its own, so that it can be shredded alone.
    """

    name: ArtifactName
    artifact_id: str
    kind: Kind
    create_time: datetime
    latest_version: int
    refs: tuple[RefRecord, ...]
    policy: ArtifactPolicy = DEFAULT_POLICY
    held: bool = False
    policy_etag: str = ""
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class ShreddedArtifact:
    """An artifact that was shredded alone: its name, and when."""

    name: ArtifactName
    shred_time: datetime


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A version; sizes in bytes.

    `stored_bytes` counts what the attempt that committed it newly stored;
    `digested_by` are those by whom files of it were digested, not by the server;
    `lineage` is what its writer says that it was made from.
    """

    artifact: ArtifactName
    number: int
    digest: str
    create_time: datetime
    creator: str
    file_count: int
    size_bytes: int
    stored_bytes: int
    message: str
    metadata: Mapping[str, str]
    trace_id: str
    refs: tuple[str, ...]
    state: VersionState = VersionState.LIVE
    held: bool = False
    purge_time: datetime | None = None
    digested_by: tuple[str, ...] = ()
    lineage: Lineage = NO_LINEAGE

    @property
    def name(self) -> VersionName:
        """The version's name, by number."""
        return VersionName(self.artifact, str(self.number))


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One journal entry as callers see it."""

    number: int
    action: Action
    create_time: datetime
    actor: str
    version: int
    ref: str
    previous_version: int
    reason: str
    digest: str
    entry_digest: str
    trace_id: str
    audit_id: str
    key_ids: tuple[str, ...]
    #: Whether the hold was set; only of RETAIN, where version 0 means all.
    hold: bool = False
    #: The policy from here on; only of POLICY.
    policy: ArtifactPolicy | None = None
    #: The versions that are gone; only of FENCE.
    purged_versions: tuple[int, ...] = ()
    #: How many records of sweeps the writer knew.
    sweep_epoch: int = 0
    #: Under which approval it was done, if it needed one.
    approved: ApprovedBy | None = None


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a version, as callers see it."""

    path: str
    size_bytes: int
    digest: str
    executable: bool


@dataclass(frozen=True, slots=True)
class FileStarted:
    """In a stream of files: a file starts. `digest` is "" when it is not known."""

    path: str
    size_bytes: int
    executable: bool
    digest: str


@dataclass(frozen=True, slots=True)
class FileBlock:
    """In a stream of files: a run of bytes, at most 1 MiB."""

    offset_bytes: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class FileEnded:
    """In a stream of files: the file ends. `digest` is "" after a range."""

    digest: str


@dataclass(frozen=True, slots=True)
class SharedBlock:
    """In a stream of files: a run of bytes that lie in memory the reader sees.

    Attributes:
        offset_bytes: The position of the first byte in the file.
        length_bytes: How many.
        segment: The number of the memory's segment.
        segment_offset_bytes: Where they start in it.
    """

    offset_bytes: int
    length_bytes: int
    segment: int
    segment_offset_bytes: int


@dataclass(frozen=True, slots=True)
class MappedFile:
    """In a stream of files: the whole file, as a mapping that the reader was given."""

    number: int
    size_bytes: int


TransferItem = FileStarted | FileBlock | FileEnded | SharedBlock | MappedFile


@dataclass(frozen=True, slots=True)
class TensorChange:
    """How one tensor differs; type, shape and size of the newer one if it exists."""

    tensor: str
    change: Change
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """How one file differs; `base` is absent if ADDED, `target` if REMOVED."""

    path: str
    change: Change
    base: FileRecord | None
    target: FileRecord | None
    tensors: tuple[TensorChange, ...]


@dataclass(frozen=True, slots=True)
class DiffSummary:
    """What a comparison found in all."""

    base: VersionRecord
    target: VersionRecord
    added_count: int
    removed_count: int
    modified_count: int
    unchanged_count: int
    shared_bytes: int


@dataclass(frozen=True, slots=True)
class VerifyFinding:
    """What verification found about one file, or (path "") about a version."""

    version: int
    path: str
    ok: bool
    reason: str
    message: str
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """How far a verification has come, in bytes."""

    verified_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found in all."""

    version_count: int
    file_count: int
    verified_bytes: int
    damaged_count: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of the server or the store.

    `code` and `reason` are those of the error, if it failed with one.
    """

    check: str
    ok: bool
    detail: str
    hint: str
    code: str = ""
    reason: str = ""

    @classmethod
    def failed(cls, check: str, error: StrongroomError, hint: str = "") -> Self:
        """Return the result of a check that ended with an error."""
        return cls(
            check,
            ok=False,
            detail=error.message,
            hint=hint or error.hint,
            code=error.code,
            reason=error.reason.value,
        )
