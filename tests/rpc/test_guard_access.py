# SPDX-License-Identifier: Apache-2.0
"""The guard decides access: denied by default, before existence shows."""

import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.audit import Phase
from tests.rpc.authority import DEVELOPER, NOBODY, READER
from tests.rpc.calling import TRACE_ID, get_artifact, refused
from tests.rpc.running import ARTIFACT, VERSION, Running, call_raw


def test_a_caller_without_a_right_is_denied_and_cannot_tell_what_exists(
    server: Running,
) -> None:
    server.script.act = lambda: pytest.fail("the servicer was reached")
    certificate = server.authority.issue(NOBODY)

    failed = refused(lambda: get_artifact(server, certificate))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
    assert failed.message == (
        f"permission artifact.get denied on {ARTIFACT} (or it might not exist)"
    )
    assert failed.metadata["principal"] == NOBODY
    [event] = server.audit.events()
    assert event.phase is Phase.CALL
    assert (event.decision, event.policy) == ("deny", "default")
    assert event.principal == NOBODY
    assert event.resource_id == f"id({ARTIFACT})"
    assert failed.audit_id
    assert failed.trace_id == TRACE_ID


def test_a_denied_stream_gives_no_byte(server: Running) -> None:
    certificate = server.authority.issue(NOBODY)
    with server.transfers(certificate) as stub:
        request = transfer_pb.ReadVersionRequest(name=VERSION)

        failed = refused(lambda: list(stub.ReadVersion(request, timeout=10)))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
    assert not server.script.closed.is_set()


def test_a_denied_upload_is_told_before_its_bytes_are_taken(server: Running) -> None:
    certificate = server.authority.issue(READER)
    with server.transfers(certificate) as stub:
        start = transfer_pb.WriteStart(parent=ARTIFACT)
        requests = iter([transfer_pb.WriteVersionRequest(start=start)] * 3)

        failed = refused(lambda: list(stub.WriteVersion(requests, timeout=10)))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
    assert server.script.requests == 0


def test_every_named_resource_must_be_allowed(server: Running) -> None:
    certificate = server.authority.issue(READER)
    with server.artifacts(certificate) as stub:
        request = artifact_pb.DiffVersionsRequest(
            base=VERSION, target="projects/other/artifacts/minilm/versions/1"
        )

        failed = refused(lambda: list(stub.DiffVersions(request, timeout=10)))

    assert failed.code == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "method",
    [
        "/strongroom.v1.ArtifactService/DropEverything",
        "/strongroom.v2.ArtifactService/GetArtifact",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        f"/strongroom.v1.ArtifactService/{'x' * 4000}",
    ],
)
def test_an_unknown_method_is_denied_and_accounted_for(
    server: Running, method: str
) -> None:
    with server.channel() as channel:
        failed = refused(lambda: call_raw(channel, method, b""))

    assert (failed.code, failed.reason) == ("PERMISSION_DENIED", "METHOD_UNKNOWN")
    [event] = server.audit.events()
    assert event.method == method[:200]
    assert (event.action, event.decision) == ("", "deny")
    assert event.principal == DEVELOPER
    assert failed.audit_id


def test_an_unknown_method_tells_nobody_nothing(server: Running) -> None:
    with server.channel(server.authority.issue()) as channel:
        method = "/strongroom.v1.ArtifactService/Nothing"
        failed = refused(lambda: call_raw(channel, method, b""))

    assert failed.code == "UNAUTHENTICATED"
