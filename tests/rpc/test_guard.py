# SPDX-License-Identifier: Apache-2.0
"""The guard: identity, access, audit, deadlines and errors, over real mTLS."""

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from strongroom.errors import ERROR_BY_CODE, NotFoundError, Reason, StrongroomError
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core.audit import Phase
from strongroom_server.ports import IssuedCertificate
from strongroom_server.rpc.guard import GuardLimits
from tests.rpc.authority import (
    DEVELOPER,
    NOBODY,
    READER,
    SERVER,
    TRUST_DOMAIN,
    Authority,
)
from tests.rpc.running import (
    ARTIFACT,
    VERSION,
    Failed,
    Running,
    call_raw,
    read_failure,
    running_server,
)

GET_ARTIFACT = "/strongroom.v1.ArtifactService/GetArtifact"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = (("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01"),)
SECRET = "the-text-of-a-bug-may-hold-names"


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(shared: Running) -> Running:
    shared.script.act = lambda: None
    shared.script.responses = 3
    shared.script.requests = 0
    shared.script.closed.clear()
    shared.lines.clear()
    shared.audit.fail(failing=False)
    shared.audit._events.clear()
    return shared


def get_artifact(
    server: Running, certificate: IssuedCertificate | None = None
) -> artifact_pb.Artifact:
    with server.artifacts(certificate) as stub:
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        return stub.GetArtifact(request, timeout=10, metadata=TRACEPARENT)


def refused(call: Callable[[], object]) -> Failed:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return read_failure(caught.value)


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
    assert (event.decision, event.policy) == ("allow", "developers")
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


# The certificate zoo -------------------------------------------------------


def of_another_domain(authority: Authority) -> IssuedCertificate:
    return authority.issue("spiffe://other.internal/ns/dev/sa/developer/job/local")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda ca: ca.issue(), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue("dns:localhost"), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue("ip:127.0.0.1"), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(DEVELOPER, READER), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(DEVELOPER, "http://x/y"), Reason.IDENTITY_INVALID),
        (
            lambda ca: ca.issue(f"http://{TRUST_DOMAIN}/ns/dev/sa/developer/job/local"),
            Reason.IDENTITY_INVALID,
        ),
        (of_another_domain, Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(SERVER), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}"), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(f"{DEVELOPER}/more"), Reason.IDENTITY_INVALID),
        (
            lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/../job/local"),
            Reason.IDENTITY_INVALID,
        ),
        (
            lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/de%20v/job/local"),
            Reason.IDENTITY_INVALID,
        ),
    ],
)
def test_a_certificate_without_one_good_spiffe_id_is_nobody(
    server: Running, make: Callable[[Authority], IssuedCertificate], reason: Reason
) -> None:
    certificate = make(server.authority)

    failed = refused(lambda: get_artifact(server, certificate))

    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", reason)
    [event] = server.audit.events()
    assert event.principal == ""
    assert (event.decision, event.outcome) == ("deny", "UNAUTHENTICATED")
    assert event.resource_id == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda ca: ca.issue(DEVELOPER, days=-1),
        lambda ca: ca.issue(DEVELOPER, self_signed=True),
        lambda ca: Authority().issue(DEVELOPER),
    ],
    ids=["expired", "self-signed", "other authority"],
)
def test_a_certificate_that_does_not_verify_ends_in_the_handshake(
    server: Running, make: Callable[[Authority], IssuedCertificate]
) -> None:
    certificate = make(server.authority)

    failed = refused(lambda: get_artifact(server, certificate))

    assert failed.code == "UNAVAILABLE"
    assert failed.reason == ""
    assert server.audit.events() == []


def test_no_certificate_ends_in_the_handshake(server: Running) -> None:
    credentials = grpc.ssl_channel_credentials(server.authority.ca_pem)
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        failed = refused(lambda: call_raw(channel, GET_ARTIFACT, b""))

    assert failed.code == "UNAVAILABLE"
    assert server.audit.events() == []


def test_an_authority_may_not_call(server: Running) -> None:
    certificate = server.authority.issue(DEVELOPER, is_ca=True)

    failed = refused(lambda: get_artifact(server, certificate))

    assert failed.code in {"UNAUTHENTICATED", "UNAVAILABLE"}


# Access --------------------------------------------------------------------


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


# Requests ------------------------------------------------------------------


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


# Errors --------------------------------------------------------------------


