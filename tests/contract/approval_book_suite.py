# SPDX-License-Identifier: Apache-2.0
"""What every `ApprovalBook` must do; the guard is built on nothing else."""

from typing import Protocol

import pytest

from strongroom.errors import PermissionDeniedError, Reason
from strongroom_server.ports import ApprovalBook, Approved
from tests.support.clock import ManualClock
from tests.support.security_keys import ALICE, BOB, CAROL, METHOD, REQUEST


class Make(Protocol):
    """Makes an approval of alice's `REQUEST`, and returns its id."""

    def __call__(self, *approvers: str, denied: bool = False) -> str: ...


def refused(book: ApprovalBook, approval_id: str, **other: object) -> Reason:
    wanted: dict[str, object] = {"method": METHOD, "request": REQUEST}
    wanted |= {"requester": ALICE, **other}
    with pytest.raises(PermissionDeniedError) as caught:
        book.check(approval_id, **wanted)  # type: ignore[arg-type]
    return caught.value.reason


def checked(book: ApprovalBook, approval_id: str) -> Approved:
    return book.check(approval_id, method=METHOD, request=REQUEST, requester=ALICE)


class ApprovalBookSuite:
    """Subclasses give fixtures `book` and `make`, over `clock`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    def test_it_tells_who_approved_in_their_order(
        self, book: ApprovalBook, make: Make
    ) -> None:
        name = make(CAROL, BOB)

        assert checked(book, name) == Approved(name, (CAROL, BOB))
        assert checked(book, name) == Approved(name, (CAROL, BOB))

    def test_what_nobody_approved_needs_an_approval(
        self, book: ApprovalBook, make: Make
    ) -> None:
        assert refused(book, make()) is Reason.APPROVAL_REQUIRED

    @pytest.mark.parametrize(
        "other",
        [
            {"request": REQUEST + b"x"},
            {"request": b""},
            {"method": METHOD + "s"},
            {"requester": BOB},
        ],
        ids=str,
    )
    def test_it_is_good_for_exactly_one_request(
        self, book: ApprovalBook, make: Make, other: dict[str, object]
    ) -> None:
        assert refused(book, make(BOB), **other) is Reason.APPROVAL_INVALID

    def test_what_is_not_there_is_refused(self, book: ApprovalBook, make: Make) -> None:
        make(BOB)

        assert refused(book, "00000000-0000000000") is Reason.APPROVAL_INVALID

    def test_it_is_used_once(self, book: ApprovalBook, make: Make) -> None:
        name = make(BOB)
        approved = checked(book, name)
        book.use(approved)

        assert refused(book, name) is Reason.APPROVAL_USED
        with pytest.raises(PermissionDeniedError) as caught:
            book.use(approved)
        assert caught.value.reason is Reason.APPROVAL_USED
        book.finish(approved)
        assert refused(book, name) is Reason.APPROVAL_USED

    def test_what_failed_may_be_tried_again(
        self, book: ApprovalBook, make: Make
    ) -> None:
        approved = checked(book, make(BOB))
        book.use(approved)
        book.release(approved)

        book.use(checked(book, approved.approval_id))
        book.finish(approved)
        assert refused(book, approved.approval_id) is Reason.APPROVAL_USED

    def test_what_broke_off_may_be_tried_again_after_a_while(
        self, book: ApprovalBook, make: Make, clock: ManualClock
    ) -> None:
        name = make(BOB)
        book.use(checked(book, name))
        clock.advance(600)

        book.use(checked(book, name))

    def test_its_time_ends(
        self, book: ApprovalBook, make: Make, clock: ManualClock
    ) -> None:
        name = make(BOB)
        approved = checked(book, name)
        clock.advance(900)

        assert refused(book, name) is Reason.APPROVAL_EXPIRED
        with pytest.raises(PermissionDeniedError) as caught:
            book.use(approved)
        assert caught.value.reason is Reason.APPROVAL_EXPIRED

    def test_what_was_denied_is_not_used(self, book: ApprovalBook, make: Make) -> None:
        assert refused(book, make(BOB, denied=True)) is Reason.APPROVAL_DENIED
