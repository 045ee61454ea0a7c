# SPDX-License-Identifier: Apache-2.0
"""Bit rot (security.md T9): found wherever it strikes, and mended from a copy."""

import random
from collections import Counter
from pathlib import Path

import pytest

from strongroom.format.names import ArtifactName
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.core.verify_records import StoreFinding
from tests.support.copies import copy_to, verify_store
from tests.support.damage import one_bit_flipped
from tests.support.samples import filled
from tests.support.sweeps import Sweeper, delete, set_policy
from tests.support.weights import safetensors_file
from tests.support.world import World, memory_world

FLIPS = 1000
GONE = ArtifactName("demo", "gone")
MIB = 1024 * 1024
#: What tells nothing without keys: sealed objects whose names are no digests. Of
#: those only the clear header can be judged.
SEALED = frozenset({"keys", "projects", "index", "sweep"})


def fill(world: World) -> dict[str, dict[str, bytes]]:
    """Store a few versions of all kinds; return what they hold, by number."""
    small = {f"data/{number:03}.txt": filled(str(number), 700) for number in range(40)}
    weights = safetensors_file({str(i): filled(f"w{i}", MIB) for i in range(3)})
    first = {**small, "m.safetensors": weights, "big.bin": filled("big", 5 * MIB)}
    second = {**first, "data/000.txt": b"changed", "new": filled("new", 9000)}
    world.push(first)
    world.push(second)
    world.move("prod", "1")
    world.push({"gone": filled("gone", MIB)}, GONE)
    world.push({"left": b"left"}, GONE)
    set_policy(world, ArtifactPolicy(trash_days=0), GONE)
    delete(world, 1, GONE)
    sweeper = Sweeper(world)
    sweeper.sweep()
    assert sweeper.sweep().removed_count > 0
    return {"1": first, "2": second}


def flip_at_random(world: World, count: int) -> set[str]:
    """Flip that many random bytes over all stored objects; return what was hit."""
    rng = random.Random(20261123)
    objects = world.bucket.objects()
    # Objects are chosen evenly, not by size: else nearly all flips hit packs.
    for _ in range(count):
        number = rng.randrange(len(objects))
        item, data = objects[number]
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        objects[number] = (item, bytes(damaged))
    hit = set()
    before = {item.key: data for item, data in world.bucket.objects()}
    for item, data in objects:
        if data != before[item.key]:
            world.bucket.corrupt(item.key, item.version_id, data)
            hit.add(item.key)
    return hit


def keys_of(findings: list[StoreFinding]) -> set[str]:
    return {finding.object for finding in findings}


def test_a_thousand_flips_are_all_found_and_mended(tmp_path: Path) -> None:
    with memory_world() as world:
        pushed = fill(world)
        copy = copy_to(world, tmp_path)

        hit = flip_at_random(world, FLIPS)
        assert hit == set(world.keys())
        keyless, _ = verify_store(world, without_keys=True)
        mended, report = verify_store(world, copies=[copy], repair=True)
        assert keys_of(mended) == hit
        assert all(finding.repaired for finding in mended)
        assert (report.damaged_count, report.repaired_count) == (0, len(hit))
        unseen = {key.partition("/")[0] for key in hit - keys_of(keyless)}
        assert unseen <= SEALED

        assert verify_store(world)[0] == []
        assert verify_store(world, without_keys=True)[0] == []
        fresh = world.reopened()
        assert {number: fresh.pull(number) for number in pushed} == pushed
        assert verify_store(fresh)[0] == []


@pytest.mark.parametrize("with_keys", [True, False])
def test_one_flip_anywhere_is_found_alone(with_keys: bool) -> None:
    """One byte of each object at several places, so that nothing hides another."""
    with memory_world() as world:
        world.push({"a": filled("a", 3000), "b": b"x" * 5})
        world.push({"a": filled("a", 3000), "b": b"y" * 5})
        missed: Counter[str] = Counter()
        for item, data in list(world.bucket.objects()):
            for byte in range(0, len(data), max(1, len(data) // 11)):
                damaged = one_bit_flipped(data, byte * 8 + byte % 8)
                world.bucket.corrupt(item.key, item.version_id, damaged)
                findings, _ = verify_store(world, without_keys=not with_keys)
                if keys_of(findings) != {item.key}:
                    missed[item.key.partition("/")[0]] += 1
            world.bucket.corrupt(item.key, item.version_id, data)

    assert set(missed) <= (set() if with_keys else SEALED)
