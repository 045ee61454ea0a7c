# SPDX-License-Identifier: Apache-2.0
"""Who sees an approval, and what another release's server let be asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from strongroom.v1 import approval_service_pb2 as pb
from strongroom.v1 import approval_service_pb2_grpc as pb_grpc
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import artifact_service_pb2_grpc as artifact_grpc
from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.core.assignments import parse_assignments
from strongroom_server.services.approving import SecurityKeys
from tests.rpc.calling import refused
from tests.rpc.engine import serving_world
from tests.rpc.people import ALICE, MOVE_REF, PROD, WORKSTATION, bearing
from tests.rpc.running import Running
from tests.support.security_keys import (
    BASTION,
    BOB,
    ORIGIN,
    RELYING_PARTY,
    KnownKeys,
    TestKey,
)
from tests.support.world import World

BOBS = TestKey("bob-1", BOB)
DELETE = "/strongroom.v1.ArtifactService/DeleteVersion"
#: All else in it is good: it is the selector that is refused.
TO_LATEST = artifact_pb.MoveRefRequest(
    name=PROD,
    version="latest",
    reason="it is good",
    request_id="0f5f1f57-6a0e-4f0a-9d0b-0c6f0c2d6a11",
)
SECRET = artifact_pb.DeleteVersionRequest(
    name="projects/secret-merger/artifacts/bid/versions/7", reason="it is off"
).SerializeToString()


def _given(name: str, role: str, *resources: str) -> dict[str, object]:
    return {
        "id": name,
        "principal": f"operator:{name}",
        "roles": [role],
        "resources": [*resources, "server"],
    }


ASSIGNMENTS = [
    _given("alice", "operator", "projects/demo/*"),
    _given("carol", "operator", "projects/secret-merger/*"),
    _given("erin", "operator", "projects/secret-merger/*"),
    _given("bob", "approver"),
    _given("dan", "security-officer"),
]
PROTECTED = """
@id("protected")
forbid (principal, action == Action::"ref.move", resource)
unless { principal is Operator && context.approvals >= 1 };
"""
Office = tuple[World, Running]


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    verifier = WebAuthnVerifier(relying_party=RELYING_PARTY, origin=ORIGIN)
    keys = SecurityKeys(RELYING_PARTY, ORIGIN, KnownKeys(BOBS), verifier)
    authorizer = CedarAuthorizer(
        {**shipped_policies(), "own.cedar": PROTECTED},
        parse_assignments({"assignments": ASSIGNMENTS}),
    )
    with serving_world(authorizer, keys=keys) as (world, server):
        world.push({"a": b"1"})
        world.push({"a": b"2"})
        yield world, server


@contextmanager
def stub_of(server: Running, kind: Any = pb_grpc.ApprovalServiceStub) -> Iterator[Any]:  # noqa: ANN401
    with server.channel(server.authority.issue(WORKSTATION)) as channel:
        yield kind(channel)


@pytest.fixture(scope="module")
def secret(office: Office) -> str:
    """Return the name of what carol has asked for."""
    _, server = office
    request = pb.RequestApprovalRequest(method=DELETE, request=SECRET, reason="why")
    with stub_of(server) as stub:
        metadata = bearing(server.logins.sign_in("carol"))
        name: str = stub.RequestApproval(request, timeout=10, metadata=metadata).name
    return name


@pytest.mark.parametrize(
    ("who", "sees"),
    [("carol", True), ("erin", True), ("bob", True), ("dan", True), ("alice", False)],
)
@pytest.mark.parametrize("is_fresh", [True, False])
def test_an_approval_is_seen_by_those_whom_it_concerns(
    office: Office, secret: str, who: str, *, sees: bool, is_fresh: bool
) -> None:
    """Also by an old login: that they would sign in anew hides nothing from them."""
    _, server = office
    token = server.logins.sign_in(who, age_s=0 if is_fresh else 3600, mfa=is_fresh)
    told = {"timeout": 10, "metadata": bearing(token)}
    with stub_of(server) as stub:
        listed = stub.ListApprovals(pb.ListApprovalsRequest(), **told).approvals
        get = pb.GetApprovalRequest(name=secret)
        if sees:
            assert stub.GetApproval(get, **told).request == SECRET
        else:
            failed = refused(lambda: stub.GetApproval(get, **told))
            assert failed.reason == "APPROVAL_NOT_FOUND"

    assert (secret in [item.name for item in listed]) is sees


def of_another_release(world: World) -> str:
    """Have it asked for, as a server could that lets selectors through."""
    approval = world.approving.request(
        MOVE_REF,
        TO_LATEST.SerializeToString(),
        "r",
        requester=ALICE,
        workload=BASTION,
    )
    return approval.request.approval_id


def test_nobody_approves_here_what_could_not_be_asked_for_here(office: Office) -> None:
    world, server = office
    name = of_another_release(world)
    said = BOBS.sign(world.approving.get(name).request.challenge)
    approve = pb.DecideApprovalRequest(
        name=f"approvals/{name}",
        approve=pb.KeyAssertion(
            credential_id=said.credential_id,
            authenticator_data=said.authenticator_data,
            client_data=said.client_data,
            signature=said.signature,
        ),
    )
    deny = pb.DecideApprovalRequest(name=f"approvals/{name}", deny=pb.Denial())
    told = {"timeout": 10, "metadata": bearing(server.logins.sign_in("bob"))}

    with stub_of(server) as stub:
        failed = refused(lambda: stub.DecideApproval(approve, **told))
        denied = stub.DecideApproval(deny, **told)

    assert failed.code == "INVALID_ARGUMENT"
    assert "not named by its number" in failed.message
    assert denied.state == pb.APPROVAL_STATE_DENIED


def test_nothing_runs_here_that_could_not_be_asked_for_here(office: Office) -> None:
    world, server = office
    name = of_another_release(world)
    world.approving.approve(
        name,
        BOBS.sign(world.approving.get(name).request.challenge),
        principal=BOB,
        workload=BASTION,
        audit_id="log-1",
    )
    metadata = bearing(server.logins.sign_in("alice"), strongroom_approval=name)

    with stub_of(server, artifact_grpc.ArtifactServiceStub) as stub:
        failed = refused(lambda: stub.MoveRef(TO_LATEST, timeout=10, metadata=metadata))

    assert failed.code == "INVALID_ARGUMENT"
    assert "not named by its number" in failed.message
    assert world.approving.get(name).used is None
