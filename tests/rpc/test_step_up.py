# SPDX-License-Identifier: Apache-2.0
"""Denied for the lack of a fresh login or of approvals: said so, and mended by them."""

from collections.abc import Iterator
from typing import Any

import pytest

from strongroom.errors import InternalError
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from tests.rpc.authority import DEVELOPER
from tests.rpc.calling import refused
from tests.rpc.people import (
    ALICE,
    GUARDED,
    MOVE_REF,
    PROD,
    STAGING,
    bearing,
    getting,
    move_request,
    moving,
    office,
)
from tests.rpc.running import ARTIFACT, Running

ID = "0a1b2c3d-0123456789"
BOB = "operator:bob"


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with office() as server:
        yield server


def approve(
    server: Running,
    *approvers: str,
    ref: str = PROD,
    method: str = MOVE_REF,
    requester: str = ALICE,
) -> None:
    """Approve `moving`, as an approval that nobody has used yet."""
    server.book.approve(
        ID,
        method=method,
        request=move_request(ref).SerializeToString(),
        requester=requester,
        approvers=approvers or (BOB,),
    )


@pytest.mark.parametrize(("age_s", "mfa"), [(320, True), (0, False), (320, False)])
def test_an_old_or_weak_login_looks_but_changes_nothing(
    server: Running, age_s: int, mfa: bool
) -> None:
    server.script.act = lambda: None
    metadata = bearing(server.logins.sign_in("alice", age_s=age_s, mfa=mfa))
    getting(server, metadata)()
    server.script.act = lambda: pytest.fail("the servicer was reached")

    failed = refused(moving(server, metadata))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "STEP_UP_REQUIRED")
    assert failed.metadata == {
        "action": "ref.move",
        "resource": STAGING,
        "max_age": "300",
        "hint": "Sign in again: `strongroom login --fresh`.",
    }
    event = server.audit.events()[-1]
    assert (event.decision, event.policy) == ("deny", "fresh-mfa")
    assert event.reason == "STEP_UP_REQUIRED"


def test_a_fresh_login_changes(server: Running) -> None:
    moving(server, bearing(server.logins.sign_in("alice", age_s=200)))()

    assert server.outcomes()[-1] == ("outcome", "MoveRef", "OK", "")


def test_what_needs_approval_says_what_of_whom_and_how_many(server: Running) -> None:
    failed = refused(moving(server, bearing(server.logins.sign_in("alice")), ref=PROD))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "APPROVAL_REQUIRED")
    hint = failed.metadata.pop("hint")
    assert "strongroom approvals" in hint
    assert failed.metadata == {
        "method": MOVE_REF,
        "action": "ref.move",
        "resource": PROD,
        "approvals": "1",
    }
    assert server.audit.events()[-1].policy == "protected-prod"


def test_who_needs_both_is_sent_to_sign_in_first(server: Running) -> None:
    approve(server)
    stale = server.logins.sign_in("alice", age_s=400)

    for metadata in (bearing(stale), bearing(stale, strongroom_approval=ID)):
        failed = refused(moving(server, metadata, ref=PROD))
        assert failed.reason == "STEP_UP_REQUIRED"


@pytest.mark.parametrize("ref", [STAGING, PROD])
def test_who_has_no_right_is_not_told_what_would_help(
    server: Running, ref: str
) -> None:
    # Whoever signs in may read here, and move nothing.
    for token in (
        server.logins.sign_in("dave"),
        server.logins.sign_in("dave", age_s=999, mfa=False),
    ):
        failed = refused(moving(server, bearing(token), ref=ref))
        assert failed.reason == "ACTION_NOT_ALLOWED"
        assert "or it might not exist" in failed.message


def test_a_program_is_asked_for_approval_and_never_to_sign_in(server: Running) -> None:
    failed = refused(moving(server, (), ref=PROD, certificate=DEVELOPER))
    assert failed.reason == "APPROVAL_REQUIRED"

    approve(server, requester=DEVELOPER)
    named = (("strongroom-approval", ID),)
    moving(server, named, ref=PROD, certificate=DEVELOPER)()


def test_what_was_approved_runs_once_and_its_entry_names_who(server: Running) -> None:
    approve(server, BOB, "operator:carol")
    metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=ID)

    moving(server, metadata, ref=PROD)()
    again = refused(moving(server, metadata, ref=PROD))

    intent, outcome, refusal = server.audit.events()
    told = dict(intent.detail)
    assert (told["approval"], told["approvers"]) == (ID, f"{BOB} operator:carol")
    assert (outcome.outcome, intent.decision) == ("OK", "allow")
    assert (again.code, again.reason) == ("PERMISSION_DENIED", "APPROVAL_USED")
    assert server.book._entries[ID].finished
    assert (refusal.decision, refusal.reason) == ("deny", "APPROVAL_USED")


