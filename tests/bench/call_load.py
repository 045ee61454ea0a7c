# SPDX-License-Identifier: Apache-2.0
"""Clients that call one server over mTLS, as fast as it answers: for `bench_calls`.

    python -m tests.bench.call_load --endpoint HOST:PORT --certificates FOLDER
        --call read --clients 16 --seconds 2

Each client has a connection of its own and calls again once it was answered. Prints
one line of JSON: each call's microseconds, in how many seconds, and how many calls
were made in all, those before the measurement included.
"""

import argparse
import itertools
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from strongroom.v1 import (
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    maintenance_service_pb2,
    maintenance_service_pb2_grpc,
)

#: Each client writes to an artifact of its own, so that none waits for another.
ARTIFACT: Final = "projects/calls/artifacts/data-{}"
#: Before anything is measured: the connection, and what servers read once.
_WARM_S: Final = 0.3
_CALL_S: Final = 30.0

Once = Callable[[], object]


def _info(channel: grpc.Channel, _client: int) -> Once:
    """Return a call that does nothing but pass the guard."""
    stub: Any = maintenance_service_pb2_grpc.MaintenanceServiceStub(channel)
    request = maintenance_service_pb2.GetServerInfoRequest()
    return lambda: stub.GetServerInfo(request, timeout=_CALL_S)


def _read(channel: grpc.Channel, client: int) -> Once:
    """Return a call that looks at a version, by way of one listing in S3."""
    stub: Any = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
    name = f"{ARTIFACT.format(client)}/versions/1"
    request = artifact_service_pb2.GetVersionRequest(name=name)
    return lambda: stub.GetVersion(request, timeout=_CALL_S)


def _change(channel: grpc.Channel, client: int) -> Once:
    """Return a call that moves a ref: signed by Vault, stored in S3, audited there."""
    stub: Any = artifact_service_pb2_grpc.ArtifactServiceStub(channel)

    def move() -> object:
        request = artifact_service_pb2.MoveRefRequest(
            name=f"{ARTIFACT.format(client)}/refs/prod",
            version="1",
            request_id=str(uuid.uuid4()),
        )
        return stub.MoveRef(request, timeout=_CALL_S)

    return move


def _echo(channel: grpc.Channel, _client: int) -> Once:
    """Return a call to a server that does nothing (`table.echo_server`)."""
    call: Any = channel.unary_unary("/bench.Echo/Say")
    return lambda: call(b"hello", timeout=_CALL_S)


CALLS: Final[Mapping[str, Callable[[grpc.Channel, int], Once]]] = {
    "info": _info,
    "read": _read,
    "change": _change,
}
#: With the one that is the floor of them all.
LOADS: Final = {**CALLS, "echo": _echo}


@contextmanager
def _connected(endpoint: str, folder: Path) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(
        *((folder / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    )
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(endpoint, credentials, options) as channel:
        grpc.channel_ready_future(channel).result(_CALL_S)
        yield channel


@dataclass
class Taken:
    """What calls took: microseconds of each, and how many were made in all."""

    micros: list[int] = field(default_factory=list)
    made: int = 0


def _work(call: Once, begin: threading.Barrier, seconds: float) -> Taken:
    """Call until the time is over."""
    warm = 0
    warm_until_s = time.monotonic() + _WARM_S
    while time.monotonic() < warm_until_s:
        call()
        warm += 1
    begin.wait(_CALL_S)
    taken = list[int]()
    until_ns = time.perf_counter_ns() + int(seconds * 1e9)
    ended_ns = 0
    while ended_ns < until_ns:
        began_ns = time.perf_counter_ns()
        call()
        ended_ns = time.perf_counter_ns()
        taken.append((ended_ns - began_ns) // 1000)
    return Taken(taken, warm + len(taken))


def load(
    endpoint: str, folder: Path, *, call: str, clients: int, seconds: float
) -> Taken:
    """Call from so many clients for so long; return what all calls took."""
    begin = threading.Barrier(clients)
    taken: list[Taken] = []

    def client(number: int) -> None:
        with _connected(endpoint, folder) as channel:
            taken.append(_work(LOADS[call](channel, number), begin, seconds))

    threads = [
        threading.Thread(target=client, args=(number,), daemon=True)
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(taken) != clients:
        message = "a client failed"
        raise RuntimeError(message)
    micros = itertools.chain.from_iterable(item.micros for item in taken)
    return Taken(list(micros), sum(item.made for item in taken))


def main(arguments: Sequence[str] | None = None) -> int:
    """Call, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--certificates", type=Path, required=True)
    parser.add_argument("--call", choices=LOADS, required=True)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args(arguments)
    taken = load(
        options.endpoint,
        options.certificates,
        call=options.call,
        clients=options.clients,
        seconds=options.seconds,
    )
    told = {"seconds": options.seconds, "made": taken.made, "micros": taken.micros}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
