# SPDX-License-Identifier: Apache-2.0
"""What other servers do about a shredding: look, forget, and say if they cannot."""

from collections.abc import Iterator

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom_server.core import layout
from strongroom_server.services.shredding import Shredding, ShredWatch
from tests.support.clock import ManualClock
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.shredding import GONE, KEPT, doomed_world, refused, shred
from tests.support.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with doomed_world() as made:
        yield made


def test_another_server_learns_of_it_and_forgets_its_keys(world: World) -> None:
    other = world.reopened()
    other.pull("1", GONE)
    watch = ShredWatch(other.repository)
    shred(world)
    assert other.pull("1", GONE)  # its keys are cached, and it has not looked yet

    watch.look()

    keyring = other.repository.keyring
    scope = next(iter(keyring.graves.all())).scope
    assert all(place[1] != scope.domain for place in keyring._cache._items)
    assert refused(lambda: other.pull("1", GONE)) is Reason.KEY_SHREDDED
    assert other.pull("1", KEPT) == {"a": b"other"}
    prefixes = (b"c" + scope.domain, b"s" + scope.domain, b"j" + scope.project)
    assert not any(list(other.index.scan(prefix)) for prefix in prefixes)
    assert not list(other.index.scan(b"i" + layout.index_prefix(scope.domain).encode()))


def test_a_server_that_cannot_look_forgets_all_keys_in_time(world: World) -> None:
    blobs = FaultyBlobStore(world.blobs)
    other = world.reopened(blobs=blobs)
    other.pull("1", GONE)
    watch = ShredWatch(other.repository)
    clock = world.clock
    assert isinstance(clock, ManualClock)

    for seconds in (10, 10):
        clock.advance(seconds)
        blobs.queue("first_versions", Fault.UNAVAILABLE)
        watch.look()
    assert len(other.repository.keyring._cache) > 1
    clock.advance(10)
    blobs.queue("first_versions", Fault.UNAVAILABLE)
    watch.look()

    assert {place[0] for place in other.repository.keyring._cache._items} <= {bytes(18)}
    depths = set()
    for _ in range(3):  # health probes ask every few seconds, for as long as it fails
        with pytest.raises(UnavailableError) as caught:
            watch.check()
        depths.add(len(caught.traceback))
    assert len(depths) == 1
    watch.look()
    watch.check()


def test_a_shredding_that_was_broken_off_is_told_until_it_is_finished(
    world: World,
) -> None:
    other = world.reopened()
    watch = ShredWatch(other.repository)
    clock = world.clock
    assert isinstance(clock, ManualClock)
    assert world.remover is not None
    faulty = FaultyBlobStore(world.blobs)
    faulty.queue("remove", Fault.UNAVAILABLE)
    remover = faulty.remover(world.remover)
    world.shredding = Shredding(
        world.repository, world.key_service, world.destroyer, remover
    )
    with pytest.raises(UnavailableError):
        shred(world)

    watch.look()
    watch.check()
    clock.advance(601)
    assert refused(watch.check) is Reason.KEY_SHREDDED
    shred(other)
    watch.look()
    watch.check()
