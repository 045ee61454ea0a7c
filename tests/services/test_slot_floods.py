# SPDX-License-Identifier: Apache-2.0
"""Many planted slots, and epochs that somebody takes away: neither goes unnoticed."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom.format.names import ArtifactName
from strongroom_server.core import canonical, layout
from strongroom_server.core.scope import Scope, format_id, store_scope
from strongroom_server.ports import WrappedKey
from strongroom_server.repository.key_slots import (
    MAX_ALONE,
    MAX_KEKS,
    MAX_NEWEST,
    MAX_OLDEST,
)
from strongroom_server.repository.keyring import MAX_SKIPPED
from strongroom_server.repository.timed import CACHE_TTL_S
from strongroom_server.services.keys import SlotState
from tests.support.clock import ManualClock
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
    start_epoch,
    with_text,
)
from tests.support.world import World

MINE = ArtifactName("demo", "mine")
MADE_UP = "memory:v1:" + "A" * 80


@pytest.fixture
def world() -> Iterator[World]:
    with keyed_world() as made:
        yield made


def made_up(world: World, scope: Scope, **fields: object) -> bytes:
    """Return a slot that is whole in form; only Vault can tell that it is none."""
    good = slot_bytes(world, layout.slot_key(scope.domain, 0, 0))
    body = canonical.decode_object(good, 10_000)
    return with_text(canonical.encode(body | fields), MADE_UP)


def flood(world: World, scope: Scope, numbers: Sequence[int], epoch: int = 0) -> None:
    """Plant made-up slots."""
    text = made_up(world, scope, epoch=epoch)
    for number in numbers:
        plant(world, layout.slot_key(scope.domain, epoch, number), text)


def take_away(world: World, scope: Scope, epoch: int) -> None:
    """Delete the slots of an epoch for good, as whoever may delete versions can."""
    for item, _ in world.bucket.objects():
        if item.key.startswith(f"{layout.slots_prefix(scope.domain)}{epoch}."):
            world.bucket.delete_version(item.key, item.version_id)


@pytest.fixture
def vault(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the requests that Vault gets."""
    counts = {"unwrap": 0, "rewrap": 0}
    unwrap, rewrap = world.key_service.unwrap, world.key_service.rewrap

    def unwraps(kek: str, context: bytes, wrapped: str) -> bytes:
        counts["unwrap"] += 1
        return unwrap(kek, context, wrapped)

    def rewraps(kek: str, keys: Sequence[WrappedKey]) -> Sequence[str | None]:
        before = dict(counts)
        again = rewrap(kek, keys)
        # The twin unwraps what it wraps again; that is no request.
        counts.update(before, rewrap=before["rewrap"] + 1)
        return again

    monkeypatch.setattr(world.key_service, "unwrap", unwraps)
    monkeypatch.setattr(world.key_service, "rewrap", rewraps)
    return counts


@pytest.mark.parametrize("whose", ["a project's", "the store's"])
def test_150_planted_slots_lock_nobody_out(world: World, whose: str) -> None:
    store = store_scope(world.repository.keyring.store)
    scope = scope_of(world) if whose == "a project's" else store
    flood(world, scope, range(1, 151))

    fresh = world.reopened()

    assert fresh.pull() == FILES
    fresh.push({"more": b"content"})
    assert world.reopened().pull("2") == {"more": b"content"}
    rotated(fresh)
    report = rewrapped(fresh)
    assert report.proof.is_complete
    assert retired(fresh).held_count == 0
    assert world.reopened().pull() == {"more": b"content"}


def test_a_flood_costs_vault_a_request_for_a_hundred(
    world: World, vault: dict[str, int]
) -> None:
    scope = scope_of(world)
    flood(world, scope, range(1, 1001))

    world.reopened().repository.keyring.open(scope)

    # Beside the store's own.
    assert vault["unwrap"] <= MAX_ALONE + 2
    assert vault["rewrap"] == 10


def test_what_opened_last_is_tried_first(world: World, vault: dict[str, int]) -> None:
    scope = scope_of(world)
    flood(world, scope, range(1, 151))
    keyring = world.reopened().repository.keyring
    keyring.open(scope)
    assert isinstance(world.clock, ManualClock)
    world.clock.advance(CACHE_TTL_S)
    vault.update(unwrap=0, rewrap=0)

    keyring.open(scope)

    assert vault == {"unwrap": 1, "rewrap": 0}


def test_slots_are_looked_for_from_both_ends(world: World) -> None:
    scope = scope_of(world)
    flood(world, scope, range(1, MAX_NEWEST + MAX_OLDEST + 50))

    assert world.reopened().pull() == FILES
    [entry] = [item for item in entries(world) if item.domain == scope.domain]
    assert (entry.state, entry.slot) == (SlotState.CURRENT, 0)


def test_planted_slots_of_many_keks_have_few_of_them_asked(
    world: World, vault: dict[str, int]
) -> None:
    scope = scope_of(world)
    for number in range(1, 120):
        other = Scope(scope.store, number.to_bytes(18, "big"), scope.domain, 0)
        text = made_up(world, scope, project=format_id(other.project), kek=other.kek)
        plant(world, layout.slot_key(scope.domain, 0, number), text)

    assert world.reopened().pull() == FILES
    vault.update(unwrap=0, rewrap=0)
    entries(world)

    assert vault["rewrap"] <= MAX_KEKS
    assert vault["unwrap"] <= MAX_ALONE + 10


