# SPDX-License-Identifier: Apache-2.0
"""Of several servers, one holds a lease; nobody holds one for ever."""

from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
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
