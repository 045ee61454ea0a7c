# SPDX-License-Identifier: Apache-2.0
"""Asking for approvals: what is asked for once, taken back, bounded and listed."""

from collections.abc import Iterator

import pytest

from strongroom.errors import (
    ExhaustedError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    Reason,
)
from strongroom_server.core import layout
from strongroom_server.core.approval_log import ApprovalState
from strongroom_server.core.approvals import MAX_REQUEST_BYTES
from strongroom_server.services.approving import ApprovalSettings
from tests.support.approval_desk import (
    BOBS,
    CAROLS,
    Desk,
    check,
    opened_desk,
)
from tests.support.security_keys import (
    ALICE,
    BASTION,
    BOB,
    CAROL,
    METHOD,
    REQUEST,
    approve,
    approving_of,
    asked,
)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened_desk() as desk:
        yield desk


def test_ten_may_wait_and_no_more(desk: Desk) -> None:
    names = [
        asked(desk.book, request=bytes([number])).request.approval_id
        for number in range(10)
    ]

    with pytest.raises(ExhaustedError, match="waits for 10, as many") as refused:
        asked(desk.other)
    asked(desk.other, requester=CAROL)
    desk.book.withdraw(names[0], "", principal=ALICE, audit_id="log-1")
    asked(desk.other)

    assert "approvals withdraw" in refused.value.hint


def test_who_asks_for_the_same_again_gets_what_waits_already(desk: Desk) -> None:
    first = asked(desk.book)
    assert asked(desk.other) == first
    approve(desk.book, first, BOBS)

    again = asked(desk.other)

    assert again.request == first.request
    assert desk.other.state(again) is ApprovalState.APPROVED


def test_what_differs_or_is_decided_is_asked_for_anew(desk: Desk) -> None:
    first = asked(desk.book)
    others = [
        asked(desk.book, requester=CAROL),
        asked(desk.book, request=REQUEST + b"\0"),
        asked(desk.book, method="/strongroom.v1.KeyService/RotateKeks"),
        asked(desk.book, reason="another"),
    ]
    desk.book.deny(first.request.approval_id, "", principal=CAROL, audit_id="log-1")

    others.append(asked(desk.book))

    assert len({first.request, *(item.request for item in others)}) == 6


def test_what_makes_no_other_request_is_not_compared(desk: Desk) -> None:
    def request(data: bytes) -> str:
        found = desk.book.request(
            METHOD,
            data,
            "the key leaked",
            requester=ALICE,
            workload=BASTION,
            core_of=lambda item: item[:4],
        )
        return found.request.approval_id

    assert request(b"same1") == request(b"same2") != request(b"other")


def test_who_asked_takes_it_back_and_nobody_else_does(desk: Desk) -> None:
    approval = approve(desk.book, asked(desk.book), BOBS)
    name = approval.request.approval_id
    approved = check(desk.book, name)

    with pytest.raises(NotFoundError):
        desk.other.withdraw(name, "", principal=BOB, audit_id="log-1")
    taken = desk.other.withdraw(name, "typing error", principal=ALICE, audit_id="log-2")

    assert desk.other.state(taken) is ApprovalState.WITHDRAWN
    for refused in (
        lambda: check(desk.book, name),
        lambda: desk.book.use(approved),
        lambda: approve(desk.book, approval, CAROLS),
        lambda: desk.book.withdraw(name, "", principal=ALICE, audit_id="log-3"),
    ):
        with pytest.raises(PermissionDeniedError, match="withdrawn by who") as caught:
            refused()
        assert caught.value.reason is Reason.APPROVAL_DENIED


@pytest.mark.parametrize("place", [3, 4, 5])
def test_a_record_of_another_format_is_damage_that_stops_nobody(
    desk: Desk, place: int
) -> None:
    name = asked(desk.book).request.approval_id
    key = layout.approval_key(name, 0)
    (stored,) = desk.world.blobs.first_versions(key)
    data = desk.world.blobs.get(key, version_id=stored.version_id, max_bytes=10_000)
    planted = bytearray(data)
    planted[place] ^= 0x40
    desk.world.blobs.put_new(layout.approval_key(name, 1), bytes(planted))

    waiting = asked(desk.book, request=REQUEST + b"\0").request.approval_id

    listed = desk.other.alive()
    assert [item.request.approval_id for item in listed.approvals] == [waiting]
    assert listed.damaged == (name,)


def test_asking_and_taking_back_has_an_end(desk: Desk) -> None:
    few = approving_of(desk.world, desk.keys, settings=ApprovalSettings(max_pending=1))
    for _ in range(10):
        name = asked(few).request.approval_id
        few.withdraw(name, "", principal=ALICE, audit_id="log-1")

    with pytest.raises(ExhaustedError, match="has asked for 10 approvals"):
        asked(few)
    desk.clock.advance(900)
    asked(few)


def test_what_can_be_used_is_listed_before_what_ended(desk: Desk) -> None:
    denied = asked(desk.book).request.approval_id
    desk.book.deny(denied, "", principal=CAROL, audit_id="log-1")
    desk.clock.advance(1)
    waiting = asked(desk.book).request.approval_id

    listed = [item.request.approval_id for item in desk.other.alive().approvals]

    assert listed == [waiting, denied]


def test_a_request_of_64_kib_is_the_longest(desk: Desk) -> None:
    longest = asked(desk.book, request=b"x" * MAX_REQUEST_BYTES)

    assert desk.other.get(longest.request.approval_id).requested.data == (
        b"x" * MAX_REQUEST_BYTES
    )
    with pytest.raises(InvalidArgumentError, match="65537 bytes"):
        asked(desk.book, request=b"x" * (MAX_REQUEST_BYTES + 1))


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 1001])
def test_others_are_told_why(desk: Desk, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match="reason"):
        desk.book.request(METHOD, REQUEST, reason, requester=ALICE, workload=BASTION)


def test_a_listing_has_what_is_alive_the_first_to_end_first(desk: Desk) -> None:
    first = asked(desk.book)
    desk.clock.advance(100)
    second = asked(desk.book, request=REQUEST + b"\0")

    listed = [item.request.approval_id for item in desk.other.alive().approvals]
    desk.clock.advance(850)
    later = [item.request.approval_id for item in desk.other.alive().approvals]

    assert listed == [first.request.approval_id, second.request.approval_id]
    assert later == [second.request.approval_id]
