# SPDX-License-Identifier: Apache-2.0
"""MaintenanceService: verification, and the state of the server."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import grpc

from strongroom.format.names import (
    ArtifactName,
    VersionName,
    parse_artifact_name,
    parse_version_name,
)
from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom.v1 import maintenance_service_pb2_grpc as pb_grpc
from strongroom_server.core.records import Kind, VerifyReport
from strongroom_server.rpc import convert
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.methods import names_a_version
from strongroom_server.rpc.showing import seen_finding
from strongroom_server.services.checks import Checks
from strongroom_server.services.verification import Verification


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says about itself.

    Attributes:
        version: Of the software.
        store_id: Of the store that it serves.
        certificate_expire_time: When its current certificate ends.
        roles: What a principal was given, in words.
    """

    version: str
    store_id: str
    certificate_expire_time: Callable[[], datetime]
    roles: Callable[[str], tuple[str, ...]]


class MaintenanceServicer(pb_grpc.MaintenanceServiceServicer):
    """Answers from the use cases; the guard has decided who may ask."""

    def __init__(
        self, verification: Verification, checks: Checks, facts: ServerFacts
    ) -> None:
        self._verification = verification
        self._checks = checks
        self._facts = facts

    def VerifyVersion(
        self, request: pb.VerifyVersionRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.VerifyVersionResponse]:
        """Read back a version, or all versions of an artifact."""
        call = current_call()
        name = _artifact_or_version(request.name)
        artifact = name.artifact if isinstance(name, VersionName) else name
        for item in self._verification.verify(name):
            if isinstance(item, VerifyReport):
                call.count("bytes", item.verified_bytes)
                call.count("files", item.file_count)
                call.count("damaged", item.damaged_count)
            yield convert.verify_message(seen_finding(item, artifact))

    def CheckServer(
        self, request: pb.CheckServerRequest, context: grpc.ServicerContext
    ) -> pb.CheckServerResponse:
        """Prove what the bucket enforces, and report the state of the parts."""
        results = [convert.check_message(result) for result in self._checks.run()]
        return pb.CheckServerResponse(results=results)

    def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.ServerInfo:
        """Tell what this server is and whom it takes the caller for."""
        peer = current_call().peer
        expire_time = self._facts.certificate_expire_time()
        return pb.ServerInfo(
            version=self._facts.version,
            store_id=self._facts.store_id,
            principal=peer.principal,
            key_exchange=peer.key_exchange,
            tls_version=peer.tls_version,
            certificate_expire_time=convert.timestamp(expire_time),
            roles=self._facts.roles(peer.principal),
            kinds=[convert.kind_value(kind) for kind in Kind],
        )


def _artifact_or_version(name: str) -> ArtifactName | VersionName:
    if names_a_version(name):
        return parse_version_name(name)
    return parse_artifact_name(name)
