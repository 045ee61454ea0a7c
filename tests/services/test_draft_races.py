# SPDX-License-Identifier: Apache-2.0
"""Drafts: what happens at any moment of a commit, a discard or a part.

One call runs whole before each call that another one makes of the store.
"""

from collections.abc import Callable
from functools import partial
from itertools import count

import pytest

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory import MemoryBlobStore
from tests.support.drafts import begin, commit, discard, put, send
from tests.support.executors import AtOnce
from tests.support.faulty import FaultyBlobStore
from tests.support.world import World

CLOSED = "closed"
DONE = "done"


class InterruptedBlobStore(FaultyBlobStore):
    """Lets something happen before one of its calls."""

    def __init__(self, store: MemoryBlobStore) -> None:
        super().__init__(store)
        self.at = -1
        self.happens: Callable[[], object] = lambda: None

    def _begin(self, method: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 -- as it is there
        if len(self.calls) == self.at:
            self.at = -1
            self.happens()
        return super()._begin(method)


def outcome(call: Callable[[], object]) -> str:
    """Make a call; tell whether the draft was closed to it."""
    try:
        call()
    except PreconditionError as error:
        if error.reason is not Reason.DRAFT_CLOSED:
            raise
        return CLOSED
    return DONE


class Race:
    """A draft with one part, an engine that is interrupted, and one that interrupts."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.bucket = MemoryBlobStore(clock)
        self.quiet = World(blobs=self.bucket, clock=clock, executor=AtOnce())
        put(self.quiet, {"first": b"1"})
        self.blobs = InterruptedBlobStore(self.bucket)
        self.loud = self.quiet.reopened(blobs=self.blobs)

    def run(
        self,
        at: int,
        outer: Callable[[World], object],
        inner: Callable[[World], object],
    ) -> tuple[str, str] | None:
        """Run `inner` before one call of `outer`; None if there are not so many."""
        told: list[str] = []
        self.blobs.at = len(self.blobs.calls) + at
        self.blobs.happens = lambda: told.append(
            outcome(lambda: inner(self.quiet.reopened()))
        )
        found = outcome(lambda: outer(self.loud))
        return (found, told[0]) if told else None

    def files(self) -> set[str]:
        """Return the paths of the newest version, or of none."""
        fresh = self.quiet.reopened()
        return set(fresh.pull()) if fresh.keys("journals/") else set()


def put_second(world: World) -> object:
    return put(world, {"second": b"2"})


def put_third(world: World) -> object:
    return put(world, {"third": b"3"})


def races(
    outer: Callable[[World], object], inner: Callable[[World], object]
) -> list[tuple[Race, str, str]]:
    """Run one call at every moment of another; return what came of each."""
    found: list[tuple[Race, str, str]] = []
    for at in range(1000):
        race = Race()
        told = race.run(at, outer, inner)
        if told is None:
            return found
        found.append((race, *told))
    raise AssertionError


def test_a_part_at_any_moment_of_a_commit_is_in_if_it_was_acknowledged() -> None:
    seen = set()
    for race, committed, part in races(commit, put_second):
        assert committed == DONE
        second = {"second"} if part == DONE else set()
        assert race.files() == {"first"} | second
        seen.add(part)
    assert seen == {DONE, CLOSED}


def test_a_commit_at_any_moment_of_a_part_has_it_if_it_is_acknowledged() -> None:
    for race, part, committed in races(put_second, commit):
        assert committed == DONE
        # Who is told that the draft is closed cannot know.
        wanted = [{"first", "second"}] if part == DONE else [{"first"}]
        if part == CLOSED:
            wanted.append({"first", "second"})
        assert race.files() in wanted


def test_of_a_commit_and_a_discard_exactly_one_happens() -> None:
    seen = set()
    for outer, inner in ((commit, discard), (discard, commit)):
        for race, *told in races(outer, inner):
            assert sorted(told) == [CLOSED, DONE]
            committed = told[0 if outer is commit else 1] == DONE
            assert race.files() == ({"first"} if committed else set())
            seen.add(committed)
    assert seen == {True, False}


def test_a_discard_at_any_moment_of_a_part_leaves_nothing_to_commit() -> None:
    for race, _, discarded in races(put_second, discard):
        assert discarded == DONE
        fresh = race.quiet.reopened()
        assert outcome(partial(commit, fresh)) == CLOSED
        assert race.files() == set()


def test_two_commits_at_any_moment_of_each_other_make_one_version() -> None:
    for race, *told in races(commit, commit):
        assert told == [DONE, DONE]
        assert race.quiet.reopened().versions() == [1]


def test_two_parts_at_any_moment_of_each_other_are_both_in() -> None:
    for race, *told in races(put_second, put_third):
        assert told == [DONE, DONE]
        commit(race.quiet.reopened(), expected=3)
        assert race.files() == {"first", "second", "third"}


def test_a_push_at_any_moment_of_a_commit_on_the_newest_version_is_kept() -> None:
    def commit_on_newest(world: World) -> object:
        return commit(world, base_newest=True)

    for race, *told in races(commit_on_newest, lambda world: world.push({"p": b"p"})):
        assert told == [DONE, DONE]
        fresh = race.quiet.reopened()
        # Before the draft's version, it is its base; behind it, it is newer.
        assert race.files() in ({"p", "first"}, {"p"})
        assert fresh.versions() == [2, 1]
        drafted = [set(fresh.pull(str(number))) for number in (1, 2)]
        assert {"first"} in drafted or {"p", "first"} in drafted


@pytest.mark.parametrize("closing", [commit, discard])
def test_a_part_that_began_before_the_end_is_refused_behind_it(
    closing: Callable[[World], object],
) -> None:
    race = Race()
    part = begin(race.quiet)
    send(part, {"late": b"1"})
    closing(race.quiet.reopened())

    assert outcome(lambda: part.finish(file_count=1)) == CLOSED


def test_who_is_refused_for_a_part_that_came_meanwhile_is_told_how_to_go_on() -> None:
    hints = set()
    for at in count():
        race = Race()
        try:
            if race.run(at, partial(commit, expected=1), put_second) is None:
                break
        except PreconditionError as error:
            hints.add((error.reason, error.hint.partition(",")[0]))
            commit(race.quiet.reopened(), expected=2)
            assert race.files() == {"first", "second"}

    assert hints == {
        (Reason.DRAFT_INCOMPLETE, "Put what is missing"),
        (Reason.DRAFT_INCOMPLETE, "Parts came while it was committed"),
    }
