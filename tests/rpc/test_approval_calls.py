# SPDX-License-Identifier: Apache-2.0
"""ApprovalService over real mTLS: what can be asked for, and what is told of it."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import approval_service_pb2 as pb
from strongroom.v1 import approval_service_pb2_grpc as pb_grpc
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.rpc.approvable import read_approvable
from strongroom_server.rpc.methods import METHODS
from strongroom_server.services.approving import SecurityKeys
from tests.rpc.calling import refused
from tests.rpc.engine import serving_world
from tests.rpc.people import (
    ALICE,
    AUTHORIZER,
    MOVE_REF,
    PROD,
    WORKSTATION,
    bearing,
    move_request,
)
from tests.rpc.running import ARTIFACT, Running
from tests.support.security_keys import ORIGIN, RELYING_PARTY, KnownKeys, TestKey

ALICES = TestKey("alice-1", ALICE)
MOVE = move_request(PROD).SerializeToString()
READ = "/strongroom.v1.TransferService/ReadVersion"
SET_POLICY = "/strongroom.v1.ArtifactService/SetPolicy"
POLICY = artifact_pb.SetPolicyRequest(name=ARTIFACT, reason="less").SerializeToString()
#: An enum of -1 in five bytes, which are ten when written anew; then fields that no
#: release knows, of just as many bytes as that seems to save.
PAID_FOR = b"\x38\xff\xff\xff\xff\x0f" + b"\xa0\x06\x01" + b"\x78\x01"


class _NoVerifier:
    """Is not asked."""

    verify: Any = None


@pytest.fixture
def server() -> Iterator[Running]:
    keys = SecurityKeys(RELYING_PARTY, ORIGIN, KnownKeys(ALICES), _NoVerifier())
    with serving_world(AUTHORIZER, keys=keys) as (_, server):
        yield server


@contextmanager
def alices(server: Running) -> Iterator[Callable[[str, Any], Any]]:
    """Yield what makes a call as alice, who has just signed in."""
    metadata = bearing(server.logins.sign_in("alice"))
    with server.channel(server.authority.issue(WORKSTATION)) as channel:
        stub: Any = pb_grpc.ApprovalServiceStub(channel)
        yield lambda method, request: getattr(stub, method)(
            request, timeout=10, metadata=metadata
        )


def moved(version: str) -> bytes:
    request = artifact_pb.MoveRefRequest()
    request.CopyFrom(move_request(PROD))
    request.version = version
    return request.SerializeToString()


def read(version: str) -> bytes:
    name = f"{ARTIFACT}/versions/{version}"
    return transfer_pb.ReadVersionRequest(name=name).SerializeToString()


def request_for(
    method: str = MOVE_REF, data: bytes = MOVE, reason: str = "it is bad"
) -> pb.RequestApprovalRequest:
    return pb.RequestApprovalRequest(method=method, request=data, reason=reason)


def test_the_audit_log_says_which_request_was_asked_for(server: Running) -> None:
    with alices(server) as call:
        asked = call("RequestApproval", request_for())

    notes = [dict(event.detail) for event in server.audit.events()]
    (told,) = [note for note in notes if "requested" in note]
    assert told["approval"] == asked.name.removeprefix("approvals/")
    assert (told["requested"], told["requester"]) == (MOVE_REF, ALICE)


def test_what_is_asked_for_is_told_whole_to_who_looks(server: Running) -> None:
    with alices(server) as call:
        asked = call("RequestApproval", request_for())
        listed = call("ListApprovals", pb.ListApprovalsRequest())
        whole = call("GetApproval", pb.GetApprovalRequest(name=asked.name))

    assert asked.state == pb.APPROVAL_STATE_PENDING
    assert (asked.action, [*asked.resources]) == ("ref.move", [PROD])
    assert (asked.requester, asked.reason) == (ALICE, "it is bad")
    assert asked.expire_time.seconds - asked.create_time.seconds == 900
    assert [item.name for item in listed.approvals] == [asked.name]
    assert (asked.request, listed.approvals[0].request) == (b"", b"")
    assert whole.request == MOVE
    assert hashlib.sha256(MOVE).hexdigest().encode() in whole.statement
    assert [*whole.credential_ids] == [ALICES.credential_id]
    assert (whole.relying_party.id, whole.relying_party.origin) == (
        RELYING_PARTY, ORIGIN,
    )  # fmt: skip


def test_what_differs_in_its_request_id_alone_is_asked_for_once(
    server: Running,
) -> None:
    other = artifact_pb.MoveRefRequest.FromString(MOVE)
    other.request_id = "another one"
    more = artifact_pb.MoveRefRequest.FromString(MOVE)
    more.version = "1" if more.version != "1" else "2"
    with alices(server) as call:
        first = call("RequestApproval", request_for())
        again = call("RequestApproval", request_for(data=other.SerializeToString()))
        third = call("RequestApproval", request_for(data=more.SerializeToString()))
        whole = call("GetApproval", pb.GetApprovalRequest(name=again.name))

    assert again == first
    assert third.name != first.name
    assert whole.request == MOVE


def test_how_many_have_to_approve_is_told(server: Running) -> None:
    project = artifact_pb.CreateProjectRequest(project_id="demo")
    create = "/strongroom.v1.ArtifactService/CreateProject"
    rewrap = "/strongroom.v1.KeyService/RewrapSlots"
    epoch = "/strongroom.v1.KeyService/StartEpoch"
    wanted = {
        MOVE_REF: (MOVE, 1),
        create: (project.SerializeToString(), 0),
        rewrap: (b"\x0a\x0dprojects/demo", 0),
        epoch: (b"\x0a\x0dprojects/demo", None),
    }
    with alices(server) as call:
        for method, (data, needed) in wanted.items():
            told = call("RequestApproval", request_for(method, data))
            found = told.needed_count if told.HasField("needed_count") else None
            assert found == needed, method


def test_who_asked_takes_it_back_and_to_others_there_is_none(server: Running) -> None:
    with alices(server) as call:
        asked = call("RequestApproval", request_for())
        wanted = pb.WithdrawApprovalRequest(name=asked.name, reason="no need")
        taken = call("WithdrawApproval", wanted)
        again = refused(lambda: call("WithdrawApproval", wanted))
    with server.channel() as channel:
        stub = pb_grpc.ApprovalServiceStub(channel)
        other = refused(lambda: stub.WithdrawApproval(wanted, timeout=10))

    assert taken.state == pb.APPROVAL_STATE_WITHDRAWN
    assert (taken.denier, taken.deny_reason) == (ALICE, "no need")
    assert (again.code, again.reason) == ("PERMISSION_DENIED", "APPROVAL_DENIED")
    assert (other.code, other.reason) == ("NOT_FOUND", "APPROVAL_NOT_FOUND")
    counts = [dict(event.detail) for event in server.audit.events()]
    assert [str(found.get("withdrawn")) for found in counts].count("1") == 1


@pytest.mark.parametrize(
    "request_",
    [
        request_for("/strongroom.v1.TransferService/WriteVersion"),
        request_for("/strongroom.v1.ApprovalService/DecideApproval", b""),
        request_for("/strongroom.v1.ArtifactService/Nothing"),
        request_for("/grpc.health.v1.Health/Check", b""),
        request_for(""),
        request_for(data=b"\xff\xff"),
        request_for(data=b""),
        request_for(data=MOVE + b"\xf8\x3f\x01"),
        request_for(data=MOVE + MOVE),
        request_for(data=moved("latest")),
        request_for(data=moved("prod")),
        request_for(data=moved("prod~1")),
        request_for(data=moved("")),
        request_for(READ, read("latest")),
        request_for(READ, read("prod")),
        request_for(data=MOVE + b"\0" * (64 * 1024)),
        request_for(reason=" "),
        request_for(reason="x" * 1001),
    ],
    ids=range(18),
)
def test_what_nobody_could_approve_is_not_asked_for(
    server: Running, request_: pb.RequestApprovalRequest
) -> None:
    with alices(server) as call:
        failed = refused(lambda: call("RequestApproval", request_))
        listed = call("ListApprovals", pb.ListApprovalsRequest())

    assert failed.code == "INVALID_ARGUMENT"
    assert [*listed.approvals] == []


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetApproval", pb.GetApprovalRequest(name="x"), "NAME_MALFORMED"),
        ("GetApproval", pb.GetApprovalRequest(name="approvals/x/y"), "NAME_MALFORMED"),
        (
            "GetApproval",
            pb.GetApprovalRequest(name="approvals/00000000-0000000000"),
            "APPROVAL_NOT_FOUND",
        ),
    ],
)
def test_what_is_not_there_is_said_so(
    server: Running, method: str, request_: object, reason: str
) -> None:
    with alices(server) as call:
        assert refused(lambda: call(method, request_)).reason == reason


def test_who_only_asks_decides_nothing(server: Running) -> None:
    with alices(server) as call:
        name = call("RequestApproval", request_for()).name
        deny = pb.DecideApprovalRequest(name=name, deny=pb.Denial())
        failed = refused(lambda: call("DecideApproval", deny))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")


def test_what_is_approvable_names_what_it_is_about() -> None:
    found = read_approvable(MOVE_REF, MOVE)

    assert found.method.name == MOVE_REF
    assert [target.resource for target in found.targets] == [PROD]


def test_a_request_that_no_screen_would_show_is_refused() -> None:
    hidden = artifact_pb.MoveRefRequest()
    hidden.MergeFromString(MOVE + b"\xf8\x3f\x01")

    with pytest.raises(InvalidArgumentError, match="more than this server"):
        read_approvable(MOVE_REF, hidden.SerializeToString())


def test_a_number_written_short_does_not_pay_for_hidden_fields() -> None:
    read_approvable(SET_POLICY, POLICY)

    with pytest.raises(InvalidArgumentError, match="more than this server"):
        read_approvable(SET_POLICY, POLICY + PAID_FOR)


def _input_of(method: str) -> Any:  # noqa: ANN401 (the stubs leave it out)
    name = method.removeprefix("/").replace("/", ".")
    found: Any = descriptor_pool.Default().FindMethodByName(name)
    return found.input_type


def _name_fields(method: str) -> set[str]:
    named = {"name", "parent", "base", "target"}
    return named & {*_input_of(method).fields_by_name}


@pytest.mark.parametrize("method", sorted(filter(_name_fields, METHODS)))
def test_no_method_is_approved_for_a_version_that_moves(method: str) -> None:
    """Whatever field it has for names: `latest` is refused in each."""
    request: Any = message_factory.GetMessageClass(_input_of(method))()
    for field in _name_fields(method):
        setattr(request, field, f"{ARTIFACT}/versions/latest")

    with pytest.raises(InvalidArgumentError):
        read_approvable(method, request.SerializeToString())
