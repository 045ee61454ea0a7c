# SPDX-License-Identifier: Apache-2.0
"""What there is: projects, artifacts, versions, refs, files, history, differences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from strongroom.format.names import ArtifactName, VersionName


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
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"
    RETAIN = "RETAIN"
    POLICY = "POLICY"
    FENCE = "FENCE"


class VersionState(StrEnum):
    """Whether a version can be read."""

    LIVE = "LIVE"
    #: It lies in the trash and can be undeleted.
    DELETED = "DELETED"
    #: It is gone; its journal entries stay.
    PURGED = "PURGED"


@dataclass(frozen=True, slots=True)
class ArtifactPolicy:
    """How an artifact's versions are stored and kept."""

    #: How many of the newest versions are kept; 0 means all, or, with `keep_best`, one.
    keep_last: int = 0
    #: Versions younger than this are kept, in days; 0 means no rule by age.
    keep_days: int = 0
    #: How long a deleted version can be undeleted, in days.
    trash_days: int = 30
    #: How chunks are encoded: `auto`, `raw`, `compact` or `delta`.
    codec: str = "auto"
    #: Where chunks end: `aligned`, `fixed` or `content`.
    cuts: str = "aligned"
    #: How many of the best versions are kept beside the newest; 0 means no such rule.
    keep_best: int = 0
    #: The key of their metadata with the number that tells: `metric:loss`.
    best_by: str = ""
    #: Which numbers are good: `min` or `max`.
    best_order: str = ""


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
    #: Until when backups hold the content of that version under locks; None if none
    #: does.
    protected_until: datetime | None = None


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
    policy: ArtifactPolicy = field(default_factory=ArtifactPolicy)
    #: Whether a legal hold keeps all of its versions.
    held: bool = False
    #: Changes with every change of the policy; pass it to `Client.set_policy`.
    policy_etag: str = ""
    #: Whether it has a key domain of its own, so that it can be shredded alone.
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class VersionInput:
    """A version that went into another one."""

    artifact: ArtifactName
    number: int
    #: `sha256:…`.
    digest: str

    @property
    def version(self) -> VersionName:
        """The version's name."""
        return VersionName(self.artifact, str(self.number))

    @property
    def name(self) -> str:
        """The name that people write: `demo/texts@3`."""
        return self.version.short


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
    #: What was newly stored for it, after deduplication and encryption; of a push
    #: that was resumed, by its last attempt.
    stored_bytes: int
    message: str
    metadata: Mapping[str, str]
    #: The trace in which it was written.
    trace_id: str
    #: The refs that point at it, `latest` among them.
    refs: tuple[str, ...]
    state: VersionState = VersionState.LIVE
    #: Until when it can be undeleted; None unless it is deleted.
    purge_time: datetime | None = None
    #: Whether a legal hold keeps it.
    held: bool = False
    #: The name of the run that wrote it; see `Client.run`.
    run: str = ""
    #: What it was made from, as its writer said.
    inputs: tuple[VersionInput, ...] = ()
    #: How many versions more it was made from.
    more_inputs: int = 0
    #: SPIFFE ids of those who digested files of it elsewhere than at the server, such
    #: as sidecars; empty if the server has digested all of them.
    digested_by: tuple[str, ...] = ()
    #: Until when backups hold its content under locks, as the server saw last; None
    #: if none does.
    protected_until: datetime | None = None

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
    #: Whether the hold was set; only for RETAIN, where version 0 means all.
    hold: bool = False
    #: The policy from here on; only for POLICY.
    policy: ArtifactPolicy | None = None
    #: The versions that are gone for good; only for FENCE.
    purged_versions: tuple[int, ...] = ()
    #: How many records of sweeps the actor knew.
    sweep_epoch: int = 0
    #: The approval under which it was done, by its id; "" if it needed none.
    approval: str = ""
    #: Who approved it.
    approvers: tuple[str, ...] = ()


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
class LineageStep:
    """A version that another one was made from, or that was made from another one."""

    #: `demo/texts@3`.
    name: str
    #: `sha256:…`.
    digest: str
    #: How many steps away it is, from 1 on.
    distance: int
    #: The versions one step nearer: what it went into, or what it was made from.
    via: tuple[str, ...]
    #: Whether it can be read; None, as what follows, if the server did not look at
    #: it: it is of another project, or not for us to know, or was shredded.
    state: VersionState | None = None
    create_time: datetime | None = None
    #: The SPIFFE id that wrote it.
    creator: str = ""
    #: The name of the run that wrote it.
    run: str = ""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a version was made from, and what was made from it; nearest first."""

    version: Version
    sources: tuple[LineageStep, ...]
    results: tuple[LineageStep, ...]
    #: Whether there is, or may be, more: untold, unsaid by writers, or in damage.
    incomplete: bool = False
