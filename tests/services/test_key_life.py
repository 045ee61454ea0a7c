# SPDX-License-Identifier: Apache-2.0
"""Keys over time: rotated, wrapped again, retired; nothing is locked out."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import (
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom.format.names import ArtifactName
from strongroom_server.adapters.memory import MemoryBlobStore
from strongroom_server.core import layout
from strongroom_server.ports import ReadBuffer, WrappedKey
from strongroom_server.services.keys import (
    KeyProgress,
    RotateReport,
    SlotState,
)
from tests.support.clock import ManualClock
from tests.support.keys import (
    DEMO,
    FILES,
    entries,
    keyed_world,
    life_of,
    retired,
    rewrapped,
    rotated,
    scope_of,
    slot_bytes,
)
from tests.support.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with keyed_world() as made:
        yield made


def test_a_rotation_leaves_slots_behind_and_a_rewrap_takes_them_along(
    world: World,
) -> None:
    assert rotated(world).rotated_count == 3
    assert {item.state for item in entries(world)} == {SlotState.OLD}

    report = rewrapped(world)

    assert (report.rewrapped_count, report.current_count) == (3, 0)
    assert report.proof.is_complete
    assert report.proof.kek_count == report.proof.slot_count == 3
    [of_version] = report.proof.versions
    assert (of_version.version, of_version.slot_count, of_version.old_count) == (
        2,
        3,
        0,
    )
    assert {item.slot for item in entries(world)} == {1}
    assert world.reopened().pull() == FILES


def test_a_second_rewrap_writes_nothing(world: World) -> None:
    rotated(world)
    rewrapped(world)
    before = world.keys()

    report = rewrapped(world)

    assert (report.rewrapped_count, report.current_count) == (0, 3)
    assert world.keys() == before


def test_progress_ends_at_the_number_of_slots(world: World) -> None:
    rotated(world)

    *steps, _ = life_of(world).rewrap(None)

    told = [step for step in steps if isinstance(step, KeyProgress)]
    assert [step.stage for step in told] == ["wrapping keys again"] * 3 + [
        "proving it"
    ] * 3
    assert [step.done_count for step in told] == [1, 2, 3, 1, 2, 3]
    assert {step.total_count for step in told} == {3}


def test_only_one_projects_keys_are_touched_if_so_asked(world: World) -> None:
    assert rotated(world, DEMO).rotated_count == 1
    assert rewrapped(world, DEMO).rewrapped_count == 1
    assert [item.versions.newest for item in entries(world) if item.versions] != [2] * 3


def test_young_keks_are_left_out_so_that_a_rotation_goes_on(world: World) -> None:
    clock = world.clock
    assert isinstance(clock, ManualClock)
    world.key_service._clock = clock
    rotated(world, DEMO)
    clock.advance(1800)

    *_, report = life_of(world).rotate(None, older_than_s=3600)

    assert report == RotateReport(rotated_count=2, young_count=1, lost_count=0)


def test_what_is_retired_opens_no_old_slot_and_every_new_one(world: World) -> None:
    scope = scope_of(world)
    old = slot_bytes(world, layout.slot_key(scope.domain, 0, 0))
    rotated(world)
    rewrapped(world)

    report = retired(world)

    assert (report.retired_count, report.held_count) == (3, 0)
    with pytest.raises(PreconditionError) as caught:
        world.repository.keyring.slots.open_bytes(scope, old)
    assert caught.value.reason is Reason.KEK_ACCESS_DENIED
    assert world.reopened().pull() == FILES
    again = retired(world)
    assert (again.retired_count, again.done_count) == (0, 3)


def test_nothing_is_retired_that_a_slot_needs(world: World) -> None:
    rotated(world)

    report = retired(world)

    assert (report.retired_count, report.held_count) == (0, 3)
    assert any("the slot is old" in note for note in report.notes)
    assert world.reopened().pull() == FILES


def test_a_store_with_retired_versions_verifies_whole(world: World) -> None:
    rotated(world)
    rewrapped(world)
    retired(world)

    *_, report = world.reopened().store_verification.verify(None)

    assert getattr(report, "damaged_count", None) == 0


def test_without_the_credential_no_kek_is_changed(world: World) -> None:
    life = life_of(world, admin=False)

    for use_case in (life.rotate(None, older_than_s=0), life.retire(None)):
        with pytest.raises(PreconditionError) as caught:
            list(use_case)
        assert caught.value.reason is Reason.KEK_ACCESS_DENIED


class KilledError(Exception):
    pass


class KilledStore(MemoryBlobStore):
    """Ends the process, as it were, at the n-th slot that is written."""

    left = -1

    def put_new(self, key: str, data: ReadBuffer) -> str:
        if key.startswith("keys/"):
            if self.left == 0:
                raise KilledError
            self.left -= 1
        return super().put_new(key, data)


def test_a_rewrap_killed_anywhere_goes_on_and_ends_with_the_proof() -> None:
    blobs = KilledStore()
    with ThreadPoolExecutor(1) as executor:
        world = World(blobs=blobs, executor=executor)
        for number in range(5):
            world.push({"a": b"1"}, ArtifactName(f"p{number}", "a"))
        rotated(world)
        counts = []
        for left in range(3):
            blobs.left = left
            with pytest.raises(KilledError):
                rewrapped(world.reopened())
            counts.append(
                sum(item.state is SlotState.CURRENT for item in entries(world))
            )
        blobs.left = -1

        report = rewrapped(world.reopened())

        assert counts == [0, 1, 3]
        assert (report.rewrapped_count, report.current_count) == (3, 3)
        assert report.proof.is_complete


def test_two_rewraps_at_once_end_with_one_new_slot_each(world: World) -> None:
    rotated(world)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: rewrapped(world.reopened()), range(4)))

    assert rewrapped(world).proof.is_complete
    assert {item.state for item in entries(world)} == {SlotState.CURRENT}
    assert world.reopened().pull() == FILES


def test_a_kek_that_is_gone_holds_up_no_other(world: World) -> None:
    scope = scope_of(world)
    rotated(world)
    world.key_service.delete_kek(scope.kek)

    report = rewrapped(world)

    assert (report.rewrapped_count, report.proof.lost_count) == (2, 1)
    assert report.proof.is_complete
    assert retired(world).retired_count == 2


def test_what_vault_returned_wrongly_is_not_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated(world)
    before = world.keys("keys/")
    right = world.key_service.rewrap

    def wrong(kek: str, keys: Sequence[WrappedKey]) -> Sequence[str | None]:
        return [text and text[:-4] + "AAAA" for text in right(kek, keys)]

    monkeypatch.setattr(world.key_service, "rewrap", wrong)

    report = rewrapped(world)

    assert world.keys("keys/") == before
    assert (report.rewrapped_count, report.proof.old_count) == (0, 3)
    assert not report.proof.is_complete


def test_vault_away_ends_a_rewrap_with_its_own_error(world: World) -> None:
    rotated(world)
    world.key_service.seal()

    with pytest.raises(UnavailableError):
        rewrapped(world)
