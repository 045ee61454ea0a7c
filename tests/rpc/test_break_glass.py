# SPDX-License-Identifier: Apache-2.0
"""The sealed certificate: what it may when nobody can sign in, and who hears of it."""

from collections.abc import Iterator

import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.adapters.cedar import CedarAuthorizer, shipped_policies
from strongroom_server.core.assignments import parse_assignments
from tests.rpc.authority import TRUST_DOMAIN
from tests.rpc.calling import refused
from tests.rpc.people import bearing, moving
from tests.rpc.running import ARTIFACT, VERSION, Running, running_server

SEALED = f"spiffe://{TRUST_DOMAIN}/ns/safe/sa/break-glass/job/1"
ASSIGNMENTS = [
    {
        "id": "sealed",
        "principal": SEALED,
        "roles": ["break-glass", "reader"],
        "resources": ["projects/*", "server"],
    },
    {
        "id": "alice",
        "principal": "operator:alice",
        "roles": ["break-glass"],
        "resources": ["projects/*", "server"],
    },
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    document = {"assignments": ASSIGNMENTS}
    authorizer = CedarAuthorizer(shipped_policies(), parse_assignments(document))
    with running_server(authorizer=authorizer) as server:
        yield server


def warnings(server: Running) -> list[dict[str, object]]:
    return [line for line in server.lines if line["event"] == "break_glass"]


def test_each_use_is_a_warning_before_it_happens_and_named_in_its_entry(
    server: Running,
) -> None:
    seen: list[int] = []
    server.script.act = lambda: seen.append(len(warnings(server)))

    moving(server, (), certificate=SEALED)()

    intent, _ = server.audit.events()
    assert intent.policy == "break-glass@sealed"
    [line] = warnings(server)
    assert seen == [1]
    assert line["principal"] == SEALED
    assert line["method"] == "/strongroom.v1.ArtifactService/MoveRef"
    assert line["resource_id"] == intent.resource_id
    assert line["audit_id"]


def test_looking_with_it_is_a_use_too_and_a_denial_is_none(server: Running) -> None:
    certificate = server.authority.issue(SEALED)
    with server.artifacts(certificate) as stub:
        stub.GetArtifact(artifact_pb.GetArtifactRequest(name=ARTIFACT), timeout=10)
    assert len(warnings(server)) == 1

    with server.transfers(certificate) as stub_of_reads:
        request = transfer_pb.ReadVersionRequest(name=VERSION)
        failed = refused(lambda: list(stub_of_reads.ReadVersion(request, timeout=10)))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
    assert server.audit.events()[-1].policy.startswith("break-glass-has-limits@")
    assert len(warnings(server)) == 1


def test_a_person_breaks_no_glass_without_a_fresh_login(server: Running) -> None:
    old = bearing(server.logins.sign_in("alice", age_s=400))

    failed = refused(moving(server, old, certificate=SEALED))

    assert failed.reason == "STEP_UP_REQUIRED"
    assert warnings(server) == []
