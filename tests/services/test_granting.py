# SPDX-License-Identifier: Apache-2.0
"""Granting: lifetimes, deltas, shredding under way; the feed's silence and its end."""

import hashlib
import uuid
from datetime import timedelta
from itertools import count

import pytest

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom.format.names import ProjectName, VersionName
from strongroom_server.adapters.memory import MemoryBlobPresigner
from strongroom_server.core import grant
from strongroom_server.core.codecs import Codec
from strongroom_server.core.records import Kind
from strongroom_server.services.granting import GrantFeed, Granting
from strongroom_server.services.shredding import ShredWatch
from tests.support.clock import ManualClock
from tests.support.faulty import Fault, FaultyBlobStore
from tests.support.shredding import KEPT, shred
from tests.support.world import ARTIFACT, CALLER, World, memory_world

ONE = VersionName(ARTIFACT, "1")


def granting_of(world: World) -> Granting:
    return Granting(world.repository, MemoryBlobPresigner(), lifetime_s=100)


def test_a_page_lives_from_when_it_is_made_and_its_urls_a_little_longer() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        world.push({"a": b"1"})
        granted = granting_of(world).open(ONE, paths=())
        clock.advance(50)
        [page] = granted.pages

        assert page.expire_time == clock.now() + timedelta(seconds=100)
        assert page.lifetime_s == 100
        assert all(url.endswith("lifetime=160") for url in page.urls.values())


def test_of_a_delta_its_base_is_granted_too() -> None:
    with memory_world() as world:
        data = bytearray(hashlib.shake_256(b"weights").digest(5_000_000))
        world.push({"a": bytes(data)}, kind=Kind.CHECKPOINT)
        data[1000] ^= 1
        world.push({"a": bytes(data)}, kind=Kind.CHECKPOINT)

        [page] = granting_of(world).open(VersionName(ARTIFACT, "2"), paths=()).pages
        refs = list(grant.chunks_of(page.files))

        assert Codec.DELTA in {ref.codec for ref in refs}
        assert {(ref.chunk_id, ref.epoch) for ref in refs} == set(page.keys)
        assert {(ref.pack, ref.pack_version) for ref in refs} == set(page.urls)


def test_no_page_comes_after_the_project_was_shredded() -> None:
    with memory_world() as world:
        world.push({"a": b"1"})
        granted = granting_of(world).open(ONE, paths=())
        shred(world, ProjectName(ARTIFACT.project))

        with pytest.raises(PreconditionError) as error:
            next(granted.pages)

        assert error.value.reason is Reason.KEY_SHREDDED


def feed_of(world: World) -> GrantFeed:
    return GrantFeed(world.repository, tick_s=0.0, look_s=5.0, heartbeat_s=5.0)


def test_a_shredding_is_told_without_another_look_at_the_store() -> None:
    with memory_world(clock=ManualClock()) as world:
        world.push({"a": b"1"})
        watch = feed_of(world).watch([ONE], lambda: None)
        assert next(watch) == ()
        shred(world, ProjectName(ARTIFACT.project))

        [revoked] = next(watch)

        assert (revoked.name, revoked.reason) == (ONE.resource, "KEY_SHREDDED")


def test_who_cannot_look_at_the_store_gives_no_sign_of_life() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        world.push({"a": b"1"})
        checks = 0

        def check() -> None:
            nonlocal checks
            checks += 1
            clock.advance(6)
            if checks > 20:
                message = "nobody listens"
                raise UnavailableError(message)

        blobs = FaultyBlobStore(world.blobs)
        watch = feed_of(world.reopened(blobs=blobs)).watch([ONE], check)
        assert next(watch) == ()
        blobs.queue("first_versions", *[Fault.UNAVAILABLE] * 100)

        with pytest.raises(UnavailableError, match="nobody listens"):
            next(watch)


def test_a_feed_that_stops_ends_its_watches() -> None:
    with memory_world() as world:
        world.push({"a": b"1"})
        feed = feed_of(world)
        watch = feed.watch([ONE], lambda: None)
        next(watch)
        feed.stop()

        with pytest.raises(UnavailableError) as error:
            next(watch)

        assert error.value.reason is Reason.DRAINING


def test_a_version_that_is_deleted_and_undeleted_is_told_of_once() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        world.push({"a": b"1"})
        world.push({"a": b"2"})
        watch = feed_of(world).watch([ONE], lambda: clock.advance(1))
        assert next(watch) == ()
        world.retention.delete(
            ONE, reason="why", request_id=str(uuid.uuid4()), caller=CALLER
        )

        assert [item.reason for item in next(watch)] == ["VERSION_DELETED"]
        assert next(watch) == ()


def test_who_cannot_look_at_the_store_tells_of_shreddings_all_the_same() -> None:
    clock = ManualClock()
    with memory_world(clock=clock) as world:
        world.push({"a": b"1"}, KEPT)
        world.push({"a": b"1"})
        blobs = FaultyBlobStore(world.blobs)
        blind = world.reopened(blobs=blobs)
        kept = VersionName(KEPT, "1")
        checks = count()

        def check() -> None:
            assert next(checks) < 20
            clock.advance(6)

        watch = feed_of(blind).watch([kept, ONE], check)
        assert next(watch) == ()
        shred(world, ProjectName(ARTIFACT.project))
        ShredWatch(blind.repository).look()
        blobs.queue("first_versions", *[Fault.UNAVAILABLE] * 100)

        [revoked] = next(watch)

        assert (revoked.name, revoked.reason) == (ONE.resource, "KEY_SHREDDED")