@pytest.mark.parametrize("cls", ERROR_BY_CODE.values())
@pytest.mark.parametrize("kind", ["unary", "stream", "after a message"])
def test_every_error_reaches_the_caller_as_itself(
    server: Running, cls: type[StrongroomError], kind: str
) -> None:
    error = cls("it failed with 7", hint="Do this.", number=7)

    def fail() -> None:
        raise error

    server.script.act = fail
    with server.channel() as channel:
        failed = refused(lambda: _call(channel, kind))

    assert failed.code == cls.code
    assert failed.trace_id
    assert failed.audit_id
    if cls.code != "CANCELLED":
        assert failed.message == "it failed with 7"
        assert failed.reason == cls.default_reason
        assert failed.metadata == {"number": "7", "hint": "Do this."}
    assert failed.domain == "strongroom.v1"
    assert failed.retry is (cls.retriable or cls.code == "RESOURCE_EXHAUSTED")
    assert server.audit.events()[-1].outcome == cls.code


def _call(channel: grpc.Channel, kind: str) -> None:
    match kind:
        case "unary":
            get = artifact_pb.GetArtifactRequest(name=ARTIFACT)
            call_raw(channel, GET_ARTIFACT, get.SerializeToString())
        case "stream":
            method = "/strongroom.v1.TransferService/ReadVersion"
            read = transfer_pb.ReadVersionRequest(name=VERSION)
            call_raw(channel, method, read.SerializeToString(), stream=True)
        case _:
            method = "/strongroom.v1.ArtifactService/DiffVersions"
            diff = artifact_pb.DiffVersionsRequest(base=VERSION, target=VERSION)
            call_raw(channel, method, diff.SerializeToString(), stream=True)


