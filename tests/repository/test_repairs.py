# SPDX-License-Identifier: Apache-2.0
"""Repairs: found by every server, bounded in memory, never in the way."""

from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, PreconditionError
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.repair import RepairRecord
from strongroom_server.repository import repairs as repairs_module
from strongroom_server.repository.repairs import Repairs
from tests.support.clock import ManualClock
from tests.support.copies import flip, stored
from tests.support.samples import raw_ref
from tests.support.world import ARTIFACT, World, memory_world


@pytest.fixture
def keys(world: World) -> DomainKeys:
    world.push({"a": b"1"})
    scope = world.repository.artifact(ARTIFACT).scope
    return world.repository.keyring.open(scope)


def moved(ref: ChunkRef, number: int) -> ChunkRef:
    """The same chunk in another pack."""
    return replace(ref, pack=f"{number:064x}", pack_version=f"v{number}")


def places(repairs: Repairs, keys: DomainKeys, ref: ChunkRef) -> list[str]:
    return [place.key.rpartition("/")[2] for place in repairs.places(keys, ref)]


def test_a_chunk_that_was_not_mended_has_no_other_place(
    world: World, keys: DomainKeys
) -> None:
    assert places(world.repository.repairs, keys, raw_ref()) == []


def test_every_server_finds_what_one_has_recorded(
    world: World, keys: DomainKeys
) -> None:
    ref, others = raw_ref(), world.reopened().repository.repairs
    assert places(others, keys, ref) == []

    world.repository.repairs.add(keys, RepairRecord((moved(ref, 7),)))

    for repairs in (world.repository.repairs, others):
        (place,) = repairs.places(keys, ref)
        assert place.key == layout.pack_key(f"{7:064x}")
        assert (place.version_id, place.ref.chunk_id) == ("v7", ref.chunk_id)


def test_all_places_of_a_chunk_are_tried_the_newest_first() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        world.push({"a": b"1"})
        keys = world.repository.keyring.open(world.repository.artifact(ARTIFACT).scope)
        ref, repairs = raw_ref(), world.repository.repairs
        for number in (1, 2):
            repairs.add(keys, RepairRecord((moved(ref, number),)))
            clock.advance(1.0)
        assert places(repairs, keys, ref) == [f"{2:064x}", f"{1:064x}"]

        repairs.add(keys, RepairRecord((moved(ref, 3),)))

        # What is known comes first, and what is new behind it.
        assert places(repairs, keys, ref) == [f"{n:064x}" for n in (2, 1, 3)]


def test_a_chunk_of_another_length_is_no_replacement(
    world: World, keys: DomainKeys
) -> None:
    ref = raw_ref(plain_bytes=1000)
    other = replace(moved(ref, 1), plain_bytes=999, stored_bytes=ref.stored_bytes - 1)
    world.repository.repairs.add(keys, RepairRecord((other,)))

    assert places(world.repository.repairs, keys, ref) == []


def test_copies_of_a_pack_are_places_too(world: World, keys: DomainKeys) -> None:
    ref, repairs = raw_ref(), world.repository.repairs
    repairs.add_copy(layout.pack_key(ref.pack), b"one")
    repairs.add_copy(layout.pack_key(ref.pack), b"two")

    found = list(repairs.places(keys, ref))

    assert {place.ref for place in found} == {ref}
    assert all(
        layout.copied_key(place.key) == layout.pack_key(ref.pack) for place in found
    )
    copies = repairs.copies(layout.pack_key(ref.pack), max_bytes=3)
    assert sorted(copies) == [b"one", b"two"]
    assert list(repairs.copies(layout.pack_key(ref.pack), max_bytes=2)) == []
    assert list(repairs.copies("packs/00", max_bytes=9)) == []


