# SPDX-License-Identifier: Apache-2.0
"""Every RPC that the client calls, with its types, and which ones gRPC may retry."""

import json
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from strongroom.format.frames import BlockFrame
from strongroom.v1 import access_service_pb2 as access
from strongroom.v1 import approval_service_pb2 as approvals
from strongroom.v1 import artifact_service_pb2 as artifacts
from strongroom.v1 import backup_service_pb2 as backups
from strongroom.v1 import drill_service_pb2 as drills
from strongroom.v1 import key_service_pb2 as keys
from strongroom.v1 import maintenance_service_pb2 as maintenance
from strongroom.v1 import restore_service_pb2 as restores
from strongroom.v1 import transfer_service_pb2 as transfers

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ResponseT]):
    """One RPC."""

    service: str
    name: str
    request: type[RequestT]
    response: type[ResponseT]

    def encode(self, request: RequestT | BlockFrame) -> bytes:
        """Encode a request; only those of a transfer may be frames."""
        if isinstance(request, BlockFrame):
            return request.encode()
        return request.SerializeToString()

    def decode(self, message: bytes) -> ResponseT | BlockFrame:
        """Decode a response of a transfer, which may be a frame."""
        return BlockFrame.parse(message) or self.response.FromString(message)

    @property
    def key(self) -> tuple[str, str]:
        """The service and the method."""
        return self.service, self.name

    @property
    def path(self) -> str:
        """The path by which HTTP/2 names it."""
        return f"/{self.service}/{self.name}"


_ACCESS: Final = "strongroom.v1.AccessService"
_APPROVALS: Final = "strongroom.v1.ApprovalService"
_ARTIFACTS: Final = "strongroom.v1.ArtifactService"
_BACKUPS: Final = "strongroom.v1.BackupService"
_DRILLS: Final = "strongroom.v1.DrillService"
_KEYS: Final = "strongroom.v1.KeyService"
_MAINTENANCE: Final = "strongroom.v1.MaintenanceService"
_TRANSFERS: Final = "strongroom.v1.TransferService"

