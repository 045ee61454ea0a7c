# SPDX-License-Identifier: Apache-2.0
"""Three listeners: data over mTLS, health for probes, admin for the machine itself."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from strongroom.errors import InvalidArgumentError, Reason
from strongroom.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    approval_service_pb2,
    approval_service_pb2_grpc,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    backup_service_pb2,
    backup_service_pb2_grpc,
    drill_service_pb2,
    drill_service_pb2_grpc,
    grant_service_pb2,
    grant_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    maintenance_service_pb2,
    maintenance_service_pb2_grpc,
    restore_service_pb2,
    restore_service_pb2_grpc,
    transfer_service_pb2,
    transfer_service_pb2_grpc,
)
from strongroom_server.rpc.call_pool import CallPool
from strongroom_server.rpc.grant_servicer import GrantServicer
from strongroom_server.rpc.guard import Guard
from strongroom_server.rpc.guarding import Guarding
from strongroom_server.rpc.health import Health

#: Blocks are 1 MiB, listings are cut to fit, and clients accept 4 MiB by default.
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
MAX_METADATA_BYTES: Final = 16 * 1024
#: A connection ends at that age, and with it what its certificate could do.
MAX_CONNECTION_AGE_S: Final = 900
#: Threads beyond the guard's limit of calls: those that refuse the rest.
SPARE_THREADS: Final = 8
PROBE_THREADS: Final = 4
PROBE_CALLS: Final = 64

SERVICES: Final = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (access_service_pb2, "AccessService"),
        (approval_service_pb2, "ApprovalService"),
        (artifact_service_pb2, "ArtifactService"),
        (backup_service_pb2, "BackupService"),
        (drill_service_pb2, "DrillService"),
        (grant_service_pb2, "GrantService"),
        (key_service_pb2, "KeyService"),
        (maintenance_service_pb2, "MaintenanceService"),
        (restore_service_pb2, "RestoreService"),
        (transfer_service_pb2, "TransferService"),
    )
)

_Option = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Servicers:
    """What answers on the data listener; `grants` of None: sidecars get none."""

    artifacts: artifact_service_pb2_grpc.ArtifactServiceServicer
    transfers: transfer_service_pb2_grpc.TransferServiceServicer
    maintenance: maintenance_service_pb2_grpc.MaintenanceServiceServicer
    keys: key_service_pb2_grpc.KeyServiceServicer
    access: access_service_pb2_grpc.AccessServiceServicer
    approvals: approval_service_pb2_grpc.ApprovalServiceServicer
    backups: backup_service_pb2_grpc.BackupServiceServicer
    drills: drill_service_pb2_grpc.DrillServiceServicer
    restores: restore_service_pb2_grpc.RestoreServiceServicer
    grants: GrantServicer | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen, and how to stop.

    Attributes:
        data: `host:port`; port 0 takes a free one.
        health: `host:port`.
        admin: `unix:PATH`, or `host:port` on loopback.
        max_calls: Calls served at once on the data listener.
        max_watches: Calls beside them that only wait for news.
        max_stream_s: How long a call may outlive its connection's age.
        drain_delay_s: Between saying "not ready" and refusing calls, so that load
            balancers have heard it.
        grace_s: What running calls have to end, after that.
    """

    data: str
    health: str
    admin: str
    max_calls: int
    max_stream_s: float
    drain_delay_s: float = 0.0
    grace_s: float = 10.0
    max_watches: int = 256


@dataclass(frozen=True, slots=True)
class Bound:
    """The ports that were taken; 0 for a Unix socket."""

    data_port: int
    health_port: int
    admin_port: int


