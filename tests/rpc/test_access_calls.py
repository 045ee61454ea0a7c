# SPDX-License-Identifier: Apache-2.0
"""ExplainAccess over real mTLS: why calls are allowed or denied, and who may ask."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from strongroom.v1 import access_service_pb2 as pb
from strongroom.v1 import access_service_pb2_grpc as access_grpc
from tests.rpc.authority import DEVELOPER, NOBODY, READER
from tests.rpc.engine import serving_world
from tests.rpc.people import ALICE, AUTHORIZER, PROD, STAGING, WORKSTATION, bearing
from tests.rpc.running import ARTIFACT, VERSION, Failed, Running, read_failure
from tests.support.access import make_authorizer

NIGHT = make_authorizer(
    {"owner": ["*"], "reader": ["version.read"]},
    {
        "id": "developers",
        "principal": DEVELOPER,
        "roles": ["owner"],
        "resources": ["projects/*", "server"],
    },
    {
        "id": "readers",
        "principal": READER,
        "roles": ["reader"],
        "resources": ["projects/demo/*"],
    },
    night=(
        '@id("night") forbid (principal in Role::"reader", action, resource) '
        "when { context.hour_utc < 6 };"
    ),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving_world(NIGHT) as (_world, server):
        yield server


def explained(
    server: Running, *, caller: str = DEVELOPER, **values: object
) -> pb.ExplainAccessResponse:
    request = pb.ExplainAccessRequest()
    for key, value in values.items():
        setattr(request, key, value)
    return ask(server, request, caller)


def ask(
    server: Running, request: pb.ExplainAccessRequest, caller: str = DEVELOPER
) -> pb.ExplainAccessResponse:
    with server.channel(server.authority.issue(caller)) as channel:
        stub = access_grpc.AccessServiceStub(channel)
        return stub.ExplainAccess(request, timeout=10)


def failure(server: Running, **values: object) -> Failed:
    with pytest.raises(grpc.RpcError) as caught:
        explained(server, **values)  # type: ignore[arg-type]
    return read_failure(caught.value)


def test_what_is_allowed_names_the_policy_and_the_assignment(running: Running) -> None:
    told = explained(running, action="version.write", resource=ARTIFACT)

    assert (told.allowed, told.principal) == (True, DEVELOPER)
    assert list(told.policies) == ["owner"]
    [assignment] = told.assignments
    assert (assignment.id, list(assignment.roles)) == ("developers", ["owner"])
    assert (len(told.digest), told.refusal) == (64, "")


def test_what_is_denied_names_the_roles_that_would_do(running: Running) -> None:
    request = pb.ExplainAccessRequest(
        principal=READER,
        action="version.write",
        resource=ARTIFACT,
        facts=pb.CallFacts(hour_utc=12),
    )

    told = ask(running, request)

    assert not told.allowed
    assert list(told.policies) == []
    assert list(told.allowing_roles) == ["owner"]
    assert [item.id for item in told.assignments] == ["readers"]


@pytest.mark.parametrize(("hour", "allowed"), [(3, False), (9, True)])
def test_another_call_than_this_one_can_be_asked_about(
    running: Running, hour: int, allowed: bool
) -> None:
    request = pb.ExplainAccessRequest(
        principal=READER,
        action="version.read",
        resource=VERSION,
        facts=pb.CallFacts(tls_version="TLSv1.3", hour_utc=hour),
    )

    told = ask(running, request)

    assert told.allowed is allowed
    assert list(told.policies) == (["reader"] if allowed else ["night"])


@pytest.mark.parametrize(
    ("action", "resource", "word"),
    [
        ("version.fly", VERSION, "version.fly"),
        ("", VERSION, "no action"),
        ("version.read", "projects/demo", "projects/demo"),
        ("version.read", "somewhere", "somewhere"),
        ("version.read", "", "''"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    running: Running, action: str, resource: str, word: str
) -> None:
    failed = failure(running, action=action, resource=resource)

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert word in failed.message


@pytest.mark.parametrize("caller", [READER, NOBODY])
def test_who_may_not_ask_learns_nothing(running: Running, caller: str) -> None:
    failed = failure(running, caller=caller, action="version.read", resource=VERSION)

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")


def test_what_decided_stands_in_the_audit_entry(running: Running) -> None:
    explained(running, action="server.info", resource="server")
    failure(running, caller=READER, action="server.info", resource="server")

    allowed, denied = running.audit.events()[-2:]

    assert (allowed.decision, allowed.policy) == ("allow", "owner@developers")
    assert (denied.decision, denied.policy) == ("deny", "default")


@pytest.fixture(scope="module")
def people() -> Iterator[Running]:
    with serving_world(AUTHORIZER) as (_world, server):
        yield server


def test_what_a_person_lacks_beside_rights_is_told(people: Running) -> None:
    question = {"principal": ALICE, "action": "ref.move", "resource": PROD}

    told = explained(people, **question)
    dave = explained(people, **{**question, "principal": "operator:dave"})
    fine = explained(people, **{**question, "action": "ref.list", "resource": ARTIFACT})

    assert (told.allowed, list(told.policies)) == (
        False,
        ["fresh-mfa", "protected-prod"],
    )
    assert told.HasField("remedy")
    assert (told.remedy.login, told.remedy.max_age_s, told.remedy.approvals) == (
        True,
        300,
        1,
    )
    assert not dave.allowed
    assert not dave.HasField("remedy")
    assert fine.allowed
    assert not fine.HasField("remedy")


def test_what_no_approval_is_taken_for_is_not_said_to_need_one() -> None:
    alone = '@id("two") forbid (principal, action, resource) unless { %s };'
    authorizer = make_authorizer(
        {"owner": ["*"]},
        {"principal": DEVELOPER, "roles": ["owner"], "resources": ["server"]},
        {"principal": READER, "roles": ["owner"], "resources": ["server"]},
        two=alone % f'principal == Workload::"{DEVELOPER}" || context.approvals >= 1',
    )
    with serving_world(authorizer) as (_world, server):
        apply, rebuild = (
            explained(server, principal=READER, action=action, resource="server")
            for action in ("sweep.apply", "index.rebuild")
        )

    assert not apply.HasField("remedy")
    assert rebuild.remedy == pb.AccessRemedy(approvals=1)


def test_facts_of_people_can_be_asked_about(people: Running) -> None:
    def ask_about(facts: dict[str, Any]) -> pb.ExplainAccessResponse:
        request = pb.ExplainAccessRequest(
            principal=ALICE,
            action="ref.move",
            resource=PROD,
            facts=pb.CallFacts(**facts),
        )
        return ask(people, request)

    assert ask_about({"mfa": True, "auth_age_s": 300, "approvals": 1}).allowed
    for facts in (
        {"mfa": True, "auth_age_s": 301, "approvals": 1},
        {"mfa": True, "approvals": 0},
        {"mfa": False, "approvals": 1},
    ):
        assert not ask_about(facts).allowed
    assert ask_about({"mfa": True}).remedy == pb.AccessRemedy(approvals=1)


def test_who_asks_of_others_lends_them_no_login(people: Running) -> None:
    token = people.logins.sign_in("alice")
    request = pb.ExplainAccessRequest(action="ref.move", resource=STAGING)
    other = pb.ExplainAccessRequest(
        principal="operator:erin", action="ref.move", resource=STAGING
    )
    with people.channel(people.authority.issue(WORKSTATION)) as channel:
        stub = access_grpc.AccessServiceStub(channel)
        own = stub.ExplainAccess(request, timeout=10, metadata=bearing(token))
        erin = stub.ExplainAccess(other, timeout=10, metadata=bearing(token))

    assert (own.principal, own.allowed) == (ALICE, True)
    assert not erin.allowed
    assert erin.remedy == pb.AccessRemedy(login=True, max_age_s=300)
