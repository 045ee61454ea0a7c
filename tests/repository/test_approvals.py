# SPDX-License-Identifier: Apache-2.0
"""Approvals in the bucket: what is planted, removed, or not there."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from strongroom.errors import (
    ExhaustedError,
    NotFoundError,
    PermissionDeniedError,
    Reason,
    StrongroomError,
)
from strongroom_server.core import layout
from strongroom_server.core.approval_log import (
    MAX_RECORDS,
    ApprovalState,
    Consented,
    Used,
)
from strongroom_server.ports import Approved
from strongroom_server.repository.approvals import ApprovalRecords
from strongroom_server.services.approving import Approving
from tests.support.clock import ManualClock
from tests.support.security_keys import (
    ALICE,
    BOB,
    METHOD,
    REQUEST,
    KnownKeys,
    TestKey,
    approve,
    approving_of,
    asked,
)
from tests.support.world import World

BOBS = TestKey("bob-1", BOB)
ROBOT = "spiffe://test/ns/a/sa/robot/job/1"


@dataclass
class Desk:
    """Two servers of one store."""

    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.world = World(clock=self.clock)
        keys = KnownKeys(BOBS)
        self.book = approving_of(self.world, keys)
        self.other = approving_of(self.world.reopened(), keys)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.world.executor.shutdown()


@pytest.fixture
def records(desk: Desk) -> ApprovalRecords:
    return ApprovalRecords(desk.world.blobs, desk.world.repository.keyring)


def check(book: Approving, approval_id: str) -> Approved:
    return book.check(approval_id, method=METHOD, request=REQUEST, requester=ALICE)


def test_a_planted_approval_harms_no_other(
    desk: Desk, records: ApprovalRecords
) -> None:
    name = asked(desk.book).request.approval_id
    planted = records.new_id(0xFFFFFFFF, b"ab")
    desk.world.blobs.put_new(layout.approval_key(planted, 0), b"SRO1" + b"x" * 200)

    found = desk.other.alive()

    assert [item.request.approval_id for item in found.approvals] == [name]
    assert found.damaged == (planted,)


def test_a_record_that_was_removed_is_missed(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    approved = check(desk.book, name)
    desk.book.use(approved)
    desk.book.finish(approved)
    key = layout.approval_key(name, 2)
    version = next(
        item for item in desk.world.blobs.first_versions(key) if item.key == key
    )
    assert desk.world.remover is not None
    desk.world.remover.remove(key, version_id=version.version_id)

    with pytest.raises(StrongroomError) as refused:
        check(desk.other, name)

    assert refused.value.reason is Reason.RECORD_CORRUPT


@pytest.mark.parametrize("name", ["", "../sweep", "6743b2c1-9f03a4be11", "approvals/x"])
def test_what_is_not_there_is_named_as_such(desk: Desk, name: str) -> None:
    asked(desk.book)
    with pytest.raises(NotFoundError) as missing:
        desk.book.get(name)
    with pytest.raises(PermissionDeniedError) as refused:
        check(desk.book, name)

    assert missing.value.reason is Reason.APPROVAL_NOT_FOUND
    assert refused.value.reason is Reason.APPROVAL_INVALID


def test_an_approval_has_64_records_and_no_more(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    for _ in range((MAX_RECORDS - 2) // 2):
        approved = check(desk.book, name)
        desk.book.use(approved)
        desk.book.release(approved)

    with pytest.raises(ExhaustedError, match="64 records"):
        desk.other.use(check(desk.other, name))


def test_the_last_record_is_kept_for_the_end_of_a_use(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    for _ in range((MAX_RECORDS - 4) // 2):
        desk.book.use(approved := check(desk.book, name))
        desk.book.release(approved)
    approved = check(desk.book, name)
    desk.book.use(approved)
    assert desk.book.get(name).record_count == MAX_RECORDS - 1

    with pytest.raises(ExhaustedError, match="63 records"):
        desk.other.deny(name, "no", principal=BOB, audit_id="log-1")
    desk.book.finish(approved)

    assert desk.other.state(desk.other.get(name)) is ApprovalState.USED


def test_what_servers_did_not_make_is_not_listed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = asked(desk.book).request.approval_id
    now_s = int(desk.clock.now().timestamp())
    for number in range(2000):
        planted = f"{now_s + 2 + number // 8:08x}-{number:010x}"
        desk.world.blobs.put_new(layout.approval_key(planted, 0), b"junk")

    listed = desk.other.alive()

    assert [item.request.approval_id for item in listed.approvals] == [name]
    assert listed.damaged == ()
    monkeypatch.setattr("strongroom_server.repository.approvals.MAX_SCANNED", 1000)
    with pytest.raises(ExhaustedError, match="objects lie below"):
        desk.other.alive()
    with pytest.raises(ExhaustedError, match="objects lie below"):
        asked(desk.book)


def test_nobody_asks_for_more_while_many_are_damaged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody with the bucket damages what counts against the bound."""
    monkeypatch.setattr("strongroom_server.services.approving.approving.MAX_DAMAGED", 5)
    for _ in range(5):
        name = asked(desk.book).request.approval_id
        desk.world.blobs.put_new(layout.approval_key(name, 1), b"junk")

    with pytest.raises(ExhaustedError, match="5 that are damaged"):
        asked(desk.book)


