# SPDX-License-Identifier: Apache-2.0
"""What a server knows of sweeps outlives it, and is never needed."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.adapters.lmdb_index import LmdbIndex, open_lmdb_index
from strongroom_server.adapters.memory import MemoryBlobStore, MemoryIndex
from strongroom_server.core import layout
from strongroom_server.core.sweep import Decided, Removed, SweepAct, SweepLog
from strongroom_server.ports import BlobStore, Index
from strongroom_server.repository.sweeps import Sweeps, SweepView
from strongroom_server.services.index_rebuild import IndexRebuild
from tests.support.damage import one_byte_changed
from tests.support.faulty import FaultyBlobStore
from tests.support.properties import QUICK
from tests.support.sweep_records import add, condemned, pack
from tests.support.world import World, memory_world

#: Three sweeps: one that is done with, one that is decided, one that is not.
THREE: list[SweepAct] = [
    condemned(1, 2),
    Decided(0, (1,)),
    condemned(3, 4),
    Removed(0),
    Decided(2, (0, 2)),
    condemned(5),
]


def started(
    world: World, index: Index | None = None, *, blobs: BlobStore | None = None
) -> Sweeps:
    """Return what a server begins with that has this index."""
    return Sweeps(
        blobs=blobs or world.blobs,
        index=index or MemoryIndex(),
        keyring=world.repository.keyring,
    )


def items_of(index: Index) -> dict[bytes, bytes]:
    return {**dict(index.scan(b"w")), **dict(index.scan(b"W"))}


def restarted_on(world: World, items: dict[bytes, bytes]) -> Sweeps:
    """Return what a server begins with that finds these items in its index."""
    index = MemoryIndex()
    index.put_many(items)
    return started(world, index)


def test_a_server_that_starts_reads_no_record_again(world: World) -> None:
    index, blobs = MemoryIndex(), FaultyBlobStore(world.bucket)
    first = started(world, index)
    add(first, *THREE)

    again = started(world, index, blobs=blobs)

    assert again.log() == first.log() == started(world).log()
    assert again.view() == first.view()
    # Is the last one still there, and the same one? Then one listing a time.
    assert blobs.calls == ["first_versions"] * 3


def test_a_server_that_starts_reads_what_others_wrote_meanwhile(world: World) -> None:
    index, blobs = MemoryIndex(), FaultyBlobStore(world.bucket)
    add(started(world, index), *THREE[:3])
    add(started(world), *THREE[3:])

    again = started(world, index, blobs=blobs)

    assert again.log() == started(world).log()
    assert blobs.calls.count("get") == 3
    blobs.calls.clear()
    assert started(world, index, blobs=blobs).view() == again.view()
    assert "get" not in blobs.calls


def test_an_empty_index_costs_a_read_for_each_record(world: World) -> None:
    blobs = FaultyBlobStore(world.bucket)
    add(started(world), *THREE)

    started(world, blobs=blobs).view()

    assert blobs.calls == ["first_versions"] + ["get"] * len(THREE)


def test_of_a_sweep_that_is_done_with_only_notes_are_kept(world: World) -> None:
    index = MemoryIndex()
    many = condemned(*range(100, 1100))
    add(started(world, index), many, Decided(0, ()))
    before = sum(map(len, items_of(index).values()))

    add(started(world, index), Removed(0))

    assert before > 50_000
    assert sum(map(len, items_of(index).values())) < 500


def test_the_index_tells_nobody_what_is_condemned(world: World) -> None:
    index = MemoryIndex()
    add(started(world, index), *THREE)

    known = b"".join(items_of(index).values())

    assert pack(5).encode() not in known
    assert b"somebody" not in known


def test_a_renewed_view_takes_account_of_what_went_before_the_start(
    world: World,
) -> None:
    index = MemoryIndex()
    add(started(world, index), condemned(1), Decided(0, ()), Removed(0))

    renewed = started(world, index).renew(SweepView(), at_least=1)

    assert renewed.epoch == 3
    assert renewed.is_condemned(pack(1))


@pytest.mark.parametrize("change", ["lost", "empty", "another's", "of its neighbour"])
def test_whatever_is_lost_of_the_index_is_read_again(world: World, change: str) -> None:
    index = MemoryIndex()
    add(started(world, index), *THREE)
    expected, items = started(world).log(), items_of(index)
    values = list(items.values())

    for place, key in enumerate(items):
        others = {other: data for other, data in items.items() if other != key}
        damaged: dict[bytes, bytes] = {
            "lost": others,
            "empty": {**others, key: b""},
            "another's": {**others, key: b"\1junk" * 50},
            "of its neighbour": {**others, key: values[place - 1]},
        }[change]
        assert restarted_on(world, damaged).log() == expected, key


def test_a_note_that_is_lost_costs_reads_from_there_on(world: World) -> None:
    index, blobs = MemoryIndex(), FaultyBlobStore(world.bucket)
    add(started(world, index), *THREE)
    items = items_of(index)
    del items[b"w" + bytes(7) + b"\4"]
    index.clear()
    index.put_many(items)

    again = started(world, index, blobs=blobs)

    assert again.log() == started(world).log()
    assert blobs.calls.count("get") == 2


def test_an_index_on_disk_remembers_if_it_was_closed_well(
    world: World, tmp_path: Path
) -> None:
    def opened() -> AbstractContextManager[LmdbIndex]:
        return open_lmdb_index(tmp_path, mac_key=bytes(32), map_size_bytes=2**16)

    with opened() as index:
        add(started(world, index), *THREE)
    blobs = FaultyBlobStore(world.bucket)
    with opened() as index:
        assert started(world, index, blobs=blobs).log() == started(world).log()
    assert blobs.calls.count("get") == 0

    (tmp_path / "seal").unlink()  # as after a crash
    with opened() as index:
        assert started(world, index, blobs=blobs).log() == started(world).log()
    assert blobs.calls.count("get") == len(THREE)


def test_only_the_last_transactions_of_an_index_may_be_missing(world: World) -> None:
    index = MemoryIndex()
    first = started(world, index)
    states = [items_of(index)]
    for act in THREE:
        add(first, act)
        states.append(items_of(index))

    for number, items in enumerate(states):
        blobs = FaultyBlobStore(world.bucket)
        older = MemoryIndex()
        older.put_many(items)
        assert started(world, older, blobs=blobs).log() == first.log()
        assert blobs.calls.count("get") == len(THREE) - number


@pytest.mark.parametrize("count", [1, len(THREE)])
def test_a_server_that_only_kept_its_index_tells_that_records_are_gone(
    world: World, count: int
) -> None:
    index = MemoryIndex()
    add(started(world, index), *THREE)
    for item, _ in reversed(world.bucket.objects()):
        number = item.key.removeprefix(layout.SWEEP)
        if number.isdecimal() and int(number) >= len(THREE) - count:
            world.bucket.delete_version(item.key, item.version_id)

    with pytest.raises(IntegrityError) as caught:
        started(world, index).view()

    assert caught.value.reason is Reason.RECORD_CORRUPT
    assert started(world).view().epoch == len(THREE) - count


def test_an_index_that_comes_from_a_copy_of_the_store_is_not_believed(
    world: World,
) -> None:
    add(started(world), condemned(1, 2))
    copy, index = MemoryBlobStore(), MemoryIndex()
    for item, data in world.bucket.objects():
        copy.put_new(item.key, data)
    # There, all of it was needed again; here, it goes.
    add(started(world, index, blobs=copy), Decided(0, (0, 1, 2)))
    add(started(world), Decided(0, ()))

    view = started(world, index).view()

    assert view == started(world).view()
    assert view.is_condemned(pack(1))
    # And from now on it is noted what is here.
    blobs = FaultyBlobStore(world.bucket)
    assert started(world, index, blobs=blobs).view() == view
    assert "get" not in blobs.calls


def test_a_record_that_was_taken_from_a_copy_is_noted_as_that(world: World) -> None:
    index, first = MemoryIndex(), started(world)
    add(first, *THREE)
    item, data = next(
        found for found in world.bucket.objects() if found[0].key == layout.sweep_key(2)
    )
    world.bucket.put_new(layout.copy_key(item.key, bytes(8)), data)
    world.bucket.corrupt(item.key, item.version_id, one_byte_changed(data))
    started(world, index).view()
    blobs = FaultyBlobStore(world.bucket)

    again = started(world, index, blobs=blobs)

    assert again.log() == first.log()
    assert "get" not in blobs.calls
    assert again.renew(SweepView(), at_least=6).is_condemned(pack(1))


def test_what_is_read_again_is_what_was_taken_in(world: World) -> None:
    first, copy = started(world), MemoryBlobStore()
    add(first, condemned(1), Decided(0, ()), Removed(0))
    add(started(world, blobs=copy), condemned(2))
    ((_, other),) = copy.objects()
    assert first.renew(SweepView(), at_least=3).is_condemned(pack(1))

    # Whole, and sealed for this very number; but another one.
    item = next(iter(world.bucket.first_versions(layout.SWEEP)))
    world.bucket.corrupt(item.key, item.version_id, other)

    with pytest.raises(IntegrityError):
        first.renew(SweepView(), at_least=3)


def test_an_index_that_is_full_stops_nothing_for_good(world: World) -> None:
    class Full(MemoryIndex):
        is_full = True

        def put_many(self, items):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if self.is_full:
                message = "the disk is full"
                raise UnavailableError(message, reason=Reason.INDEX_UNAVAILABLE)
            super().put_many(items)

    index = Full()
    add(started(world), *THREE)
    sweeps = started(world, index)
    with pytest.raises(UnavailableError):
        sweeps.view()

    index.is_full = False

    assert sweeps.log() == started(world).log()
    assert started(world, index).log() == sweeps.log()


def test_a_rebuilt_index_knows_the_records_again(world: World) -> None:
    fresh = world.reopened()
    add(fresh.repository.sweeps, *THREE)
    before = items_of(fresh.index)

    list(IndexRebuild(fresh.repository).run())

    assert {key: data for key, data in items_of(fresh.index).items() if data} == {
        key: data for key, data in before.items() if data
    }
    blobs = FaultyBlobStore(world.bucket)
    assert started(world, fresh.index, blobs=blobs).view().epoch == len(THREE)
    assert "get" not in blobs.calls


@QUICK
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 7), st.booleans()), max_size=12
    )
)
def test_a_server_that_starts_again_and_again_knows_what_stands(
    steps: list[tuple[int, int, bool]],
) -> None:
    with memory_world() as world:
        index, other = MemoryIndex(), started(world)
        for what, number, by_other in steps:
            log = other.log()
            act = _next(log, what, number)
            if act is not None:
                add(other if by_other else started(world, index), act)
            assert started(world, index).log() == started(world).log()
            assert started(world, index).view() == other.view()


def _next(log: SweepLog, what: int, number: int) -> SweepAct | None:
    """Return a record that may follow."""
    if not what:
        return condemned(*range(number))
    is_decided = what == 2
    waiting = [
        of for of, item in log.open.items() if (item.rescued is not None) == is_decided
    ]
    if not waiting:
        return None
    of = waiting[number % len(waiting)]
    return Removed(of) if is_decided else Decided(of, (0,) * (number % 2))
