# SPDX-License-Identifier: Apache-2.0
"""What a sidecar passes on to central arrives there as it was sent, and comes back."""

# What stubs return has no useful types.
# ruff: noqa: ANN401

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from strongroom.errors import InvalidArgumentError
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import artifact_service_pb2_grpc as artifact_grpc
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom.v1 import transfer_service_pb2_grpc as transfer_grpc
from strongroom_server.adapters.central import CentralChannel
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.rpc.admission import Admission
from strongroom_server.rpc.forwarding import Forwarder
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.sidecar_serving import SidecarListening, serving_sidecar
from strongroom_server.rpc.watchdog import Watchdog
from tests.rpc.authority import READER
from tests.rpc.people import bearing
from tests.rpc.running import ARTIFACT, Running, read_failure, running_server

MAX_CALLS = 3


@dataclass
class Beside:
    """A sidecar's socket, central behind it, and what limits the calls."""

    channel: grpc.Channel
    server: Running
    admission: Admission

    @property
    def artifacts(self) -> Any:
        return artifact_grpc.ArtifactServiceStub(self.channel)

    @property
    def transfers(self) -> Any:
        return transfer_grpc.TransferServiceStub(self.channel)


@contextmanager
def beside(folder: Path, server: Running, endpoint: str = "") -> Iterator[Beside]:
    """Serve a sidecar that passes everything on."""
    clock, admission = SystemClock(), Admission(MAX_CALLS)
    watchdog = Watchdog(clock=clock, stall_s=60.0)
    certificate = server.authority.issue(READER)
    endpoint = endpoint or f"localhost:{server.port}"
    central = CentralChannel(endpoint, lambda: certificate)
    forwarder = Forwarder(
        central.lend,
        endpoint=endpoint,
        admission=admission,
        watchdog=watchdog,
        limit_s=60.0,
        clock=clock,
    )
    listening = SidecarListening(
        folder / "s.sock", 0o600, "127.0.0.1:0", MAX_CALLS, grace_s=0.2
    )
    with ExitStack() as stack:
        stack.callback(central.close)
        stack.enter_context(watchdog.running())
        stack.enter_context(
            serving_sidecar(
                listening,
                local={},
                forwarder=forwarder,
                admission=admission,
                state=Health({}, interval_s=60.0),
            )
        )
        channel = stack.enter_context(
            grpc.insecure_channel(f"unix:{folder / 's.sock'}")
        )
        yield Beside(channel, server, admission)


@pytest.fixture
def passed(tmp_path: Path) -> Iterator[Beside]:
    with running_server() as server, beside(tmp_path, server) as made:
        yield made


def failed(call: Any) -> Any:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return read_failure(error.value)


def test_a_call_is_centrals_under_the_sidecars_name(passed: Beside) -> None:
    answer = passed.artifacts.GetArtifact(
        artifact_pb.GetArtifactRequest(name=ARTIFACT), timeout=10
    )

    assert answer.name == ARTIFACT
    assert {event.principal for event in passed.server.audit.events()} == {READER}


def test_streams_are_passed_on_both_ways(passed: Beside) -> None:
    read = transfer_pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/1")

    assert len(list(passed.transfers.ReadVersion(read, timeout=10))) == 3


def test_an_error_of_centrals_comes_back_whole(passed: Beside) -> None:
    request = artifact_pb.GetArtifactRequest(name="projects/other/artifacts/none")

    found = failed(lambda: passed.artifacts.GetArtifact(request, timeout=10))

    assert (found.code, found.reason) == ("PERMISSION_DENIED", "ACTION_NOT_ALLOWED")
    assert found.audit_id


def test_the_trace_and_the_deadline_go_on(passed: Beside) -> None:

    def act() -> None:
        time.sleep(2)

    passed.server.script.act = act
    trace = "0af7651916cd43dd8448eb211c80319c"
    request = artifact_pb.GetArtifactRequest(name=ARTIFACT)

    found = failed(
        lambda: passed.artifacts.GetArtifact(
            request,
            timeout=0.5,
            metadata=[("traceparent", f"00-{trace}-b7ad6b7169203331-01")],
        )
    )

    assert found.code == "DEADLINE_EXCEEDED"
    passed.server.wait_for_entries(1)
    [line] = [line for line in passed.server.lines if line["event"] == "call"][-1:]
    assert line["trace_id"] == trace


