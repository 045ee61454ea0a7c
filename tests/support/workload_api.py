# SPDX-License-Identifier: Apache-2.0
"""A SPIFFE agent: the real Workload API on a Unix socket, with what the test gives it.

The protocol and its messages are those of the `spiffe` package; only the agent
behind them is ours.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from spiffe._proto import workload_pb2, workload_pb2_grpc

from strongroom_server.ports import IssuedCertificate

SERVICE: Final = "SpiffeWorkloadAPI"
#: Calls without it could come from a web page that was tricked.
HEADER: Final = ("workload.spiffe.io", "true")


class Agent(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """Streams certificates; a new set to everybody whenever `give` is called."""

    def __init__(self, socket: Path) -> None:
        self.socket = f"unix://{socket}"
        self.asked = 0
        self._changed = threading.Condition()
        self._given: tuple[IssuedCertificate, ...] = ()
        self._number = 0
        self._open = True

    def give(self, *certificates: IssuedCertificate) -> None:
        """Have the workload be these, the first of them by default."""
        with self._changed:
            self._given = certificates
            self._number += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End all streams."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def FetchX509SVID(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ANN401, N802
        if HEADER not in tuple(map(tuple, context.invocation_metadata())):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no security header")
        self.asked += 1
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(partial(self._is_new, seen, context), timeout=60)
                seen, given = self._number, self._given
            if not self._open or not context.is_active():
                return
            if not given:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
            yield workload_pb2.X509SVIDResponse(svids=map(_svid, given))

    def _is_new(self, seen: int, context: grpc.ServicerContext) -> bool:
        return self._number != seen or not self._open or not context.is_active()


@contextmanager
def running_agent(folder: Path, *certificates: IssuedCertificate) -> Iterator[Agent]:
    """Run an agent with a socket in `folder`."""
    agent = Agent(folder / "agent.sock")
    agent.give(*certificates)
    pool = ThreadPoolExecutor(8)
    server = grpc.server(pool)
    add: Any = workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server
    add(agent, server)
    server.add_insecure_port(agent.socket)
    server.start()
    try:
        yield agent
    finally:
        agent.stop()
        server.stop(None).wait()
        pool.shutdown()


def _svid(issued: IssuedCertificate) -> Any:  # noqa: ANN401 - generated, untyped
    chain = x509.load_pem_x509_certificates(issued.chain_pem)
    bundle = x509.load_pem_x509_certificates(issued.ca_pem)
    key = load_pem_private_key(issued.private_key_pem, password=None)
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
    [spiffe_id] = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return workload_pb2.X509SVID(
        spiffe_id=spiffe_id,
        x509_svid=_der(chain),
        x509_svid_key=key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        ),
        bundle=_der(bundle),
    )


def _der(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.DER) for one in certificates)
