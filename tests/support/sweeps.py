# SPDX-License-Identifier: Apache-2.0
"""Sweeps of a world on memory adapters: plan, apply, and what is left in the bucket."""

import uuid
from dataclasses import dataclass

from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.adapters.memory import MemoryBlobRemover
from strongroom_server.core.records import ArtifactPolicy, VersionRecord
from strongroom_server.core.sweep_plan import SweepPlan, SweepSummary
from strongroom_server.ports import BlobRemover
from strongroom_server.services.retention import Retention
from strongroom_server.services.sweeping import Sweeping, SweepSettings
from tests.support.world import ARTIFACT, CALLER, World

#: Nothing waits: the protocol alone keeps what is needed.
AT_ONCE = SweepSettings(min_age_s=0.0, grace_s=0.0, upload_age_s=0.0)
DAY_S = 86_400.0


@dataclass
class Sweeper:
    """A server that sweeps one world."""

    world: World
    settings: SweepSettings = AT_ONCE
    may_remove: bool = True

    def __post_init__(self) -> None:
        self.remover = MemoryBlobRemover(self.world.bucket)
        remover: BlobRemover | None = self.remover if self.may_remove else None
        self.sweeping = Sweeping(self.world.repository, remover, self.settings)

    def plan(self, only: ProjectName | None = None) -> SweepPlan:
        """Return what a sweep would do."""
        *_, plan = self.sweeping.plan(only)
        assert isinstance(plan, SweepPlan)
        return plan

    def apply(self, plan: SweepPlan) -> SweepSummary:
        """Do what a plan says."""
        return self.apply_bytes(self.sweeping.encode(plan))

    def apply_bytes(self, data: bytes) -> SweepSummary:
        """Do what the bytes of a plan say."""
        *_, summary = self.sweeping.apply(
            data, reason="a reason", request_id=str(uuid.uuid4()), caller=CALLER
        )
        assert isinstance(summary, SweepSummary)
        return summary

    def sweep(self) -> SweepSummary:
        """Plan and apply once."""
        return self.apply(self.plan())


def delete(
    world: World,
    version: int,
    artifact: ArtifactName = ARTIFACT,
    *,
    request_id: str = "",
    validate_only: bool = False,
) -> VersionRecord:
    """Put a version into the trash."""
    return Retention(world.repository).delete(
        VersionName(artifact, str(version)),
        reason="a reason",
        request_id=request_id or str(uuid.uuid4()),
        validate_only=validate_only,
        caller=CALLER,
    )


def undelete(
    world: World,
    version: int,
    artifact: ArtifactName = ARTIFACT,
    *,
    request_id: str = "",
) -> VersionRecord:
    """Take a version out of the trash."""
    return Retention(world.repository).undelete(
        VersionName(artifact, str(version)),
        reason="a reason",
        request_id=request_id or str(uuid.uuid4()),
        caller=CALLER,
    )


def hold(
    world: World,
    version: int,
    *,
    lift: bool = False,
    artifact: ArtifactName = ARTIFACT,
    request_id: str = "",
) -> None:
    """Set or lift a hold; version 0 means the whole artifact."""
    Retention(world.repository).hold(
        VersionName(artifact, str(version)) if version else artifact,
        hold=not lift,
        reason="a reason",
        request_id=request_id or str(uuid.uuid4()),
        caller=CALLER,
    )


def set_policy(
    world: World,
    policy: ArtifactPolicy,
    artifact: ArtifactName = ARTIFACT,
    *,
    request_id: str = "",
) -> None:
    """Set an artifact's policy."""
    Retention(world.repository).set_policy(
        artifact,
        policy,
        reason="a reason",
        request_id=request_id or str(uuid.uuid4()),
        caller=CALLER,
    )
