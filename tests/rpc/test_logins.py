# SPDX-License-Identifier: Apache-2.0
"""People behind connections: whose call it is, and what a bad login does to it."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import maintenance_service_pb2_grpc as maintenance_grpc
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.operators import Operator
from strongroom_server.core.revocation import Revocations, parse_revocations
from strongroom_server.rpc.identity import IdentityRules
from strongroom_server.rpc.limits import GuardLimits
from strongroom_server.rpc.logins import MAX_TOKEN_CHARS
from tests.rpc.authority import DEVELOPER, TRUST_DOMAIN
from tests.rpc.calling import refused
from tests.rpc.engine import serving_world
from tests.rpc.people import (
    ALICE,
    AUTHORIZER,
    WORKSTATION,
    bearing,
    getting,
    moving,
    office,
)
from tests.rpc.running import ARTIFACT, VERSION, Running, read_failure
from tests.rpc.test_reviews import drain, take
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with office() as server:
        yield server


def test_a_call_with_a_login_is_the_persons(server: Running) -> None:
    getting(server, bearing(server.logins.sign_in("alice")))()
    failed = refused(getting(server, ()))

    person, program = server.audit.events()
    assert (person.principal, person.decision) == (ALICE, "allow")
    assert person.policy == "operator+reader@alice+everybody"
    assert (program.principal, program.decision) == (WORKSTATION, "deny")
    assert failed.reason == "ACTION_NOT_ALLOWED"


def test_the_entry_says_by_what_program_and_how_they_had_signed_in(
    server: Running,
) -> None:
    token = server.logins.sign_in("alice", age_s=100)

    moving(server, bearing(token))()

    intent, outcome = server.audit.events()
    told = dict(intent.detail)
    assert told.pop("certificate").startswith("sha256:")
    assert int(told.pop("auth_age_s")) - 100 in range(20)
    assert told == {
        "key_exchange": "X25519MLKEM768",
        "workload": WORKSTATION,
        "mfa": "true",
        "acr": "",
        "amr": "pwd otp mfa",
    }
    assert (intent.principal, outcome.principal) == (ALICE, ALICE)
    assert outcome.detail == ()
    [line] = [line for line in server.lines if line["event"] == "call"]
    assert (line["principal"], line["workload"]) == (ALICE, WORKSTATION)


def test_a_person_has_none_of_the_programs_rights(server: Running) -> None:
    carol = bearing(server.logins.sign_in("carol"))

    failed = refused(moving(server, carol, certificate=DEVELOPER))

    moving(server, (), certificate=DEVELOPER)()
    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
    assert failed.metadata["principal"] == "operator:carol"


def test_a_program_that_nobody_knows_carries_nobody(server: Running) -> None:
    metadata = bearing(server.logins.sign_in("alice"))
    with server.artifacts(server.authority.issue()) as stub:
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)

        failed = refused(
            lambda: stub.GetArtifact(request, timeout=10, metadata=metadata)
        )

    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", "IDENTITY_INVALID")


@pytest.mark.parametrize(
    "shown",
    [
        "Basic YWxpY2U6c2VjcmV0",
        "Bearer",
        "Bearer ",
        "Bearer a.b",
        "Bearer a.b.",
        "Bearer a.b.c, Bearer a.b.c",
        "Bearer a.b.c.d",
        "Bearer  a.b.c",
        "bearer a.b.c",
        "a.b.c",
        "",
        "Bearer memory.99.signed",
        f"Bearer a.{'b' * MAX_TOKEN_CHARS}.c",
    ],
    ids=lambda text: text[:30],
)
def test_a_bad_login_is_never_a_programs_call(server: Running, shown: str) -> None:
    metadata = (("authorization", shown),)

    failed = refused(moving(server, metadata, certificate=DEVELOPER))

    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    assert server.outcomes() == [
        ("call", "MoveRef", "UNAUTHENTICATED", "TOKEN_INVALID")
    ]
    [event] = server.audit.events()
    assert (event.principal, event.decision) == (DEVELOPER, "deny")
    assert not shown or shown not in json.dumps(server.lines)


def test_a_login_stands_nowhere_but_in_the_call(server: Running) -> None:
    good = server.logins.sign_in("alice")
    getting(server, bearing(good))()
    refused(getting(server, bearing("header.claims.signature")))

    left = json.dumps(server.lines) + repr(server.audit.events())
    assert server.lines
    assert ALICE in left
    for secret in (good, "header.claims", "signature", "Bearer", "authorization"):
        assert secret not in left


def test_two_logins_are_none(server: Running) -> None:
    token = server.logins.sign_in("alice")

    for metadata in (bearing(token, token), bearing(token, "a.b.c")):
        assert refused(getting(server, metadata)).reason == "TOKEN_INVALID"


def test_a_login_that_has_ended_says_so(server: Running) -> None:
    token = server.logins.sign_in("alice", age_s=13 * 3600)

    failed = refused(getting(server, bearing(token)))

    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    assert "strongroom login" in failed.metadata["hint"]


def test_while_the_provider_is_away_people_wait_and_programs_go_on(
    server: Running,
) -> None:
    token = server.logins.sign_in("alice")
    server.logins.fail(failing=True)
    try:
        failed = refused(getting(server, bearing(token)))
        moving(server, (), certificate=DEVELOPER)()
    finally:
        server.logins.fail(failing=False)

    assert (failed.code, failed.reason) == ("UNAVAILABLE", "LOGIN_UNAVAILABLE")


def test_a_server_without_a_provider_takes_no_login() -> None:
    with office(takes_logins=False) as server:
        token = server.logins.sign_in("alice")

        failed = refused(moving(server, bearing(token), certificate=DEVELOPER))

        moving(server, (), certificate=DEVELOPER)()
    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    assert "[operators]" in failed.metadata["hint"]


@pytest.mark.parametrize("line", [ALICE, "operator:Alice", WORKSTATION])
def test_who_is_revoked_is_nobody_person_or_program(line: str) -> None:
    revoked = [Revocations()]
    rules = IdentityRules(TRUST_DOMAIN, revoked=lambda: revoked[0])
    with office(rules=rules) as server:
        metadata = bearing(server.logins.sign_in("alice"))
        other = bearing(server.logins.sign_in("bob"))
        getting(server, metadata)()

        revoked[0] = parse_revocations(line)
        failed = refused(getting(server, metadata))

        assert (failed.code, failed.reason) == ("UNAUTHENTICATED", "IDENTITY_REVOKED")
        if line != WORKSTATION:
            getting(server, other)()


@pytest.mark.parametrize("line", [ALICE, WORKSTATION])
def test_a_running_stream_of_who_is_revoked_is_ended(line: str) -> None:
    revoked = [Revocations()]
    rules = IdentityRules(TRUST_DOMAIN, revoked=lambda: revoked[0])
    with office(rules=rules) as server:
        server.script.responses = 1_000_000
        certificate = server.authority.issue(WORKSTATION)
        with server.transfers(certificate) as stub:
            request = transfer_pb.ReadVersionRequest(name=VERSION)
            metadata = bearing(server.logins.sign_in("alice"))
            responses = stub.ReadVersion(request, timeout=60, metadata=metadata)
            take(responses, 5)
            server.reviews.review()
            take(responses, 20)

            revoked[0] = parse_revocations(line)
            server.reviews.review()

            failed = read_failure(drain(responses))
    assert failed.reason == "IDENTITY_REVOKED"


@pytest.mark.parametrize(
    ("who", "certificate", "counted"),
    [("alice", DEVELOPER, ALICE), ("bob", WORKSTATION, WORKSTATION)],
)
def test_a_call_counts_for_the_person_and_for_the_workstation(
    who: str, certificate: str, counted: str
) -> None:
    reached = threading.Barrier(2, timeout=30)
    with office(limits=GuardLimits(max_calls=4, max_own_calls=1)) as server:
        alice, other = (bearing(server.logins.sign_in(n)) for n in ("alice", who))
        server.script.act = reached.wait
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(getting(server, alice))
            wait_until(lambda: reached.n_waiting == 1)
            failed = refused(moving(server, other, certificate=certificate))
            reached.wait()
            assert call.result()
        server.script.act = lambda: None
        getting(server, alice)()

    assert failed.reason == "TOO_MANY_OWN_CALLS"
    assert failed.metadata["principal"] == counted


@dataclass
class Hanging:
    """A `TokenVerifier` whose provider does not answer for now."""

    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    answer: threading.Event = field(default_factory=threading.Event)

    def verify(self, _token: str) -> Operator:
        self.asked.release()
        self.answer.wait(30)
        message = "the identity provider cannot be asked"
        raise UnavailableError(message, reason=Reason.LOGIN_UNAVAILABLE)

    def check_current(self) -> None:
        """Say nothing."""


def test_logins_that_hang_take_only_their_own_programs_calls() -> None:
    hanging, limits = Hanging(), GuardLimits(max_calls=4, max_own_calls=2)
    with office(limits=limits, tokens=hanging) as server:
        shown = bearing("a.b.c")
        with ThreadPoolExecutor(2) as threads:
            calls = [threads.submit(refused, getting(server, shown)) for _ in range(2)]
            for _ in calls:
                assert hanging.asked.acquire(timeout=20)

            failed = refused(getting(server, shown))
            moving(server, (), certificate=DEVELOPER)()

            hanging.answer.set()
            reasons = [call.result().reason for call in calls]

    assert failed.reason == "TOO_MANY_OWN_CALLS"
    assert failed.metadata["principal"] == WORKSTATION
    assert reasons == ["LOGIN_UNAVAILABLE"] * 2


def test_a_person_is_told_whom_the_server_takes_them_for() -> None:
    with serving_world(AUTHORIZER) as (_world, server):
        metadata = bearing(server.logins.sign_in("alice", age_s=50))
        with server.channel(server.authority.issue(WORKSTATION)) as channel:
            stub = maintenance_grpc.MaintenanceServiceStub(channel)
            request = maintenance_pb.GetServerInfoRequest()
            info = stub.GetServerInfo(request, timeout=10, metadata=metadata)
        with server.channel() as channel:
            stub = maintenance_grpc.MaintenanceServiceStub(channel)
            program = stub.GetServerInfo(request, timeout=10)

    assert (info.principal, info.workload) == (ALICE, WORKSTATION)
    assert (info.login.mfa, list(info.login.amr)) == (True, ["pwd", "otp", "mfa"])
    age = datetime.now(UTC) - info.login.auth_time.ToDatetime(UTC)
    assert 50 <= age.total_seconds() < 70
    assert "operator on projects/demo/*" in info.roles
    assert (program.principal, program.workload) == (DEVELOPER, DEVELOPER)
    assert not program.HasField("login")
