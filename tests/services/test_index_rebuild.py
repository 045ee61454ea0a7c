# SPDX-License-Identifier: Apache-2.0
"""The local index is a cache: rebuilt from the store, whatever became of it."""

from strongroom.format.names import ArtifactName
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.services.index_rebuild import IndexRebuild
from tests.support.clock import ManualClock
from tests.support.damage import one_byte_changed
from tests.support.samples import filled
from tests.support.world import ARTIFACT, World, memory_world


def test_a_rebuilt_index_knows_every_chunk_again(world: World) -> None:
    data = filled("a", 3 * 2**20)
    world.push({"a": data})
    world.push({"b": filled("b", 2**20)}, ArtifactName("other", "one"))
    fresh = world.reopened()

    steps = list(IndexRebuild(fresh.repository).run())

    assert [step.done_count for step in steps] == sorted(
        step.done_count for step in steps
    )
    assert {step.total_count for step in steps} == {4}
    assert steps[-1].done_count == 4
    assert steps[-1].chunk_count > 3
    assert steps[-1].damaged_count == 0
    stored = fresh.push({"c": data}).version.stored_bytes
    assert stored < 10_000


def test_an_index_that_knew_too_much_forgets_it(world: World) -> None:
    world.push({"a": b"1"})
    world.repository.index.put_many({b"cnonsense": b"x"})

    list(IndexRebuild(world.repository).run())

    assert world.repository.index.get(b"cnonsense") is None
    assert world.pull() == {"a": b"1"}


def test_a_damaged_segment_is_counted_and_left_out(world: World) -> None:
    world.push({"a": filled("a", 2**20)})
    bucket = world.bucket
    for blob, data in bucket.objects():
        if blob.key.startswith("index/"):
            bucket.corrupt(blob.key, blob.version_id, one_byte_changed(data))
    fresh = world.reopened()

    last = list(IndexRebuild(fresh.repository).run())[-1]

    assert (last.chunk_count, last.damaged_count) == (0, 1)
    assert last.done_count == last.total_count == 2
    assert fresh.push({"b": b"2"}).version.number == 2


def test_a_rebuild_beside_a_push_leaves_nothing_out() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        for number in range(3):
            world.push({f"a{number}": filled(f"{number}", 1000)})
            clock.advance(3 * 3600)
        keys = world.repository.keyring.open(world.repository.artifact(ARTIFACT).scope)
        known = _known_count(world, keys)
        world.repository.chunk_index.clear()
        push = world.repository.chunk_index.catch_up(keys)
        next(push)
        rebuild = IndexRebuild(world.repository).run()
        next(rebuild)  # has cleared it

        list(push)  # notes how far it has come, and knows what it passed no more

        last = list(rebuild)[-1]
        assert last.done_count == last.total_count
        assert _known_count(world, keys) == known
        # Nor does the next push go by that note, if the rebuild stops half-way.
        world.repository.chunk_index.clear()
        push = world.repository.chunk_index.catch_up(keys)
        next(push)
        world.repository.chunk_index.clear()
        list(push)
        world.repository.chunk_index.refresh(keys)
        assert _known_count(world, keys) == known


def _known_count(world: World, keys: DomainKeys) -> int:
    return sum(1 for _ in world.repository.index.scan(b"c" + keys.scope.domain))
