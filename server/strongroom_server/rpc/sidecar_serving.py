# SPDX-License-Identifier: Apache-2.0
"""A sidecar's listeners: calls on a Unix socket of the pod, health for probes."""

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2_grpc

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.rpc.admission import Admission
from strongroom_server.rpc.forwarding import Forwarder
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.methods import METHODS
from strongroom_server.rpc.responding import Handler
from strongroom_server.rpc.serve import (
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    SPARE_THREADS,
)

#: Keys of chunks are for sidecars, and never for who is behind one.
_OWN: Final = "/strongroom.v1.GrantService/"
_PROBE_THREADS: Final = 4
#: A path of a Unix socket has room for so many bytes.
_MAX_SOCKET_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class SidecarListening:
    """Where to listen, and how to stop.

    Attributes:
        socket: The path of the Unix socket.
        mode: Who may open it, as permission bits.
        health: `host:port`; port 0 takes a free one.
        max_calls: Calls served at once.
        drain_delay_s: Between "not ready" and refusing calls.
        grace_s: What running calls have to end, after that.
    """

    socket: Path
    mode: int
    health: str
    max_calls: int
    drain_delay_s: float = 0.0
    grace_s: float = 10.0


class _Methods(grpc.GenericRpcHandler):
    """Finds what serves a method: here, or at central."""

    def __init__(self, local: Mapping[str, Handler], forwarder: Forwarder) -> None:
        self._local = local
        self._forwarded = {
            name: forwarder.handler(name)
            for name in METHODS
            if name not in local and not name.startswith(_OWN)
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[object, object] | None":
        name = handler_call_details.method
        return self._local.get(name) or self._forwarded.get(name)


@contextmanager
def serving_sidecar(
    listening: SidecarListening,
    *,
    local: Mapping[str, Handler],
    forwarder: Forwarder,
    admission: Admission,
    state: Health,
) -> Iterator[int]:
    """Serve for as long as the context lasts, then drain; yields the health port.

    Raises:
        InvalidArgumentError: An address cannot be listened on (SETTING_INVALID).
    """
    with ExitStack() as stack:
        probes = _server(stack, _PROBE_THREADS)
        health_pb2_grpc.add_HealthServicer_to_server(state.servicer, probes)
        data = _server(stack, listening.max_calls + SPARE_THREADS)
        data.add_generic_rpc_handlers((_Methods(local, forwarder),))
        port = _bind(probes, listening.health)
        _listen(data, listening)
        stack.callback(_remove, listening.socket)
        probes.start()
        data.start()
        try:
            yield port
        finally:
            state.drain()
            threading.Event().wait(listening.drain_delay_s)
            admission.drain()
            data.stop(listening.grace_s).wait()


def _server(stack: ExitStack, threads: int) -> grpc.Server:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
    stack.callback(pool.shutdown)
    server = grpc.server(
        pool,
        maximum_concurrent_rpcs=threads,
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_metadata_size", MAX_METADATA_BYTES),
            ("grpc.http2.max_frame_size", 4 * 1024 * 1024),
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
            # Clients ping as they do on a network.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ],
    )
    stack.callback(lambda: server.stop(None).wait())
    return server


def _listen(server: grpc.Server, listening: SidecarListening) -> None:
    path = listening.socket
    if len(str(path).encode()) > _MAX_SOCKET_BYTES:
        raise InvalidArgumentError(
            f"the path of the socket {path} is too long",
            reason=Reason.SETTING_INVALID,
            hint=f"Take one of at most {_MAX_SOCKET_BYTES} bytes.",
            path=str(path),
        )
    with contextlib.suppress(FileNotFoundError):
        # What a sidecar that was killed has left; nothing else is removed.
        if stat.S_ISSOCK(path.lstat().st_mode):
            _check_left(path)
            path.unlink()
    path.parent.mkdir(0o755, parents=True, exist_ok=True)
    try:
        # From its first moment on nobody else may open it.
        before = os.umask(0o777 & ~listening.mode)
        try:
            server.add_insecure_port(f"unix:{path}")
        finally:
            os.umask(before)
        path.chmod(listening.mode)
    except (RuntimeError, OSError) as error:
        raise _invalid(f"cannot listen on {path}", path) from error


def _check_left(path: Path) -> None:
    """Check that nobody listens on a socket any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except OSError as error:
            raise _invalid(f"cannot tell who listens on {path}", path) from error
    raise _invalid(f"another sidecar listens on {path}", path)


def _bind(server: grpc.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        message = f"cannot listen on {address}"
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Check that no other program uses it.",
            address=address,
        ) from error


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _invalid(message: str, path: Path) -> InvalidArgumentError:
    return InvalidArgumentError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Check the folder and its owner: only a socket that was left is replaced.",
        path=str(path),
    )
