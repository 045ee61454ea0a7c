# SPDX-License-Identifier: Apache-2.0
"""The guard writes the audit log: before the answer, or there is none."""

import hashlib
import ssl

import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom_server.core.audit import Phase
from tests.rpc.authority import DEVELOPER, NOBODY
from tests.rpc.calling import call_kind, get_artifact, refused
from tests.rpc.running import ARTIFACT, Running


def test_a_change_is_written_before_it_happens_and_after(server: Running) -> None:
    seen: list[int] = []
    server.script.act = lambda: seen.append(len(server.audit.events()))
    with server.artifacts() as stub:
        request = artifact_pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod")
        _, call = stub.MoveRef.with_call(request, timeout=10)

    assert seen == [1]
    intent, outcome = server.audit.events()
    assert (intent.phase, intent.outcome) == (Phase.INTENT, "")
    assert (outcome.phase, outcome.outcome) == (Phase.OUTCOME, "OK")
    assert intent.call_id == outcome.call_id
    assert dict(call.trailing_metadata() or ())["strongroom-audit-id"]
    assert intent.resource_id == f"id({ARTIFACT})"
    assert intent.sealed_resource == f"sealed({ARTIFACT}/refs/prod)"


def test_a_short_read_is_written_before_its_answer(server: Running) -> None:
    seen: list[int] = []
    server.script.act = lambda: seen.append(len(server.audit.events()))

    get_artifact(server)

    assert seen == [0]
    assert server.outcomes() == [("call", "GetArtifact", "OK", "")]


@pytest.mark.parametrize("kind", ["unary", "stream", "after a message"])
def test_nothing_is_answered_when_the_audit_log_cannot_be_written(
    server: Running, kind: str
) -> None:
    server.audit.fail(failing=True)
    with server.channel() as channel:
        failed = refused(lambda: call_kind(channel, kind))

    assert (failed.code, failed.reason) == ("UNAVAILABLE", "AUDIT_UNAVAILABLE")
    assert failed.audit_id == ""
    assert server.audit.events() == []


def test_nothing_changes_when_the_intent_cannot_be_written(server: Running) -> None:
    server.audit.fail(failing=True)
    server.script.act = lambda: pytest.fail("the servicer was reached")
    with server.artifacts() as stub:
        request = artifact_pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod")

        failed = refused(lambda: stub.MoveRef(request, timeout=10))

    assert failed.reason == "AUDIT_UNAVAILABLE"


def test_a_denial_that_cannot_be_written_is_no_denial(server: Running) -> None:
    server.audit.fail(failing=True)
    certificate = server.authority.issue(NOBODY)

    failed = refused(lambda: get_artifact(server, certificate))

    assert (failed.code, failed.reason) == ("UNAVAILABLE", "AUDIT_UNAVAILABLE")


def test_an_outcome_that_cannot_be_written_is_told(server: Running) -> None:
    server.script.act = lambda: server.audit.fail(failing=True)
    with server.artifacts() as stub:
        request = artifact_pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod")

        failed = refused(lambda: stub.MoveRef(request, timeout=10))

    assert failed.reason == "AUDIT_UNAVAILABLE"
    assert server.outcomes() == [("intent", "MoveRef", "", "")]
    assert failed.audit_id


def test_the_first_entry_of_a_call_says_what_it_came_over(server: Running) -> None:
    shown = server.authority.issue(DEVELOPER)
    der = ssl.PEM_cert_to_DER_cert(shown.chain_pem.decode())
    with server.artifacts(shown) as stub:
        stub.GetArtifact(artifact_pb.GetArtifactRequest(name=ARTIFACT), timeout=10)
        stub.MoveRef(artifact_pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod"))
    get_artifact(server)
    refused(lambda: get_artifact(server, server.authority.issue()))

    read, intent, outcome, _, nobody = server.audit.events()
    for event in (read, intent):
        assert dict(event.detail) == {
            "certificate": "sha256:" + hashlib.sha256(der).hexdigest(),
            "key_exchange": "X25519MLKEM768",
        }
    assert outcome.detail == nobody.detail == ()
