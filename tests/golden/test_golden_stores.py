# SPDX-License-Identifier: Apache-2.0
"""Golden stores: what earlier releases wrote is read by this one, byte for byte."""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from strongroom.errors import Reason
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_keys import MemoryKeyService, MemorySigner
from strongroom_server.core.signatures import PublicKey, Signature, SignatureAlgorithm
from tests.golden.recipe import DATASET, FOLDER, WEIGHTS, expected
from tests.support.world import World

STORES: Final = sorted(FOLDER.glob("*.zip"))


class GoldenSigner(MemorySigner):
    """Verifies what the release signed, and signs on with a key of its own."""

    def __init__(self, keys: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(entropy=SystemEntropy())
        self._golden = {
            key_id: PublicKey(key_id, SignatureAlgorithm(name), bytes.fromhex(data))
            for key_id, name, data in keys
        }

    def sign(self, message: bytes) -> Sequence[Signature]:
        return [
            Signature(f"new.{item.key_id}", item.algorithm, item.value)
            for item in super().sign(message)
        ]

    def public_keys(self) -> Mapping[str, PublicKey]:
        new = super().public_keys().values()
        return self._golden | {
            f"new.{key.key_id}": PublicKey(f"new.{key.key_id}", key.algorithm, key.data)
            for key in new
        }


class GoldenBlobStore(MemoryBlobStore):
    """A bucket as a release left it, under the version ids that it was given."""

    def load(self, key: str, version_id: str, data: bytes) -> None:
        made = self.overwrite(key, data)
        self._versions[key] = [
            replace(item, version_id=version_id) if item.version_id == made else item
            for item in self._versions[key]
        ]


@pytest.fixture(params=STORES, ids=[path.stem for path in STORES])
def golden(request: pytest.FixtureRequest) -> Iterator[tuple[World, dict[str, Any]]]:
    """Open one golden store with this release's code."""
    path: Path = request.param
    blobs = GoldenBlobStore()
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("about.json"))
        for name in archive.namelist():
            if name.startswith("objects/"):
                _, version_id, key = name.split("/", 2)
                data = archive.read(name)
                blobs.load(key, version_id, data)
    keys = MemoryKeyService(entropy=SystemEntropy())
    keys._keks.update({kek: bytes.fromhex(key) for kek, key in about["keks"].items()})
    with ThreadPoolExecutor(2) as executor:
        world = World(
            blobs=blobs,
            key_service=keys,
            signer=GoldenSigner(about["public_keys"]),
            executor=executor,
        )
        yield world, about["expected"]


def test_there_is_a_store_of_each_format() -> None:
    assert {"0.1-format-1", "0.2-format-2"} <= {path.stem for path in STORES}


def test_everything_reads_back_as_the_release_wrote_it(
    golden: tuple[World, dict[str, Any]],
) -> None:
    world, about = golden
    names = [ArtifactName(*name.split("/")) for name in about]
    assert expected(world, names) == about


def test_verification_finds_nothing_wrong(
    golden: tuple[World, dict[str, Any]],
) -> None:
    world, about = golden
    for name, artifact in about.items():
        findings, report = world.verify(ArtifactName(*name.split("/")))
        assert report.damaged_count == 0, findings
        purged = {"error": Reason.VERSION_PURGED.value}
        stored = [found for found in artifact["versions"].values() if found != purged]
        assert report.version_count == len(stored)


def test_the_store_goes_on_and_shares_what_it_holds(
    golden: tuple[World, dict[str, Any]],
) -> None:
    world, _ = golden
    files = world.pull("2", DATASET)
    unshared = world.push({**files, "new": b"of this release"}, DATASET).version
    assert unshared.number == 4
    assert unshared.stored_bytes < 100_000
    assert world.pull("4", DATASET)["new"] == b"of this release"
    assert world.move("good", "2", WEIGHTS).version == 2
    assert world.pull("1", DATASET) != files
