# SPDX-License-Identifier: Apache-2.0
"""Policies that keep the best versions, told by a number in their metadata."""

from dataclasses import replace
from typing import Any

import pytest

from strongroom.errors import IntegrityError, InvalidArgumentError
from strongroom_server.core.entry_body import format_body, parse_body
from strongroom_server.core.fold import Fold
from strongroom_server.core.history import (
    Deleted,
    Entry,
    History,
    HoldSet,
    NumberedEntry,
    PolicySet,
)
from strongroom_server.core.policy import MAX_KEEP_BEST, check_policy
from strongroom_server.core.records import Action, ArtifactPolicy
from strongroom_server.core.retention import best_versions, expired, explain
from tests.support.samples import TIME, committed, created, filled, info_of, ref_moved

LOSS = "metric:loss"


def best(count: int = 2, order: str = "min", *, keep_last: int = 0) -> ArtifactPolicy:
    return ArtifactPolicy(
        keep_last=keep_last, keep_best=count, best_by=LOSS, best_order=order
    )


def history(policy: ArtifactPolicy, losses: list[str | None], *more: Entry) -> History:
    """Return the history of one version for each loss, under a policy."""
    entries: list[Entry] = [created()]
    for number, loss in enumerate(losses, start=1):
        metadata = {} if loss is None else {LOSS: loss}
        entries.append(replace(committed(number), metadata=metadata))
    entries += [PolicySet(info_of(Action.POLICY, "policy"), policy), *more]
    made = Fold(History())
    for number, entry in enumerate(entries):
        digest = filled(f"entry {number}", 32)
        made.add(NumberedEntry(number, entry, digest, ("k:1",)))
    return made.history()


def gone(past: History) -> list[int]:
    return [item.version for item in expired(past, TIME)]


LOSSES: list[str | None] = ["3", "0.5", "2e-1", "7", "1"]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (best(2), {2, 3, 5}),
        (best(2, "max"), {1, 4, 5}),
        (best(1), {3, 5}),
        (best(1, keep_last=2), {3, 4, 5}),
        (best(9), {1, 2, 3, 4, 5}),
        (ArtifactPolicy(keep_last=2), {4, 5}),
        (ArtifactPolicy(), {1, 2, 3, 4, 5}),
    ],
)
def test_the_best_and_the_newest_are_kept(
    policy: ArtifactPolicy, kept: set[int]
) -> None:
    assert gone(history(policy, LOSSES)) == sorted({1, 2, 3, 4, 5} - kept)


@pytest.mark.parametrize("odd", [None, "", "nan", "inf", "-inf", "low", "9" * 400])
def test_a_version_without_a_number_is_never_among_the_best(odd: str | None) -> None:
    past = history(best(2), [odd, "5", odd, "6", "7"])

    assert best_versions(past) == {2, 4}
    assert gone(past) == [1, 3]


def test_of_equal_ones_the_newer_is_the_better() -> None:
    assert best_versions(history(best(2), ["1", "1.0", "1e0", "2"])) == {2, 3}


def test_what_a_ref_or_a_hold_needs_stays_and_takes_no_place() -> None:
    held = HoldSet(info_of(Action.RETAIN, "hold"), 4, hold=True)
    past = history(best(1), LOSSES, ref_moved(1), held)

    assert gone(past) == [2]


def test_what_is_in_the_trash_takes_nobodys_place() -> None:
    deleted = Deleted(info_of(Action.DELETE, "delete"), 3)
    past = history(best(1), LOSSES, deleted)

    assert best_versions(past) == {2}


def test_causes_say_what_was_compared() -> None:
    past = history(best(2), LOSSES)

    causes = [explain(past, version, TIME).causes for version in past.versions]

    assert causes[1] == ("its metric:loss, 0.5, is among the 2 lowest",)
    assert causes[0] == ("the policy keeps the newest and the 2 best by metric:loss",)
    assert causes[4] == ("it is the newest",)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"keep_best": -1}, "keep_best is -1"),
        ({"keep_best": MAX_KEEP_BEST + 1}, "keep_best is 10001"),
        ({"best_by": LOSS}, "need keep_best"),
        ({"best_order": "max"}, "need keep_best"),
        ({"keep_best": 1, "best_order": "min"}, "key of metadata"),
        ({"keep_best": 1, "best_by": "k" * 129, "best_order": "min"}, "1 to 128"),
        ({"keep_best": 1, "best_by": LOSS}, "one of min, max"),
        ({"keep_best": 1, "best_by": LOSS, "best_order": "least"}, "one of min, max"),
    ],
)
def test_a_rule_that_says_too_little_is_refused(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        check_policy(ArtifactPolicy(**fields))


def test_an_entry_without_the_rule_is_written_as_it_always_was() -> None:
    plain = PolicySet(info_of(Action.POLICY, "p"), ArtifactPolicy(keep_last=3))
    ranked = PolicySet(info_of(Action.POLICY, "p"), best(3))

    assert [format_body(item)["format"] for item in (plain, ranked)] == [1, 2]
    assert "keep_best" not in format_body(plain)["policy"]
    for item in (plain, ranked):
        assert parse_body(format_body(item), 1) == item


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 1},
        {"policy": {}},
        {"policy": format_body(PolicySet(info_of(Action.POLICY, "p"), best()))["policy"]
         | {"keep_best": 0}},
    ],
)  # fmt: skip
def test_an_entry_with_half_a_rule_is_damaged(changed: dict[str, Any]) -> None:
    body = format_body(PolicySet(info_of(Action.POLICY, "p"), best()))

    with pytest.raises(IntegrityError):
        parse_body(body | changed, 1)