@contextmanager
def serving(
    listening: Listening,
    *,
    guard: Guard,
    state: Health,
    servicers: Servicers,
    credentials: grpc.ServerCredentials,
) -> Iterator[Bound]:
    """Serve for as long as the context lasts, then drain.

    Draining: not ready; after `drain_delay_s` new calls are refused; running ones
    have `grace_s`; then they are cancelled.

    Raises:
        InvalidArgumentError: An address cannot be listened on (SETTING_INVALID).
    """
    with ExitStack() as stack:
        probes = _server(stack, PROBE_THREADS, PROBE_CALLS, _plain_options())
        health_pb2_grpc.add_HealthServicer_to_server(state.servicer, probes)
        admin = _server(stack, PROBE_THREADS, PROBE_CALLS, _plain_options())
        health_pb2_grpc.add_HealthServicer_to_server(state.servicer, admin)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, admin)
        threads = listening.max_calls + listening.max_watches + SPARE_THREADS
        data = _server(stack, threads, threads, _data_options(listening))
        # Generated code asks nothing else of a server.
        _add_servicers(cast("grpc.Server", Guarding(data, guard)), servicers)
        bound = Bound(
            data_port=_bind(data, listening.data, credentials),
            health_port=_bind(probes, listening.health),
            admin_port=_bind(admin, _check_admin(listening.admin)),
        )
        for server in (probes, admin, data):
            server.start()
        try:
            yield bound
        finally:
            state.drain()
            threading.Event().wait(listening.drain_delay_s)
            guard.drain()
            if servicers.grants is not None:
                servicers.grants.drain()
            data.stop(listening.grace_s).wait()


def _server(
    stack: ExitStack, threads: int, calls: int, options: Sequence[_Option]
) -> grpc.Server:
    pool = CallPool(threads)
    stack.callback(pool.shutdown)
    server = grpc.server(pool, options=options, maximum_concurrent_rpcs=calls)
    stack.callback(lambda: server.stop(None).wait())
    return server


def _plain_options() -> list[_Option]:
    return [
        # Two servers on one port would share its calls; an error is better.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", 64 * 1024),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ]


def _data_options(listening: Listening) -> list[_Option]:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        # One frame a block; of the options measured, only this one costs nothing.
        ("grpc.http2.max_frame_size", 4 * 1024 * 1024),
        # A window that grows by itself holds as much as a slow store lets wait.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 4 * 1024 * 1024),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 5),
        ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_S * 1000),
        ("grpc.max_connection_age_grace_ms", int(listening.max_stream_s * 1000)),
    ]


def _add_servicers(server: grpc.Server, servicers: Servicers) -> None:
    artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(
        servicers.artifacts, server
    )
    transfer_service_pb2_grpc.add_TransferServiceServicer_to_server(
        servicers.transfers, server
    )
    maintenance_service_pb2_grpc.add_MaintenanceServiceServicer_to_server(
        servicers.maintenance, server
    )
    key_service_pb2_grpc.add_KeyServiceServicer_to_server(servicers.keys, server)
    access_service_pb2_grpc.add_AccessServiceServicer_to_server(
        servicers.access, server
    )
    approval_service_pb2_grpc.add_ApprovalServiceServicer_to_server(
        servicers.approvals, server
    )
    backup_service_pb2_grpc.add_BackupServiceServicer_to_server(
        servicers.backups, server
    )
    drill_service_pb2_grpc.add_DrillServiceServicer_to_server(servicers.drills, server)
    restore_service_pb2_grpc.add_RestoreServiceServicer_to_server(
        servicers.restores, server
    )
    if servicers.grants is not None:
        grant_service_pb2_grpc.add_GrantServiceServicer_to_server(
            servicers.grants, server
        )


def _check_admin(address: str) -> str:
    host = address.rpartition(":")[0]
    if address.startswith("unix:") or host in {"127.0.0.1", "localhost", "[::1]"}:
        return address
    message = f"the admin listener {address!r} is neither a Unix socket nor on loopback"
    raise InvalidArgumentError(message, reason=Reason.SETTING_INVALID, address=address)


def _bind(
    server: grpc.Server,
    address: str,
    credentials: grpc.ServerCredentials | None = None,
) -> int:
    try:
        if credentials is not None:
            port = server.add_secure_port(address, credentials)
        else:
            port = server.add_insecure_port(address)
    except RuntimeError as error:
        message = f"cannot listen on {address}"
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Check that no other program uses it.",
            address=address,
        ) from error
    if address.startswith("unix:"):
        Path(address.removeprefix("unix:")).chmod(0o600)
        return 0
    return port
