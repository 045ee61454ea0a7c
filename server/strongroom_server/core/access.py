# SPDX-License-Identifier: Apache-2.0
"""Access: what may be asked for, on what, and how a decision reads.

Who decides is behind the port `Authorizer`; here is the language of its questions
and answers. Denied is the default, a policy that forbids wins, and a policy that
fails while it is read denies as well.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom_server.core.assignments import Assignment

#: The resource of calls about the server itself.
SERVER: Final = "server"
#: The resource of calls about all projects.
PROJECTS: Final = "projects"
#: `Decision.policy_id` if no policy allowed.
DEFAULT: Final = "default"
#: The policy, and the role, for the day on which nobody can sign in.
BREAK_GLASS: Final = "break-glass"
#: More policies than these are counted in an audit entry, not named.
_MAX_NAMED: Final = 8


class AccessAction(StrEnum):
    """What a caller may be allowed to do; every RPC has exactly one."""

    ACCESS_EXPLAIN = "access.explain"
    ARTIFACT_LIST = "artifact.list"
    ARTIFACT_GET = "artifact.get"
    ARTIFACT_SHRED = "artifact.shred"
    VERSION_LIST = "version.list"
    VERSION_READ = "version.read"
    VERSION_WRITE = "version.write"
    VERSION_WRITE_GRANTED = "version.write_granted"
    VERSION_VERIFY = "version.verify"
    VERSION_DIFF = "version.diff"
    VERSION_DELETE = "version.delete"
    VERSION_UNDELETE = "version.undelete"
    VERSION_REPAIR = "version.repair"
    VERSION_RESTORE = "version.restore"
    REF_LIST = "ref.list"
    REF_MOVE = "ref.move"
    HOLD_SET = "hold.set"
    POLICY_SET = "policy.set"
    RETENTION_EXPLAIN = "retention.explain"
    JOURNAL_READ = "journal.read"
    PROJECT_CREATE = "project.create"
    PROJECT_LIST = "project.list"
    STORE_CHECK = "store.check"
    STORE_VERIFY = "store.verify"
    SWEEP_PLAN = "sweep.plan"
    SWEEP_APPLY = "sweep.apply"
    INDEX_REBUILD = "index.rebuild"
    SERVER_INFO = "server.info"
    KEY_LIST = "key.list"
    KEY_ROTATE = "key.rotate"
    KEY_REWRAP = "key.rewrap"
    KEY_RETIRE = "key.retire"
    KEY_EPOCH = "key.epoch"
    PROJECT_SHRED = "project.shred"
    BACKUP_CREATE = "backup.create"
    BACKUP_LIST = "backup.list"
    BACKUP_VERIFY = "backup.verify"
    BACKUP_EXTEND = "backup.extend"
    BACKUP_HOLD = "backup.hold"
    APPROVAL_REQUEST = "approval.request"
    APPROVAL_LIST = "approval.list"
    APPROVAL_DECIDE = "approval.decide"
    DRILL_RUN = "drill.run"
    DRILL_READ = "drill.read"


class ResourceType(StrEnum):
    """What a resource name names; the spelling is that of the policies."""

    SERVER = "Server"
    PROJECTS = "Projects"
    PROJECT = "Project"
    ARTIFACT = "Artifact"
    VERSION = "Version"
    REF = "Ref"


_SERVER: Final[tuple[ResourceType, ...]] = (ResourceType.SERVER,)
_NESTED: Final = (ResourceType.PROJECTS, ResourceType.PROJECT, ResourceType.ARTIFACT)


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What policies may ask of a call beside who, what and on what.

    Attributes:
        tls_version: Such as `TLSv1.3`.
        key_exchange: Such as `X25519MLKEM768`; "" if it is not known.
        hour_utc: 0 to 23, by the server's clock.
        mfa: Whether the caller is a person who signed in with two factors.
        auth_age_s: How long ago a person signed in, in whole seconds, when the call
            began; 0 for programs.
        approvals: How many people other than the caller have approved exactly this
            request.
        workload: The SPIFFE id of the connection's certificate, whoever the
            principal is.
        lifts: Whether the request lifts a legal hold.
        lock_days: For how many days from now the request locks something that nobody
            can unlock before; 0 if it does not.
    """

    tls_version: str
    key_exchange: str
    hour_utc: int
    mfa: bool = False
    auth_age_s: int = 0
    approvals: int = 0
    workload: str = ""
    lifts: bool = False
    lock_days: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed or not, and what said so.

    Attributes:
        allowed: Whether it may happen.
        policies: The ids of the policies that decided; none if no policy allowed.
        assignments: The assignments through which they applied.
        errors: What went wrong in policies; then nothing is allowed.
    """

    allowed: bool
    policies: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def policy_id(self) -> str:
        """What decided, in one word: `reader@training`, `default`, `error:night`."""
        if not self.policies:
            return f"error:{DEFAULT}" if self.errors else DEFAULT
        told = "+".join(self.policies[:_MAX_NAMED])
        if self.assignments:
            told += "@" + "+".join(self.assignments[:_MAX_NAMED])
        return f"error:{told}" if self.errors else told


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision is as it is.

    Attributes:
        decision: What was decided.
        assignments: Those that give the principal roles on the resource.
        allowing_roles: With one of these on the resource, and no other, the
            principal would be allowed.
        digest: Of the policies and assignments that decided; 64 hex digits.
    """

    decision: Decision
    assignments: tuple[Assignment, ...]
    allowing_roles: tuple[str, ...]
    digest: str


def resource_chain(resource: str) -> tuple[tuple[ResourceType, str], ...]:
    """Return a resource with all that it is in, the innermost first.

    What is no resource name of ours has an empty chain, and is allowed nothing.
    """
    parts = resource.split("/")
    if not all(parts):
        return ()
    match parts:
        case ["server"]:
            types = _SERVER
        case ["projects"] | ["projects", _] | ["projects", _, "artifacts", _]:
            types = _NESTED
        case ["projects", _, "artifacts", _, "versions", _]:
            types = (*_NESTED, ResourceType.VERSION)
        case ["projects", _, "artifacts", _, "refs", _]:
            types = (*_NESTED, ResourceType.REF)
        case _:
            return ()
    names = ["/".join(parts[:end]) for end in (1, 2, 4, 6) if end <= len(parts)]
    return tuple(zip(types, names, strict=False))[::-1]