@pytest.mark.parametrize("kind", ["unary", "stream", "after a message"])
def test_a_bug_is_told_without_its_text(
    server: Running, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    server.script.act = fail
    with server.channel() as channel:
        failed = refused(lambda: _call(channel, kind))

    assert (failed.code, failed.reason) == ("INTERNAL", "INTERNAL")
    assert failed.message == "internal error"
    assert failed.metadata["trace_id"] == failed.trace_id
    [bug] = [line for line in server.lines if line["event"] == "bug"]
    assert bug["error"] == "ValueError"
    assert bug["trace_id"] == failed.trace_id
    assert any("running.py" in frame for frame in bug["frames"])
    assert SECRET not in str(server.lines)
    assert SECRET not in str(server.audit.lines())
    assert SECRET not in caplog.text


def test_a_long_error_still_fits_into_the_trailers(server: Running) -> None:
    values = {f"key{number}": "ü" * 4000 for number in range(60)}

    def fail() -> None:
        error = NotFoundError("ü" * 10_000)
        error.metadata.update(values)
        raise error

    server.script.act = fail
    failed = refused(lambda: get_artifact(server))

    assert failed.code == "NOT_FOUND"
    assert failed.details_bytes < 4096
    assert failed.message.endswith("…")


# Audit ---------------------------------------------------------------------


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
        failed = refused(lambda: _call(channel, kind))

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


# Time ----------------------------------------------------------------------


def test_a_caller_that_leaves_is_written_and_its_stream_let_go(
    server: Running,
) -> None:
    server.script.responses = 10_000
    with server.transfers() as stub:
        stream = stub.ReadVersion(
            transfer_pb.ReadVersionRequest(name=VERSION), timeout=30
        )
        next(stream)
        stream.cancel()

    assert server.script.closed.wait(10)
    server.wait_for_entries(2)
    assert server.outcomes()[-1] == ("outcome", "ReadVersion", "CANCELLED", "CANCELLED")


def test_a_deadline_ends_a_stream(server: Running) -> None:
    server.script.responses = 10_000
    with server.transfers() as stub:
        request = transfer_pb.ReadVersionRequest(name=VERSION)

        failed = refused(lambda: list(stub.ReadVersion(request, timeout=0.5)))

    assert failed.code == "DEADLINE_EXCEEDED"
    assert server.script.closed.wait(10)
    server.wait_for_entries(2)
    assert server.outcomes()[-1][2:] == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


def test_the_server_ends_what_has_no_deadline() -> None:
    limits = GuardLimits(max_calls=4, stream_s=0.5)
    with running_server(limits=limits) as server:
        server.script.responses = 10_000
        with server.transfers() as stub:
            request = transfer_pb.ReadVersionRequest(name=VERSION)

            failed = refused(lambda: list(stub.ReadVersion(request)))

        assert (failed.code, failed.reason) == (
            "DEADLINE_EXCEEDED",
            "DEADLINE_EXCEEDED",
        )


def test_a_change_that_took_too_long_is_told_as_what_it_is() -> None:
    with running_server(limits=GuardLimits(short_s=0.1)) as server:
        server.script.act = lambda: threading.Event().wait(0.3)
        with server.artifacts() as stub:
            request = artifact_pb.MoveRefRequest(name=f"{ARTIFACT}/refs/prod")

            assert stub.MoveRef(request).name == request.name

        assert server.outcomes()[-1][2:] == ("OK", "")


def test_an_upload_without_end_is_ended() -> None:
    with running_server(limits=GuardLimits(stream_s=0.3)) as server:
        with server.transfers() as stub:
            start = transfer_pb.WriteStart(parent=ARTIFACT)
            request = transfer_pb.WriteVersionRequest(start=start)

            failed = refused(lambda: list(stub.WriteVersion(itertools.repeat(request))))

        assert (failed.code, failed.reason) == (
            "DEADLINE_EXCEEDED",
            "DEADLINE_EXCEEDED",
        )
        _wait_for_readers()


def _wait_for_readers() -> None:
    waiting = threading.Event()
    for _ in range(500):
        if all(thread.name != "requests" for thread in threading.enumerate()):
            return
        waiting.wait(0.01)
    message = "a thread still reads requests of a call that has ended"
    raise AssertionError(message)


def test_an_upload_that_stalls_is_ended_with_its_reason() -> None:
    with running_server(stall_s=0.3) as server, server.transfers() as stub:
        hold = threading.Event()

        def requests() -> Iterator[transfer_pb.WriteVersionRequest]:
            start = transfer_pb.WriteStart(parent=ARTIFACT)
            yield transfer_pb.WriteVersionRequest(start=start)
            hold.wait(20)

        failed = refused(lambda: list(stub.WriteVersion(requests(), timeout=20)))
        hold.set()

        assert (failed.code, failed.reason) == ("UNAVAILABLE", "STALLED")
        assert failed.retry
        _wait_for_readers()
        assert server.outcomes()[-1][2:] == ("UNAVAILABLE", "STALLED")


def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    with running_server(stall_s=0.5) as server, server.transfers() as stub:
        server.script.responses = 10_000
        stream = stub.ReadVersion(
            transfer_pb.ReadVersionRequest(name=VERSION), timeout=60
        )
        next(stream)

        assert server.script.closed.wait(20)
        server.wait_for_entries(2)

        assert server.outcomes()[-1] == (
            "outcome",
            "ReadVersion",
            "UNAVAILABLE",
            "STALLED",
        )
        stream.cancel()


def test_a_caller_that_never_sends_its_request_is_cut_off() -> None:
    with running_server(stall_s=0.5) as server, server.channel() as channel:
        hold = threading.Event()

        def nothing() -> Iterator[bytes]:
            hold.wait(20)
            yield from ()

        call: Any = channel.stream_unary(GET_ARTIFACT)
        failed = refused(lambda: call(nothing(), timeout=20))
        hold.set()

        assert failed.code in {"CANCELLED", "UNAVAILABLE"}
        server.wait_for_entries(1)
        assert server.outcomes()[-1][2:] == ("UNAVAILABLE", "STALLED")


# Load and drain ------------------------------------------------------------


def test_calls_beyond_the_limit_are_refused_at_once_and_accounted_for() -> None:
    limits = GuardLimits(max_calls=2)
    with running_server(limits=limits) as server, server.artifacts() as stub:
        release, entered = threading.Event(), threading.Semaphore(0)

        def hold() -> None:
            entered.release()
            release.wait(20)

        server.script.act = hold
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        running = [stub.GetArtifact.future(request, timeout=20) for _ in range(2)]
        assert entered.acquire(timeout=10)
        assert entered.acquire(timeout=10)

        failed = refused(lambda: stub.GetArtifact(request, timeout=10))

        assert (failed.code, failed.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        assert failed.retry
        release.set()
        assert [call.result(timeout=10).name for call in running] == [ARTIFACT] * 2
        assert len(server.audit.events()) == 3

        server.script.act = lambda: None
        assert stub.GetArtifact(request, timeout=10).name == ARTIFACT


def test_a_draining_server_refuses_new_calls_and_ends_running_ones() -> None:
    with running_server() as server, server.artifacts() as stub:
        release, entered = threading.Event(), threading.Event()

        def hold() -> None:
            entered.set()
            release.wait(20)

        server.script.act = hold
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        running = stub.GetArtifact.future(request, timeout=20)
        assert entered.wait(10)

        server.guard.drain()
        failed = refused(lambda: stub.GetArtifact(request, timeout=10))
        release.set()

        assert (failed.code, failed.reason) == ("UNAVAILABLE", "DRAINING")
        assert failed.retry
        assert running.result(timeout=10).name == ARTIFACT
