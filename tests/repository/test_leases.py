# SPDX-License-Identifier: Apache-2.0
"""Of several servers, one holds a lease; nobody holds one for ever."""

from collections.abc import Iterator

from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.ports import BlobVersion
from strongroom_server.repository.leases import MAX_LIFETIME_S, Leases
from tests.support.clock import ManualClock

LIFETIME_S = 600


def servers(count: int) -> tuple[ManualClock, MemoryBlobStore, list[Leases]]:
    clock = ManualClock()
    blobs = MemoryBlobStore(clock)
    entropy = SystemEntropy()
    return (
        clock,
        blobs,
        [Leases(blobs, clock=clock, entropy=entropy) for _ in range(count)],
    )


def test_one_holds_it_until_it_lets_go() -> None:
    _, _, (one, two) = servers(2)

    with one.hold("backup", lifetime_s=LIFETIME_S) as first:
        assert first is not None
        with two.hold("backup", lifetime_s=LIFETIME_S) as second:
            assert second is None
        with two.hold("drill", lifetime_s=LIFETIME_S) as another:
            assert another is not None
    with two.hold("backup", lifetime_s=LIFETIME_S) as second:
        assert second is not None


def test_who_renews_it_holds_on_and_who_died_does_not() -> None:
    clock, blobs, (one, two) = servers(2)
    with one.hold("backup", lifetime_s=LIFETIME_S) as first:
        assert first is not None
        for _ in range(10):
            clock.advance(LIFETIME_S / 2)
            first.renew()
        with two.hold("backup", lifetime_s=LIFETIME_S) as second:
            assert second is None
        clock.advance(LIFETIME_S + 1)  # It hangs.
        with two.hold("backup", lifetime_s=LIFETIME_S) as second:
            assert second is not None
            first.renew()
            first.renew()
            with one.hold("backup", lifetime_s=LIFETIME_S) as third:
                assert third is None
    # What was renewed often enough was not written each time.
    assert len(blobs.objects()) < 20


def test_nobody_plants_a_lease_for_ever() -> None:
    clock, blobs, (one,) = servers(1)
    blobs.put_new(
        layout.lease_key("backup", 0),
        b'{"format":1,"holder":"x","type":"strongroom-lease","until":99999999999}',
    )
    blobs.put_new(layout.lease_key("backup", 10**12), b"far away")
    blobs.put_new(layout.lease_prefix("backup") + "stray", b"")

    with one.hold("backup", lifetime_s=LIFETIME_S) as lease:
        assert lease is None
    clock.advance(MAX_LIFETIME_S + 1)
    with one.hold("backup", lifetime_s=LIFETIME_S) as lease:
        assert lease is not None


def test_a_damaged_record_keeps_nobody_from_anything() -> None:
    _, blobs, (one,) = servers(1)
    blobs.put_new(layout.lease_key("backup", 0), b"damaged")

    with one.hold("backup", lifetime_s=LIFETIME_S) as lease:
        assert lease is not None


class CountedBlobs(MemoryBlobStore):
    """Counts what it lists."""

    listed = 0

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        for item in super().first_versions(prefix, start_after=start_after):
            self.listed += 1
            yield item


def test_what_was_seen_is_not_listed_again_and_again() -> None:
    clock = ManualClock()
    blobs = CountedBlobs(clock)
    one = Leases(blobs, clock=clock, entropy=SystemEntropy())
    for _ in range(50):
        with one.hold("backup", lifetime_s=LIFETIME_S) as held:
            assert held is not None

    assert len(blobs.objects()) == 100
    # Each looks at the newest that it knows and at its own, and at what it writes.
    assert blobs.listed < 50 * 8


def test_what_somebody_removed_keeps_nobody_from_a_lease() -> None:
    _, blobs, (one, two) = servers(2)
    with one.hold("backup", lifetime_s=LIFETIME_S):
        pass
    for item, _ in list(blobs.objects()):
        blobs.delete_version(item.key, item.version_id)

    for leases in (one, two):
        with leases.hold("backup", lifetime_s=LIFETIME_S) as held:
            assert held is not None