EXPLAIN_ACCESS: Final = Method(
    _ACCESS,
    "ExplainAccess",
    access.ExplainAccessRequest,
    access.ExplainAccessResponse,
)
REQUEST_APPROVAL: Final = Method(
    _APPROVALS, "RequestApproval", approvals.RequestApprovalRequest, approvals.Approval
)
LIST_APPROVALS: Final = Method(
    _APPROVALS,
    "ListApprovals",
    approvals.ListApprovalsRequest,
    approvals.ListApprovalsResponse,
)
GET_APPROVAL: Final = Method(
    _APPROVALS, "GetApproval", approvals.GetApprovalRequest, approvals.Approval
)
DECIDE_APPROVAL: Final = Method(
    _APPROVALS, "DecideApproval", approvals.DecideApprovalRequest, approvals.Approval
)
WITHDRAW_APPROVAL: Final = Method(
    _APPROVALS,
    "WithdrawApproval",
    approvals.WithdrawApprovalRequest,
    approvals.Approval,
)
CREATE_PROJECT: Final = Method(
    _ARTIFACTS, "CreateProject", artifacts.CreateProjectRequest, artifacts.Project
)
CREATE_ARTIFACT: Final = Method(
    _ARTIFACTS, "CreateArtifact", artifacts.CreateArtifactRequest, artifacts.Artifact
)
LIST_PROJECTS: Final = Method(
    _ARTIFACTS,
    "ListProjects",
    artifacts.ListProjectsRequest,
    artifacts.ListProjectsResponse,
)
LIST_ARTIFACTS: Final = Method(
    _ARTIFACTS,
    "ListArtifacts",
    artifacts.ListArtifactsRequest,
    artifacts.ListArtifactsResponse,
)
GET_ARTIFACT: Final = Method(
    _ARTIFACTS, "GetArtifact", artifacts.GetArtifactRequest, artifacts.Artifact
)
GET_VERSION: Final = Method(
    _ARTIFACTS, "GetVersion", artifacts.GetVersionRequest, artifacts.Version
)
LIST_VERSIONS: Final = Method(
    _ARTIFACTS,
    "ListVersions",
    artifacts.ListVersionsRequest,
    artifacts.ListVersionsResponse,
)
LIST_FILES: Final = Method(
    _ARTIFACTS, "ListFiles", artifacts.ListFilesRequest, artifacts.ListFilesResponse
)
LIST_JOURNAL_ENTRIES: Final = Method(
    _ARTIFACTS,
    "ListJournalEntries",
    artifacts.ListJournalEntriesRequest,
    artifacts.ListJournalEntriesResponse,
)
DIFF_VERSIONS: Final = Method(
    _ARTIFACTS,
    "DiffVersions",
    artifacts.DiffVersionsRequest,
    artifacts.DiffVersionsResponse,
)
GET_LINEAGE: Final = Method(
    _ARTIFACTS,
    "GetLineage",
    artifacts.GetLineageRequest,
    artifacts.GetLineageResponse,
)
LIST_READERS: Final = Method(
    _ARTIFACTS,
    "ListReaders",
    artifacts.ListReadersRequest,
    artifacts.ListReadersResponse,
)
MOVE_REF: Final = Method(_ARTIFACTS, "MoveRef", artifacts.MoveRefRequest, artifacts.Ref)
DELETE_VERSION: Final = Method(
    _ARTIFACTS, "DeleteVersion", artifacts.DeleteVersionRequest, artifacts.Version
)
UNDELETE_VERSION: Final = Method(
    _ARTIFACTS, "UndeleteVersion", artifacts.UndeleteVersionRequest, artifacts.Version
)
SET_HOLD: Final = Method(
    _ARTIFACTS, "SetHold", artifacts.SetHoldRequest, artifacts.Artifact
)
SET_POLICY: Final = Method(
    _ARTIFACTS, "SetPolicy", artifacts.SetPolicyRequest, artifacts.Artifact
)
EXPLAIN_RETENTION: Final = Method(
    _ARTIFACTS,
    "ExplainRetention",
    artifacts.ExplainRetentionRequest,
    artifacts.ExplainRetentionResponse,
)
WRITE_VERSION: Final = Method(
    _TRANSFERS,
    "WriteVersion",
    transfers.WriteVersionRequest,
    transfers.WriteVersionResponse,
)
READ_VERSION: Final = Method(
    _TRANSFERS,
    "ReadVersion",
    transfers.ReadVersionRequest,
    transfers.ReadVersionResponse,
)
READ_FILES: Final = Method(
    _TRANSFERS,
    "ReadFiles",
    transfers.ReadFilesRequest,
    transfers.ReadFilesResponse,
)
COMMIT_DRAFT: Final = Method(
    _TRANSFERS,
    "CommitDraft",
    transfers.CommitDraftRequest,
    transfers.CommitDraftResponse,
)
DISCARD_DRAFT: Final = Method(
    _TRANSFERS,
    "DiscardDraft",
    transfers.DiscardDraftRequest,
    transfers.DiscardDraftResponse,
)
VERIFY_VERSION: Final = Method(
    _MAINTENANCE,
    "VerifyVersion",
    maintenance.VerifyVersionRequest,
    maintenance.VerifyVersionResponse,
)
VERIFY_STORE: Final = Method(
    _MAINTENANCE,
    "VerifyStore",
    maintenance.VerifyStoreRequest,
    maintenance.VerifyStoreResponse,
)
REPAIR_VERSION: Final = Method(
    _MAINTENANCE,
    "RepairVersion",
    maintenance.RepairVersionRequest,
    maintenance.RepairVersionResponse,
)
PLAN_SWEEP: Final = Method(
    _MAINTENANCE,
    "PlanSweep",
    maintenance.PlanSweepRequest,
    maintenance.PlanSweepResponse,
)
APPLY_SWEEP: Final = Method(
    _MAINTENANCE,
    "ApplySweep",
    maintenance.ApplySweepRequest,
    maintenance.ApplySweepResponse,
)
EXPLAIN_OBJECT: Final = Method(
    _MAINTENANCE,
    "ExplainObject",
    maintenance.ExplainObjectRequest,
    maintenance.ExplainObjectResponse,
)
REBUILD_INDEX: Final = Method(
    _MAINTENANCE,
    "RebuildIndex",
    maintenance.RebuildIndexRequest,
    maintenance.RebuildIndexResponse,
)
CHECK_SERVER: Final = Method(
    _MAINTENANCE,
    "CheckServer",
    maintenance.CheckServerRequest,
    maintenance.CheckServerResponse,
)
GET_SERVER_INFO: Final = Method(
    _MAINTENANCE,
    "GetServerInfo",
    maintenance.GetServerInfoRequest,
    maintenance.ServerInfo,
)
LIST_KEYS: Final = Method(
    _KEYS, "ListKeys", keys.ListKeysRequest, keys.ListKeysResponse
)
ROTATE_KEKS: Final = Method(
    _KEYS, "RotateKeks", keys.RotateKeksRequest, keys.RotateKeksResponse
)
REWRAP_SLOTS: Final = Method(
    _KEYS, "RewrapSlots", keys.RewrapSlotsRequest, keys.RewrapSlotsResponse
)
RETIRE_KEKS: Final = Method(
    _KEYS, "RetireKeks", keys.RetireKeksRequest, keys.RetireKeksResponse
)
START_EPOCH: Final = Method(_KEYS, "StartEpoch", keys.StartEpochRequest, keys.KeyEpoch)
PREVIEW_SHRED: Final = Method(
    _KEYS, "PreviewShred", keys.PreviewShredRequest, keys.ShredPreview
)
SHRED_PROJECT: Final = Method(
    _KEYS, "ShredProject", keys.ShredProjectRequest, keys.ShredReceipt
)
SHRED_ARTIFACT: Final = Method(
    _KEYS, "ShredArtifact", keys.ShredArtifactRequest, keys.ShredReceipt
)
GET_SHRED_RECEIPT: Final = Method(
    _KEYS, "GetShredReceipt", keys.GetShredReceiptRequest, keys.ShredReceipt
)
LIST_SHREDDED: Final = Method(
    _KEYS, "ListShredded", keys.ListShreddedRequest, keys.ListShreddedResponse
)
LIST_SIGNING_KEYS: Final = Method(
    _KEYS,
    "ListSigningKeys",
    keys.ListSigningKeysRequest,
    keys.ListSigningKeysResponse,
)
CREATE_BACKUP: Final = Method(
    _BACKUPS, "CreateBackup", backups.CreateBackupRequest, backups.CreateBackupResponse
)
LIST_BACKUPS: Final = Method(
    _BACKUPS, "ListBackups", backups.ListBackupsRequest, backups.ListBackupsResponse
)
GET_BACKUP: Final = Method(
    _BACKUPS, "GetBackup", backups.GetBackupRequest, backups.GetBackupResponse
)
VERIFY_BACKUP: Final = Method(
    _BACKUPS, "VerifyBackup", backups.VerifyBackupRequest, backups.VerifyBackupResponse
)
EXTEND_BACKUP: Final = Method(
    _BACKUPS, "ExtendBackup", backups.ExtendBackupRequest, backups.ExtendBackupResponse
)
SET_BACKUP_HOLD: Final = Method(
    _BACKUPS,
    "SetBackupHold",
    backups.SetBackupHoldRequest,
    backups.SetBackupHoldResponse,
)
RUN_DRILL: Final = Method(
    _DRILLS, "RunDrill", drills.RunDrillRequest, drills.RunDrillResponse
)
LIST_DRILLS: Final = Method(
    _DRILLS, "ListDrills", drills.ListDrillsRequest, drills.ListDrillsResponse
)
RESTORE_VERSIONS: Final = Method(
    "strongroom.v1.RestoreService",
    "RestoreVersions",
    restores.RestoreVersionsRequest,
    restores.RestoreVersionsResponse,
)
GET_DRILL: Final = Method(_DRILLS, "GetDrill", drills.GetDrillRequest, drills.Drill)