def test_damaged_packs_are_known_to_every_server(
    world: World, keys: DomainKeys
) -> None:
    repairs, others = world.repository.repairs, world.reopened().repository.repairs
    assert repairs.damaged(keys) == frozenset()
    record = RepairRecord(
        (raw_ref(),), damaged=("a" * 64, "b" * 64), mended=("b" * 64,)
    )

    others.add(keys, record)

    assert repairs.damaged(keys) == {"a" * 64, "b" * 64}
    assert repairs.mended(keys) == {"b" * 64}
    assert list(repairs.packs(keys)) == [raw_ref().pack]


def test_a_damaged_record_hides_only_itself_from_readers(
    world: World, keys: DomainKeys
) -> None:
    ref, repairs = raw_ref(), world.repository.repairs
    for number in (1, 2):
        repairs.add(keys, RepairRecord((moved(ref, number),)))
    record, data = next(stored(world, layout.repair_prefix(keys.scope.domain)))
    flip(world, record, data, 8 * 100)

    fresh = world.reopened().repository.repairs

    assert len(places(fresh, keys, ref)) == 1
    # A sweep must not take what it does not know to be needed.
    with pytest.raises(IntegrityError):
        list(fresh.packs(keys))


def test_a_record_under_another_key_is_refused(world: World, keys: DomainKeys) -> None:
    ref, repairs = raw_ref(), world.repository.repairs
    repairs.add(keys, RepairRecord((moved(ref, 1),)))
    _, data = next(stored(world, layout.repair_prefix(keys.scope.domain)))

    world.blobs.put_new(layout.repair_key(keys.scope.domain, 5, bytes(8)), data)

    assert len(places(world.reopened().repository.repairs, keys, ref)) == 1


def test_what_memory_does_not_hold_is_found_all_the_same(
    world: World, keys: DomainKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs_module, "_MAX_KNOWN_OF_DOMAIN", 5)
    refs = [raw_ref(number) for number in range(12)]
    for number in range(0, 12, 3):
        part = tuple(moved(ref, number) for ref in refs[number : number + 3])
        world.repository.repairs.add(keys, RepairRecord(part))

    fresh = world.reopened().repository.repairs

    for number, ref in enumerate(refs):
        assert places(fresh, keys, ref) == [f"{number // 3 * 3:064x}"]


def test_a_large_repair_is_written_in_parts(
    world: World, keys: DomainKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom_server.core.repair.MAX_CHUNKS", 4)
    monkeypatch.setattr("strongroom_server.core.repair.MAX_PACKS", 4)
    refs = tuple(raw_ref(number) for number in range(10))

    world.repository.repairs.add(keys, RepairRecord(refs, damaged=("c" * 64,)))

    prefix = layout.repair_prefix(keys.scope.domain)
    assert len(world.keys(prefix)) == 3
    fresh = world.reopened().repository.repairs
    assert fresh.damaged(keys) == {"c" * 64}
    assert all(places(fresh, keys, ref) == [ref.pack] for ref in refs)


def test_a_record_that_rot_makes_look_newer_is_left_out(
    world: World, keys: DomainKeys
) -> None:
    world.repository.repairs.add(keys, RepairRecord((moved(raw_ref(), 7),)))
    ((record, data),) = stored(world, layout.repair_prefix(keys.scope.domain))
    flip(world, record, data, 8 * 5 + 1)  # the number of the format

    repairs = world.reopened().repository.repairs

    assert places(repairs, keys, raw_ref()) == []
    assert repairs.damaged(keys) == frozenset()
    with pytest.raises(PreconditionError):
        list(repairs.packs(keys))


def test_a_copy_of_a_damaged_record_is_read_in_its_place(
    world: World, keys: DomainKeys
) -> None:
    world.repository.repairs.add(keys, RepairRecord((moved(raw_ref(), 7),)))
    ((record, data),) = stored(world, layout.repair_prefix(keys.scope.domain))
    world.repository.repairs.add_copy(record.key, data)
    flip(world, record, data, 8 * 100)

    repairs = world.reopened().repository.repairs

    assert places(repairs, keys, raw_ref()) == [f"{7:064x}"]
    assert set(repairs.packs(keys)) == {f"{7:064x}"}