def test_a_persons_login_is_passed_on(passed: Beside) -> None:
    token = passed.server.logins.sign_in("alice")
    request = artifact_pb.GetArtifactRequest(name=ARTIFACT)

    failed(
        lambda: passed.artifacts.GetArtifact(
            request, timeout=10, metadata=bearing(token)
        )
    )

    assert passed.server.audit.events()[-1].principal == "operator:alice"


def test_what_else_a_caller_sends_stays_here(passed: Beside) -> None:
    request = artifact_pb.GetArtifactRequest(name=ARTIFACT)

    # More than central takes; it never gets it.
    passed.artifacts.GetArtifact(
        request, timeout=10, metadata=[("x-own", "a" * 6000), ("x-more", "b" * 6000)]
    )


def test_central_that_is_away_is_said_so(tmp_path: Path) -> None:
    with running_server() as server, beside(tmp_path, server, "127.0.0.1:9") as made:
        request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        found = failed(lambda: made.artifacts.GetArtifact(request, timeout=10))

    assert (found.code, found.reason) == ("UNAVAILABLE", "TRANSPORT")
    assert "central cannot be reached at 127.0.0.1:9" in found.message


def test_more_calls_than_may_be_are_refused_and_none_after_draining(
    passed: Beside,
) -> None:
    read = transfer_pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/1")
    passed.server.script.responses = 1000
    streams = [passed.transfers.ReadVersion(read, timeout=30) for _ in range(MAX_CALLS)]
    for stream in streams:
        next(stream)
    request = artifact_pb.GetArtifactRequest(name=ARTIFACT)

    full = failed(lambda: passed.artifacts.GetArtifact(request, timeout=10))
    for stream in streams:
        stream.cancel()
    passed.admission.drain()
    draining = failed(lambda: passed.artifacts.GetArtifact(request, timeout=10))

    assert full.code == "RESOURCE_EXHAUSTED"
    assert draining.reason == "DRAINING"


def test_a_caller_that_gives_up_ends_the_call_at_central(passed: Beside) -> None:
    passed.server.script.responses = 10**6
    read = transfer_pb.ReadVersionRequest(name=f"{ARTIFACT}/versions/1")
    stream = passed.transfers.ReadVersion(read, timeout=30)
    next(stream)
    stream.cancel()

    assert passed.server.script.closed.wait(10)


@pytest.mark.parametrize(
    "method",
    [
        "/strongroom.v1.GrantService/OpenVersion",
        "/strongroom.v1.GrantService/WatchGrants",
        "/strongroom.v1.GrantService/WriteGranted",
        "/strongroom.v1.ArtifactService/Nonsense",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_what_is_not_for_the_pod_is_not_passed_on(passed: Beside, method: str) -> None:
    call: Any = passed.channel.stream_stream(method)

    with pytest.raises(grpc.RpcError) as error:
        list(call(iter([b""]), timeout=10))

    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert passed.server.audit.events() == []


def test_a_socket_that_was_left_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "s.sock").write_text("somebody's file")
    with (
        running_server() as server,
        pytest.raises(Exception, match="cannot listen"),
        beside(tmp_path, server),
    ):
        pass
    assert (tmp_path / "s.sock").read_text() == "somebody's file"


def test_the_socket_of_a_sidecar_that_lives_is_not_taken_away(
    tmp_path: Path, passed: Beside
) -> None:
    with (
        pytest.raises(InvalidArgumentError, match="another sidecar listens"),
        beside(tmp_path, passed.server),
    ):
        pass

    request = artifact_pb.GetArtifactRequest(name=ARTIFACT)
    assert passed.artifacts.GetArtifact(request, timeout=10)
