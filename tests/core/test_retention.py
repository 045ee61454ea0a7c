# SPDX-License-Identifier: Apache-2.0
"""Deletes, holds, policies and fences: which may follow, and what they keep."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom_server.core.entry_body import format_body, parse_body
from strongroom_server.core.fold import Fold
from strongroom_server.core.history import (
    Deleted,
    Entry,
    Fenced,
    History,
    HoldSet,
    NumberedEntry,
    PolicySet,
    Undeleted,
)
from strongroom_server.core.policy import MAX_DAYS, check_policy
from strongroom_server.core.records import Action, ArtifactPolicy, VersionState
from strongroom_server.core.retention import (
    check_deletable,
    expired,
    explain,
    is_expired,
    purge_time,
    state_of,
)
from strongroom_server.core.selectors import resolve, resolve_stored
from tests.support.properties import QUICK
from tests.support.samples import TIME, committed, created, filled, info_of, ref_moved

DAY = timedelta(days=1)


def fold(*entries: Entry) -> History:
    made = Fold(History())
    for number, entry in enumerate(entries):
        digest = filled(f"entry {number}", 32)
        made.add(NumberedEntry(number, entry, digest, ("k:1",)))
    return made.history()


def deleted(version: int = 1) -> Deleted:
    return Deleted(info_of(Action.DELETE, f"delete-{version}", "old"), version)


def undeleted(version: int = 1) -> Undeleted:
    return Undeleted(info_of(Action.UNDELETE, f"undelete-{version}"), version)


def held(version: int = 1, *, hold: bool = True) -> HoldSet:
    return HoldSet(info_of(Action.RETAIN, f"hold-{version}-{hold}"), version, hold)


def policy(**fields: int) -> PolicySet:
    return PolicySet(info_of(Action.POLICY, "policy"), ArtifactPolicy(**fields))  # type: ignore[arg-type]


def fenced(epoch: int, *purged: int) -> Fenced:
    info = replace(info_of(Action.FENCE, f"fence-{epoch}"), sweep_epoch=epoch)
    return Fenced(info, purged)


def knowing(epoch: int, version: int = 1) -> Entry:
    entry = committed(version)
    return replace(entry, info=replace(entry.info, sweep_epoch=epoch))


BASE: Sequence[Entry] = (created(), committed(1), committed(2), committed(3))


@pytest.mark.parametrize(
    "entry",
    [deleted(), undeleted(2), held(0), held(3, hold=False), fenced(7, 1, 2), fenced(1)],
)
def test_an_entry_reads_back(entry: Entry) -> None:
    assert parse_body(format_body(entry), 3) == entry


def test_a_policy_reads_back() -> None:
    entry = PolicySet(info_of(Action.POLICY), ArtifactPolicy(3, 10, 5, "delta"))

    assert parse_body(format_body(entry), 3) == entry


@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        (policy(), {"policy": {"keep_last": 1}}),
        (policy(), {"policy": {**format_body(policy())["policy"], "keep_last": -1}}),
        (policy(), {"policy": {**format_body(policy())["policy"], "codec": "zip"}}),
        (policy(), {"policy": {**format_body(policy())["policy"], "keep_days": True}}),
        (fenced(1), {"purged": ["1"]}),
        (fenced(1), {"purged": [True]}),
        (fenced(1), {"sweep_epoch": -1}),
        (held(), {"hold": 1}),
        (deleted(), {"version": "1"}),
    ],
)
def test_a_malformed_entry_is_refused(entry: Entry, changes: dict[str, object]) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_body(format_body(entry) | changes, 3)

    assert caught.value.reason is Reason.JOURNAL_CORRUPT


@pytest.mark.parametrize(
    "entries",
    [
        [deleted(4)],
        [deleted(0)],
        [deleted(1), deleted(1)],
        [ref_moved(1), deleted(1)],
        [held(1), deleted(1)],
        [held(0), deleted(2)],
        [undeleted(1)],
        [deleted(1), undeleted(1), undeleted(1)],
        [held(4)],
        [held(1), held(1)],
        [held(1, hold=False)],
        [deleted(1), ref_moved(1)],
        [fenced(0)],
        [fenced(2), fenced(2)],
        [fenced(2), fenced(1)],
        [fenced(1, 1)],
        [deleted(1), held(1), fenced(1, 1)],
        [deleted(1), deleted(2), fenced(1, 2, 1)],
        [deleted(1), fenced(1, 1, 1)],
        [deleted(1), fenced(1, 1), undeleted(1)],
        [deleted(1), fenced(1, 1), held(1)],
        [deleted(1), fenced(1, 1), ref_moved(1)],
        [fenced(1), committed(4)],
        [fenced(3), knowing(2, 4)],
    ],
)
def test_an_entry_that_cannot_come_next_is_refused(entries: Sequence[Entry]) -> None:
    fold(*BASE, *entries[:-1])

    with pytest.raises(IntegrityError) as caught:
        fold(*BASE, *entries)

    assert caught.value.reason is Reason.JOURNAL_CORRUPT


def test_a_commit_that_knows_the_fence_may_follow_it() -> None:
    assert fold(*BASE, fenced(3), knowing(3, 4)).latest == 4
    assert fold(*BASE, fenced(3), knowing(9, 4)).fence == 3


def test_latest_is_the_newest_version_that_can_be_read() -> None:
    assert fold(*BASE, deleted(3)).latest == 2
    assert fold(*BASE, deleted(3), deleted(2)).latest == 1
    assert fold(*BASE, deleted(3), undeleted(3)).latest == 3
    gone = fold(*BASE, deleted(1), deleted(2), deleted(3), fenced(1, 1, 2, 3))
    assert (gone.latest, gone.next_version, gone.newest) == (0, 4, None)
    assert gone.refs_at(3) == ()


def test_selectors_see_what_can_be_read() -> None:
    history = fold(*BASE, deleted(2))

    assert resolve(history, "latest~1").version == 1
    for selector in ("2", committed(2).digest[:20]):
        with pytest.raises(PreconditionError) as caught:
            resolve(history, selector)
        assert caught.value.reason is Reason.VERSION_DELETED
        assert "undelete" in caught.value.hint
    assert resolve_stored(history, "2").version == 2


def test_a_purged_version_is_gone_for_good() -> None:
    history = fold(*BASE, deleted(2), fenced(1, 2))

    with pytest.raises(PreconditionError) as caught:
        resolve(history, "2")

    assert caught.value.reason is Reason.VERSION_PURGED
    assert state_of(history, 2) is VersionState.PURGED
    assert [item.version for item in history.stored_versions()] == [1, 3]


def test_a_time_names_what_was_latest_then() -> None:
    later = replace(deleted(3), info=replace(deleted(3).info, time=TIME + DAY))
    history = fold(*BASE, later)

    with pytest.raises(PreconditionError):
        resolve(history, f"{{{TIME.isoformat()}}}")
    now = (TIME + 2 * DAY).isoformat()
    assert resolve(history, f"{{{now}}}").version == 2


def test_what_a_hold_or_a_ref_keeps_cannot_be_deleted() -> None:
    history = fold(*BASE, ref_moved(1), held(2))

    for version, reason in ((1, Reason.VERSION_IN_USE), (2, Reason.LEGAL_HOLD)):
        with pytest.raises(PreconditionError) as caught:
            check_deletable(history, version)
        assert caught.value.reason is reason
    check_deletable(history, 3)


def test_a_policy_keeps_the_newest_the_young_and_what_is_pointed_at() -> None:
    old = [
        replace(entry, info=replace(entry.info, time=TIME + at * DAY))
        for at, entry in enumerate([committed(number) for number in range(1, 7)])
    ]
    moves = [ref_moved(1), ref_moved(2, 1), ref_moved(3, 2)]
    rules = policy(keep_last=1, keep_days=2)
    history = fold(created(), *old, *moves, rules, held(4))

    gone = [item.version for item in expired(history, TIME + 5.5 * DAY)]

    # 6 is the newest, 5 young, 4 held, prod points at 3 and pointed at 2 before.
    assert gone == [1]
    later = [item.version for item in expired(history, TIME + 60 * DAY)]
    assert later == [1, 5]
    assert "keeps the 1 newest" in expired(history, TIME + 60 * DAY)[0].reason


def test_a_policy_that_keeps_all_lets_nothing_go() -> None:
    history = fold(*BASE, policy(keep_days=1))

    assert expired(history, TIME + 900 * DAY) == []
    assert not is_expired(history, history.versions[0], TIME + 900 * DAY)


def test_a_version_in_the_trash_is_kept_until_its_time_is_over() -> None:
    history = fold(*BASE, policy(trash_days=3), deleted(1), deleted(2), held(2))

    def kept(now: datetime) -> list[bool]:
        return [explain(history, item, now).kept for item in history.versions[:2]]

    assert kept(TIME + 3 * DAY - timedelta(microseconds=1)) == [True, True]
    assert kept(TIME + 3 * DAY) == [False, True]


def test_a_policy_does_not_shorten_what_was_promised_at_a_deletion() -> None:
    longer: list[Entry] = [policy(trash_days=3), deleted(1), policy(trash_days=9)]
    shorter: list[Entry] = [policy(trash_days=9), deleted(1), policy(trash_days=0)]
    again = [*shorter, undeleted(1), deleted(1)]

    for entries, days in ((longer, 9), (shorter, 9), (again, 0)):
        history = fold(*BASE, *entries)
        assert purge_time(history, 1) == TIME + days * DAY


@pytest.mark.parametrize("year", [9900, 9999])
def test_a_clock_at_the_end_of_time_leaves_a_history_that_can_be_told(
    year: int,
) -> None:
    late = TIME.replace(year=year)
    rules = policy(keep_last=1, keep_days=MAX_DAYS, trash_days=MAX_DAYS)
    later: list[Entry] = [
        replace(entry, info=replace(entry.info, time=late))
        for entry in (committed(1), committed(2), rules, deleted(1))
    ]
    history = fold(created(), *later)

    assert purge_time(history, 1) == datetime.max.replace(tzinfo=UTC)
    assert not expired(history, late)
    assert all(explain(history, item, late).kept for item in history.versions)


def test_explaining_says_why_and_until_when() -> None:
    history = fold(*BASE, ref_moved(2), policy(keep_last=1, trash_days=3), deleted(1))
    now = TIME + DAY

    keepings = [explain(history, version, now) for version in history.versions]

    assert [item.kept for item in keepings] == [True, True, True]
    assert keepings[0].until == TIME + 3 * DAY
    assert keepings[1].causes == ("ref prod points at it",)
    assert keepings[2].causes == ("it is the newest",)
    assert not explain(history, history.versions[0], TIME + 4 * DAY).kept


@pytest.mark.parametrize(
    "wrong",
    [
        ArtifactPolicy(keep_last=-1),
        ArtifactPolicy(keep_days=10**9),
        ArtifactPolicy(trash_days=-1),
        ArtifactPolicy(codec="lzma"),
    ],
)
def test_a_policy_out_of_range_is_refused(wrong: ArtifactPolicy) -> None:
    with pytest.raises(InvalidArgumentError):
        check_policy(wrong)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["commit", "delete", "undelete", "hold", "lift", "fence"]),
        st.integers(0, 4),
    ),
    max_size=14,
)


class Naive:
    """The same rules, written down another way."""

    def __init__(self) -> None:
        self.count, self.fence = 0, 0
        self.trash: set[int] = set()
        self.gone: set[int] = set()
        self.holds: set[int] = set()

    def entry(self, what: str, number: int) -> Entry:
        match what:
            case "commit":
                return knowing(number, self.count + 1)
            case "delete":
                return deleted(number)
            case "undelete":
                return undeleted(number)
            case "fence":
                return fenced(number, *sorted(self._purgeable()))
            case _:
                return held(number, hold=what == "hold")

    def allows(self, what: str, number: int) -> bool:
        stored = 1 <= number <= self.count and number not in self.gone
        return {
            "commit": number >= self.fence,
            "delete": stored and number not in self.trash and self._is_free(number),
            "undelete": number in self.trash,
            "fence": number > self.fence,
            "hold": (stored or number == 0) and number not in self.holds,
            "lift": (stored or number == 0) and number in self.holds,
        }[what]

    def take(self, what: str, number: int) -> None:
        match what:
            case "commit":
                self.count += 1
            case "delete":
                self.trash.add(number)
            case "undelete":
                self.trash.discard(number)
            case "fence":
                purged = self._purgeable()
                self.fence, self.gone = number, self.gone | purged
                self.trash -= purged
            case _:
                self.holds ^= {number}

    def _purgeable(self) -> set[int]:
        return {item for item in self.trash if self._is_free(item)}

    def _is_free(self, number: int) -> bool:
        return not self.holds & {0, number}


@QUICK
@given(ACTIONS)
def test_a_fold_is_what_a_naive_model_says(actions: list[tuple[str, int]]) -> None:
    made, naive = Fold(History()), Naive()
    made.add(NumberedEntry(0, created(), b"", ()))
    for what, number in actions:
        entry = naive.entry(what, number)
        item = NumberedEntry(made.next_number, entry, b"", ())
        if not naive.allows(what, number):
            with pytest.raises(IntegrityError):
                made.add(item)
            continue
        made.add(item)
        naive.take(what, number)

    history = made.history()
    away = naive.trash | naive.gone
    readable = [item for item in range(1, naive.count + 1) if item not in away]
    assert [item.version for item in history.live_versions()] == readable
    assert set(history.deleted) == naive.trash
    assert set(history.purged) == naive.gone
    assert set(history.held) == naive.holds
    assert history.fence == naive.fence
    assert history.latest == (readable[-1] if readable else 0)
