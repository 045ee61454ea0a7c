# SPDX-License-Identifier: Apache-2.0
"""Strongroom's Python SDK.

    import strongroom

    with strongroom.connect() as client:
        client.push("model/", "demo/minilm", message="first")
        weights = client.read_bytes("demo/minilm@prod/model.safetensors")

A **project** owns **artifacts**; an artifact has immutable **versions** and movable
**refs**. Every error is a class of `strongroom.errors`.
"""

import importlib
from typing import TYPE_CHECKING

from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from strongroom.client import (
        Client,
        Draft,
        DraftWriter,
        Reader,
        Run,
        StrongroomFile,
        connect,
    )
    from strongroom.client.checkpoint_loading import LoadedCheckpoint
    from strongroom.client.checkpoints import Checkpoints
    from strongroom.client.saves import PendingSave
    from strongroom.config import ClientSettings
    from strongroom.values import (
        AccessExplanation,
        AccessRemedy,
        Action,
        Approval,
        ApprovalListing,
        ApprovalState,
        Artifact,
        ArtifactPolicy,
        Backup,
        BackupFinding,
        BackupListing,
        BackupReport,
        BackupSummary,
        CanaryState,
        Change,
        CheckResult,
        Consent,
        Diff,
        DiffSummary,
        DoomedArtifact,
        DraftPart,
        Drill,
        DrilledVersion,
        DrillFinding,
        File,
        FileChange,
        FileRange,
        IndexReport,
        JournalEntry,
        KekVersionCount,
        KeyAssertion,
        KeyEntry,
        KeyState,
        Kind,
        Lineage,
        LineageStep,
        Login,
        NeededKek,
        ObjectExplanation,
        ObjectState,
        ObjectUse,
        Progress,
        Project,
        PullResult,
        PushResult,
        Ref,
        RelyingParty,
        RepairReport,
        RestoredVersion,
        RestorePlan,
        RestoreReceipt,
        Retention,
        RetentionExplanation,
        RetireReport,
        RewrapReport,
        RoleAssignment,
        RollbackPreview,
        RotateReport,
        ServerInfo,
        SharedMemory,
        SharedMemoryState,
        Shredded,
        ShreddedListing,
        ShredPreview,
        ShredReceipt,
        SigningKey,
        Stage,
        StoreFinding,
        StoreVerifyReport,
        SweepPlan,
        SweepSummary,
        TensorChange,
        TrustedStore,
        UntrustedBackup,
        VerifyFinding,
        VerifyReport,
        Version,
        VersionAtRisk,
        VersionInput,
        VersionReader,
        VersionReaders,
        VersionState,
    )

__all__ = [
    "AccessExplanation",
    "AccessRemedy",
    "Action",
    "Approval",
    "ApprovalListing",
    "ApprovalState",
    "Artifact",
    "ArtifactPolicy",
    "Backup",
    "BackupFinding",
    "BackupListing",
    "BackupReport",
    "BackupSummary",
    "CanaryState",
    "Change",
    "CheckResult",
    "Checkpoints",
    "Client",
    "ClientSettings",
    "Consent",
    "Diff",
    "DiffSummary",
    "DoomedArtifact",
    "Draft",
    "DraftPart",
    "DraftWriter",
    "Drill",
    "DrillFinding",
    "DrilledVersion",
    "File",
    "FileChange",
    "FileRange",
    "IndexReport",
    "JournalEntry",
    "KekVersionCount",
    "KeyAssertion",
    "KeyEntry",
    "KeyState",
    "Kind",
    "Lineage",
    "LineageStep",
    "LoadedCheckpoint",
    "Login",
    "NeededKek",
    "ObjectExplanation",
    "ObjectState",
    "ObjectUse",
    "PendingSave",
    "Progress",
    "Project",
    "PullResult",
    "PushResult",
    "Reader",
    "Ref",
    "RelyingParty",
    "RepairReport",
    "RestorePlan",
    "RestoreReceipt",
    "RestoredVersion",
    "Retention",
    "RetentionExplanation",
    "RetireReport",
    "RewrapReport",
    "RoleAssignment",
    "RollbackPreview",
    "RotateReport",
    "Run",
    "ServerInfo",
    "SharedMemory",
    "SharedMemoryState",
    "ShredPreview",
    "ShredReceipt",
    "Shredded",
    "ShreddedListing",
    "SigningKey",
    "Stage",
    "StoreFinding",
    "StoreVerifyReport",
    "StrongroomError",
    "StrongroomFile",
    "SweepPlan",
    "SweepSummary",
    "TensorChange",
    "TrustedStore",
    "UntrustedBackup",
    "VerifyFinding",
    "VerifyReport",
    "Version",
    "VersionAtRisk",
    "VersionInput",
    "VersionReader",
    "VersionReaders",
    "VersionState",
    "connect",
]

_HOMES = {
    "Checkpoints": "client.checkpoints",
    "Client": "client",
    "connect": "client",
    "Draft": "client",
    "DraftWriter": "client",
    "LoadedCheckpoint": "client.checkpoint_loading",
    "PendingSave": "client.saves",
    "Reader": "client",
    "Run": "client",
    "StrongroomFile": "client",
    "ClientSettings": "config",
}


if not TYPE_CHECKING:  # or type checkers would take every name for known

    def __getattr__(name: str) -> object:
        # Late, so that `import strongroom` costs a training job nothing, and so that
        # the server, which takes errors and formats from here, does not load the SDK.
        if name not in __all__:
            message = f"module 'strongroom' has no attribute {name!r}"
            raise AttributeError(message)
        home = importlib.import_module(f"strongroom.{_HOMES.get(name, 'values')}")
        value: object = getattr(home, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
