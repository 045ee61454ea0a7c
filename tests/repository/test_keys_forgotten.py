# SPDX-License-Identifier: Apache-2.0
"""Domain keys are gone when their time is over: nothing at all holds them on."""

import gc
import sys
from collections.abc import Iterator

import pytest

from strongroom.format.names import ArtifactName, ProjectName
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope
from strongroom_server.repository.timed import CACHE_TTL_S, MAX_CACHED
from tests.support.clock import ManualClock
from tests.support.world import ARTIFACT, World, memory_world


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def used(clock: ManualClock) -> Iterator[World]:
    """An engine that has written, read, moved and verified."""
    with memory_world(clock=clock) as world:
        world.push({"a": b"1", "big": bytes(3_000_000)})
        world.push({"a": b"2", "big": bytes(3_000_000)})
        world.move("prod", "1")
        world.pull("prod")
        world.verify()
        yield world


def scope_of(world: World, project: str = ARTIFACT.project) -> Scope:
    return world.repository.projects.get(ProjectName(project)).scope


def kept(scope: Scope) -> list[DomainKeys]:
    """Return every object of this process that holds a domain's keys."""
    gc.collect()
    return [
        item
        for item in gc.get_objects()
        # Not `isinstance`: it asks stand-ins of lazy modules what they are.
        if type(item) is DomainKeys and item.scope == scope
    ]


def test_keys_are_kept_while_their_time_lasts(used: World, clock: ManualClock) -> None:
    scope = scope_of(used)

    clock.advance(CACHE_TTL_S - 1)
    used.repository.keyring.check_ready()

    assert kept(scope)


def test_after_their_time_a_server_that_does_nothing_has_no_keys(
    used: World, clock: ManualClock
) -> None:
    scope = scope_of(used)
    keys = used.repository.keyring.open(scope)
    secrets = [keys.master, keys.dedup, keys._chunk_keys]
    del keys

    clock.advance(CACHE_TTL_S + 1)
    used.repository.keyring.check_ready()

    assert kept(scope) == []
    # Nor does anything hold the bytes by themselves: there is this list, and the call.
    while secrets:
        secret = secrets.pop()
        assert sys.getrefcount(secret) == 2
        assert gc.get_referrers(secret) == []


def test_the_use_of_one_key_ends_the_time_of_no_other(
    used: World, clock: ManualClock
) -> None:
    scope = scope_of(used)
    clock.advance(CACHE_TTL_S / 2)
    used.push({"a": b"1"}, artifact=ArtifactName("elsewhere", "model"))
    clock.advance(CACHE_TTL_S / 2 + 1)

    used.pull(artifact=ArtifactName("elsewhere", "model"))

    assert kept(scope) == []
    assert kept(scope_of(used, "elsewhere"))


def test_of_many_domains_only_the_last_ones_have_keys_in_memory(
    used: World, clock: ManualClock
) -> None:
    first = scope_of(used)

    for number in range(MAX_CACHED):
        used.push({"a": b"1"}, artifact=ArtifactName(f"p{number}", "model"))

    assert kept(first) == []


def test_what_was_forgotten_is_opened_again(used: World, clock: ManualClock) -> None:
    clock.advance(CACHE_TTL_S + 1)
    used.repository.keyring.check_ready()

    assert used.pull()["a"] == b"2"
    assert kept(scope_of(used))
