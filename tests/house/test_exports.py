# SPDX-License-Identifier: Apache-2.0
"""What `import strongroom` promises: these names, and a type checker's marker."""

from typing import Final

import strongroom
from tests.house.tree import ROOT

#: A name is added here in the commit that adds it, and never taken away in 0.x
#: without a word in the changelog.
PUBLIC_NAMES: Final = (
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
)


def test_the_public_names_are_pinned() -> None:
    assert tuple(sorted(strongroom.__all__)) == PUBLIC_NAMES


def test_the_public_names_are_sorted_and_exist() -> None:
    assert list(strongroom.__all__) == sorted(strongroom.__all__)
    assert [name for name in strongroom.__all__ if not hasattr(strongroom, name)] == []


def test_both_packages_carry_their_types() -> None:
    assert (ROOT / "client/strongroom/py.typed").is_file()
    assert (ROOT / "server/strongroom_server/py.typed").is_file()
