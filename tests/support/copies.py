# SPDX-License-Identifier: Apache-2.0
"""Copies of a store in memory, as folders, and what a verification says of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.adapters.folder_copy import FolderCopy
from strongroom_server.core.verify_records import StoreFinding, StoreReport
from strongroom_server.ports import BlobCopy, BlobVersion
from strongroom_server.services.store_verification import StoreVerification
from tests.support.damage import one_bit_flipped
from tests.support.world import ARTIFACT, World


def copy_to(world: World, folder: Path) -> FolderCopy:
    """Copy the oldest version of every object into a folder, as a sync would."""
    for item in world.blobs.first_versions(""):
        path = folder / item.key
        path.parent.mkdir(parents=True, exist_ok=True)
        data = world.blobs.get(
            item.key, version_id=item.version_id, max_bytes=item.size_bytes
        )
        path.write_bytes(data)
    return FolderCopy("the copy", folder)


def verify_store(
    world: World,
    scope: ProjectName | ArtifactName | None = None,
    *,
    copies: Sequence[BlobCopy] = (),
    without_keys: bool = False,
    repair: bool = False,
) -> tuple[list[StoreFinding], StoreReport]:
    """Verify; return what was found, and the report."""
    items = list(
        StoreVerification(world.repository, copies).verify(
            scope, without_keys=without_keys, repair=repair
        )
    )
    report = items.pop()
    assert isinstance(report, StoreReport)
    return [item for item in items if isinstance(item, StoreFinding)], report


def stored(world: World, prefix: str) -> Iterator[tuple[BlobVersion, bytes]]:
    """Yield the objects below a prefix, largest first."""
    found = [item for item in world.bucket.objects() if item[0].key.startswith(prefix)]
    yield from sorted(found, key=lambda item: -item[0].size_bytes)


def flip(world: World, item: BlobVersion, data: bytes, bit: int) -> None:
    """Flip one bit of a stored object, in place."""
    world.bucket.corrupt(item.key, item.version_id, one_bit_flipped(data, bit))


def hits(finding: StoreFinding) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """What a finding hits: by version the paths and the refs."""
    return {risk.name.short: (risk.paths, risk.refs) for risk in finding.at_risk}


def entries_of(
    world: World, artifact: ArtifactName = ARTIFACT
) -> list[tuple[BlobVersion, bytes]]:
    """The entries of an artifact's journal, in order."""
    folder = world.repository.artifact(artifact).record.artifact_id
    found = [item for item in stored(world, "journals/") if folder in item[0].key]
    return sorted(found, key=lambda item: item[0].key)
