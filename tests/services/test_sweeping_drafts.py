# SPDX-License-Identifier: Apache-2.0
"""Sweeps and drafts: what parts stored stays until the draft is over, then goes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import ConflictError, NotFoundError, Reason
from strongroom_server.core import layout
from strongroom_server.core.draft_record import END_NUMBER
from strongroom_server.services.sweeping import (
    ObjectExplanation,
    ObjectState,
    SweepSettings,
)
from tests.support.drafts import begin, commit, discard, put, send
from tests.support.samples import filled
from tests.support.sweeps import (
    DAY_S,
    GONE_AT_ONCE,
    Sweeper,
    delete,
    set_policy,
)
from tests.support.world import World

WEEK = SweepSettings(min_age_s=0.0, grace_s=0.0, upload_age_s=7 * DAY_S)
DATA = filled("part", 300_000)


def numbers(world: World) -> list[int]:
    return [layout.upload_key_number(key) for key in world.keys("uploads/")]


def test_what_parts_stored_is_kept_until_the_commit(world: World) -> None:
    world.push({"other": b"1"})
    put(world, {"a": DATA})
    put(world, {"b": b"2"})
    stored = set(world.keys("packs/"))
    sweeper = Sweeper(world, WEEK)

    world.bucket.advance(6 * DAY_S)
    for _ in range(3):
        sweeper.sweep()

    assert set(world.keys("packs/")) == stored
    commit(world.reopened(), expected=2)
    for _ in range(3):
        sweeper.sweep()
    assert world.keys("uploads/") == []
    assert world.reopened().pull() == {"a": DATA, "b": b"2"}


def test_what_a_discarded_draft_stored_goes(world: World) -> None:
    world.push({"other": b"1"})
    before = set(world.keys("packs/"))
    put(world, {"a": DATA})
    put(world, {"b": b"2"})
    discard(world)
    sweeper = Sweeper(world, WEEK)

    for _ in range(7):
        sweeper.sweep()

    assert set(world.keys("packs/")) == before
    assert world.keys("uploads/") == []


def test_a_draft_that_nobody_commits_ends_first_record_first(world: World) -> None:
    world.push({"other": b"1"})
    before = set(world.keys("packs/"))
    for path in "abc":
        put(world, {path: DATA + path.encode()})
    sweeper = Sweeper(world, WEEK)
    world.bucket.advance(8 * DAY_S)

    for _ in range(2):
        sweeper.sweep()

    assert numbers(world) == [1, 2]
    for call in (lambda: commit(world), lambda: begin(world)):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.reason is Reason.DRAFT_NOT_FOUND
    for _ in range(2):
        sweeper.sweep()
    assert world.keys("uploads/") == []
    assert set(world.keys("packs/")) == before


def test_a_part_brings_a_draft_back_that_a_sweep_was_about_to_end(
    world: World,
) -> None:
    world.push({"other": b"1"})
    put(world, {"a": DATA})
    sweeper = Sweeper(world, WEEK)
    world.bucket.advance(8 * DAY_S)
    sweeper.sweep()

    put(world, {"b": b"2"})
    for _ in range(3):
        sweeper.sweep()

    commit(world, expected=2)
    assert world.reopened().pull() == {"a": DATA, "b": b"2"}


def test_a_draft_whose_commit_was_killed_goes_last_end_last(world: World) -> None:
    put(world, {"a": DATA})
    put(world, {"b": b"2"})
    killed = world.reopened()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(killed.repository.journals, "append", die)
        with pytest.raises(KeyboardInterrupt):
            commit(killed)
    sweeper = Sweeper(world, WEEK)
    world.bucket.advance(8 * DAY_S)

    seen: list[list[int]] = []
    for _ in range(8):
        sweeper.sweep()
        if not seen or seen[-1] != numbers(world):
            seen.append(numbers(world))

    assert seen == [[0, 1, END_NUMBER], [1, END_NUMBER], [END_NUMBER], []]


def test_a_part_that_shares_what_a_sweep_condemns_meanwhile_is_refused(
    world: World,
) -> None:
    world.push({"a": DATA})
    world.push({"other": b"1"})
    set_policy(world, GONE_AT_ONCE)
    delete(world, 1)
    sweeper = Sweeper(world)
    part = begin(world.reopened())
    send(part, {"copy": DATA})
    sweeper.sweep()

    with pytest.raises(ConflictError) as caught:
        part.finish(file_count=1)

    assert caught.value.reason is Reason.SWEEP_OVERTOOK
    put(world, {"copy": DATA})
    commit(world)
    for _ in range(3):
        sweeper.sweep()
    assert world.reopened().pull() == {"copy": DATA}


def test_sweeps_beside_parts_and_commits_lose_nothing(world: World) -> None:
    world.push({"other": b"1"})
    writers = [world.reopened() for _ in range(2)]
    sweeper = Sweeper(world.reopened(), WEEK)

    def write(number: int) -> int:
        draft_id = f"draft-{number:016d}"
        mine = writers[number % 2]
        for path in "ab":
            put(mine, {f"{number}/{path}": DATA + bytes([number])}, draft_id=draft_id)
        return commit(mine, draft_id=draft_id, base_newest=True).version.number

    with ThreadPoolExecutor(3) as threads:
        found = [threads.submit(write, number) for number in range(6)]
        for _ in range(6):
            sweeper.sweep()
        assert sorted(item.result() for item in found) == list(range(2, 8))

    for _ in range(3):
        sweeper.sweep()
    files = world.reopened().pull()
    assert len(files) == 13
    assert world.reopened().verify()[1].damaged_count == 0


def test_explain_tells_that_a_draft_keeps_its_parts_and_why_one_goes(
    world: World,
) -> None:
    put(world, {"a": DATA})
    (key,) = world.keys("uploads/")

    sweeping = Sweeper(world, WEEK).sweeping

    *_, kept = sweeping.explain(key)
    discard(world)
    *_, over = sweeping.explain(key)

    assert isinstance(kept, ObjectExplanation)
    assert isinstance(over, ObjectExplanation)
    assert kept.state is ObjectState.NEEDED
    assert over.state is ObjectState.UNNEEDED
    assert "its draft was discarded, or has ended" in over.causes