def test_nobody_asks_for_more_than_is_looked_through(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom_server.services.approving.approving.MAX_READ", 3)
    for who in ("a", "b", "c"):
        asked(desk.book, requester=f"operator:{who}")

    with pytest.raises(ExhaustedError, match="the store has 3 approvals"):
        asked(desk.book)


def test_what_was_removed_whole_is_not_there(desk: Desk) -> None:
    name = asked(desk.book).request.approval_id
    for item, _ in list(desk.world.bucket.objects()):
        if item.key.startswith(layout.approval_prefix(name)):
            desk.world.bucket.delete_version(item.key, item.version_id)

    assert desk.other.alive().approvals == ()
    with pytest.raises(NotFoundError):
        desk.other.get(name)


def test_a_delete_marker_hides_nothing(desk: Desk) -> None:
    name = approve(desk.book, asked(desk.book), BOBS).request.approval_id
    for number in (0, 1):
        desk.world.bucket.add_delete_marker(layout.approval_key(name, number))

    assert check(desk.other, name).approvers == (BOB,)


def test_of_two_that_decide_at_once_one_comes_second(
    desk: Desk, records: ApprovalRecords
) -> None:
    approval = asked(desk.book)

    first = records.append(approval, Used(1, 91))
    second = records.append(approval, Used(2, 92))

    assert (first, second) == (True, False)
    found = records.load(approval.request.approval_id)
    assert found is not None
    assert found.used == Used(1, 91)


def test_an_id_is_given_once(desk: Desk, records: ApprovalRecords) -> None:
    assert not records.create(asked(desk.book).requested)


@pytest.mark.parametrize("who", [ALICE, "operator:Alice", ROBOT])
def test_a_stored_consent_of_who_cannot_give_one_does_not_count(
    desk: Desk, records: ApprovalRecords, who: str
) -> None:
    key = TestKey("any-1", who)
    book = approving_of(desk.world, KnownKeys(BOBS, key))
    approval = asked(book)
    said = key.sign(approval.request.challenge)
    records.append(approval, Consented(who, said, 0, 1, "log-1"))

    assert book.get(approval.request.approval_id).consents == ()


def test_a_consent_counts_for_whose_key_it_was(
    desk: Desk, records: ApprovalRecords
) -> None:
    approval = asked(desk.book)
    said = BOBS.sign(approval.request.challenge)
    records.append(approval, Consented("operator:carol", said, 0, 1, "log-1"))

    assert desk.book.get(approval.request.approval_id).consents == ()
