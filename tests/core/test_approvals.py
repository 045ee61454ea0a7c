# SPDX-License-Identifier: Apache-2.0
"""What people approve, byte for byte, and what the records of an approval add up to."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from strongroom.errors import IntegrityError
from strongroom_server.core import canonical
from strongroom_server.core.approval_log import (
    GENESIS,
    Approval,
    ApprovalState,
    Consented,
    Denied,
    Event,
    Finished,
    Released,
    Requested,
    Used,
    digest,
    event_body,
    fold,
)
from strongroom_server.core.approvals import (
    ApprovalRequest,
    Assertion,
    first_id,
    is_id,
    is_made_id,
    make_id,
    parse_request,
)

KEY = bytes(range(32))
DATA = b"\x0a\x0dprojects/demo"
REQUEST = ApprovalRequest(
    approval_id="6b49d284-0102030405",
    store="00112233445566778899aabbccddeeff",
    method="/strongroom.v1.KeyService/StartEpoch",
    request_sha256=hashlib.sha256(DATA).hexdigest(),
    requester="operator:alice",
    reason="the key leaked",
    create_s=1_800_000_000,
    expire_s=1_800_000_900,
)
ASKED = Requested(REQUEST, DATA, "spiffe://test/ns/a/sa/b/job/c")
CONSENT = Consented("operator:bob", Assertion(b"i", b"a", b"c", b"s"), 7, 5, "log-1")
DENIAL = Denied("operator:carol", "no", 6, "log-2")
USE, RELEASE, FINISH = Used(10, 40), Released(11), Finished(12)


def bodies(*events: Event) -> list[tuple[Mapping[str, Any], str]]:
    """Return events as they are read back from the bucket."""
    found: list[tuple[Mapping[str, Any], str]] = []
    before = GENESIS
    for event in events:
        data = canonical.encode(event_body(event, before))
        before = digest(data)
        found.append((canonical.decode_object(data, 200_000), before))
    return found


def folded(*events: Event) -> Approval:
    return fold(REQUEST.approval_id, bodies(*events))


def test_the_statement_and_its_challenge_are_these_for_ever() -> None:
    assert REQUEST.canonical == (
        b'{"create_time":1800000000,"expire_time":1800000900,"format":1,'
        b'"id":"6b49d284-0102030405","method":"/strongroom.v1.KeyService/StartEpoch",'
        b'"reason":"the key leaked","request_sha256":"'
        + REQUEST.request_sha256.encode()
        + b'","requester":"operator:alice",'
        b'"store":"00112233445566778899aabbccddeeff"}'
    )
    assert (
        REQUEST.challenge
        == hashlib.sha256(b"strongroom.approve.v1\0" + REQUEST.canonical).digest()
    )


def test_a_statement_reads_back() -> None:
    assert parse_request(canonical.decode_object(REQUEST.canonical, 9999)) == REQUEST


def test_ids_are_in_the_order_in_which_approvals_end() -> None:
    random = bytes(range(1, 3))

    early = make_id(1_800_000_900, random, KEY)
    late = make_id(1_800_000_901, b"\0" * 2, KEY)

    assert early == "6b49d584-0102d5a878"
    assert first_id(1_800_000_900) < early < first_id(1_800_000_901) < late
    assert is_id(early)


def test_only_who_has_the_key_makes_ids_that_are_listed() -> None:
    made = make_id(1_800_000_900, b"ab", KEY)

    assert is_made_id(made, KEY)
    assert not is_made_id(made, b"x" * 32)
    assert not is_made_id(made.replace("6b49d584", "6b49d585"), KEY)
    assert not is_made_id("6b49d584-0102030405", KEY)
    assert not is_made_id("", KEY)


@pytest.mark.parametrize(
    "text", ["", "6b49d584", "6b49d584-01020304", "6B49D584-0102030405", "../x\n"]
)
def test_what_is_no_id_is_seen(text: str) -> None:
    assert not is_id(text)
    assert not is_id(make_id(1, b"12", KEY) + text + "\n")


def test_records_add_up() -> None:
    approval = folded(ASKED, CONSENT, USE, RELEASE, USE, FINISH)

    assert approval.requested == ASKED
    assert approval.consents == (CONSENT,)
    assert (approval.used, approval.used_number) == (USE, 4)
    assert approval.finished == FINISH
    assert approval.record_count == 6


@pytest.mark.parametrize(
    ("events", "now_s", "state"),
    [
        ([ASKED], REQUEST.create_s, ApprovalState.PENDING),
        ([ASKED], REQUEST.expire_s - 1, ApprovalState.PENDING),
        ([ASKED], REQUEST.expire_s, ApprovalState.EXPIRED),
        ([ASKED, CONSENT], REQUEST.create_s, ApprovalState.APPROVED),
        ([ASKED, CONSENT], REQUEST.expire_s, ApprovalState.EXPIRED),
        ([ASKED, CONSENT, DENIAL], REQUEST.create_s, ApprovalState.DENIED),
        ([ASKED, CONSENT, USE], 39, ApprovalState.IN_USE),
        ([ASKED, CONSENT, USE], 40, ApprovalState.APPROVED),
        ([ASKED, CONSENT, USE, RELEASE], 11, ApprovalState.APPROVED),
        ([ASKED, CONSENT, USE, FINISH], 39, ApprovalState.USED),
        ([ASKED, CONSENT, USE, FINISH], REQUEST.expire_s, ApprovalState.USED),
        ([ASKED, CONSENT, USE, DENIAL], 11, ApprovalState.DENIED),
        ([ASKED, CONSENT, USE, DENIAL, FINISH], 11, ApprovalState.USED),
    ],
)
def test_what_it_is_good_for(
    events: Sequence[Event], now_s: int, state: ApprovalState
) -> None:
    assert folded(*events).state(now_s) is state


@pytest.mark.parametrize(
    "events",
    [
        [],
        [CONSENT],
        [FINISH],
        [ASKED, ASKED],
        [ASKED, RELEASE],
        [ASKED, DENIAL, CONSENT],
        [ASKED, DENIAL, DENIAL],
        [ASKED, DENIAL, USE],
        [ASKED, CONSENT, USE, FINISH, USE],
        [ASKED, CONSENT, USE, FINISH, FINISH],
        [ASKED, CONSENT, USE, FINISH, RELEASE],
        [ASKED, CONSENT, USE, FINISH, CONSENT],
        [ASKED, CONSENT, USE, FINISH, DENIAL],
    ],
    ids=range(13),
)
def test_what_may_not_follow_is_damage(events: Sequence[Event]) -> None:
    with pytest.raises(IntegrityError, match="stored approval object is damaged"):
        folded(*events)


def test_records_of_another_approval_are_damage() -> None:
    with pytest.raises(IntegrityError):
        fold("6b49d284-ffffffffff", bodies(ASKED))


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_record_that_is_missing_is_damage(left_out: int) -> None:
    records = bodies(ASKED, CONSENT, USE, FINISH)
    del records[left_out]

    with pytest.raises(IntegrityError):
        fold(REQUEST.approval_id, records)


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"kind": "ASK"}),
        (0, {"kind": None}),
        (0, {"bytes": "AAAA"}),
        (0, {"bytes": "="}),
        (0, {"bytes": 7}),
        (0, {"workload": 7}),
        (0, {"request": {}}),
        (0, {"request": None}),
        (0, {"request": {**REQUEST.to_body(), "format": 2}}),
        (0, {"request": {**REQUEST.to_body(), "more": 1}}),
        (0, {"request": {**REQUEST.to_body(), "requester": 1}}),
        (0, {"request": {**REQUEST.to_body(), "expire_time": -1}}),
        (0, {"request": {**REQUEST.to_body(), "expire_time": True}}),
        (1, {"before": GENESIS}),
        (1, {"before": 1}),
        (1, {"signature": "?"}),
        (1, {"counter": -1}),
        (1, {"principal": None}),
        (2, {"time": "10"}),
        (2, {"until": "40"}),
        (2, {"until": None}),
    ],
    ids=str,
)
def test_a_record_of_another_form_is_damage(
    number: int, change: Mapping[str, object]
) -> None:
    records = bodies(ASKED, CONSENT, USE)
    body, its_digest = records[number]
    records[number] = ({**body, **change}, its_digest)

    with pytest.raises(IntegrityError):
        fold(REQUEST.approval_id, records)
