# SPDX-License-Identifier: Apache-2.0
"""Sweeps of a world on memory adapters: plan, apply, and what is left in the bucket."""

import hashlib
import uuid
from dataclasses import dataclass

from strongroom.format.digest import VersionDigester
from strongroom.format.names import ArtifactName, ProjectName, VersionName
from strongroom_server.adapters.memory import MemoryBlobRemover
from strongroom_server.core import layout
from strongroom_server.core.records import ArtifactPolicy, ArtifactRecord, VersionRecord
from strongroom_server.core.sweep_plan import SweepPlan, SweepSummary
from strongroom_server.ports import BlobRemover
from strongroom_server.services.retention import Creation, Retention
from strongroom_server.services.sweeping import Sweeping, SweepSettings
from strongroom_server.services.uploads import Upload
from tests.support.samples import filled
from tests.support.world import ARTIFACT, CALLER, World

#: Nothing waits: the protocol alone keeps what is needed.
AT_ONCE = SweepSettings(min_age_s=0.0, grace_s=0.0, upload_age_s=0.0)
DAY_S = 86_400.0
GONE_AT_ONCE = ArtifactPolicy(trash_days=0)


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
    etag: str = "",
    creation: Creation | None = None,
    validate_only: bool = False,
) -> ArtifactRecord:
    """Set an artifact's policy."""
    return Retention(world.repository).set_policy(
        artifact,
        policy,
        reason="a reason",
        request_id=request_id or str(uuid.uuid4()),
        etag=etag,
        creation=creation,
        validate_only=validate_only,
        caller=CALLER,
    )


def content(label: str, size: int = 300_000) -> bytes:
    """Return bytes that tell whose they are."""
    return (label.encode() * size)[:size]


def dropped(world: World) -> bytes:
    """Push a version, then another one, and let the first go; return its bytes."""
    old = content("old")
    world.push({"a.bin": old})
    world.push({"b.bin": content("new")})
    set_policy(world, GONE_AT_ONCE)
    delete(world, 1)
    return old


def damage(world: World, prefix: str, *, version: int = 0) -> None:
    """Damage something that a version of demo needs; 0 means the newest."""
    history = world.repository.artifact(ARTIFACT).history
    newest = history.versions[version - 1]
    manifest = world.repository.manifests.load(
        world.repository.artifact(ARTIFACT).scope,
        world.repository.artifact(ARTIFACT).journal.artifact,
        newest,
    )
    pages = list(
        world.repository.manifests.pages(
            world.repository.artifact(ARTIFACT).scope, manifest
        )
    )
    journal = world.repository.artifact(ARTIFACT).journal
    wanted = {
        "journals/": layout.journal_key(journal.project, journal.artifact, 1),
        "manifests/": layout.manifest_key(newest.manifest),
        "packs/": layout.pack_key(pages[0].chunks[0].pack),
    }[prefix]
    for item, data in world.bucket.objects():
        if item.key == wanted:
            flipped = data[:200] + bytes([data[200] ^ 1]) + data[201:]
            world.bucket.corrupt(item.key, item.version_id, flipped)


def abort(world: World) -> None:
    """Store a whole version, and end right before its commit."""
    data = filled("garbage", 1_000_000)
    with world.begin() as upload:
        upload.start_file("g.bin", size_bytes=len(data), executable=False)
        upload.write(data, offset_bytes=0)
        upload.end_file(digest_of(data))
        upload._content.finish()


def begun(world: World, data: bytes, artifact: ArtifactName = ARTIFACT) -> Upload:
    """Send a version's bytes, but do not commit."""
    upload = world.begin(artifact)
    upload.start_file("a.bin", size_bytes=len(data), executable=False)
    upload.write(data, offset_bytes=0)
    upload.end_file(digest_of(data))
    return upload


def commit(upload: Upload, data: bytes) -> None:
    """Commit what `begun` sent."""
    digester = VersionDigester()
    digester.add("a.bin", len(data), digest_of(data))
    with upload:
        upload.commit(file_count=1, digest=digester.digest())


def digest_of(data: bytes) -> str:
    """Return the digest of a file."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
