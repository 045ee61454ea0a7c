# SPDX-License-Identifier: Apache-2.0
"""Calls of the tests, and what a caller sees when they fail."""

from collections.abc import Callable

import grpc
import pytest

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom_server.ports import IssuedCertificate
from tests.rpc.running import (
    ARTIFACT,
    VERSION,
    Failed,
    Running,
    call_raw,
    read_failure,
)

GET_ARTIFACT = "/strongroom.v1.ArtifactService/GetArtifact"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = (("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01"),)
SECRET = "the-text-of-a-bug-may-hold-names"


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


def call_kind(channel: grpc.Channel, kind: str) -> None:
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
