# SPDX-License-Identifier: Apache-2.0
"""The sweep protocol of docs/adr/0010 as an explicit-state model.

Every step is one request to the store, and every interleaving of the actors' steps is
looked at. An actor that stops for ever is one that takes no further step, so crashes
need no step of their own. No step asks for the time: grace and age do not exist here.

A sweeper condemns *every* pack that is there, whoever needs it: safety must not rest
on what a plan chose.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from tests.model.sweep_store import (
    INDEX,
    JOURNALS,
    Commit,
    Condemn,
    Create,
    Decide,
    Entry,
    Fence,
    Packs,
    Removed,
    Store,
    Undelete,
    condemned_by,
    decisions,
    doomed,
    fence,
    is_safe,
    open_sweeps,
    removed,
    start,
    trash,
    versions,
    view,
)


class Mutation(Enum):
    """A protocol with one thing wrong."""

    NONE = auto()
    NO_FENCE = auto()
    REMOVE_BEFORE_DECIDING = auto()
    NO_SECOND_LOOK = auto()
    FORGETS_WHAT_IS_REMOVED = auto()
    MARKS_BEFORE_FENCING = auto()


@dataclass(frozen=True, slots=True)
class Writer:
    """Pushes one version of `wants` to a journal."""

    name: str
    journal: str
    wants: str
    step: str = "begin"
    seen: bool = False
    epoch: int = 0
    condemned: Packs = frozenset()
    uses: Packs = frozenset()
    length: int = 0

    def steps(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        """Yield what may come next."""
        journal = store.journal(self.journal)
        if self.step == "begin":
            yield store, self._at("view", seen=bool(journal))
        elif self.step == "view":
            seen = view(store.records)
            yield store, self._at("share", epoch=len(store.records), condemned=seen)
        elif self.step == "share":
            packs = {self._place(store, content) for content in self.wants}
            after = store.with_packs(store.packs | packs)
            yield after, self._at("load", uses=frozenset(packs), condemned=frozenset())
        elif self.step == "load":
            following = self._after_load(journal, mutation)
            yield store, self._at(following, length=len(journal))
        elif self.step == "renew":
            yield store, self._renewed(store, journal, mutation)
        elif self.step == "append" and len(journal) != self.length:
            yield store, self._at("load")
        elif self.step == "append":
            yield from self._append(store, journal)

    def _append(
        self, store: Store, journal: tuple[Entry, ...]
    ) -> "Iterator[tuple[Store, Actor]]":
        if not journal:
            yield store.with_entry(self.journal, Create(self.journal)), self._at("load")
            return
        entry = Commit(self.uses, self.epoch)
        yield store.with_entry(self.journal, entry), self._at("end")

    def _after_load(self, journal: tuple[Entry, ...], mutation: Mutation) -> str:
        fenced = fence(journal) > self.epoch
        unseen = bool(journal) and not self.seen
        if mutation is Mutation.NO_SECOND_LOOK:
            unseen = False
        return "renew" if fenced or unseen else "append"

    def _renewed(
        self, store: Store, journal: tuple[Entry, ...], mutation: Mutation
    ) -> "Writer":
        forgets = mutation is Mutation.FORGETS_WHAT_IS_REMOVED
        condemned = view(store.records, None if forgets else self.epoch)
        if self.uses & condemned:
            return self._at("end")  # SWEEP_OVERTOOK: nothing was written
        known = bool(journal)
        return self._at("append", epoch=len(store.records), seen=self.seen or known)

    def _place(self, store: Store, content: str) -> str:
        known = INDEX[content]
        there = known in store.packs and known not in self.condemned
        return known if there else f"{self.name}-{content}"

    def _at(self, step: str, **changed: Any) -> "Writer":  # noqa: ANN401
        if step == "end":
            # What it knew makes no difference any more: fewer states.
            return Writer(self.name, self.journal, self.wants, step)
        return replace(self, step=step, **changed)


@dataclass(frozen=True, slots=True)
class Undeleter:
    """Takes version 1 of journal A out of the trash, if it is still there."""

    step: str = "undelete"

    def steps(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        """Yield what may come next; its compare-and-swap makes it one step."""
        if self.step == "undelete":
            after = store
            if 1 in trash(store.journal("A")):
                after = store.with_entry("A", Undelete(1))
            yield after, Undeleter("end")


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Goes on with the oldest open sweep, or condemns; `budget` times in all.

    A load and the compare-and-swap behind it are one step: a swap that fails is
    repeated, and one that succeeds had nothing come between.
    """

    name: str
    budget: int
    step: str = "look"
    of: int = -1
    todo: tuple[str, ...] = ()
    marks: Packs = frozenset()

    def steps(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        """Yield what may come next."""
        if self.step == "look" and self.budget:
            yield from self._look(store, mutation)
        elif self.step == "list-to-fence":
            todo = _existing(store)
            yield store, self._at("fence", todo=todo)
        elif self.step == "fence":
            yield from self._fence(store, mutation)
        elif self.step == "list-to-mark":
            yield store, self._at("mark", todo=_existing(store))
        elif self.step == "mark":
            yield from self._mark(store, mutation)
        elif self.step == "decide":
            yield from self._decide(store, mutation)
        elif self.step == "remove":
            yield from self._remove(store, mutation)

    def _look(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        waiting = open_sweeps(store.records)
        if waiting:
            number = waiting[0]
            decided = number in decisions(store.records)
            step = "remove" if decided else _first_step(mutation)
            yield store, self._at(step, of=number, marks=frozenset())
        else:
            after = store.with_record(Condemn(store.packs))
            yield after, self._at("look", budget=self.budget - 1)

    def _fence(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        if not self.todo:
            late = mutation is Mutation.MARKS_BEFORE_FENCING
            yield store, self._at("decide" if late else "list-to-mark")
            return
        name, rest = self.todo[0], self.todo[1:]
        journal, after = store.journal(name), store
        if fence(journal) < self.of + 1 and mutation is not Mutation.NO_FENCE:
            after = store.with_entry(name, Fence(self.of + 1, trash(journal)))
        yield after, self._at("fence", todo=rest)

    def _mark(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        if not self.todo:
            step = "decide"
            if mutation is Mutation.MARKS_BEFORE_FENCING:
                step = "list-to-fence"
            yield store, self._at(step)
            return
        needed = versions(store.journal(self.todo[0])).values()
        marks = self.marks.union(*needed)
        yield store, self._at("mark", todo=self.todo[1:], marks=marks)

    def _decide(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        after = store
        if self.of not in decisions(store.records):
            rescued = condemned_by(store.records, self.of) & self.marks
            after = store.with_record(Decide(self.of, rescued))
        early = mutation is Mutation.REMOVE_BEFORE_DECIDING
        yield after, self._at("look" if early else "remove", budget=self.budget - early)

    def _remove(
        self, store: Store, mutation: Mutation
    ) -> "Iterator[tuple[Store, Actor]]":
        early = mutation is Mutation.REMOVE_BEFORE_DECIDING
        goal = doomed(store.records, self.of)
        left = sorted(goal & store.packs - (self.marks if early else frozenset()))
        if left:
            yield store.with_packs(store.packs - {left[0]}), self
            return
        if early and self.of not in decisions(store.records):
            yield store, self._at("decide")
            return
        after = store
        if self.of not in removed(store.records):
            after = store.with_record(Removed(self.of))
        yield after, self._at("look", budget=self.budget - 1)

    def _at(self, step: str, **changed: Any) -> "Sweeper":  # noqa: ANN401
        return replace(self, step=step, **changed)


Actor = Writer | Undeleter | Sweeper
State = tuple[Store, tuple[Actor, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What looking at every state found: how many there are, and the bad way."""

    states: int
    trace: tuple[str, ...]


def explore(actors: tuple[Actor, ...], mutation: Mutation = Mutation.NONE) -> Outcome:
    """Look at every state that the actors can reach, until one is bad.

    A state is bad if a version that is not purged needs a pack that is gone, or a
    commit stands behind a fence that it does not know.
    """
    first: State = (start(), actors)
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    waiting = [first]
    while waiting:
        state = waiting.pop()
        store, now = state
        for at, actor in enumerate(now):
            for after, changed in actor.steps(store, mutation):
                following = (after, (*now[:at], changed, *now[at + 1 :]))
                if following in came_from:
                    continue
                came_from[following] = (state, f"{_name(actor)}: {actor.step}")
                if not is_safe(after):
                    return Outcome(len(came_from), _trace(came_from, following))
                waiting.append(following)
    return Outcome(len(came_from), ())


def _existing(store: Store) -> tuple[str, ...]:
    return tuple(name for name in JOURNALS if store.journal(name))


def _first_step(mutation: Mutation) -> str:
    if mutation is Mutation.REMOVE_BEFORE_DECIDING:
        return "remove"
    late = mutation is Mutation.MARKS_BEFORE_FENCING
    return "list-to-mark" if late else "list-to-fence"


def _name(actor: Actor) -> str:
    return "undeleter" if isinstance(actor, Undeleter) else actor.name


def _trace(
    came_from: dict[State, tuple[State, str] | None], state: State
) -> tuple[str, ...]:
    steps: list[str] = []
    current = came_from[state]
    while current is not None:
        before, step = current
        steps.append(step)
        current = came_from[before]
    return tuple(reversed(steps))
