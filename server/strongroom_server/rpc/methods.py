# SPDX-License-Identifier: Apache-2.0
"""The table of methods: every RPC's right, resource, audit phases and time limit.

A method that is not in the table does not exist for callers. A test walks the
descriptors of `strongroom.v1` and fails for one without a row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from strongroom_server.core.access import AccessAction
from strongroom_server.rpc import targets
from strongroom_server.rpc.targets import Target
from strongroom_server.rpc.wire import BATCHES, COLUMNS, FLAT


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
    #: As long, but only waiting for news: counted by itself.
    WATCH = "watch"


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

    @property
    def unary_depth(self) -> int:
        """How many levels of a request are counted that is no stream."""
        return FLAT if self.depth == BATCHES else self.depth


_APPROVALS: Final = "/strongroom.v1.ApprovalService"
_GRANTS: Final = "/strongroom.v1.GrantService"
_ACCESS: Final = "/strongroom.v1.AccessService"
_ARTIFACTS: Final = "/strongroom.v1.ArtifactService"
_TRANSFER: Final = "/strongroom.v1.TransferService"
_MAINTENANCE: Final = "/strongroom.v1.MaintenanceService"
_KEYS: Final = "/strongroom.v1.KeyService"
_BACKUPS: Final = "/strongroom.v1.BackupService"
_DRILLS: Final = "/strongroom.v1.DrillService"

_ROWS: Final = (
    Method(f"{_ACCESS}/ExplainAccess", AccessAction.ACCESS_EXPLAIN, targets.of_server),
    Method(
        f"{_APPROVALS}/RequestApproval",
        AccessAction.APPROVAL_REQUEST,
        targets.of_server,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_APPROVALS}/ListApprovals", AccessAction.APPROVAL_LIST, targets.of_server
    ),
    Method(f"{_APPROVALS}/GetApproval", AccessAction.APPROVAL_LIST, targets.of_server),
    Method(
        f"{_APPROVALS}/DecideApproval",
        AccessAction.APPROVAL_DECIDE,
        targets.of_server,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_APPROVALS}/WithdrawApproval",
        AccessAction.APPROVAL_REQUEST,
        targets.of_server,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/CreateProject",
        AccessAction.PROJECT_CREATE,
        targets.of_new_project,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/CreateArtifact",
        AccessAction.VERSION_WRITE,
        targets.of_new_artifact,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_ARTIFACTS}/ListProjects", AccessAction.PROJECT_LIST, targets.of_projects
    ),
    Method(
        f"{_ARTIFACTS}/ListArtifacts",
        AccessAction.ARTIFACT_LIST,
        targets.of_project("parent"),
    ),
    Method(
        f"{_ARTIFACTS}/GetArtifact",
        AccessAction.ARTIFACT_GET,
        targets.of_artifact("name"),
    ),
    Method(
        f"{_ARTIFACTS}/GetVersion",
        AccessAction.VERSION_LIST,
        targets.of_versions("name"),
    ),
    Method(
        f"{_ARTIFACTS}/ListVersions",
        AccessAction.VERSION_LIST,
        targets.of_artifact("parent"),
    ),
    Method(
        f"{_ARTIFACTS}/ListFiles",
        AccessAction.VERSION_LIST,
        targets.of_versions("parent"),
    ),
    Method(
        f"{_ARTIFACTS}/ListJournalEntries",
        AccessAction.JOURNAL_READ,
        targets.of_artifact("parent"),
    ),
    Method(
        f"{_ARTIFACTS}/DiffVersions",
        AccessAction.VERSION_DIFF,
        targets.of_versions("base", "target"),
        Phases.INTENT_OUTCOME,
        TimeClass.LONG,
    ),
    *(
        Method(f"{_ARTIFACTS}/{name}", action, named, Phases.INTENT_OUTCOME)
        for name, action, named in (
            ("MoveRef", AccessAction.REF_MOVE, targets.of_ref),
            ("DeleteVersion", AccessAction.VERSION_DELETE, targets.of_number),
            ("UndeleteVersion", AccessAction.VERSION_UNDELETE, targets.of_number),
            ("SetHold", AccessAction.HOLD_SET, targets.of_artifact_or_number),
            ("SetPolicy", AccessAction.POLICY_SET, targets.of_artifact("name")),
        )
    ),
    Method(
        f"{_ARTIFACTS}/ExplainRetention",
        AccessAction.RETENTION_EXPLAIN,
        targets.of_artifact_or_number,
    ),
    Method(
        f"{_ARTIFACTS}/GetLineage",
        AccessAction.VERSION_LIST,
        targets.of_versions("name"),
        time_class=TimeClass.LONG,
    ),
    Method(
        f"{_ARTIFACTS}/ListReaders",
        AccessAction.VERSION_LIST,
        targets.of_versions("parent"),
    ),
    Method(
        f"{_TRANSFER}/WriteVersion",
        AccessAction.VERSION_WRITE,
        targets.of_write_parent,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    *(
        Method(
            f"{_TRANSFER}/{name}",
            AccessAction.VERSION_WRITE,
            targets.of_artifact("parent"),
            Phases.INTENT_OUTCOME,
            TimeClass.LONG,
            # The inputs of a lineage are counted, too.
            depth=COLUMNS,
        )
        for name in ("CommitDraft", "DiscardDraft")
    ),
    Method(
        f"{_TRANSFER}/ReadVersion",
        AccessAction.VERSION_READ,
        targets.of_versions("name"),
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_TRANSFER}/ReadFiles",
        AccessAction.VERSION_READ,
        targets.of_files_start,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
        depth=COLUMNS,
    ),
    Method(
        f"{_GRANTS}/OpenVersion",
        AccessAction.VERSION_READ,
        targets.of_versions("name"),
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_GRANTS}/WatchGrants",
        AccessAction.VERSION_READ,
        targets.of_watched,
        Phases.INTENT_OUTCOME,
        TimeClass.WATCH,
    ),
    Method(
        f"{_GRANTS}/WriteGranted",
        AccessAction.VERSION_WRITE_GRANTED,
        targets.of_granted_parent,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
        depth=COLUMNS,
    ),
    Method(
        f"{_MAINTENANCE}/VerifyVersion",
        AccessAction.VERSION_VERIFY,
        targets.of_artifact_or_version,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/VerifyStore",
        AccessAction.STORE_VERIFY,
        targets.of_part_of_store,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/RepairVersion",
        AccessAction.VERSION_REPAIR,
        targets.of_repair_start,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/PlanSweep",
        AccessAction.SWEEP_PLAN,
        targets.of_project_or_server,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/ApplySweep",
        AccessAction.SWEEP_APPLY,
        targets.of_apply_start,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
        # A plan's bytes look like many fields, and are none.
        depth=FLAT,
    ),
    Method(
        # It costs what a plan costs, and tells what a plan tells.
        f"{_MAINTENANCE}/ExplainObject",
        AccessAction.SWEEP_PLAN,
        targets.of_server,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/RebuildIndex",
        AccessAction.INDEX_REBUILD,
        targets.of_server,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_MAINTENANCE}/CheckServer",
        AccessAction.STORE_CHECK,
        targets.of_server,
        Phases.INTENT_OUTCOME,
        TimeClass.LONG,
    ),
    Method(
        f"{_MAINTENANCE}/GetServerInfo", AccessAction.SERVER_INFO, targets.of_server
    ),
    *(
        Method(
            f"{_KEYS}/{name}",
            action,
            targets.of_project_or_server,
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
        targets.of_project_or_artifact,
        Phases.INTENT_OUTCOME,
    ),
    Method(
        f"{_KEYS}/PreviewShred",
        AccessAction.KEY_LIST,
        targets.of_project_or_artifact,
        time_class=TimeClass.LONG,
    ),
    Method(
        f"{_KEYS}/ShredProject",
        AccessAction.PROJECT_SHRED,
        targets.of_project("name"),
        Phases.INTENT_OUTCOME,
        TimeClass.LONG,
    ),
    Method(
        f"{_KEYS}/ShredArtifact",
        AccessAction.ARTIFACT_SHRED,
        targets.of_artifact("name"),
        Phases.INTENT_OUTCOME,
        TimeClass.LONG,
    ),
    Method(
        f"{_KEYS}/GetShredReceipt",
        AccessAction.KEY_LIST,
        targets.of_project_or_artifact,
    ),
    Method(
        f"{_KEYS}/ListShredded",
        AccessAction.KEY_LIST,
        targets.of_server,
        time_class=TimeClass.LONG,
    ),
    Method(f"{_KEYS}/ListSigningKeys", AccessAction.KEY_LIST, targets.of_server),
    *(
        Method(
            f"{_BACKUPS}/{name}",
            action,
            targets.of_server,
            Phases.INTENT_OUTCOME,
            TimeClass.STREAM,
        )
        for name, action in (
            ("CreateBackup", AccessAction.BACKUP_CREATE),
            ("GetBackup", AccessAction.BACKUP_LIST),
            ("VerifyBackup", AccessAction.BACKUP_VERIFY),
            ("ExtendBackup", AccessAction.BACKUP_EXTEND),
            ("SetBackupHold", AccessAction.BACKUP_HOLD),
        )
    ),
    Method(
        f"{_BACKUPS}/ListBackups",
        AccessAction.BACKUP_LIST,
        targets.of_server,
        time_class=TimeClass.LONG,
    ),
    Method(
        f"{_DRILLS}/RunDrill",
        AccessAction.DRILL_RUN,
        targets.of_server,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
    Method(
        f"{_DRILLS}/ListDrills",
        AccessAction.DRILL_READ,
        targets.of_server,
        time_class=TimeClass.LONG,
    ),
    Method(f"{_DRILLS}/GetDrill", AccessAction.DRILL_READ, targets.of_server),
    Method(
        "/strongroom.v1.RestoreService/RestoreVersions",
        AccessAction.VERSION_RESTORE,
        targets.of_artifact_or_version,
        Phases.INTENT_OUTCOME,
        TimeClass.STREAM,
    ),
)

#: Every method by its full name.
METHODS: Final = {row.name: row for row in _ROWS}
