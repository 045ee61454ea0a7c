# SPDX-License-Identifier: Apache-2.0
"""What a journal's entries mean, told anew and independently of the real fold.

Gives the state after each entry, checks that each entry was allowed where it stands,
and whether what clients saw fits one moment between their call and its answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from strongroom.errors import Reason
from strongroom_server.core.history import (
    Committed,
    Created,
    Deleted,
    Entry,
    Fenced,
    HoldSet,
    PolicySet,
    RefMoved,
    Undeleted,
)
from strongroom_server.core.records import DEFAULT_POLICY, ArtifactPolicy

#: Two clocks that are wrong by 15 minutes each, in opposite directions.
CLOCKS: Final = timedelta(minutes=31)


class ViolationError(Exception):
    """An invariant does not hold."""


def must(holds: object, message: str) -> None:
    """Raise unless something holds."""
    if not holds:
        raise ViolationError(message)


@dataclass(frozen=True)
class State:
    """An artifact at one moment."""

    exists: bool = False
    count: int = 0
    trash: frozenset[int] = frozenset()
    purged: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    refs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    policy: ArtifactPolicy = DEFAULT_POLICY
    fence: int = 0

    def live(self) -> list[int]:
        """Return the versions that can be read, oldest first."""
        gone = self.trash | self.purged
        return [number for number in range(1, self.count + 1) if number not in gone]

    def is_held(self, number: int) -> bool:
        """Tell whether a legal hold keeps a version."""
        return bool(self.held & {0, number})

    def moves(self, ref: str) -> tuple[int, ...]:
        """Return where a ref has pointed, oldest first."""
        return dict(self.refs).get(ref, ())

    def find(self, selector: str) -> tuple[int, Reason | None]:
        """Return the version that a selector names, or why there is none."""
        if not self.exists:
            return 0, Reason.ARTIFACT_NOT_FOUND
        if selector == "latest":
            live = self.live()
            return (live[-1], None) if live else (0, Reason.VERSION_NOT_FOUND)
        if selector.isdecimal():
            number = int(selector)
        else:
            moves = self.moves(selector)
            if not moves:
                return 0, Reason.REF_NOT_FOUND
            number = moves[-1]
        if number in self.trash:
            return number, Reason.VERSION_DELETED
        if number in self.purged:
            return number, Reason.VERSION_PURGED
        return (number, None) if number <= self.count else (0, Reason.VERSION_NOT_FOUND)


@dataclass(frozen=True)
class Observation:
    """What a client saw, at some moment between two steps."""

    what: str
    holds: Callable[[State], bool]
    began: int
    ended: int


@dataclass(frozen=True)
class Known:
    """When the call that made an entry began, and when its answer came, if it did."""

    began: int
    ended: int | None


class Timeline:
    """The states of one artifact, one more than its journal has entries."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.states = [State()]
        self._deleted: dict[int, Deleted] = {}
        for number, entry in enumerate(entries):
            self._add(number, entry)

    @property
    def end(self) -> State:
        """The state after the last entry."""
        return self.states[-1]

    def check_seen(
        self, seen: Sequence[Observation], known: Sequence[Known | None]
    ) -> None:
        """Check that for each observation there is a moment at which it was true.

        Moments are bounded by the entries whose calls had ended before, or began
        after, and by what others had seen before.
        """
        done: list[tuple[int, int]] = []
        for item in sorted(seen, key=lambda found: found.began):
            low, high = 0, len(known)
            for number, call in enumerate(known):
                if call is None:
                    continue
                if call.ended is not None and call.ended <= item.began:
                    low = max(low, number + 1)
                if call.began >= item.ended:
                    high = min(high, number)
            low = max([low, *(at for ended, at in done if ended <= item.began)])
            moments = (at for at in range(low, high + 1) if item.holds(self.states[at]))
            at = next(moments, None)
            must(at is not None,
                 f"{item.what}: at no moment from {low} to {high}")  # fmt: skip
            assert at is not None
            done.append((item.ended, at))

    def _add(self, number: int, entry: Entry) -> None:
        before = self.end
        must(before.exists != isinstance(entry, Created), f"entry {number} is odd")
        after = self._after(before, entry, f"entry {number}, {entry.info.action},")
        self.states.append(after)

    def _after(self, now: State, entry: Entry, what: str) -> State:
        match entry:
            case Created():
                return replace(now, exists=True)
            case Committed(version=version):
                must(version == now.count + 1, f"{what} skips a number")
                must(entry.info.sweep_epoch >= now.fence, f"{what} passes a fence")
                return replace(now, count=version)
            case RefMoved(ref=ref, version=version):
                must(version in now.live(), f"{what} points at what is gone")
                refs = {**dict(now.refs), ref: (*now.moves(ref), version)}
                return replace(now, refs=tuple(sorted(refs.items())))
            case PolicySet(policy=policy):
                return replace(now, policy=policy)
            case HoldSet(version=version, hold=hold):
                must(version not in now.purged, f"{what} holds what is gone")
                must(hold != (version in now.held), f"{what} changes nothing")
                return replace(now, held=now.held ^ {version})
            case _:
                return self._retained(now, entry, what)

    def _retained(
        self, now: State, entry: Deleted | Undeleted | Fenced, what: str
    ) -> State:
        match entry:
            case Deleted(version=version):
                must(version in now.live(), f"{what} deletes what is gone")
                self._check_unneeded(now, version, what)
                if entry.info.request_id.startswith("plan/"):
                    check_expired(now, version, what)
                self._deleted[version] = entry
                return replace(now, trash=now.trash | {version})
            case Undeleted(version=version):
                must(version in now.trash, f"{what} undeletes what is not deleted")
                return replace(now, trash=now.trash - {version})
            case Fenced(info=info, purged=purged):
                must(info.sweep_epoch > now.fence, f"{what} moves the fence back")
                gone = frozenset(purged)
                must(gone <= now.trash, f"{what} purges what is not in the trash")
                for version in purged:
                    self._check_unneeded(now, version, what)
                    age = info.time - self._deleted[version].info.time
                    must(age + CLOCKS >= timedelta(days=now.policy.trash_days),
                         f"{what} purges {version} after {age}")  # fmt: skip
                return replace(
                    now,
                    fence=info.sweep_epoch,
                    trash=now.trash - gone,
                    purged=now.purged | gone,
                )

    @staticmethod
    def _check_unneeded(now: State, version: int, what: str) -> None:
        must(not now.is_held(version), f"{what} takes {version}, which is held")
        pointing = [ref for ref, moves in now.refs if moves[-1] == version]
        must(not pointing, f"{what} takes {version}, where {pointing} point")


def check_expired(now: State, version: int, what: str) -> None:
    """Check that the policy let a version go: all but its ages, which clocks tell."""
    count = now.policy.keep_last
    must(count, f"{what} takes {version}, and the policy keeps all")
    must(version not in now.live()[-count:], f"{what} takes one of the newest")
    before = [ref for ref, moves in now.refs if version in moves[-2:]]
    must(not before, f"{what} takes {version}, where {before} pointed just before")
