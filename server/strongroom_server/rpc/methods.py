# SPDX-License-Identifier: Apache-2.0
"""The table of methods: every RPC's right, resource, audit phases and time limit.

A method that is not in the table does not exist for callers. A test walks the
descriptors of `strongroom.v1` and fails for one without a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from strongroom.errors import InvalidArgumentError
from strongroom.format.names import (
    ProjectName,
    parse_artifact_name,
    parse_project_name,
    parse_ref_name,
    parse_version_name,
)
from strongroom.v1 import maintenance_service_pb2, transfer_service_pb2
from strongroom_server.core.access import PROJECTS, SERVER, AccessAction
from strongroom_server.rpc.wire import BATCHES, FLAT


class Phases(Enum):
    """When a call is written to the audit log."""

    #: Once, before the answer: short reads.
    CALL = "call"
    #: Before anything happens and after it: changes and streams.
    INTENT_OUTCOME = "intent, outcome"


class TimeClass(Enum):
    """How long a call may take; the seconds are settings."""

    SHORT = "short"
    LONG = "long"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Target:
    """What a call is about.

    Attributes:
        resource: The resource name on which access is decided.
        scope: The artifact, project or `server` by whose keyed id the audit log
            knows it, whatever version or ref was named.
    """

    resource: str
    scope: str


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table.

    Attributes:
        name: The full name: `/strongroom.v1.ArtifactService/GetArtifact`.
        action: The right that it needs.
        targets: Reads the targets out of the first request; raises
            InvalidArgumentError for a malformed name. Every one must be allowed.
        phases: When it is written to the audit log.
        time_class: How long it may take.
        depth: How many levels of messages a streamed request of it has; see
            `check_field_count`.
    """

    name: str
    action: AccessAction
    targets: Callable[[object], tuple[Target, ...]]
    phases: Phases = Phases.CALL
    time_class: TimeClass = TimeClass.SHORT
    depth: int = BATCHES


def _text(request: object, field: str) -> str:
    value = getattr(request, field)
    if not isinstance(value, str):
        message = f"{field} is not text"
        raise TypeError(message)
    return value


def _server(_request: object) -> tuple[Target, ...]:
    return (Target(SERVER, SERVER),)


def _projects(_request: object) -> tuple[Target, ...]:
    return (Target(PROJECTS, PROJECTS),)


def _new_project(request: object) -> tuple[Target, ...]:
    resource = ProjectName(_text(request, "project_id")).resource
    return (Target(resource, resource),)


def _project(field: str) -> Callable[[object], tuple[Target, ...]]:
    def targets(request: object) -> tuple[Target, ...]:
        resource = parse_project_name(_text(request, field)).resource
        return (Target(resource, resource),)

    return targets


def _artifact(field: str) -> Callable[[object], tuple[Target, ...]]:
    def targets(request: object) -> tuple[Target, ...]:
        resource = parse_artifact_name(_text(request, field)).resource
        return (Target(resource, resource),)

    return targets


def _versions(*fields: str) -> Callable[[object], tuple[Target, ...]]:
    def targets(request: object) -> tuple[Target, ...]:
        names = [parse_version_name(_text(request, field)) for field in fields]
        return tuple(Target(name.resource, name.artifact.resource) for name in names)

    return targets


def _ref(request: object) -> tuple[Target, ...]:
    name = parse_ref_name(_text(request, "name"))
    return (Target(name.resource, name.artifact.resource),)


def names_a_version(resource: str) -> bool:
    """Tell whether a resource name is meant as a version's, not an artifact's.

    By its place, for a project may be called `versions`, too.
    """
    return "/versions/" in "/".join(resource.split("/")[3:])


def _artifact_or_version(request: object) -> tuple[Target, ...]:
    is_version = names_a_version(_text(request, "name"))
    return (_versions("name") if is_version else _artifact("name"))(request)


def _number(request: object) -> tuple[Target, ...]:
    """Name a version that is changed for good: not by what moves meanwhile."""
    version = parse_version_name(_text(request, "name"))
    if not version.selector.isdecimal():
        message = f"the version {version.short} is not named by its number"
        raise InvalidArgumentError(
            message, hint="See `strongroom log` for the numbers.", name=version.short
        )
    return _versions("name")(request)


def _artifact_or_number(request: object) -> tuple[Target, ...]:
    is_version = names_a_version(_text(request, "name"))
    return (_number if is_version else _artifact("name"))(request)


def _project_or_server(request: object) -> tuple[Target, ...]:
    return (_project("name") if _text(request, "name") else _server)(request)


def _part_of_store(request: object) -> tuple[Target, ...]:
    is_artifact = "/artifacts/" in _text(request, "name")
    return (_artifact("name") if is_artifact else _project_or_server)(request)


