# SPDX-License-Identifier: Apache-2.0
"""Explaining a pack whose place somebody took, after the one that is read was gone."""

from strongroom_server.services.sweeping import ObjectExplanation, ObjectState
from tests.support.sweeps import Sweeper, content
from tests.support.world import World


def told_of(world: World, pack: str) -> tuple[ObjectExplanation, bool]:
    """Return what is told, and whether that what is read is gone."""
    *_, told = Sweeper(world).sweeping.explain(pack)
    assert isinstance(told, ObjectExplanation)
    return told, "what those versions read is gone" in "; ".join(told.causes)


def test_a_pack_that_came_after_the_one_that_is_read_is_told_as_such(
    world: World,
) -> None:
    world.push({"a.bin": content("shared")})
    found = world.bucket.objects()
    item, data = next(held for held in found if held[0].key.startswith("packs/"))
    before, _ = told_of(world, item.key)
    assert before.state is ObjectState.NEEDED

    world.bucket.delete_version(item.key, item.version_id)
    absent, is_gone = told_of(world, item.key)
    assert (absent.exists, is_gone) == (False, False)

    world.bucket.put_new(item.key, data)
    told, is_gone = told_of(world, item.key)
    assert (told.exists, told.state, is_gone) == (True, ObjectState.NEEDED, True)
    assert told.use_count == 1


def test_a_pack_that_versions_read_is_told_without_doubt(world: World) -> None:
    world.push({"a.bin": content("shared")})
    for pack in world.keys("packs/"):
        _, is_gone = told_of(world, pack)
        assert not is_gone
