# SPDX-License-Identifier: Apache-2.0
"""Writes a golden store: `python -m tests.golden.recipe NAME`, once a release.

A golden store is everything that a release left in a bucket, with the keys that
open it and what must come back out of it. Later code must read each of them for
ever, so none is ever written anew: the recipe makes the next one.
"""

import hashlib
import json
import struct
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_keys import MemoryKeyService, MemorySigner
from strongroom_server.core.records import Kind
from strongroom_server.core.suites import FIPS_SUITE
from tests.support.clock import ManualClock
from tests.support.entropy import SeededEntropy
from tests.support.world import World

FOLDER: Final = Path(__file__).parent
DATASET: Final = ArtifactName("golden", "dataset")
WEIGHTS: Final = ArtifactName("golden", "weights")
FIPS: Final = ArtifactName("golden-fips", "table")


def noise(name: str, size_bytes: int) -> bytes:
    """Return bytes that do not compress and that a name repeats."""
    return hashlib.shake_256(name.encode()).digest(size_bytes)


def safetensors(tensors: dict[str, bytes]) -> bytes:
    """Return a file of bf16 tensors."""
    header: dict[str, Any] = {}
    start = 0
    for name, data in tensors.items():
        end = start + len(data)
        header[name] = {
            "dtype": "BF16",
            "shape": [len(data) // 2],
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(tensors.values())


def fill(world: World) -> None:
    """Push what every golden store holds."""
    files = {f"{number % 7}/{number:04}.bin": noise(f"f{number}", 40 + number)
             for number in range(600)}  # fmt: skip
    files |= {"empty": b"", "run.sh": b"#!/bin/sh\n", "Ünicode/ä": b"umlauts"}
    world.push(files, DATASET, executables=frozenset({"run.sh"}), kind=Kind.DATASET)
    files["3/0003.bin"] = noise("changed", 50)
    world.push(files, DATASET, executables=frozenset({"run.sh"}))
    world.push({"one": b"only"}, DATASET)
    world.move("prod", "1", DATASET)
    world.move("prod", "2", DATASET)
    # One tensor with a chunk of its own, and small ones that share one.
    tensors = {"embed": noise("embed", 1 << 20)} | {
        f"layer.{number}": noise(f"t{number}", 1 << 15) for number in range(5)
    }
    world.push({"model.safetensors": safetensors(tensors)}, WEIGHTS, kind=Kind.WEIGHTS)
    tensors["layer.2"] = noise("t2 tuned", 1 << 15)
    world.push({"model.safetensors": safetensors(tensors)}, WEIGHTS)
    world.move("good", "1", WEIGHTS)
    with world.begin(WEIGHTS) as upload:
        # An upload that nobody committed: garbage, which readers must not mind.
        upload.start_file("left", size_bytes=10, executable=False)
        upload.write(b"left half", offset_bytes=0)
    world.reopened(suite=FIPS_SUITE).push({"t": noise("fips", 3000)}, FIPS)


def expected(world: World) -> dict[str, Any]:
    """Return what reading the store must give: digests of files, refs, journals."""
    found = {}
    for artifact in (DATASET, WEIGHTS, FIPS):
        record = world.artifacts.get_artifact(artifact)
        journal = world.artifacts.list_journal(artifact, page_size=0, page_token="")
        found[artifact.short] = {
            "kind": record.kind.value,
            "refs": {ref.name.ref: ref.version for ref in record.refs},
            "actions": [item.action.value for item in journal.items],
            "versions": {
                str(number): {
                    path: hashlib.sha256(data).hexdigest()
                    for path, data in world.pull(str(number), artifact).items()
                }
                for number in world.versions(artifact)
            },
        }
    return found


def main(name: str) -> None:
    """Write one golden store, if there is none of that name."""
    path = FOLDER / f"{name}.zip"
    entropy = SeededEntropy(1)
    keys, signer = MemoryKeyService(entropy=entropy), MemorySigner(entropy=entropy)
    with ThreadPoolExecutor(1) as executor:
        world = World(
            blobs=MemoryBlobStore(),
            key_service=keys,
            signer=signer,
            clock=ManualClock(),
            entropy=entropy,
            executor=executor,
        )
        fill(world)
        about = {
            "expected": expected(world),
            "keks": {kek: key.hex() for kek, key in keys._keks.items()},
            "public_keys": [
                [key.key_id, key.algorithm.value, key.data.hex()]
                for key in signer.public_keys().values()
            ],
        }
        with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("about.json", json.dumps(about, indent=1, sort_keys=True))
            for item, data in world.bucket.objects():
                archive.writestr(f"objects/{item.version_id}/{item.key}", data)


if __name__ == "__main__":
    main(sys.argv[1])
