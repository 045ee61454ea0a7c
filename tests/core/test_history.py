# SPDX-License-Identifier: Apache-2.0
"""Histories: what entries add up to, what selectors find in them, what is refused."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
)
from strongroom_server.core.entry_body import format_body, parse_body
from strongroom_server.core.fold import Fold
from strongroom_server.core.history import (
    Entry,
    History,
    NumberedEntry,
    RefMoved,
    check_movable,
)
from strongroom_server.core.records import Action
from strongroom_server.core.selectors import resolve
from tests.support.properties import COSTLY, QUICK
from tests.support.samples import TIME, committed, created, filled, ref_moved


def fold(*entries: Entry) -> History:
    made = Fold(History())
    for number, entry in enumerate(entries):
        digest = filled(f"entry {number}", 32)
        made.add(NumberedEntry(number, entry, digest, ("k:1",)))
    return made.history()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@COSTLY
@given(TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3), st.integers(0, 2**53 - 1))
def test_an_entry_reads_back(text: str, metadata: dict[str, str], size: int) -> None:
    entries: list[Entry] = [
        created(),
        replace(committed(), message=text, metadata=metadata, size_bytes=size),
        replace(ref_moved(), info=replace(ref_moved().info, reason=text)),
    ]
    for entry in entries:
        assert parse_body(format_body(entry), 0) == entry


BODIES: list[dict[str, Any]] = [
    format_body(entry) for entry in (created(), committed(), ref_moved())
]
ODD = (
    st.none() | st.booleans() | st.integers(-1, 5) | TEXTS | st.lists(TEXTS, max_size=1)
)


@QUICK
@given(st.sampled_from(BODIES), st.data())
def test_an_entry_with_another_field_parses_or_is_refused(
    body: dict[str, Any], data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(body)))
    value = data.draw(ODD | st.dictionaries(TEXTS, ODD, max_size=1))

    with contextlib.suppress(IntegrityError, PreconditionError):
        parse_body(body | {field: value}, 3)


def test_an_entry_of_a_newer_format_says_so() -> None:
    with pytest.raises(PreconditionError) as caught:
        parse_body(BODIES[1] | {"format": 3}, 1)

    assert caught.value.reason is Reason.FORMAT_UNSUPPORTED


@pytest.mark.parametrize("body", BODIES)
def test_an_entry_with_a_field_too_few_or_too_many_is_refused(
    body: dict[str, Any],
) -> None:
    for field in body:
        fewer = {key: value for key, value in body.items() if key != field}
        with pytest.raises(IntegrityError):
            parse_body(fewer, 3)
    with pytest.raises(IntegrityError):
        parse_body(body | {"more": 1}, 3)


@pytest.mark.parametrize(
    "time",
    ["2026-11-01T12:00", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "now", 5],
)
def test_a_time_that_is_no_instant_is_refused(time: object) -> None:
    with pytest.raises(IntegrityError):
        parse_body(BODIES[1] | {"time": time}, 1)


@pytest.mark.parametrize(
    "entries",
    [
        [committed()],
        [ref_moved()],
        [created(), created()],
        [created(), committed(2)],
        [created(), committed(1), committed(1)],
        [created(), ref_moved(1)],
        [created(), committed(1), ref_moved(0)],
        [created(), committed(1), ref_moved(2)],
        [created(), committed(1), ref_moved(1, previous=1)],
        [created(), committed(1), ref_moved(1), ref_moved(1, previous=0)],
        [created(), committed(1), ref_moved(1, previous=1, ref="latest")],
        [created(), committed(1), ref_moved(1, ref="latest")],
    ],
)
def test_an_entry_that_cannot_come_next_is_refused(entries: Sequence[Entry]) -> None:
    fold(*entries[:-1])

    with pytest.raises(IntegrityError) as caught:
        fold(*entries)

    assert caught.value.reason is Reason.JOURNAL_CORRUPT


@pytest.mark.parametrize("number", [0, 2])
def test_numbers_are_dense(number: int) -> None:
    made = Fold(fold(created()))

    with pytest.raises(IntegrityError):
        made.add(NumberedEntry(number, committed(), b"", ()))


AB, AC = "sha256:ab12cd" + "0" * 58, "sha256:ab12cd" + "1" * 58
HISTORY = fold(
    created(),
    committed(1, AB),
    ref_moved(1),
    committed(2, AC),
    ref_moved(2, previous=1),
    ref_moved(1, previous=2),
    committed(3, AB),
    ref_moved(3, ref="staging"),
)


@pytest.mark.parametrize(
    ("selector", "version"),
    [
        ("1", 1),
        ("3", 3),
        ("latest", 3),
        ("latest~0", 3),
        ("latest~1", 2),
        ("latest~2", 1),
        ("prod", 1),
        ("prod~1", 2),
        ("prod~2", 1),
        ("staging", 3),
        (AB, 3),
        (AC, 2),
        ("sha256:ab12cd1", 2),
        ("{2026-11-01T12:30:16Z}", 3),
        ("{2026-11-01T14:30:16+02:00}", 3),
    ],
)
def test_a_selector_finds_its_version(selector: str, version: int) -> None:
    assert resolve(HISTORY, selector).version == version


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        ("4", Reason.VERSION_NOT_FOUND),
        ("latest~3", Reason.VERSION_NOT_FOUND),
        ("prod~3", Reason.VERSION_NOT_FOUND),
        ("staging~1", Reason.VERSION_NOT_FOUND),
        ("sha256:ffffff", Reason.VERSION_NOT_FOUND),
        ("{2026-11-01T12:30:15Z}", Reason.VERSION_NOT_FOUND),
        ("{0001-01-01T00:00+14:00}", Reason.VERSION_NOT_FOUND),
        ("test", Reason.REF_NOT_FOUND),
    ],
)
def test_a_selector_that_finds_nothing_says_so(selector: str, reason: Reason) -> None:
    with pytest.raises(NotFoundError) as caught:
        resolve(HISTORY, selector)

    assert caught.value.reason is reason
    assert caught.value.hint


def test_a_time_before_the_first_version_is_told_with_that_ones() -> None:
    with pytest.raises(NotFoundError) as caught:
        resolve(HISTORY, "{2026-10-01T00:00Z}")

    assert "no version to read at {2026-10-01T00:00Z}" in caught.value.message
    assert "its first version came 2026-11-01 12:30 UTC" in caught.value.message


def test_a_digest_prefix_of_two_contents_is_ambiguous() -> None:
    with pytest.raises(InvalidArgumentError, match="fits 3 versions"):
        resolve(HISTORY, "sha256:ab12cd")


def test_a_selector_of_an_artifact_without_versions_finds_nothing() -> None:
    for selector in ("latest", "1", "latest~1"):
        with pytest.raises(NotFoundError, match="it has none"):
            resolve(fold(created()), selector)


def test_a_time_finds_what_was_newest_then() -> None:
    def at(version: int, minutes: int) -> Entry:
        entry = committed(version)
        time = TIME + timedelta(minutes=minutes)
        return replace(entry, info=replace(entry.info, time=time))

    history = fold(created(), at(1, 0), at(2, 10))

    for minute, version in ((30, 1), (39, 1), (41, 2)):
        found = resolve(history, f"{{2026-11-01T12:{minute}:16Z}}")
        assert found.version == version


def test_refs_are_told_with_the_versions_they_point_at() -> None:
    assert HISTORY.refs_at(1) == ("prod",)
    assert HISTORY.refs_at(2) == ()
    assert HISTORY.refs_at(3) == ("latest", "staging")
    assert HISTORY.ref_version("nowhere") == 0


def test_a_request_is_known_by_what_it_did_and_to_which_ref() -> None:
    known = HISTORY.requests

    assert (Action.COMMIT, "", "push-2") in known
    assert (Action.MOVE_REF, "prod", "move-prod-2-1") in known
    assert (Action.MOVE_REF, "staging", "move-prod-2-1") not in known
    assert (Action.MOVE_REF, "prod", "push-2") not in known


def test_latest_moves_by_itself() -> None:
    check_movable("prod")
    with pytest.raises(PreconditionError) as caught:
        check_movable("latest")

    assert caught.value.reason is Reason.REF_RESERVED


MOVES = st.lists(
    st.tuples(st.sampled_from(["commit", "prod", "test"]), st.integers(1, 5)),
    max_size=12,
)


@QUICK
@given(MOVES)
def test_a_fold_is_what_a_naive_model_says(moves: list[tuple[str, int]]) -> None:
    entries: list[Entry] = [created()]
    versions, refs = 0, dict[str, list[int]]()
    for what, number in moves:
        if what == "commit":
            versions += 1
            entries.append(committed(versions))
        elif number <= versions:
            before = refs.setdefault(what, [])
            entries.append(ref_moved(number, before[-1] if before else 0, what))
            before.append(number)

    history = fold(*entries)

    assert history.latest == versions
    for ref, points in refs.items():
        for back, expected in enumerate(reversed(points)):
            assert resolve(history, f"{ref}~{back}").version == expected
    assert sum(isinstance(item.entry, RefMoved) for item in history.entries) == sum(
        map(len, refs.values())
    )
