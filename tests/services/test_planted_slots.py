# SPDX-License-Identifier: Apache-2.0
"""Planted slots are passed over and told, whatever is done with keys."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from strongroom.format.names import ProjectName
from strongroom_server.core import canonical, layout
from strongroom_server.services.keys import (
    SlotState,
)
from tests.support.keys import (
    FILES,
    entries,
    keyed_world,
    plant,
    retired,
    rewrapped,
    rotated,
    scope_of,
    slot_bytes,
    with_text,
)
from tests.support.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with keyed_world() as made:
        yield made


def other_domains_slot(world: World) -> bytes:
    scope = scope_of(world, ProjectName("other"))
    return slot_bytes(world, layout.slot_key(scope.domain, 0, 0))


PLANTED: Mapping[str, Callable[[World, bytes], bytes]] = {
    "garbage": lambda _world, _good: b"garbage",
    "nothing": lambda _world, _good: b"",
    "another domain's": lambda world, _good: other_domains_slot(world),
    "a made-up key": lambda _world, good: with_text(good, "memory:v1:" + "A" * 80),
    "one of a newer version": lambda _world, good: with_text(
        good, "memory:v9:" + "A" * 80
    ),
    "another project's": lambda _world, good: canonical.encode(
        canonical.decode_object(good, 10_000) | {"project": "a" * 29}
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("number", [1, 999, layout.MAX_SLOT_NUMBER])
def test_a_planted_slot_is_passed_over_and_told(
    world: World, kind: str, number: int
) -> None:
    scope = scope_of(world)
    good = slot_bytes(world, layout.slot_key(scope.domain, 0, 0))
    key = layout.slot_key(scope.domain, 0, number)
    plant(world, key, PLANTED[kind](world, good))

    assert world.reopened().pull() == FILES
    rotated(world)
    assert rewrapped(world).proof.is_complete
    assert retired(world).held_count == 0
    fresh = world.reopened()
    assert fresh.pull() == FILES
    fresh.push({**FILES, "c": b"new"})
    [entry] = [item for item in entries(world) if item.domain == scope.domain]
    assert entry.state is SlotState.CURRENT
    told = set(entry.passed_over)
    is_form = kind in {"a made-up key", "one of a newer version"}
    assert told == ({key} if is_form and number > entry.slot else set())


def test_keys_that_name_no_slot_are_no_slots(world: World) -> None:
    scope = scope_of(world)
    prefix = layout.slots_prefix(scope.domain)
    for name in ("0.01", "00.1", "0.1000000000", "0.x", "0", "99999999.0", "0.1/2"):
        plant(world, prefix + name, b"garbage")

    assert world.reopened().pull() == FILES
    assert len(entries(world)) == 3


def test_an_old_slot_put_back_as_the_newest_is_wrapped_again(world: World) -> None:
    scope = scope_of(world)
    old = slot_bytes(world, layout.slot_key(scope.domain, 0, 0))
    rotated(world)
    rewrapped(world)
    plant(world, layout.slot_key(scope.domain, 0, 7), old)
    assert retired(world).held_count == 1

    assert rewrapped(world).rewrapped_count == 1
    assert retired(world).held_count == 0
    assert world.reopened().pull() == FILES


def test_a_retired_slot_put_back_as_the_newest_is_passed_over(world: World) -> None:
    scope = scope_of(world)
    old = slot_bytes(world, layout.slot_key(scope.domain, 0, 0))
    rotated(world)
    rewrapped(world)
    retired(world)
    plant(world, layout.slot_key(scope.domain, 0, 7), old)

    assert world.reopened().pull() == FILES
    assert rewrapped(world).proof.is_complete


def test_damaged_slots_beyond_repair_hold_a_retirement_up(world: World) -> None:
    scope = scope_of(world)
    rotated(world)
    for item, _ in list(world.bucket.objects()):
        if item.key == layout.slot_key(scope.domain, 0, 0):
            world.bucket.corrupt(item.key, item.version_id, b"rotten")

    assert rewrapped(world).proof.unopened_count == 1
    report = retired(world)

    assert (report.retired_count, report.held_count) == (2, 1)
    assert any("unopened" in note for note in report.notes)
