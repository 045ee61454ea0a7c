# SPDX-License-Identifier: Apache-2.0
"""Mending journals and sweep records beside a copy that went its own way.

Somebody rehearsed a restore: a server ran on a copy of the bucket, with the same
keys. What it wrote there is signed and sealed, and belongs nowhere here.
"""

from collections.abc import Callable, Sequence

import pytest

from strongroom.errors import IntegrityError
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.core.verify_records import StoreFinding
from strongroom_server.ports import BlobCopy, BlobVersion
from strongroom_server.repository.copies import BucketCopy
from tests.support.copies import entries_of, flip, stored, verify_store
from tests.support.sweeps import Sweeper, dropped
from tests.support.world import ARTIFACT, World

Harm = Callable[[World, tuple[BlobVersion, bytes]], None]


def rot(world: World, found: tuple[BlobVersion, bytes]) -> None:
    item, data = found
    flip(world, item, data, 8 * (len(data) - 100))


def lose(world: World, found: tuple[BlobVersion, bytes]) -> None:
    world.bucket.delete_version(found[0].key, found[0].version_id)


def bucket_of(world: World) -> MemoryBlobStore:
    """Return the bucket as it is now, copied."""
    other = MemoryBlobStore(world.clock)
    for item, data in sorted(world.bucket.objects(), key=lambda found: found[0].key):
        other.put_new(item.key, data)
    return other


def rehearsed(world: World, act: Callable[[World], object]) -> BlobCopy:
    """Return a copy of the bucket on which a server has done something since."""
    other = bucket_of(world)
    act(world.reopened(blobs=other))
    return BucketCopy("the rehearsal", other)


def backup(world: World) -> BlobCopy:
    return BucketCopy("the backup", bucket_of(world))


def mend(world: World, copies: Sequence[BlobCopy]) -> list[tuple[str, bool]]:
    findings = verify_store(world, copies=copies, repair=bool(copies))[0]
    return [(item.object, item.repaired) for item in findings]


@pytest.mark.parametrize("harm", [rot, lose])
def test_what_follows_tells_which_entry_belongs_there(world: World, harm: Harm) -> None:
    world.push({"a": b"one"})
    rehearsal = rehearsed(world, lambda other: other.move("prod", "1"))
    world.push({"a": b"two"})
    world.push({"a": b"three"})
    whole = backup(world)
    entry = entries_of(world)[2]
    harm(world, entry)

    alone = mend(world.reopened(), [rehearsal])
    both = mend(world.reopened(), [rehearsal, whole])

    assert alone == [(entry[0].key, False)]
    assert both == [(entry[0].key, True)]
    fresh = world.reopened()
    assert (fresh.pull("2"), fresh.pull("3")) == ({"a": b"two"}, {"a": b"three"})
    assert verify_store(fresh)[0] == []


@pytest.mark.parametrize("harm", [rot, lose])
def test_a_run_of_damaged_entries_is_told_from_its_end(
    world: World, harm: Harm
) -> None:
    world.push({"a": b"one"})

    def rehearse(other: World) -> None:
        for text in (b"rehearsed", b"again", b"and again"):
            other.push({"a": text})

    rehearsal = rehearsed(world, rehearse)
    for text in (b"two", b"three", b"four"):
        world.push({"a": text})
    whole = backup(world)
    entries = entries_of(world)[2:4]
    for entry in entries:
        harm(world, entry)

    found = mend(world.reopened(), [rehearsal, whole])

    assert found == [(item.key, True) for item, _ in entries]
    assert world.reopened().pull("3") == {"a": b"three"}


def test_the_last_entry_is_told_by_the_server_that_knows_it(world: World) -> None:
    world.push({"a": b"one"})
    rehearsal = rehearsed(world, lambda other: other.push({"a": b"rehearsed"}))
    world.push({"a": b"acknowledged"})
    last = entries_of(world)[-1]
    rot(world, last)

    # Its own memory of the entry serves as a copy, too.
    assert mend(world, [rehearsal]) == [(last[0].key, True)]

    assert world.reopened().pull("2") == {"a": b"acknowledged"}


def test_copies_that_differ_mend_no_last_entry(world: World) -> None:
    world.push({"a": b"one"})
    rehearsal = rehearsed(world, lambda other: other.push({"a": b"rehearsed"}))
    world.push({"a": b"acknowledged"})
    whole = backup(world)
    last = entries_of(world)[-1]
    rot(world, last)
    before = world.keys()

    assert mend(world.reopened(), [rehearsal, whole]) == [(last[0].key, False)]

    assert world.keys() == before
    assert mend(world.reopened(), [whole, whole]) == [(last[0].key, True)]
    assert world.reopened().pull("2") == {"a": b"acknowledged"}


