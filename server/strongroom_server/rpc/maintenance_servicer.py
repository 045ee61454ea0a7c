# SPDX-License-Identifier: Apache-2.0
"""MaintenanceService: verification, and the state of the server."""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import grpc

from strongroom.v1 import maintenance_service_pb2 as pb
from strongroom_server.core.operators import Operator
from strongroom_server.core.records import Kind
from strongroom_server.rpc import convert, convert_upkeep
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.proof_calls import ProofCalls
from strongroom_server.rpc.sweep_calls import SweepCalls
from strongroom_server.services.checks import Checks
from strongroom_server.services.index_rebuild import IndexRebuild
from strongroom_server.services.repairing import Repairing
from strongroom_server.services.store_verification import StoreVerification
from strongroom_server.services.sweeping import Sweeping
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


class MaintenanceServicer(ProofCalls, SweepCalls):
    """Answers from the use cases; the guard has decided who may ask."""

    def __init__(
        self,
        verification: Verification,
        checks: Checks,
        facts: ServerFacts,
        *,
        store: StoreVerification,
        repairing: Repairing,
        sweeping: Sweeping,
        index_rebuild: IndexRebuild,
    ) -> None:
        ProofCalls.__init__(self, verification, store, repairing)
        SweepCalls.__init__(self, sweeping)
        self._index_rebuild = index_rebuild
        self._checks = checks
        self._facts = facts

    def RebuildIndex(
        self, request: pb.RebuildIndexRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RebuildIndexResponse]:
        """Forget this server's local index and build it anew from the store."""
        for item in self._index_rebuild.run():
            yield convert_upkeep.rebuild_message(item)

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
            workload=peer.workload,
            login=_login(peer.operator),
        )


def _login(operator: Operator | None) -> pb.Login | None:
    if operator is None:
        return None
    return pb.Login(
        auth_time=convert.timestamp(operator.auth_time),
        mfa=operator.mfa,
        acr=operator.acr,
        amr=operator.amr,
    )
