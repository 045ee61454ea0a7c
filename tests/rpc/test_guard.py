# SPDX-License-Identifier: Apache-2.0
"""The guard: calls that pass, and requests that do not make sense."""

import grpc
import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.audit import Phase
from tests.rpc.authority import DEVELOPER
from tests.rpc.calling import GET_ARTIFACT, TRACE_ID, TRACEPARENT, get_artifact, refused
from tests.rpc.running import ARTIFACT, Running, call_raw


def test_a_good_call_is_answered_with_its_trace_and_audit_ids(server: Running) -> None:
    with server.artifacts() as stub:
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        answer, call = stub.GetArtifact.with_call(
            request, timeout=10, metadata=TRACEPARENT
        )

    assert answer.name == ARTIFACT
    trailers = dict(call.trailing_metadata() or ())
    assert trailers["strongroom-trace-id"] == TRACE_ID
    [event] = server.audit.events()
    assert str(trailers["strongroom-audit-id"]).startswith("00000000-")
    assert event.phase is Phase.CALL
    assert event.principal == DEVELOPER
    assert event.action == "artifact.get"
    assert event.resource_id == f"id({ARTIFACT})"
    assert event.sealed_resource == f"sealed({ARTIFACT})"
    assert (event.decision, event.policy) == ("allow", "owner@developers")
    assert (event.outcome, event.reason) == ("OK", "")
    assert event.trace_id == TRACE_ID
    assert len(event.call_id) == 32


def test_a_call_without_trace_context_gets_a_trace_of_its_own(server: Running) -> None:
    with server.artifacts() as stub:
        for _ in range(2):
            stub.GetArtifact(artifact_pb.GetArtifactRequest(name=ARTIFACT), timeout=10)

    first, second = (event.trace_id for event in server.audit.events())
    assert len(first) == len(second) == 32
    assert first != second


def test_one_log_line_tells_of_each_call_and_names_nothing(server: Running) -> None:
    get_artifact(server)

    [line] = [line for line in server.lines if line["event"] == "call"]
    assert line["method"] == "/strongroom.v1.ArtifactService/GetArtifact"
    assert line["code"] == "OK"
    assert line["principal"] == DEVELOPER
    assert line["trace_id"] == TRACE_ID
    assert line["duration_ms"] > 0
    assert line["resource_id"] == f"id({ARTIFACT})"
    assert "sealed" not in str(line)


@pytest.mark.parametrize(
    "name", ["", "projects/demo", "projects/Demo/artifacts/x", f"{ARTIFACT}/versions/1"]
)
def test_a_malformed_name_is_refused_and_accounted_for(
    server: Running, name: str
) -> None:
    with server.artifacts() as stub:
        request = artifact_pb.GetArtifactRequest(name=name)

        failed = refused(lambda: stub.GetArtifact(request, timeout=10))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "NAME_MALFORMED")
    [event] = server.audit.events()
    assert event.outcome == "INVALID_ARGUMENT"


def test_bytes_that_are_no_message_are_refused_and_accounted_for(
    server: Running,
) -> None:
    with server.channel() as channel:
        failed = refused(lambda: call_raw(channel, GET_ARTIFACT, b"\xff\xff\xff"))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert len(server.audit.events()) == 1


@pytest.mark.parametrize("read", [True, False])
def test_requests_of_very_many_fields_are_refused_and_accounted_for(
    server: Running, read: bool
) -> None:
    with server.channel() as channel:
        if read:
            method = "/strongroom.v1.TransferService/ReadVersion"
            failed = refused(
                lambda: call_raw(channel, method, b"\x12\x00" * 100_000, stream=True)
            )
        else:
            method = "/strongroom.v1.TransferService/WriteVersion"
            stub: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
                method
            )
            data = b"\x12\xc0\x9a\x0c" + b"\x0a\x00" * 100_000
            failed = refused(lambda: list(stub(iter([data]), timeout=10)))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert "fields" in failed.message
    assert len(server.audit.events()) == 1


def test_a_hostile_trace_state_reaches_no_log(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with server.artifacts() as stub:
        stub.GetArtifact(
            artifact_pb.GetArtifactRequest(name=ARTIFACT),
            timeout=10,
            metadata=(*TRACEPARENT, ("tracestate", "forged line"), ("baggage", "a=b")),
        )

    assert "forged" not in caplog.text
    [event] = server.audit.events()
    assert event.trace_id == TRACE_ID


def test_an_upload_must_begin_with_its_start(server: Running) -> None:
    with server.transfers() as stub:
        commit = transfer_pb.WriteVersionRequest(commit=transfer_pb.WriteCommit())

        failed = refused(lambda: list(stub.WriteVersion(iter([commit]), timeout=10)))

    assert (failed.code, failed.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")


def test_an_upload_without_any_request_is_refused(server: Running) -> None:
    with server.transfers() as stub:
        failed = refused(lambda: list(stub.WriteVersion(iter([]), timeout=10)))

    assert failed.code == "INVALID_ARGUMENT"


def test_a_message_that_is_too_large_is_refused(server: Running) -> None:
    with server.artifacts() as stub:
        request = artifact_pb.GetArtifactRequest(name="x" * (5 * 1024 * 1024))

        failed = refused(lambda: stub.GetArtifact(request, timeout=10))

    assert failed.code == "RESOURCE_EXHAUSTED"
    server.wait_for_entries(1)
