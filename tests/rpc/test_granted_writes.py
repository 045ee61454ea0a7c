# SPDX-License-Identifier: Apache-2.0
"""WriteGranted on the wire: what it answers, who may, and what is refused by name."""

import hashlib
import queue
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest

from strongroom.errors import StrongroomError
from strongroom.v1 import grant_service_pb2 as pb
from strongroom.v1 import grant_service_pb2_grpc as pb_grpc
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.core import cobblestone
from strongroom_server.core.chunk import encrypt_with_key
from strongroom_server.core.codecs import Codec
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import find_suite
from tests.rpc.serving import ARTIFACT, FILES, Served, Stubs, write, write_requests
from tests.support.granted_writers import digest_of, sha256

DATA = b"written by grant" * 1000


@dataclass
class Exchange:
    """One WriteGranted, request by request."""

    stub: pb_grpc.GrantServiceStub
    sent: "queue.Queue[pb.WriteGrantedRequest | None]" = field(
        default_factory=queue.Queue
    )

    def __post_init__(self) -> None:
        self.responses = self.stub.WriteGranted(self._requests(), timeout=60)

    def _requests(self) -> Iterator[pb.WriteGrantedRequest]:
        while (request := self.sent.get()) is not None:
            yield request

    def ask(self, **part: object) -> pb.WriteGrantedResponse:
        """Send a request and return what answers it."""
        self.tell(**part)
        for response in self.responses:
            if response.WhichOneof("part") != "progress":
                return response
        raise AssertionError

    def tell(self, **part: object) -> None:
        """Send a request that nothing answers."""
        self.sent.put(pb.WriteGrantedRequest(**part))  # type: ignore[arg-type]  # of a test

    def refused(self, **part: object) -> StrongroomError:
        """Send a request that ends the call; return why."""
        self.tell(**part)
        self.sent.put(None)
        with pytest.raises(grpc.RpcError) as caught:
            list(self.responses)
        return read_failure(caught.value)


def start(**fields: object) -> transfer_pb.WriteStart:
    values = {"parent": ARTIFACT, "request_id": str(uuid.uuid4())} | fields
    return transfer_pb.WriteStart(**values)  # type: ignore[arg-type]  # of a test
