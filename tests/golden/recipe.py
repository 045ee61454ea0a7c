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
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from strongroom.errors import PreconditionError
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.adapters.memory_keys import MemoryKeyService, MemorySigner
from strongroom_server.core.records import DEFAULT_POLICY, Kind
from strongroom_server.core.suites import FIPS_SUITE
from strongroom_server.services.uploads import UploadStart, progress
from tests.support.clock import ManualClock
from tests.support.copies import flip, stored
from tests.support.entropy import SeededEntropy
from tests.support.numbers import weights, weights_file
from tests.support.sweeps import Sweeper
from tests.support.world import CALLER, World

FOLDER: Final = Path(__file__).parent
DATASET: Final = ArtifactName("golden", "dataset")
WEIGHTS: Final = ArtifactName("golden", "weights")
FIPS: Final = ArtifactName("golden-fips", "table")
STEPS: Final = ArtifactName("golden", "steps")
MANY: Final = ArtifactName("golden", "many")
TRASH: Final = ArtifactName("golden", "trash")
BROKEN: Final = ArtifactName("golden", "broken")
MAX_LISTED: Final = 1000
ALL: Final = (DATASET, WEIGHTS, FIPS, STEPS, MANY, TRASH, BROKEN)


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


def fill_upkeep(world: World) -> None:
    """Add what keeps a store going: deltas, lists of pages, trash, sweeps, repairs."""
    tensors = {f"t{number}": 140_000 for number in range(3)}
    for steps in range(3):
        content = {
            name: weights(count, seed=seed, steps=steps)
            for seed, (name, count) in enumerate(tensors.items())
        }
        files = {"model.safetensors": weights_file(content)}
        world.push(files, STEPS, kind=Kind.CHECKPOINT)
    # Enough for lists of pages.
    many = {f"{number:05}": b"%d" % number for number in range(10_000)}
    world.push(many, MANY)
    world.push({**many, "05000": b"changed"}, MANY)
    world.push({"a": noise("1", 5000)}, TRASH)
    world.retention.set_policy(
        TRASH, replace(DEFAULT_POLICY, trash_days=0, codec="raw", cuts="content"),
        reason="golden", request_id="policy", validate_only=False, caller=CALLER,
    )  # fmt: skip
    for number in (2, 3, 4):
        world.push({"a": noise(str(number), 5000)}, TRASH)
    for number in (1, 2):
        world.retention.delete(
            VersionName(TRASH, str(number)), reason="golden",
            request_id=f"delete {number}", caller=CALLER,
        )  # fmt: skip
    world.retention.undelete(
        VersionName(TRASH, "2"), reason="golden", request_id="undelete", caller=CALLER
    )
    world.retention.hold(
        VersionName(TRASH, "2"), hold=True, reason="golden", request_id="hold",
        caller=CALLER,
    )  # fmt: skip
    # Record after record, so that version 1 is purged and its pack removed.
    sweeper = Sweeper(world)
    for _ in range(3):
        sweeper.sweep()
    # An upload that somebody may go on with.
    start = UploadStart(TRASH, None, "", {}, "golden upload", resumable=True)
    with soon_recorded(), world.uploads.begin(start, caller=CALLER) as upload:
        for number in range(30):
            data = noise(f"resumed {number}", 20_000)
            upload.start_file(f"{number:02}", size_bytes=len(data), executable=False)
            upload.write(data, offset_bytes=0)
            upload.end_file("sha256:" + hashlib.sha256(data).hexdigest())
    damage_and_mend(world)


@contextmanager
def soon_recorded() -> Iterator[None]:
    """Let small uploads leave records, too."""
    with (
        patch.object(progress, "RECORD_BYTES", 100_000),
        patch.object(progress, "FILE_BYTES", 0),
    ):
        yield


def damage_and_mend(world: World) -> None:
    """Damage a pack, and mend it by the file that it held."""
    broken = noise("broken", 70_000)
    before = set(world.keys("packs/"))
    world.push({"f": broken}, BROKEN)
    packs = [found for found in stored(world, "packs/") if found[0].key not in before]
    # The largest of the two; the other one holds the page of the file table.
    flip(world, *packs[0], 8 * 30_000)
    with world.repairing.begin(VersionName(BROKEN, "1")) as repair:
        for _ in repair.look():
            pass
        repair.start_file("f", size_bytes=len(broken), executable=False)
        repair.write(broken, offset_bytes=0)
        repair.end_file("sha256:" + hashlib.sha256(broken).hexdigest())
        repair.finish()


def expected(world: World, artifacts: Iterable[ArtifactName] = ALL) -> dict[str, Any]:
    """Return what reading the store must give: files by digest, refs, journals."""
    found = {}
    for artifact in artifacts:
        record = world.artifacts.get_artifact(artifact)
        journal = world.artifacts.list_journal(artifact, page_size=0, page_token="")
        found[artifact.short] = {
            "kind": record.kind.value,
            "refs": {ref.name.ref: ref.version for ref in record.refs},
            "actions": [item.action.value for item in journal.items],
            "versions": {
                str(number): digests(world, artifact, number)
                for number in world.versions(artifact)
            },
        }
    return found


def digests(world: World, artifact: ArtifactName, number: int) -> dict[str, str]:
    """Return the SHA-256 of a version's files; of many, one of all together."""
    try:
        files = world.pull(str(number), artifact)
    except PreconditionError as error:
        return {"error": error.reason.value}
    found = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    if len(found) <= MAX_LISTED:
        return found
    lines = "".join(f"{path} {found[path]}\n" for path in sorted(found))
    return {"all": hashlib.sha256(lines.encode()).hexdigest()}


def main(name: str) -> None:
    """Write one golden store, if there is none of that name."""
    path = FOLDER / f"{name}.zip"
    entropy = SeededEntropy(1)
    clock = ManualClock()
    keys, signer = MemoryKeyService(entropy=entropy), MemorySigner(entropy=entropy)
    with ThreadPoolExecutor(1) as executor:
        world = World(
            blobs=MemoryBlobStore(clock),
            key_service=keys,
            signer=signer,
            clock=clock,
            entropy=entropy,
            executor=executor,
        )
        fill(world)
        fill_upkeep(world)
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
