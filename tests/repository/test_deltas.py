# SPDX-License-Identifier: Apache-2.0
"""Policies and deltas: what they store, what they are read from, what they need."""

import pytest

from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Codec
from strongroom_server.repository.sweeps import SweepView
from tests.support.content import (
    MIB,
    keys_of,
    load,
    read,
    refs_of,
    remove_pack,
    store,
    writer_of,
)
from tests.support.numbers import weights, weights_file
from tests.support.world import World

WEIGHTS, STEPPED = weights(2 * MIB), weights(2 * MIB, steps=1)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("choice", CodecChoice)
def test_each_policy_stores_as_much_as_it_should_and_reads_back(
    world: World, choice: CodecChoice, suffix: str
) -> None:
    path = f"model{suffix}"
    first = {path: weights_file({"a": WEIGHTS, "b": WEIGHTS[::-1]})}
    second = {path: weights_file({"a": STEPPED, "b": STEPPED[::-1]})}
    size = len(first[path])

    parent = store(writer_of(world, choice), first)
    manifest = load(world, parent)
    child = store(writer_of(world, choice, parent=manifest), second)
    other = load(world, child)

    assert read(world, manifest) == first
    assert read(world, other) == second
    limits = {
        CodecChoice.RAW: (1.04, 1.04),
        CodecChoice.COMPACT: (0.69, 0.69),
        CodecChoice.DELTA: (0.69, 0.21),
    }
    assert parent.stored_bytes < limits[choice][0] * size + 8000
    assert child.stored_bytes < limits[choice][1] * size + 8000


def test_a_delta_is_never_made_to_a_delta(world: World) -> None:
    manifest = None
    bases = set()
    for steps in range(4):
        files = {"m.safetensors": weights_file({"a": weights(MIB, steps=steps)})}
        writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
        manifest = load(world, store(writer, files))
        assert read(world, manifest) == files
        _, ref = refs_of(world, manifest)
        assert ref.codec == (Codec.DELTA if steps else Codec.GROUPED)
        bases.add(ref.base or ref)

    assert len(bases) == 1


def test_a_tensor_that_moves_in_the_file_still_finds_its_base(world: World) -> None:
    first = weights_file({"b": WEIGHTS, "c": WEIGHTS[::-1]})
    second = weights_file({"a": WEIGHTS[: MIB // 2], "b": STEPPED, "c": STEPPED[::-1]})
    manifest = load(world, store(writer_of(world), {"m.safetensors": first}))

    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    other = load(world, store(writer, {"m.safetensors": second}))

    deltas = [ref for ref in refs_of(world, other) if ref.codec == Codec.DELTA]
    assert len(deltas) == 2
    assert read(world, other) == {"m.safetensors": second}


def test_a_delta_reads_back_in_ranges_as_well(world: World) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    other = load(world, store(writer, {"m": STEPPED.tobytes()}))
    [ref] = refs_of(world, other)
    scope = keys_of(world).scope

    assert ref.codec == Codec.DELTA
    for start, length in ((0, 1), (MIB + 3, 70_000), (ref.plain_bytes - 5, 5)):
        found = world.repository.chunks.read_range(scope, ref, start, length)
        assert found == STEPPED.tobytes()[start : start + length]


def test_an_equal_chunk_is_shared_though_it_is_a_delta(world: World) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    [first] = refs_of(world, load(world, store(writer, {"m": STEPPED.tobytes()})))

    for engine in (world, world.reopened()):
        keys = keys_of(engine)
        engine.repository.chunk_index.refresh(keys)
        writer = writer_of(engine)
        [second] = refs_of(
            engine, load(engine, store(writer, {"x": STEPPED.tobytes()}))
        )
        assert second == first
        assert writer.packs_used >= set(first.packs)


@pytest.mark.parametrize("gone", ["own", "base"])
def test_a_delta_is_not_shared_if_a_pack_of_it_is_gone_or_condemned(
    world: World, gone: str
) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    [ref] = refs_of(world, load(world, store(writer, {"m": STEPPED.tobytes()})))
    assert ref.base is not None
    pack = ref.pack if gone == "own" else ref.base.pack
    view = SweepView(1, frozenset({bytes.fromhex(pack)}))

    again = writer_of(world, CodecChoice.DELTA, parent=manifest, view=view)
    files = {"m": STEPPED.tobytes()}
    fresh = load(world, store(again, files))
    assert writer.uses(view)
    assert not again.uses(view)
    assert pack not in {name for found in refs_of(world, fresh) for name in found.packs}

    remove_pack(world, pack)
    third = writer_of(world.reopened())
    assert not third.may_share(ref)


def test_a_damaged_parent_costs_bytes_and_nothing_else(world: World) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    [ref] = refs_of(world, manifest)
    remove_pack(world, ref.pack)

    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    other = load(world, store(writer, {"m": STEPPED.tobytes()}))

    assert {found.codec for found in refs_of(world, other)} == {Codec.GROUPED}
    assert read(world, other) == {"m": STEPPED.tobytes()}