#: Unary calls that may be sent again: reads, and changes with a request id.
#: Streams are resumed by `_transfer`, which knows where they stopped.
_RETRIED: Final = (
    EXPLAIN_ACCESS.key,
    LIST_APPROVALS.key,
    GET_APPROVAL.key,
    CREATE_PROJECT.key,
    CREATE_ARTIFACT.key,
    LIST_PROJECTS.key,
    LIST_ARTIFACTS.key,
    GET_ARTIFACT.key,
    GET_VERSION.key,
    LIST_VERSIONS.key,
    LIST_FILES.key,
    LIST_JOURNAL_ENTRIES.key,
    LIST_READERS.key,
    MOVE_REF.key,
    DELETE_VERSION.key,
    UNDELETE_VERSION.key,
    SET_HOLD.key,
    SET_POLICY.key,
    EXPLAIN_RETENTION.key,
    COMMIT_DRAFT.key,
    DISCARD_DRAFT.key,
    GET_SERVER_INFO.key,
    START_EPOCH.key,
    PREVIEW_SHRED.key,
    GET_SHRED_RECEIPT.key,
    LIST_SHREDDED.key,
    LIST_SIGNING_KEYS.key,
    LIST_BACKUPS.key,
    LIST_DRILLS.key,
    GET_DRILL.key,
)


def service_config() -> str:
    """Return gRPC's service config: which calls are retried, and how.

    Source:
        github.com/grpc/proposal, A6-client-retries.
    """
    names = [{"service": service, "method": name} for service, name in _RETRIED]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})
