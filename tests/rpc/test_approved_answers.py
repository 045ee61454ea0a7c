# SPDX-License-Identifier: Apache-2.0
"""What an approval is good for: one answer, and no look into the bucket for others."""

from collections.abc import Iterator

import pytest
from google.protobuf.message import Message

from strongroom.errors import IntegrityError, InternalError, Reason
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.memory_approvals import MemoryApprovalBook
from strongroom_server.ports import Approved
from tests.rpc.calling import refused
from tests.rpc.people import (
    ALICE,
    MOVE_REF,
    PROD,
    WORKSTATION,
    Metadata,
    bearing,
    move_request,
    moving,
    office,
)
from tests.rpc.running import ARTIFACT, VERSION, Failed, Running
from tests.rpc.test_reviews import take

ID = "0a1b2c3d-0123456789"
BOB = "operator:bob"
READ = transfer_pb.ReadVersionRequest(name=VERSION)
READ_VERSION = "/strongroom.v1.TransferService/ReadVersion"
DIFF = artifact_pb.DiffVersionsRequest(base=VERSION, target=f"{ARTIFACT}/versions/2")
DIFF_VERSIONS = "/strongroom.v1.ArtifactService/DiffVersions"


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with office() as server:
        yield server


def approved(server: Running, method: str, request: Message) -> Metadata:
    """Approve a request of Alice's; return what she sends beside it."""
    server.book.approve(
        ID,
        method=method,
        request=request.SerializeToString(),
        requester=ALICE,
        approvers=(BOB,),
    )
    return bearing(server.logins.sign_in("alice"), strongroom_approval=ID)


def read(server: Running, metadata: Metadata) -> int:
    """Read a whole version; return how many messages came."""
    with server.transfers(server.authority.issue(WORKSTATION)) as stub:
        return len(list(stub.ReadVersion(READ, timeout=10, metadata=metadata)))


def diff(server: Running, metadata: Metadata) -> int:
    """Compare two versions; return how many messages came."""
    with server.artifacts(server.authority.issue(WORKSTATION)) as stub:
        return len(list(stub.DiffVersions(DIFF, timeout=10, metadata=metadata)))


def told(failed: Failed) -> tuple[object, ...]:
    """Return what a caller can compare of two refusals."""
    return failed.code, failed.reason, failed.message, failed.metadata


def fail() -> None:
    message = "not today"
    raise InternalError(message)


def break_down() -> None:
    message = "a bug"
    raise ValueError(message)


@pytest.mark.parametrize("messages", [1, 5])
def test_an_answer_that_the_caller_breaks_off_was_one(
    server: Running, messages: int
) -> None:
    server.script.responses = 1_000_000
    metadata = approved(server, READ_VERSION, READ)
    with server.transfers(server.authority.issue(WORKSTATION)) as stub:
        responses = stub.ReadVersion(READ, timeout=30, metadata=metadata)
        take(responses, messages)
        responses.cancel()
        server.wait_for_entries(2)

    server.script.responses = 3
    again = refused(lambda: read(server, metadata))

    assert server.outcomes()[1][2:] == ("CANCELLED", "CANCELLED")
    assert server.book._entries[ID].finished
    assert again.reason == "APPROVAL_USED"


def test_an_answer_whose_time_is_over_was_one(server: Running) -> None:
    server.script.responses = 1_000_000
    metadata = approved(server, READ_VERSION, READ)
    with server.transfers(server.authority.issue(WORKSTATION)) as stub:
        responses = stub.ReadVersion(READ, timeout=1, metadata=metadata)
        failed = refused(lambda: list(responses))
        server.wait_for_entries(2)

    assert failed.code == "DEADLINE_EXCEEDED"
    assert server.book._entries[ID].finished


def test_an_answer_that_fails_after_it_began_was_one(server: Running) -> None:
    metadata = approved(server, DIFF_VERSIONS, DIFF)
    server.script.act = fail

    first = refused(lambda: diff(server, metadata))
    server.script.act = lambda: None
    again = refused(lambda: diff(server, metadata))

    assert (first.reason, again.reason) == ("INTERNAL", "APPROVAL_USED")
    assert server.book._entries[ID].finished


def test_what_fails_before_anything_is_handed_out_may_be_tried_again(
    server: Running,
) -> None:
    metadata = approved(server, READ_VERSION, READ)
    server.script.act = fail
    assert refused(lambda: read(server, metadata)).reason == "INTERNAL"
    server.script.act = lambda: None

    assert read(server, metadata)

    assert refused(lambda: read(server, metadata)).reason == "APPROVAL_USED"


def test_what_breaks_down_counts_as_running_for_nobody_knows_what_it_did(
    server: Running,
) -> None:
    metadata = approved(server, MOVE_REF, move_request(PROD))
    server.script.act = break_down

    assert refused(moving(server, metadata, ref=PROD)).reason == "INTERNAL"

    entry = server.book._entries[ID]
    assert entry.used_s is not None
    assert not entry.finished
    assert refused(moving(server, metadata, ref=PROD)).reason == "APPROVAL_USED"


class WatchedBook(MemoryApprovalBook):
    """Remembers what it was asked for; may be damaged."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.asked: list[str] = []
        self.is_damaged = False

    def check(
        self, approval_id: str, *, method: str, request: bytes, requester: str
    ) -> Approved:
        self.asked.append(approval_id)
        if self.is_damaged:
            message = f"approval {approval_id} is damaged"
            raise IntegrityError(message, reason=Reason.RECORD_CORRUPT)
        return super().check(
            approval_id, method=method, request=request, requester=requester
        )


def test_the_book_is_asked_for_nobody_whom_no_approval_would_help() -> None:
    book = WatchedBook()
    with office(approvals=book) as server:
        dave = server.logins.sign_in("dave")
        stale = server.logins.sign_in("alice", age_s=400)
        book.is_damaged = True
        for metadata, reason in (
            ((("strongroom-approval", ID),), "ACTION_NOT_ALLOWED"),
            (bearing(dave, strongroom_approval=ID), "ACTION_NOT_ALLOWED"),
            (bearing(stale, strongroom_approval=ID), "STEP_UP_REQUIRED"),
        ):
            named = refused(moving(server, metadata, ref=PROD))
            plain = refused(moving(server, metadata[:-1], ref=PROD))
            if reason == "ACTION_NOT_ALLOWED":
                # The same, word for word, as without the approval.
                assert told(named) == told(plain)
            assert named.reason == reason
            assert server.audit.events()[-1].decision == "deny"

    assert book.asked == []


def test_a_damaged_approval_is_none_to_who_may_not_see_whose_it_is() -> None:
    book = WatchedBook()
    with office(approvals=book) as server:
        metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=ID)
        none = refused(moving(server, metadata, ref=PROD))
        book.is_damaged = True

        damaged = refused(moving(server, metadata, ref=PROD))

    assert told(damaged) == told(none)
    assert (damaged.code, damaged.reason) == ("PERMISSION_DENIED", "APPROVAL_INVALID")
    assert book.asked == [ID, ID]