def test_slots_that_only_vault_could_open_are_withheld_while_it_refuses(
    world: World,
) -> None:
    scope = scope_of(world)
    flood(world, scope, range(1, 20))
    world.key_service.delete_kek(scope.kek)

    with pytest.raises(PreconditionError) as refused:
        world.reopened().repository.keyring.open(scope)

    assert refused.value.reason is Reason.KEK_MISSING


def test_a_hundred_planted_epochs_bring_back_no_old_key(world: World) -> None:
    scope = scope_of(world)
    assert start_epoch(world) == 1
    for epoch in range(2, 152):
        flood(world, scope, [0], epoch)

    fresh = world.reopened()
    fresh.push({"new": b"1"}, MINE)

    assert fresh.repository.keyring.open_newest(scope).scope.epoch == 1
    assert world.reopened().pull("1", MINE) == {"new": b"1"}


def _delete(world: World, scope: Scope) -> None:
    take_away(world, scope, 1)


def _delete_and_plant(world: World, scope: Scope) -> None:
    take_away(world, scope, 1)
    flood(world, scope, [0, 5], 1)


def _delete_and_go_on(world: World, scope: Scope) -> None:
    take_away(world, scope, 1)
    flood(world, scope, [0], 2)


@pytest.mark.parametrize("attack", [_delete, _delete_and_plant, _delete_and_go_on])
def test_an_epoch_that_was_begun_is_not_undone_by_deleting_its_slots(
    world: World, attack: Callable[[World, Scope], None]
) -> None:
    scope = scope_of(world)
    start_epoch(world)
    attack(world, scope)
    fresh = world.reopened()

    with pytest.raises(IntegrityError) as refused:
        fresh.push({"new": b"1"}, MINE)

    assert refused.value.reason in {Reason.KEY_SLOT_MISSING, Reason.KEY_SLOT_CORRUPT}
    assert refused.value.metadata["epoch"] == "1"
    assert "--after 1" in refused.value.hint
    # What was written before is read all the same.
    assert fresh.pull() == FILES
    told = [item for item in entries(fresh) if item.domain == scope.domain]
    assert {item.epoch: item.state for item in told}[1] is SlotState.UNOPENED
    assert not rewrapped(fresh).proof.is_complete


def test_a_domain_whose_newest_epoch_is_lost_goes_on_with_the_next(
    world: World,
) -> None:
    scope = scope_of(world)
    start_epoch(world)
    take_away(world, scope, 1)
    fresh = world.reopened()

    with pytest.raises(IntegrityError):
        start_epoch(fresh, after=0)
    assert start_epoch(fresh, after=1) == 2

    fresh.push({**FILES, "new": b"1"})
    last = world.reopened()
    assert last.pull() == {**FILES, "new": b"1"}
    assert last.repository.keyring.open_newest(scope).scope.epoch == 2


def test_an_epoch_without_a_mark_gets_one_from_whoever_finds_it(world: World) -> None:
    scope = scope_of(world)
    start_epoch(world)
    start_epoch(world, after=1)
    # As if its maker had been killed before, or had been of an older release.
    for epoch in (1, 2):
        world.key_service.delete_kek(scope.at_epoch(epoch).epoch_mark)

    assert world.reopened().repository.keyring.open_newest(scope).scope.epoch == 2
    take_away(world, scope, 2)

    with pytest.raises(IntegrityError):
        world.reopened().repository.keyring.open_newest(scope)


def test_a_new_epoch_leaps_over_few_planted_ones_only(world: World) -> None:
    scope = scope_of(world)
    for epoch in range(1, MAX_SKIPPED):
        flood(world, scope, [0], epoch)

    assert start_epoch(world) == MAX_SKIPPED
    keyring = world.reopened().repository.keyring
    assert keyring.open_newest(scope).scope.epoch == MAX_SKIPPED

    for epoch in range(MAX_SKIPPED + 1, 2 * MAX_SKIPPED + 1):
        flood(world, scope, [0], epoch)
    with pytest.raises(IntegrityError, match="none opens"):
        start_epoch(world.reopened(), after=MAX_SKIPPED)


def test_a_mark_counts_only_behind_marks_of_all_before(world: World) -> None:
    """Whoever was killed between two marks has locked nobody out."""
    scope = scope_of(world)
    world.key_service.create_kek(scope.at_epoch(3).epoch_mark)

    fresh = world.reopened()
    fresh.push({"new": b"1"}, MINE)

    assert fresh.repository.keyring.open_newest(scope).scope.epoch == 0


def test_a_slot_that_names_a_version_its_kek_lacks_is_the_one_that_is_damaged(
    world: World,
) -> None:
    # One flipped bit makes v5 of v1; the KEK is there, and whole.
    scope = scope_of(world)
    key = layout.slot_key(scope.domain, 0, 0)
    good = slot_bytes(world, key)
    take_away(world, scope, 0)
    plant(world, key, good.replace(b'"memory:v1:', b'"memory:v5:'))

    with pytest.raises(IntegrityError) as caught:
        world.reopened().pull()

    assert caught.value.reason is Reason.KEY_SLOT_CORRUPT
