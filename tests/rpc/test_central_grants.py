# SPDX-License-Identifier: Apache-2.0
"""What a sidecar makes of a central that is there and says nothing."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom.format.names import ArtifactName, VersionName
from strongroom.v1 import grant_service_pb2 as pb
from strongroom_server.adapters.central import CentralChannel, CentralGrants
from tests.rpc.authority import READER, SERVER, Authority

NAME = VersionName(ArtifactName("demo", "model"), "1")
SILENCE_S = 2.0


class Silent(grpc.GenericRpcHandler):
    """Gives one sign of life, and no other until it is told to stop."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_stream_rpc_method_handler(self._watch)

    def _watch(self, _: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield pb.WatchGrantsResponse().SerializeToString()
        while context.is_active() and not self.stop.wait(0.1):
            pass


@pytest.fixture
def channel() -> Iterator[CentralChannel]:
    authority, silent = Authority(), Silent()
    own, ours = authority.issue(SERVER, "dns:localhost"), authority.issue(READER)
    with ThreadPoolExecutor(4) as executor:
        server = grpc.server(executor)
        server.add_generic_rpc_handlers((silent,))
        credentials = grpc.ssl_server_credentials(
            [(own.private_key_pem, own.chain_pem)],
            authority.ca_pem,
            require_client_auth=True,
        )
        port = server.add_secure_port("localhost:0", credentials)
        server.start()
        made = CentralChannel(f"localhost:{port}", lambda: ours)
        try:
            yield made
        finally:
            made.close()
            silent.stop.set()
            server.stop(None).wait()


def test_a_watch_of_which_nothing_is_heard_ends(channel: CentralChannel) -> None:
    watch = CentralGrants(channel, silence_s=SILENCE_S).watch([NAME])
    answers = iter(watch)
    assert next(answers) == ()

    with pytest.raises(UnavailableError, match="within 2 seconds") as error:
        next(answers)

    assert error.value.reason is Reason.TRANSPORT
    watch.end()