def test_what_failed_may_run_again(server: Running) -> None:
    approve(server)
    metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=ID)

    def fail() -> None:
        message = "not today"
        raise InternalError(message)

    server.script.act = fail
    assert refused(moving(server, metadata, ref=PROD)).reason == "INTERNAL"
    server.script.act = lambda: None
    moving(server, metadata, ref=PROD)()

    assert refused(moving(server, metadata, ref=PROD)).reason == "APPROVAL_USED"


def test_nothing_is_used_up_when_the_intent_cannot_be_written(server: Running) -> None:
    approve(server)
    metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=ID)
    server.audit.fail(failing=True)
    assert refused(moving(server, metadata, ref=PROD)).reason == "AUDIT_UNAVAILABLE"
    server.audit.fail(failing=False)

    moving(server, metadata, ref=PROD)()


def test_an_approval_is_good_for_those_bytes_of_that_caller_only(
    server: Running,
) -> None:
    server.script.act = lambda: pytest.fail("the servicer was reached")
    alice = server.logins.sign_in("alice")
    for options in (
        {"ref": STAGING},
        {"method": "/strongroom.v1.ArtifactService/DeleteVersion"},
        {"requester": "operator:eve"},
        {"requester": DEVELOPER},
    ):
        approve(server, **options)
        metadata = bearing(alice, strongroom_approval=ID)
        failed = refused(moving(server, metadata, ref=PROD))
        assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "APPROVAL_INVALID")


def test_an_approval_gives_no_right_that_policies_do_not(server: Running) -> None:
    server.script.act = lambda: pytest.fail("the servicer was reached")
    approve(server, requester="operator:dave")
    dave = bearing(server.logins.sign_in("dave"), strongroom_approval=ID)

    assert refused(moving(server, dave, ref=PROD)).reason == "ACTION_NOT_ALLOWED"


@pytest.mark.parametrize("named", [("",), (ID, ID), ("x" * 500,), ("no-such",)])
def test_what_names_no_one_approval_is_refused(
    server: Running, named: tuple[str, ...]
) -> None:
    approve(server)
    metadata = bearing(server.logins.sign_in("alice"))
    metadata += tuple(("strongroom-approval", item) for item in named)

    failed = refused(moving(server, metadata, ref=PROD))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "APPROVAL_INVALID")


@pytest.mark.parametrize("approvers", [(ALICE,), (ALICE, ALICE)])
def test_nobody_is_somebody_else_to_themselves(
    server: Running, approvers: tuple[str, ...]
) -> None:
    approve(server, *approvers)
    metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=ID)

    assert refused(moving(server, metadata, ref=PROD)).reason == "APPROVAL_REQUIRED"


def test_who_sends_a_stream_of_requests_is_not_sent_to_ask_for_approval(
    server: Running,
) -> None:
    with server.transfers(server.authority.issue(DEVELOPER)) as stub:
        start = transfer_pb.WriteStart(parent=GUARDED)
        requests = iter([transfer_pb.WriteVersionRequest(start=start)])

        failed = refused(lambda: list(stub.WriteVersion(requests, timeout=10)))

    assert failed.reason == "ACTION_NOT_ALLOWED"
    assert server.audit.events()[-1].policy == "protected-pushes"


def test_a_stream_of_requests_cannot_be_approved(server: Running) -> None:
    metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=ID)
    with server.channel() as channel:
        method = "/strongroom.v1.MaintenanceService/ApplySweep"
        apply: Any = channel.stream_stream(method)
        start = maintenance_pb.SweepStart(reason="asked")
        request = maintenance_pb.ApplySweepRequest(start=start).SerializeToString()

        server.book.approve(
            ID, method=method, request=request, requester=ALICE, approvers=(BOB,)
        )

        failed = refused(
            lambda: list(apply(iter([request]), timeout=10, metadata=metadata))
        )

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "APPROVAL_INVALID")


def test_a_read_that_names_an_approval_uses_it_up_too(server: Running) -> None:
    request = artifact_pb.GetArtifactRequest(name=ARTIFACT).SerializeToString()
    method = "/strongroom.v1.ArtifactService/GetArtifact"
    server.book.approve(
        ID, method=method, request=request, requester=ALICE, approvers=(BOB,)
    )
    metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=ID)

    getting(server, metadata)()

    assert refused(getting(server, metadata)).reason == "APPROVAL_USED"
    told = dict(server.audit.events()[0].detail)
    assert told["approval"] == ID
