# SPDX-License-Identifier: Apache-2.0
"""Approvals: asked for, given, denied, used once, and what must not count."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from strongroom.errors import (
    PermissionDeniedError,
    Reason,
    StrongroomError,
)
from strongroom_server.core.approval_log import ApprovalState
from strongroom_server.core.revocation import parse_revocations
from strongroom_server.ports import Approved
from strongroom_server.services.approving import ApprovalSettings, Approving
from tests.support.approval_desk import (
    ALICES,
    BOBS,
    BOBS_OTHER,
    CAROLS,
    Desk,
    check,
    opened_desk,
)
from tests.support.clock import ManualClock
from tests.support.security_keys import (
    BASTION,
    BOB,
    CAROL,
    REQUEST,
    KnownKeys,
    TestKey,
    approve,
    approving_of,
    asked,
)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened_desk() as desk:
        yield desk


def test_what_another_person_approved_runs_once(desk: Desk) -> None:
    name = asked(desk.book).request.approval_id

    approve(desk.other, desk.other.get(name), BOBS)
    approved = check(desk.book, name)
    desk.book.use(approved)
    desk.book.finish(approved)

    assert approved == Approved(name, (BOB,))
    assert desk.other.state(desk.other.get(name)) is ApprovalState.USED
    with pytest.raises(PermissionDeniedError) as refused:
        check(desk.other, name)
    assert refused.value.reason is Reason.APPROVAL_USED


def test_before_anybody_approved_it_nothing_runs(desk: Desk) -> None:
    name = asked(desk.book).request.approval_id

    with pytest.raises(PermissionDeniedError) as refused:
        check(desk.book, name)

    assert refused.value.reason is Reason.APPROVAL_REQUIRED
    assert "approvals approve" in refused.value.hint


def test_two_people_count_twice_and_one_person_once(desk: Desk) -> None:
    approval = asked(desk.book)
    approve(desk.book, approval, BOBS)
    approve(desk.book, approval, CAROLS)

    with pytest.raises(PermissionDeniedError) as refused:
        approve(desk.book, approval, BOBS_OTHER)

    assert refused.value.reason is Reason.APPROVAL_INVALID
    name = approval.request.approval_id
    assert check(desk.book, name).approvers == (BOB, CAROL)


@pytest.mark.parametrize(
    "other",
    [
        {"request": REQUEST + b"\0"},
        {"method": "/strongroom.v1.KeyService/RotateKeks"},
        {"requester": CAROL},
        {"requester": BOB},
    ],
    ids=str,
)
def test_it_is_good_for_nothing_else(desk: Desk, other: dict[str, object]) -> None:
    approval = approve(desk.book, asked(desk.book), BOBS)

    with pytest.raises(PermissionDeniedError) as refused:
        check(desk.book, approval.request.approval_id, **other)

    assert refused.value.reason is Reason.APPROVAL_INVALID


def test_nobody_approves_what_they_asked_for_themselves(desk: Desk) -> None:
    with pytest.raises(PermissionDeniedError) as refused:
        approve(desk.book, asked(desk.book), ALICES)

    assert refused.value.reason is Reason.APPROVAL_INVALID
    assert "another person" in refused.value.message


def test_what_a_program_asked_for_is_not_approved_over_its_connection(
    desk: Desk,
) -> None:
    with pytest.raises(PermissionDeniedError) as refused:
        approve(desk.book, asked(desk.book, requester=BASTION), BOBS)

    assert refused.value.reason is Reason.APPROVAL_INVALID


def test_a_program_approves_nothing(desk: Desk) -> None:
    robot = TestKey("robot", "spiffe://test/ns/a/sa/robot/job/1")
    desk.keys.keys = KnownKeys(robot).keys

    with pytest.raises(PermissionDeniedError) as refused:
        approve(desk.book, asked(desk.book), robot)

    assert refused.value.reason is Reason.APPROVAL_INVALID


def test_a_denial_stands(desk: Desk) -> None:
    approval = approve(desk.book, asked(desk.book), BOBS)
    name = approval.request.approval_id

    denied = desk.other.deny(name, "not today", principal=CAROL, audit_id="log-9")

    assert denied.denied is not None
    assert denied.denied.reason == "not today"
    with pytest.raises(PermissionDeniedError, match=f"denied by {CAROL}") as refused:
        check(desk.book, name)
    assert refused.value.reason is Reason.APPROVAL_DENIED
    with pytest.raises(PermissionDeniedError):
        approve(desk.book, approval, CAROLS)


def test_its_time_is_fifteen_minutes(desk: Desk) -> None:
    approval = approve(desk.book, asked(desk.book), BOBS)
    name = approval.request.approval_id
    approved = check(desk.book, name)

    desk.clock.advance(899)
    check(desk.book, name)
    desk.clock.advance(1)

    for late in (lambda: check(desk.book, name), lambda: desk.book.use(approved)):
        with pytest.raises(PermissionDeniedError) as refused:
            late()
        assert refused.value.reason is Reason.APPROVAL_EXPIRED
    assert desk.book.alive().approvals == ()
    assert desk.book.get(name).consents != ()


def test_of_two_uses_at_once_one_gets_through(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    approved = [check(desk.book, name), check(desk.other, name)]
    begin, won = threading.Barrier(2), list[str]()

    def use(book: Approving, item: Approved) -> None:
        begin.wait()
        try:
            book.use(item)
        except PermissionDeniedError as error:
            won.append(error.reason.value)
        else:
            won.append("used")

    threads = [
        threading.Thread(target=use, args=pair)
        for pair in zip((desk.book, desk.other), approved, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(won) == ["APPROVAL_USED", "used"]


def test_after_a_failure_it_may_be_tried_again_at_once(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    approved = check(desk.book, name)

    desk.book.use(approved)
    desk.book.release(approved)
    desk.other.use(check(desk.other, name))


def test_after_a_crash_it_may_be_tried_again_once_the_call_must_be_over(
    desk: Desk,
) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    desk.book.use(check(desk.book, name))

    desk.clock.advance(89)
    with pytest.raises(PermissionDeniedError) as refused:
        check(desk.other, name)
    desk.clock.advance(1)
    again = check(desk.other, name)
    desk.other.use(again)

    assert refused.value.reason is Reason.APPROVAL_USED
    # The first one was only slow: its failure frees nobody else's use ...
    desk.book.release(again)
    with pytest.raises(PermissionDeniedError):
        check(desk.book, name)
    # ... and if it succeeds after all, nobody begins a third time, and both are told.
    for book in (desk.book, desk.other):
        with pytest.raises(PermissionDeniedError, match="happened, too") as both:
            book.finish(again)
        assert both.value.reason is Reason.APPROVAL_USED
    assert desk.book.state(desk.book.get(name)) is ApprovalState.USED


@pytest.mark.parametrize("ahead_s", [91, 800])
def test_a_server_whose_clock_is_ahead_begins_nothing_that_another_one_runs(
    desk: Desk, ahead_s: int
) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    world = desk.world.reopened()
    world.clock = ManualClock(desk.clock.now() + timedelta(seconds=ahead_s))
    ahead = approving_of(world, desk.keys)
    desk.book.use(check(desk.book, name))
    desk.clock.advance(89)

    with pytest.raises(PermissionDeniedError, match="is in use") as refused:
        ahead.use(check(ahead, name))
    desk.clock.advance(1)
    ahead.use(check(ahead, name))

    assert refused.value.reason is Reason.APPROVAL_USED


def test_a_late_success_counts_even_if_the_second_try_failed(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    first = check(desk.book, name)
    desk.book.use(first)
    desk.clock.advance(90)
    desk.other.use(check(desk.other, name))
    desk.other.release(first)

    with pytest.raises(PermissionDeniedError, match="happened, too"):
        desk.book.finish(first)

    assert desk.other.state(desk.other.get(name)) is ApprovalState.USED


def test_a_key_that_is_believed_no_more_does_not_count(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    approved = check(desk.book, name)

    desk.keys.keys = KnownKeys(CAROLS).keys

    assert desk.book.get(name).consents == ()
    with pytest.raises(PermissionDeniedError) as refused:
        desk.book.use(approved)
    assert refused.value.reason is Reason.APPROVAL_REQUIRED
    approve(desk.book, desk.book.get(name), CAROLS)
    with pytest.raises(PermissionDeniedError) as changed:
        desk.book.use(approved)
    assert changed.value.reason is Reason.APPROVAL_INVALID


def test_who_was_revoked_has_consented_to_nothing(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    approved = check(desk.book, name)
    assert desk.book.keys is not None

    desk.book.keys = replace(
        desk.book.keys, revoked=lambda: parse_revocations("operator:bob\n")
    )

    assert desk.book.get(name).consents == ()
    with pytest.raises(PermissionDeniedError) as refused:
        desk.book.use(approved)
    assert refused.value.reason is Reason.APPROVAL_REQUIRED


@pytest.mark.parametrize("spelled", ["operator:Alice", "operator:ALICE"])
def test_a_person_is_one_however_they_are_spelled(desk: Desk, spelled: str) -> None:
    other = TestKey("alice-2", spelled)
    bobs_third = TestKey("bob-3", "operator:BOB")
    desk.keys.keys = KnownKeys(BOBS, other, bobs_third).keys
    approval = approve(desk.book, asked(desk.book), BOBS)

    for key, why in ((other, "another person"), (bobs_third, "counts once")):
        with pytest.raises(PermissionDeniedError, match=why) as refused:
            approve(desk.book, approval, key)
        assert refused.value.reason is Reason.APPROVAL_INVALID


def test_a_server_without_security_keys_lets_nobody_approve(desk: Desk) -> None:
    name = asked(desk.world.approving).request.approval_id
    approve(desk.book, desk.book.get(name), BOBS)

    assert desk.world.approving.get(name).consents == ()
    with pytest.raises(StrongroomError) as refused:
        approve(desk.world.approving, desk.book.get(name), CAROLS)
    assert refused.value.reason is Reason.SETTING_INVALID


def test_a_longer_call_is_waited_for_longer(desk: Desk) -> None:
    slow = approving_of(
        desk.world, desk.keys, settings=ApprovalSettings(limit_s=lambda _: 600.0)
    )
    name = approve(slow, asked(slow), BOBS).request.approval_id
    slow.use(check(slow, name))
    desk.clock.advance(629)

    # Also at a server that gives calls less time.
    with pytest.raises(PermissionDeniedError) as refused:
        check(desk.other, name)
    desk.clock.advance(1)
    check(slow, name)

    assert refused.value.reason is Reason.APPROVAL_USED