def test_a_reader_takes_the_copy_that_the_next_entry_names(world: World) -> None:
    world.push({"a": b"one"})
    other = bucket_of(world)
    world.reopened(blobs=other).move("prod", "1")
    world.push({"a": b"two"})
    world.push({"a": b"three"})
    (item, data), (last, last_data) = entries_of(world)[2:]
    rot(world, (item, data))
    strange = {found.key: bytes_ for found, bytes_ in other.objects()}[item.key]
    world.bucket.put_new(layout.copy_key(item.key, bytes(8)), strange)
    with pytest.raises(IntegrityError):
        world.reopened().pull("3")

    world.bucket.put_new(layout.copy_key(item.key, bytes([1] * 8)), data)

    assert world.reopened().pull("3") == {"a": b"three"}
    # With nothing behind it that could be read, nobody knows.
    rot(world, (last, last_data))
    world.bucket.put_new(layout.copy_key(last.key, bytes(8)), last_data)
    with pytest.raises(IntegrityError):
        world.reopened().pull("3")


def sweeps_of(world: World) -> list[tuple[BlobVersion, bytes]]:
    return sorted(stored(world, layout.SWEEP), key=lambda found: found[0].key)


@pytest.mark.parametrize("harm", [rot, lose])
def test_sweep_records_are_told_by_their_chain_too(world: World, harm: Harm) -> None:
    dropped(world)
    rehearsal = rehearsed(world, lambda other: Sweeper(other).sweep())
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()
    whole = backup(world)
    first = sweeps_of(world)[0]
    assert len(sweeps_of(world)) > 1
    harm(world, first)

    assert mend(world.reopened(), [rehearsal]) == [(first[0].key, False)]
    assert mend(world.reopened(), [rehearsal, whole]) == [(first[0].key, True)]

    fresh = world.reopened()
    assert fresh.push({"b": b"2"}).version.number == 3
    assert verify_store(fresh)[0] == []
    assert verify_store(fresh, without_keys=True)[0] == []


def test_without_keys_no_sweep_record_is_mended(world: World) -> None:
    dropped(world)
    Sweeper(world).sweep()
    whole = backup(world)
    item, data = sweeps_of(world)[0]
    flip(world, item, data, 0)  # in the header, which needs no key

    (finding,) = verify_store(world, copies=[whole], without_keys=True, repair=True)[0]

    assert isinstance(finding, StoreFinding)
    assert (finding.object, finding.repaired) == (item.key, False)
    assert mend(world, [whole]) == [(item.key, True)]
    assert verify_store(world, without_keys=True)[0] == []


@pytest.mark.parametrize("count", [1, 0])
def test_sweep_records_that_the_fences_tell_of_are_missed_at_the_end(
    world: World, count: int
) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()
    whole = backup(world)
    fence = world.repository.artifact(ARTIFACT).history.fence
    gone = sweeps_of(world)[fence - count : fence] if count else sweeps_of(world)
    for found in (*gone, *sweeps_of(world)[fence:]):
        lose(world, found)
    keys = [item.key for item, _ in gone][:fence]
    with pytest.raises(IntegrityError):
        world.reopened().push({"b": b"2"})

    assert mend(world.reopened(), []) == [(key, False) for key in keys]
    assert mend(world.reopened(), [whole]) == [(key, True) for key in keys]

    assert world.reopened().push({"b": b"2"}).version.number == 3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_commits_tell_of_sweep_records_at_the_end_too(world: World, count: int) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()
    world.push({"b": b"2"})
    whole = backup(world)
    gone = sweeps_of(world)[-count:]
    for found in gone:
        lose(world, found)

    found_anew = mend(world.reopened(), [whole])

    assert found_anew == [(item.key, True) for item, _ in gone]
    assert [item.key for item, _ in sweeps_of(world)[-count:]] == [
        item.key for item, _ in gone
    ]
    Sweeper(world.reopened()).sweep()


def test_without_keys_a_sweep_record_that_is_gone_is_told(world: World) -> None:
    dropped(world)
    sweeper = Sweeper(world)
    sweeper.sweep()
    sweeper.sweep()
    whole = backup(world)
    gone = sweeps_of(world)[0]
    lose(world, gone)

    found = verify_store(world, copies=[whole], without_keys=True, repair=True)[0]

    assert [(item.object, item.repaired) for item in found] == [(gone[0].key, False)]
