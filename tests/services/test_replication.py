# SPDX-License-Identifier: Apache-2.0
"""A replica shows what the primary showed: all of it, later, and never the half."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.format.names import ArtifactName
from strongroom_server.core.records import Kind
from strongroom_server.services.replication import LagMeter, read_heads
from tests.support import sweeps
from tests.support.clock import ManualClock
from tests.support.replicas import (
    Growing,
    Regions,
    refs_of,
    shown,
    two_regions,
)
from tests.support.samples import filled
from tests.support.world import ARTIFACT, World, memory_world

OTHER = ArtifactName("demo", "other")
ALONE = ArtifactName("vault", "alone")
WEIGHTS = filled("weights", 300_000)


@pytest.fixture
def world() -> Iterator[World]:
    with memory_world(clock=ManualClock()) as made:
        yield made


@pytest.fixture
def regions(world: World) -> Iterator[Regions]:
    with two_regions(world) as made:
        yield made


def fill(world: World) -> None:
    """Make several kinds of versions, with refs, trash and a project of its own."""
    world.push({"a": b"1", "w": WEIGHTS}, kind=Kind.CHECKPOINT)
    world.push({"a": b"2", "w": WEIGHTS[:-1] + b"!"}, kind=Kind.CHECKPOINT)
    world.move("prod", "1")
    world.push({f"small/{n}": b"%d" % n for n in range(50)}, OTHER)
    world.push({"big": filled("big", 5 * 1024 * 1024)}, ALONE, exclusive=True)
    world.push({"a": b"3"})
    sweeps.delete(world, 2)


def test_a_replica_shows_every_version_and_ref_of_the_primary(
    world: World, regions: Regions
) -> None:
    fill(world)

    report = regions.round()

    assert report.is_complete
    assert not report.finding_count
    replica = regions.opened()
    assert shown(replica) == shown(world)
    assert refs_of(replica) == refs_of(world) == {"prod": 1}
    findings, _ = replica.verify()
    assert all(item.ok for item in findings)


def test_the_next_round_copies_only_what_is_new(world: World, regions: Regions) -> None:
    world.push({"a": b"1", "w": WEIGHTS}, kind=Kind.CHECKPOINT)
    regions.round()
    stored = len(regions.target.objects())

    assert regions.round().object_count == 0
    assert len(regions.target.objects()) == stored

    world.push({"a": b"4", "w": WEIGHTS[:-1] + b"?"}, kind=Kind.CHECKPOINT)
    report = regions.round()

    # A pack, a manifest and an index segment; WEIGHTS is stored as a difference.
    assert report.entry_count == 1
    assert report.object_count <= 4
    assert report.size_bytes < 20_000
    assert shown(regions.opened()) == shown(world)


def test_a_replicator_that_remembers_nothing_copies_nothing_again(
    world: World, regions: Regions
) -> None:
    fill(world)
    regions.round()
    stored = len(regions.target.objects())

    report = regions.fresh().round()

    assert report.is_complete
    assert report.object_count == report.entry_count == 0
    assert len(regions.target.objects()) == stored


def test_a_round_tells_what_it_moved_and_how_late(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    clock = world.clock
    assert isinstance(clock, ManualClock)
    clock.advance(30.0)

    before = read_heads(world.bucket, regions.target)
    report = regions.round()

    assert before.missing_count == report.entry_count == 2
    assert before.journal_count == 1
    assert report.slowest_s == pytest.approx(30.0, abs=1.0)
    assert read_heads(world.bucket, regions.target).missing_count == 0
    assert report.missing_count == 0


def test_more_than_one_round_takes_up_waits_for_the_next(
    world: World, regions: Regions
) -> None:
    for number in range(4):
        world.push({"a": b"%d" % number})

    heads = read_heads(world.bucket, regions.target, most=3)

    assert heads.is_more
    assert heads.missing_count == 3


def test_garbage_and_delete_markers_over_keys_change_nothing(
    world: World, regions: Regions
) -> None:
    fill(world)
    expected = shown(world)
    for item, _ in world.bucket.objects():
        world.bucket.overwrite(item.key, b"garbage")
        world.bucket.add_delete_marker(item.key)

    report = regions.round()

    assert report.is_complete
    assert not report.finding_count
    assert shown(regions.opened()) == expected


def test_a_pack_that_is_pinned_by_a_later_version_is_found(
    world: World, regions: Regions
) -> None:
    world.push({"w": WEIGHTS})
    pack = max(world.keys("packs/"))
    regions.round()
    data = {item.key: data for item, data in world.bucket.objects()}[pack]
    world.bucket.add_delete_marker(pack)

    # Stored over the marker: a version of its own, which somebody may pin.
    second = world.bucket.put_new(pack, data)
    world.push({"a": b"1"})
    regions.round()

    blobs = regions.opened().blobs
    assert blobs.get(pack, version_id=second, max_bytes=len(data)) == data


def test_what_only_the_primary_uses_is_not_copied(
    world: World, regions: Regions
) -> None:
    fill(world)
    world.bucket.put_new("uploads/x/y/0", b"an upload")
    world.bucket.put_new("approvals/x/0", b"an approval")
    world.bucket.put_new("leases/backup/0", b"a lease")
    world.bucket.put_new("later/0", b"what a later release has")

    regions.round()

    folders = {item.key.split("/")[0] for item, _ in regions.target.objects()}
    assert not folders & {"uploads", "approvals", "leases", "probe"}
    assert "later" in folders


def test_the_audit_log_has_no_checkpoint_of_more_than_is_there(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    audit = "audit/main"
    for number in range(3):
        world.bucket.put_new(f"{audit}/batches/{number:020d}", b"%d" % number)
        world.bucket.put_new(f"{audit}/checkpoints/{number + 1:020d}", b"signed")
    world.bucket.put_new(f"{audit}/cosigned/abc/{3:020d}", b"cosigned")
    source = Growing(world.bucket, after=f"{audit}/batches/")
    source.grow = lambda: world.bucket.put_new(
        f"{audit}/checkpoints/{4:020d}", b"signed"
    )

    regions.fresh(source=source).round()

    keys = [item.key for item, _ in regions.target.objects()]
    assert sum("/batches/" in key for key in keys) == 3
    assert f"{audit}/checkpoints/{3:020d}" in keys
    assert f"{audit}/checkpoints/{4:020d}" not in keys
    order = [item.version_id for item, _ in regions.target.objects()]
    by_key = dict(zip(keys, order, strict=True))
    assert (
        by_key[f"{audit}/batches/{2:020d}"]
        < by_key[f"{audit}/checkpoints/{1:020d}"]
        < by_key[f"{audit}/cosigned/abc/{3:020d}"]
    )


def test_what_is_committed_while_a_round_goes_on_waits_for_the_next(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    source = Growing(world.bucket, after="journals/")
    source.grow = lambda: world.push({"a": b"2"})
    replicator = regions.fresh(source=source)

    replicator.round()
    assert list(shown(regions.opened())[ARTIFACT.short]) == [1]

    replicator.round()
    assert shown(regions.opened()) == shown(world)


def test_no_entry_is_copied_while_a_sweep_removes_what_it_may_need(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1", "w": WEIGHTS})
    sweeps.set_policy(world, sweeps.GONE_AT_ONCE)
    world.push({"a": b"2"})

    def remove() -> None:
        sweeps.delete(world, 1)
        for _ in range(4):
            sweeps.Sweeper(world).sweep()

    source = Growing(world.bucket, after="journals/")
    source.grow = remove
    replicator = regions.fresh(source=source)
    packs = len(world.keys("packs/"))

    report = replicator.round()

    assert len(world.keys("packs/")) < packs
    assert report.is_overtaken
    assert not report.is_complete
    assert report.entry_count == 0
    assert "journals/" not in {item.key[:9] for item, _ in regions.target.objects()}
    # The next round shows the version as purged, not as a loss.
    assert replicator.round().is_complete
    assert shown(regions.opened()) == shown(world)


def test_two_replicators_at_once_make_one_replica(
    world: World, regions: Regions
) -> None:
    fill(world)
    racers = [regions.fresh() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda item: item.round(), racers))

    assert all(report.is_complete for report in reports)
    assert not any(report.finding_count for report in reports)
    assert shown(regions.opened()) == shown(world)
    keys = [item.key for item, _ in regions.target.objects()]
    assert len(keys) == len(set(keys))


def test_the_rate_at_which_is_read_is_kept(world: World, regions: Regions) -> None:
    world.push({"w": WEIGHTS})
    clock = world.clock
    assert isinstance(clock, ManualClock)
    began_s = clock.monotonic()

    report = regions.fresh(rate=100_000).round()

    took_s = clock.monotonic() - began_s
    assert took_s >= report.size_bytes / 100_000 * 0.9


def test_the_lag_grows_until_a_round_has_everything(
    world: World, regions: Regions
) -> None:
    world.push({"a": b"1"})
    clock = world.clock
    assert isinstance(clock, ManualClock)
    meter = LagMeter(clock)
    clock.advance(10.0)
    assert meter.lag_s() == 10.0

    meter.note(regions.round(), clock.monotonic() - 2.0)
    assert (meter.lag_s(), meter.missing_count) == (2.0, 0)

    # What rots holds the journal back, and with it the recovery point.
    world.push({"w": WEIGHTS})
    item, data = max(
        (found for found in world.bucket.objects() if "packs/" in found[0].key),
        key=lambda found: found[0].version_id,
    )
    world.bucket.corrupt(item.key, item.version_id, data[:-1])
    clock.advance(5.0)
    meter.note(regions.round(), clock.monotonic())

    assert meter.lag_s() == 7.0
    assert (meter.missing_count, meter.finding_count) == (1, 1)
