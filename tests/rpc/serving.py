# SPDX-License-Identifier: Apache-2.0
"""The whole API on an engine with memory adapters, and uploads by hand."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc
import pytest

from strongroom.format.digest import VersionDigester, path_order
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import artifact_service_pb2_grpc as artifact_grpc
from strongroom.v1 import maintenance_service_pb2_grpc as maintenance_grpc
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom.v1 import transfer_service_pb2_grpc as transfer_grpc
from strongroom_server.ports import IssuedCertificate
from strongroom_server.rpc.version_reads import MAX_BATCH_BYTES, MAX_BATCH_ITEMS
from tests.rpc.running import ARTIFACT, Failed, Running, read_failure
from tests.support.world import World

MIB = 1024 * 1024
FILES = {
    "model.safetensors": bytes(range(256)) * 9000,
    "empty": b"",
    "sub/run.sh": b"#!/bin/sh\n",
    "sub/a-b": b"1",
    "sub/a/b": b"2",
}


@dataclass
class Stubs:
    """The three services, as one caller sees them."""

    artifacts: artifact_grpc.ArtifactServiceStub
    transfers: transfer_grpc.TransferServiceStub
    maintenance: maintenance_grpc.MaintenanceServiceStub


class Served:
    """An engine behind the guard."""

    def __init__(self, world: World, server: Running) -> None:
        self.world = world
        self.server = server

    def stubs(self, channel: grpc.Channel) -> Stubs:
        return Stubs(
            artifact_grpc.ArtifactServiceStub(channel),
            transfer_grpc.TransferServiceStub(channel),
            maintenance_grpc.MaintenanceServiceStub(channel),
        )

    def issue(self, principal: str) -> IssuedCertificate:
        return self.server.authority.issue(principal)


def write_requests(
    files: dict[str, bytes],
    *,
    parent: str = ARTIFACT,
    request_id: str = "",
    block_bytes: int = MIB,
) -> Iterator[transfer_pb.WriteVersionRequest]:
    start = transfer_pb.WriteStart(
        parent=parent,
        kind=artifact_pb.ARTIFACT_KIND_WEIGHTS,
        message="first",
        metadata={"run": "1"},
        request_id=request_id or str(uuid.uuid4()),
    )
    yield transfer_pb.WriteVersionRequest(start=start)
    digester = VersionDigester()
    for path in sorted(files, key=path_order):
        data = files[path]
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        digester.add(path, len(data), digest)
        begin = transfer_pb.FileStart(
            path=path, size_bytes=len(data), executable=path.endswith(".sh")
        )
        yield items(transfer_pb.TransferItem(start=begin))
        for offset in range(0, len(data), block_bytes):
            block = transfer_pb.Block(
                offset_bytes=offset, data=data[offset : offset + block_bytes]
            )
            yield items(transfer_pb.TransferItem(block=block))
        yield items(transfer_pb.TransferItem(end=transfer_pb.FileEnd(digest=digest)))
    commit = transfer_pb.WriteCommit(file_count=len(files), digest=digester.digest())
    yield transfer_pb.WriteVersionRequest(commit=commit)


def items(*item: transfer_pb.TransferItem) -> transfer_pb.WriteVersionRequest:
    return transfer_pb.WriteVersionRequest(items=transfer_pb.TransferItems(items=item))


def write(
    stubs: Stubs, requests: Iterable[transfer_pb.WriteVersionRequest]
) -> transfer_pb.WriteResult:
    *_, last = stubs.transfers.WriteVersion(iter(requests), timeout=60)
    assert last.WhichOneof("part") == "result"
    return last.result


def read(
    stubs: Stubs, request: transfer_pb.ReadVersionRequest
) -> tuple[artifact_pb.Version, dict[str, bytes]]:
    first, *rest = stubs.transfers.ReadVersion(request, timeout=60)
    files: dict[str, bytes] = {}
    path = ""
    for response in rest:
        assert len(response.items.items) <= MAX_BATCH_ITEMS
        data_bytes = sum(len(item.block.data) for item in response.items.items)
        assert data_bytes <= MAX_BATCH_BYTES
        for item in response.items.items:
            match item.WhichOneof("item"):
                case "start":
                    path = item.start.path
                    files[path] = b""
                case "block":
                    files[path] += item.block.data
                case _:
                    assert path in files
    return first.version, files


def refused(call: Iterable[object]) -> Failed:
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    return read_failure(caught.value)
