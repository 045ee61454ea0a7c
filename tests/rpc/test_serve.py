# SPDX-License-Identifier: Apache-2.0
"""Listeners, health, draining, certificates that are renewed, and time limits."""

import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from strongroom.errors import InvalidArgumentError, Reason, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.rpc.certificates import CertificateKeeper
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.serve import Listening, Servicers, serving
from strongroom_server.rpc.watchdog import GRACE_S, Watchdog
from tests.rpc.authority import (
    DEVELOPER,
    FixedIssuer,
)
from tests.rpc.running import Running, read_failure, running_server
from tests.support.clock import ManualClock


@pytest.fixture
def server() -> Iterator[Running]:
    with running_server() as server:
        yield server


def check(port: int, service: str) -> str:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        answer = stub.Check(request, timeout=10)
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return name


# Health --------------------------------------------------------------------


def test_a_server_is_alive_at_once_and_ready_when_its_parts_are() -> None:
    broken = [True]

    def vault() -> None:
        if broken:
            message = "no"
            raise UnavailableError(message, reason=Reason.KEY_SERVICE_SEALED)

    health = Health({"vault": vault, "store": lambda: None}, interval_s=60)
    with running_server(health=health) as server:
        assert check(server.health_port, "liveness") == "SERVING"
        assert check(server.health_port, "") == "NOT_SERVING"

        assert health.probe() == {"vault": "KEY_SERVICE_SEALED"}
        assert check(server.health_port, "readiness") == "NOT_SERVING"

        broken.clear()
        assert health.probe() == {}
        assert check(server.health_port, "readiness") == "SERVING"
        assert check(server.health_port, "") == "SERVING"
        states = [
            line["ready"] for line in server.lines if line["event"] == "readiness"
        ]
        assert states == [False, True]


def test_draining_is_not_ready_and_stays_so() -> None:
    health = Health({}, interval_s=60)
    with running_server(health=health) as server:
        health.probe()
        health.drain()
        health.probe()

        assert check(server.health_port, "readiness") == "NOT_SERVING"
        assert check(server.health_port, "liveness") == "SERVING"


def test_health_is_probed_by_its_own_thread() -> None:
    probed = threading.Event()
    with Health({"part": probed.set}, interval_s=60).running():
        assert probed.wait(10)


def test_the_health_listener_serves_nothing_else(server: Running) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.health_port}") as channel:
        call: Any = channel.unary_unary("/strongroom.v1.ArtifactService/GetArtifact")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=10)

    assert read_failure(caught.value).code == "UNIMPLEMENTED"


# Admin ---------------------------------------------------------------------


def test_the_admin_listener_reflects_and_serves_nothing_else(server: Running) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.admin_port}") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        [answer] = stub.ServerReflectionInfo(iter([request]), timeout=10)
        call: Any = channel.unary_unary("/strongroom.v1.ArtifactService/GetArtifact")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=10)

    names = {item.name for item in answer.list_services_response.service}
    assert "strongroom.v1.TransferService" in names
    assert read_failure(caught.value).code == "UNIMPLEMENTED"


def listening(*, data: str = "127.0.0.1:0", admin: str = "localhost:0") -> Listening:
    return Listening(
        data=data,
        health="127.0.0.1:0",
        admin=admin,
        max_calls=1,
        max_stream_s=1,
        grace_s=0.1,
    )


def open_and_close(server: Running, where: Listening) -> None:
    keeper = CertificateKeeper(FixedIssuer(server.authority), clock=SystemClock())
    nothing: Any = _NoServicer()
    with serving(
        where,
        guard=server.guard,
        state=Health({}, interval_s=60),
        servicers=Servicers(*(nothing for _ in fields(Servicers))),
        credentials=keeper.credentials(),
    ):
        if where.admin.startswith("unix:"):
            socket_path = Path(where.admin.removeprefix("unix:"))
            assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600


class _NoServicer:
    """Has every method, and none is called."""

    def __getattr__(self, name: str) -> object:
        return lambda *_: None


def test_the_admin_socket_is_its_owners(server: Running, tmp_path: Path) -> None:
    open_and_close(server, listening(admin=f"unix:{tmp_path}/admin.sock"))


@pytest.mark.parametrize(
    "admin", ["0.0.0.0:0", "[::]:0", "10.0.0.1:80", "example.com:1"]
)
def test_the_admin_listener_stays_on_the_machine(server: Running, admin: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        open_and_close(server, listening(admin=admin))

    assert caught.value.reason is Reason.SETTING_INVALID


def test_a_taken_port_is_told(server: Running) -> None:
    taken = f"127.0.0.1:{server.health_port}"

    with pytest.raises(InvalidArgumentError, match="cannot listen on"):
        open_and_close(server, listening(data=taken))


# TLS -----------------------------------------------------------------------


def test_an_older_tls_gets_no_further_than_its_identity(
    server: Running, tmp_path: Path
) -> None:
    shown = server.authority.issue(DEVELOPER)
    (tmp_path / "tls.pem").write_bytes(shown.chain_pem + shown.private_key_pem)
    context = ssl.create_default_context(cadata=server.authority.ca_pem.decode())
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(tmp_path / "tls.pem")
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    with context.wrap_socket(raw, server_hostname="localhost") as connection:
        assert connection.version() == "TLSv1.2"
        connection.sendall(_http2_call("/strongroom.v1.ArtifactService/GetArtifact"))
        server.wait_for_entries(1)

    assert server.outcomes() == [
        ("call", "GetArtifact", "UNAUTHENTICATED", "IDENTITY_INVALID")
    ]


def _http2_call(path: str) -> bytes:
    def header(name: str, value: str) -> bytes:
        return (
            b"\0"
            + bytes([len(name)])
            + name.encode()
            + bytes([len(value)])
            + (value.encode())
        )

    block = b"".join(
        header(name, value)
        for name, value in (
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        )
    )
    settings = b"\0\0\0\x04\0\0\0\0\0"
    headers = len(block).to_bytes(3) + b"\x01\x04\0\0\0\x01" + block
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + headers


# Time limits ---------------------------------------------------------------


def test_the_watchdog_cancels_what_stalls_and_what_is_long_over() -> None:
    clock = ManualClock()
    watchdog = Watchdog(clock=clock, stall_s=10)
    cancelled: list[str] = []
    end = clock.monotonic() + 100
    with (
        watchdog.watch(lambda: cancelled.append("stalled"), deadline_s=end) as stalled,
        watchdog.watch(lambda: cancelled.append("moving"), deadline_s=end) as moving,
    ):
        stalled.wait_for_peer()
        moving.wait_for_peer()
        clock.advance(9)
        watchdog.check()
        assert cancelled == []

        moving.go_on()
        moving.wait_for_peer()
        clock.advance(2)
        watchdog.check()
        watchdog.check()
        assert cancelled == ["stalled"]
        assert stalled.verdict is Reason.STALLED

        moving.go_on()
        clock.advance(100 + GRACE_S)
        watchdog.check()
        assert moving.verdict is Reason.DEADLINE_EXCEEDED
    assert cancelled == ["stalled", "moving"]

    watchdog.check()
    assert cancelled == ["stalled", "moving"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_check_makes_the_server_not_ready() -> None:
    called = threading.Event()

    def bug() -> None:
        if called.is_set():
            message = "a bug"
            raise ValueError(message)
        called.set()

    health = Health({"part": bug}, interval_s=0.01)
    with running_server(health=health) as server:
        with health.running():
            assert called.wait(10)
            waiting = threading.Event()
            while not health._draining:
                waiting.wait(0.01)

        assert check(server.health_port, "readiness") == "NOT_SERVING"
