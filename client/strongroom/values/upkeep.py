# SPDX-License-Identifier: Apache-2.0
"""What looking after a store reports: proof, retention, sweeps, repair, checks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from strongroom.values.catalog import ArtifactPolicy, Kind, VersionState


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
    #: The gRPC status code by name, if it failed: `UNAVAILABLE` and so on.
    code: str = ""
    #: The reason, if it failed.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """How a person has signed in."""

    #: When they last proved who they are.
    auth_time: datetime
    #: Whether they did so with two factors.
    mfa: bool
    #: The identity provider's class of that proof.
    acr: str
    #: Its methods.
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is, and whom it takes the caller for."""

    version: str
    store_id: str
    #: Whom the server takes the caller for: a SPIFFE id, or `operator:NAME`.
    principal: str
    key_exchange: str
    tls_version: str
    #: Until when the server's certificate is valid.
    certificate_expire_time: datetime
    roles: tuple[str, ...]
    kinds: tuple[Kind, ...]
    #: The SPIFFE id of the connection's certificate, whoever the principal is.
    workload: str
    #: How the person has signed in; None for programs.
    login: Login | None


@dataclass(frozen=True, slots=True)
class RetentionExplanation:
    """Why one version is kept, or until when."""

    version: int
    state: VersionState
    #: Whether a sweep would leave it where it is.
    kept: bool
    #: Why, one sentence each: `ref prod points at it`.
    causes: tuple[str, ...]
    #: When it would go, if nothing changes; None if it stays.
    until: datetime | None
    #: Bytes that only this version keeps from being swept, as far as known.
    exclusive_bytes: int


@dataclass(frozen=True, slots=True)
class Retention:
    """Why an artifact's versions are kept."""

    policy: ArtifactPolicy
    #: Newest first.
    versions: tuple[RetentionExplanation, ...]


@dataclass(frozen=True, slots=True)
class VersionAtRisk:
    """A version that a damaged object belongs to."""

    #: `demo/minilm@3`.
    name: str
    #: The files that are hit, at most 100.
    paths: tuple[str, ...]
    #: How many files are hit in all.
    path_count: int
    #: The refs that point at the version.
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """One stored object that is damaged, and what that hits."""

    #: Its key in the bucket.
    object_key: str
    reason: str
    message: str
    at_risk: tuple[VersionAtRisk, ...]
    #: Whether it was mended now.
    repaired: bool
    #: Whether it was mended before, chunk by chunk; told only without keys.
    mended: bool


@dataclass(frozen=True, slots=True)
class StoreVerifyReport:
    """What a verification of a store found in all."""

    artifact_count: int
    version_count: int
    object_count: int
    verified_bytes: int
    #: How many objects are damaged and were not mended.
    damaged_count: int
    repaired_count: int
    #: Packs that no version needs; no damage, a sweep removes them.
    unreferenced_count: int
    unreferenced_bytes: int
    #: Packs that were mended before, chunk by chunk; no damage.
    mended_count: int
    #: What is damaged, at most the first 1000.
    damaged: tuple[StoreFinding, ...]


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What mending a version from files did."""

    #: How many chunks were damaged before.
    damaged_count: int
    #: How many of them were stored anew.
    repaired_count: int
    stored_bytes: int
    #: Files that are still damaged, at most 100.
    damaged_paths: tuple[str, ...]
    #: Pieces of the file table that are damaged; only a copy of the store mends them.
    lost_table_count: int


@dataclass(frozen=True, slots=True)
class SweepSummary:
    """What a sweep would do, or did, in all."""

    #: Versions that go to the trash by policy.
    trashed_count: int
    #: Versions whose time in the trash is over.
    purged_count: int
    #: Objects that are to be removed once their grace is over.
    condemned_count: int
    condemned_bytes: int
    #: Objects whose grace is over.
    removed_count: int
    removed_bytes: int
    #: What stays after all, because it is needed again or locked.
    kept_count: int
    #: What needs a further sweep, and what was refused and why, in words.
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep would do; nothing happens before it is applied."""

    #: Canonical JSON, to be kept and applied as it is.
    content: bytes
    summary: SweepSummary


class ObjectState(StrEnum):
    """What becomes of a stored object."""

    #: Something needs it.
    NEEDED = "NEEDED"
    #: Nothing needs it, and no sweep has condemned it.
    UNNEEDED = "UNNEEDED"
    #: A sweep has condemned it.
    CONDEMNED = "CONDEMNED"
    #: No sweep ever takes objects of its kind.
    PERMANENT = "PERMANENT"
    #: What needs it cannot be told, since something is damaged.
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ObjectUse:
    """Something that needs a stored object."""

    #: `demo/minilm@3`; `demo/minilm` for an upload; "" for a project's repairs.
    name: str
    #: What needs it, in words.
    cause: str
    #: Whether that keeps it; not so a version that is about to be purged.
    keeps: bool


@dataclass(frozen=True, slots=True)
class ObjectExplanation:
    """What keeps a stored object, or what a sweep does with it."""

    #: Whether it is in the bucket.
    exists: bool
    state: ObjectState
    #: Why, one sentence each.
    causes: tuple[str, ...]
    #: When it was condemned; None unless it is.
    condemn_time: datetime | None
    #: How much needs it in all.
    use_count: int
    #: How much of that the caller may not see.
    hidden_count: int
    #: What needs it, at most the first 1000.
    uses: tuple[ObjectUse, ...]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What building the server's index anew took in."""

    #: Index segments and journals.
    record_count: int
    chunk_count: int
    #: Segments that were damaged and left out.
    damaged_count: int


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a long work on a store has come."""

    #: What it does now, in words.
    name: str
    #: In bytes or objects, as `in_bytes` says.
    done: int
    #: 0 if not known.
    total: int
    in_bytes: bool = False
    #: Of a verification: go on from here in a later call.
    resume_token: str = ""


#: Called as the server gets on.
StageCallback = Callable[[Stage], None]