def _apply_start(request: object) -> tuple[Target, ...]:
    if (
        not isinstance(request, maintenance_service_pb2.ApplySweepRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of ApplySweep must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return _server(request)


def _repair_start(request: object) -> tuple[Target, ...]:
    if (
        not isinstance(request, maintenance_service_pb2.RepairVersionRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of RepairVersion must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return _number(request.start)


def _write_parent(request: object) -> tuple[Target, ...]:
    if (
        not isinstance(request, transfer_service_pb2.WriteVersionRequest)
        or request.WhichOneof("part") != "start"
    ):
        message = "the first request of WriteVersion must carry `start`"
        raise InvalidArgumentError(message, field="start")
    return _artifact("parent")(request.start)


_APPROVALS: Final = "/strongroom.v1.ApprovalService"
_ACCESS: Final = "/strongroom.v1.AccessService"
_ARTIFACTS: Final = "/strongroom.v1.ArtifactService"
_TRANSFER: Final = "/strongroom.v1.TransferService"
_MAINTENANCE: Final = "/strongroom.v1.MaintenanceService"
_KEYS: Final = "/strongroom.v1.KeyService"

_ROWS: Final = (
    Method(f"{_ACCESS}/ExplainAccess", AccessAction.ACCESS_EXPLAIN, _server),
    Method(
        f"{_APPROVALS}/RequestApproval",
        AccessAction.APPROVAL_REQUEST,
        _server,
        Phases.INTENT_OUTCOME,
    ),
    Method(f"{_APPROVALS}/ListApprovals", AccessAction.APPROVAL_LIST, _server),
    Method(f"{_APPROVALS}/GetApproval", AccessAction.APPROVAL_LIST, _server),
    Method(
        f"{_APPROVALS}/DecideApproval",
        AccessAction.APPROVAL_DECIDE,
        _server,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/CreateProject",
        AccessAction.PROJECT_CREATE,
        _new_project,
        Phases.INTENT_OUTCOME,
    ),
    Method(f"{_ARTIFACTS}/ListProjects", AccessAction.PROJECT_LIST, _projects),
    Method(
        f"{_ARTIFACTS}/ListArtifacts", AccessAction.ARTIFACT_LIST, _project("parent")
    ),
    Method(f"{_ARTIFACTS}/GetArtifact", AccessAction.ARTIFACT_GET, _artifact("name")),
    Method(f"{_ARTIFACTS}/GetVersion", AccessAction.VERSION_LIST, _versions("name")),
    Method(
        f"{_ARTIFACTS}/ListVersions", AccessAction.VERSION_LIST, _artifact("parent")
    ),
    Method(f"{_ARTIFACTS}/ListFiles", AccessAction.VERSION_LIST, _versions("parent")),
    Method(
        f"{_ARTIFACTS}/ListJournalEntries",
        AccessAction.JOURNAL_READ,
        _artifact("parent"),
    ),
    Method(
        f"{_ARTIFACTS}/DiffVersions",
        AccessAction.VERSION_DIFF,
        _versions("base", "target"),
        Phases.INTENT_OUTCOME,
        TimeClass.LONG,
    ),
    Method(f"{_ARTIFACTS}/MoveRef", AccessAction.REF_MOVE, _ref, Phases.INTENT_OUTCOME),
    Method(
        f"{_ARTIFACTS}/DeleteVersion",
        AccessAction.VERSION_DELETE,
        _number,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/UndeleteVersion",
        AccessAction.VERSION_UNDELETE,
        _number,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/SetHold",
        AccessAction.HOLD_SET,
        _artifact_or_number,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/SetPolicy",
        AccessAction.POLICY_SET,
        _artifact("name"),
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/ExplainRetention",
        AccessAction.RETENTION_EXPLAIN,
        _artifact_or_number,
    ),
    Method(
        f"{_TRANSFER}/WriteVersion",
        AccessAction.VERSION_WRITE,
        _write_parent,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_TRANSFER}/ReadVersion",
        AccessAction.VERSION_READ,
        _versions("name"),
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/VerifyVersion",
        AccessAction.VERSION_VERIFY,
        _artifact_or_version,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/VerifyStore",
        AccessAction.STORE_VERIFY,
        _part_of_store,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/RepairVersion",
        AccessAction.VERSION_REPAIR,
        _repair_start,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/PlanSweep",
        AccessAction.SWEEP_PLAN,
        _project_or_server,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/ApplySweep",
        AccessAction.SWEEP_APPLY,
        _apply_start,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
        # A plan's bytes look like many fields, and are none.
        depth=FLAT,
    ),
    Method(
        # It costs what a plan costs, and tells what a plan tells.
        f"{_MAINTENANCE}/ExplainObject",
        AccessAction.SWEEP_PLAN,
        _server,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/RebuildIndex",
        AccessAction.INDEX_REBUILD,
        _server,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/CheckServer",
        AccessAction.STORE_CHECK,
        _server,
        Phases.INTENT_OUTCOME,
        TimeClass.LONG,
    ),
    Method(f"{_MAINTENANCE}/GetServerInfo", AccessAction.SERVER_INFO, _server),
    *(
        Method(
            f"{_KEYS}/{name}",
            action,
            _project_or_server,
            Phases.INTENT_OUTCOME,
            TimeClass.STREAM,
        )
        for name, action in (
            ("ListKeys", AccessAction.KEY_LIST),
            ("RotateKeks", AccessAction.KEY_ROTATE),
            ("RewrapSlots", AccessAction.KEY_REWRAP),
            ("RetireKeks", AccessAction.KEY_RETIRE),
        )
    ),
    Method(
        f"{_KEYS}/StartEpoch",
        AccessAction.KEY_EPOCH,
        _project("name"),
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_KEYS}/PreviewShred",
        AccessAction.KEY_LIST,
        _project("name"),
        time_class=TimeClass.LONG,
    ),
    Method(
        f"{_KEYS}/ShredProject",
        AccessAction.PROJECT_SHRED,
        _project("name"),
        Phases.INTENT_OUTCOME,
        TimeClass.LONG,
    ),
    Method(f"{_KEYS}/GetShredReceipt", AccessAction.KEY_LIST, _project("name")),
    Method(f"{_KEYS}/ListSigningKeys", AccessAction.KEY_LIST, _server),
)

#: Every method by its full name.
METHODS: Final = {row.name: row for row in _ROWS}
