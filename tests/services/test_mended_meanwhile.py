# SPDX-License-Identifier: Apache-2.0
"""What is pushed while a version is being mended is not hidden by the mending."""

from collections.abc import Callable

import pytest

from strongroom.errors import IntegrityError
from strongroom.format.names import ArtifactName, VersionName
from strongroom_server.core import layout
from strongroom_server.core.records import ArtifactPolicy
from strongroom_server.ports import BlobVersion
from strongroom_server.repository import contents
from tests.services.test_mended_packs import only, told
from tests.services.test_repairing import send
from tests.support.copies import flip, stored, verify_store
from tests.support.damage import one_bit_flipped
from tests.support.samples import filled
from tests.support.sweeps import Sweeper, delete, set_policy
from tests.support.world import ARTIFACT, World

FILES = {"gone": filled("gone", 3000), "kept": filled("kept", 3000)}
FIRST, SECOND = VersionName(ARTIFACT, "1"), VersionName(ARTIFACT, "2")
OTHER = ArtifactName("demo", "other")


@pytest.fixture
def broken(world: World) -> BlobVersion:
    """A pack that has lost two chunks; of the versions, only one is missed."""
    world.push(FILES)
    pack, data = next(item for item in stored(world, "packs/") if len(item[1]) > 6000)
    world.push({"kept": FILES["kept"]})
    artifact, version = world.repository.version(FIRST)
    for entry in contents.files_of(world.repository, artifact, version):
        data = one_bit_flipped(data, 8 * (entry.chunks[0].offset_bytes + 100))
    set_policy(world, ArtifactPolicy(trash_days=0))
    delete(world, 1)
    sweeper = Sweeper(world)
    for _ in range(3):
        sweeper.sweep()
    world.bucket.corrupt(pack.key, pack.version_id, data)
    return pack


def mend_while(world: World, meanwhile: Callable[[], object]) -> None:
    """Mend version 2; something happens between the look and the files."""
    with world.repairing.begin(SECOND) as repair:
        assert [path for paths in repair.look() for path in paths] == ["kept"]
        meanwhile()
        send(repair, "kept", FILES["kept"])
        assert repair.finish().damaged_paths == ()


def test_what_a_push_shared_meanwhile_is_damage(
    world: World, broken: BlobVersion
) -> None:
    engine = world.reopened()

    mend_while(engine, lambda: engine.push({"x": FILES["gone"]}, OTHER))

    with pytest.raises(IntegrityError):
        world.reopened().pull("1", OTHER)
    assert told(world) == [(broken.key, False)]
    assert verify_store(world.reopened())[1].damaged_count == 1
    assert list(stored(world, layout.MENDED)) == []


def test_what_a_push_needs_meanwhile_of_what_is_mended_is_no_damage(
    world: World, broken: BlobVersion
) -> None:
    engine = world.reopened()

    mend_while(
        engine,
        lambda: engine.push({"x": FILES["kept"], "y": b"new"}, OTHER),
    )

    assert world.reopened().pull("1", OTHER)["x"] == FILES["kept"]
    assert told(world) == [(broken.key, True)]


def test_nothing_is_stated_if_a_version_cannot_be_read_meanwhile(
    world: World, broken: BlobVersion
) -> None:
    def push_and_rot() -> None:
        engine.push({"x": b"1"}, OTHER)
        manifest = engine.repository.version(VersionName(OTHER, "1"))[1].manifest
        flip(engine, *only(engine, layout.manifest_key(manifest)), 8 * 100)

    engine = world.reopened()

    mend_while(engine, push_and_rot)

    assert (broken.key, False) in told(world)
    assert list(stored(world, layout.MENDED)) == []
