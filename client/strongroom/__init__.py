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
    from strongroom.client import Client, StrongroomFile, connect
    from strongroom.config import ClientSettings
    from strongroom.values import (
        Action,
        Artifact,
        ArtifactPolicy,
        Change,
        CheckResult,
        Diff,
        DiffSummary,
        File,
        FileChange,
        IndexReport,
        JournalEntry,
        KekVersionCount,
        KeyEntry,
        KeyState,
        Kind,
        ObjectExplanation,
        ObjectState,
        ObjectUse,
        Progress,
        Project,
        PullResult,
        PushResult,
        Ref,
        RepairReport,
        Retention,
        RetentionExplanation,
        RetireReport,
        RewrapReport,
        RoleAssignment,
        RotateReport,
        ServerInfo,
        Stage,
        StoreFinding,
        StoreVerifyReport,
        SweepPlan,
        SweepSummary,
        TensorChange,
        VerifyFinding,
        VerifyReport,
        Version,
        VersionAtRisk,
        VersionState,
    )

__all__ = [
    "AccessExplanation",
    "Action",
    "Artifact",
    "ArtifactPolicy",
    "Change",
    "CheckResult",
    "Client",
    "ClientSettings",
    "Diff",
    "DiffSummary",
    "File",
    "FileChange",
    "IndexReport",
    "JournalEntry",
    "KekVersionCount",
    "KeyEntry",
    "KeyState",
    "Kind",
    "ObjectExplanation",
    "ObjectState",
    "ObjectUse",
    "Progress",
    "Project",
    "PullResult",
    "PushResult",
    "Ref",
    "RepairReport",
    "Retention",
    "RetentionExplanation",
    "RetireReport",
    "RewrapReport",
    "RoleAssignment",
    "RotateReport",
    "ServerInfo",
    "Stage",
    "StoreFinding",
    "StoreVerifyReport",
    "StrongroomError",
    "StrongroomFile",
    "SweepPlan",
    "SweepSummary",
    "TensorChange",
    "VerifyFinding",
    "VerifyReport",
    "Version",
    "VersionAtRisk",
    "VersionState",
    "connect",
]

_HOMES = {
    "Client": "client",
    "connect": "client",
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
