# SPDX-License-Identifier: Apache-2.0
"""A guarded server on loopback with servicers of the test's choice."""

# Names and arguments of servicers are those of the generated base classes.
# ruff: noqa: ANN401, N802

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom.v1 import artifact_service_pb2_grpc as artifact_grpc
from strongroom.v1 import maintenance_service_pb2 as maintenance_pb
from strongroom.v1 import maintenance_service_pb2_grpc as maintenance_grpc
from strongroom.v1 import transfer_service_pb2 as transfer_pb
from strongroom.v1 import transfer_service_pb2_grpc as transfer_grpc
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryAuditLog
from strongroom_server.adapters.memory_approvals import MemoryApprovalBook
from strongroom_server.adapters.memory_logins import MemoryLogins
from strongroom_server.core.operators import LoginRules
from strongroom_server.ports import (
    ApprovalBook,
    Authorizer,
    IssuedCertificate,
    TokenVerifier,
)
from strongroom_server.rpc.access_servicer import AccessServicer
from strongroom_server.rpc.call_audit import CallAudit, NameSealer
from strongroom_server.rpc.certificates import CertificateKeeper
from strongroom_server.rpc.guard import Guard
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.identity import IdentityRules
from strongroom_server.rpc.limits import GuardLimits
from strongroom_server.rpc.reviews import Reviews
from strongroom_server.rpc.serve import Listening, Servicers, serving
from strongroom_server.rpc.watchdog import Watchdog
from tests.rpc.authority import DEVELOPER, TRUST_DOMAIN, Authority, FixedIssuer
from tests.rpc.roles import AUTHORIZER
from tests.rpc.unasked import UnaskedApprovals, UnaskedKeys, without_backups

ARTIFACT = "projects/demo/artifacts/minilm"
VERSION = f"{ARTIFACT}/versions/1"
LOGIN_RULES = LoginRules("https://login.test.strongroom.internal", "strongroom")


class PlainNames:
    """Marks names instead of hiding them, so that tests see which were hidden."""

    def resource_id(self, name: str) -> str:
        return f"id({name})"

    def seal_name(self, name: str) -> str:
        return f"sealed({name})"


class ScriptedArtifacts(artifact_grpc.ArtifactServiceServicer):
    """GetArtifact, MoveRef and DiffVersions do what the test says."""

    def __init__(self, script: "Script") -> None:
        self._script = script

    def GetArtifact(self, request: Any, context: Any) -> artifact_pb.Artifact:
        self._script.act()
        return artifact_pb.Artifact(name=request.name)

    def MoveRef(self, request: Any, context: Any) -> artifact_pb.Ref:
        self._script.act()
        return artifact_pb.Ref(name=request.name)

    def DiffVersions(
        self, request: Any, context: Any
    ) -> Iterator[artifact_pb.DiffVersionsResponse]:
        yield artifact_pb.DiffVersionsResponse()
        self._script.act()

    def _unused(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    CreateProject = ListProjects = ListArtifacts = GetVersion = _unused
    CreateArtifact = _unused
    ListVersions = ListFiles = ListJournalEntries = _unused
    DeleteVersion = UndeleteVersion = SetHold = SetPolicy = _unused
    ExplainRetention = GetLineage = ListReaders = _unused


class ScriptedTransfers(transfer_grpc.TransferServiceServicer):
    """Reads blocks without end, or counts the requests of a write."""

    def __init__(self, script: "Script") -> None:
        self._script = script

    def ReadVersion(
        self, request: Any, context: Any
    ) -> Iterator[transfer_pb.ReadVersionResponse]:
        try:
            self._script.act()
            for _ in range(self._script.responses):
                yield _block_response()
        finally:
            self._script.closed.set()

    def WriteVersion(
        self, request_iterator: Any, context: Any
    ) -> Iterator[transfer_pb.WriteVersionResponse]:
        try:
            for _ in request_iterator:
                self._script.requests += 1
                yield transfer_pb.WriteVersionResponse()
            self._script.act()
        finally:
            self._script.closed.set()

    def _unused(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def ReadFiles(
        self, request_iterator: Any, context: Any
    ) -> Iterator[transfer_pb.ReadFilesResponse]:
        raise NotImplementedError

    CommitDraft = _unused
    DiscardDraft = _unused


class ScriptedMaintenance(maintenance_grpc.MaintenanceServiceServicer):
    """CheckServer does what the test says."""

    def __init__(self, script: "Script") -> None:
        self._script = script

    def CheckServer(
        self, request: Any, context: Any
    ) -> maintenance_pb.CheckServerResponse:
        self._script.act()
        return maintenance_pb.CheckServerResponse()

    def _unused(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    def _unused_stream(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    VerifyVersion = GetServerInfo = VerifyStore = _unused
    PlanSweep = RebuildIndex = ExplainObject = _unused
    ApplySweep = RepairVersion = _unused_stream


@dataclass
class Script:
    """What the servicers do.

    Attributes:
        act: Called in the middle of every method; may raise.
        responses: How many blocks ReadVersion answers with.
        requests: How many requests WriteVersion has seen.
        closed: Set when a stream's servicer has ended.
    """

    act: Callable[[], object] = lambda: None
    responses: int = 3
    requests: int = 0
    closed: threading.Event = field(default_factory=threading.Event)


@dataclass
class Running:
    """A server under test and what it left behind."""

    authority: Authority
    script: Script
    audit: MemoryAuditLog
    guard: Guard
    watchdog: Watchdog
    keeper: CertificateKeeper
    port: int
    health_port: int
    admin_port: int
    lines: list[dict[str, Any]]
    reviews: Reviews
    logins: MemoryLogins
    book: MemoryApprovalBook

    @contextmanager
    def channel(
        self, certificate: IssuedCertificate | None = None
    ) -> Iterator[grpc.Channel]:
        shown = certificate or self.authority.issue(DEVELOPER)
        credentials = grpc.ssl_channel_credentials(
            self.authority.ca_pem, shown.private_key_pem, shown.chain_pem
        )
        # Channels with equal arguments would share a connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        target = f"localhost:{self.port}"
        with grpc.secure_channel(target, credentials, options) as channel:
            yield channel

    @contextmanager
    def artifacts(
        self, certificate: IssuedCertificate | None = None
    ) -> Iterator[artifact_grpc.ArtifactServiceStub]:
        with self.channel(certificate) as channel:
            yield artifact_grpc.ArtifactServiceStub(channel)

    @contextmanager
    def transfers(
        self, certificate: IssuedCertificate | None = None
    ) -> Iterator[transfer_grpc.TransferServiceStub]:
        with self.channel(certificate) as channel:
            yield transfer_grpc.TransferServiceStub(channel)

    def outcomes(self) -> list[tuple[str, str, str, str]]:
        """Return phase, method, outcome and reason of every audit entry."""
        return [
            (
                event.phase.value,
                event.method.rpartition("/")[2],
                event.outcome,
                event.reason,
            )
            for event in self.audit.events()
        ]

    def wait_for_entries(self, count: int) -> None:
        """Wait until the server's side of a call that was dropped has ended."""
        waiting = threading.Event()
        for _ in range(500):
            if len(self.audit.events()) >= count:
                return
            waiting.wait(0.01)
        message = f"{len(self.audit.events())} audit entries, not {count}"
        raise AssertionError(message)


@contextmanager
def running_server(
    *,
    limits: GuardLimits | None = None,
    stall_s: float = 60.0,
    grace_s: float = 0.2,
    health: Health | None = None,
    servicers: Servicers | None = None,
    names: NameSealer | None = None,
    authorizer: Authorizer | None = None,
    rules: IdentityRules | None = None,
    authority: Authority | None = None,
    keeper: CertificateKeeper | None = None,
    takes_logins: bool = True,
    tokens: TokenVerifier | None = None,
    approvals: ApprovalBook | None = None,
) -> Iterator[Running]:
    """Serve servicers, scripted unless given, behind the guard, over real mTLS."""
    clock = SystemClock()
    limits = limits or GuardLimits(max_calls=4)
    authority, script, sink = authority or Authority(), Script(), MemoryAuditLog()
    watchdog, reviews = Watchdog(clock=clock, stall_s=stall_s), Reviews()
    logins, book = MemoryLogins(LOGIN_RULES, clock=clock), MemoryApprovalBook(clock)
    guard = Guard(
        rules=rules or IdentityRules(TRUST_DOMAIN),
        authorizer=authorizer or AUTHORIZER,
        audit=CallAudit(sink, names=names or PlainNames(), clock=clock),
        watchdog=watchdog,
        reviews=reviews,
        limits=limits,
        clock=clock,
        entropy=SystemEntropy(),
        tokens=(tokens or logins) if takes_logins else None,
        approvals=approvals or book,
    )
    keeper = keeper or CertificateKeeper(FixedIssuer(authority), clock=clock)
    with (
        _log_lines() as lines,
        watchdog.running(),
        serving(
            _listening(limits, grace_s),
            guard=guard,
            state=health or Health({}, interval_s=60.0),
            servicers=servicers or _scripted(script, authorizer or AUTHORIZER),
            credentials=keeper.credentials(),
        ) as bound,
    ):
        yield Running(
            authority, script, sink, guard, watchdog, keeper,
            bound.data_port, bound.health_port, bound.admin_port,
            lines, reviews, logins, book,
        )  # fmt: skip


def _scripted(script: Script, authorizer: Authorizer) -> Servicers:
    return Servicers(
        ScriptedArtifacts(script),
        ScriptedTransfers(script),
        ScriptedMaintenance(script),
        UnaskedKeys(),
        AccessServicer(authorizer, clock=SystemClock()),
        UnaskedApprovals(),
        *without_backups(),
    )


def _listening(limits: GuardLimits, grace_s: float) -> Listening:
    return Listening(
        data="127.0.0.1:0",
        health="127.0.0.1:0",
        admin="127.0.0.1:0",
        max_calls=limits.max_calls,
        max_stream_s=limits.stream_s,
        grace_s=grace_s,
    )


@contextmanager
def _log_lines() -> Iterator[list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(record.getMessage()))

    logger = logging.getLogger("strongroom_server")
    handler, level = Collect(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@dataclass(frozen=True)
class Failed:
    """What a caller can read off a failed call."""

    code: str
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry: bool = False
    trace_id: str = ""
    audit_id: str = ""
    details_bytes: int = 0


def read_failure(error: grpc.RpcError) -> Failed:
    """Decode a failed call with Google's own messages."""
    # Errors of calls are calls, too, which the stubs do not know.
    call: Any = error
    trailers = dict(call.trailing_metadata() or ())
    failed = Failed(
        code=call.code().name,
        message=call.details() or "",
        trace_id=str(trailers.get("strongroom-trace-id", "")),
        audit_id=str(trailers.get("strongroom-audit-id", "")),
    )
    encoded = trailers.get("grpc-status-details-bin", b"")
    assert isinstance(encoded, bytes)
    status = status_pb2.Status.FromString(encoded)
    for packed in status.details:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            failed = replace(
                failed,
                reason=info.reason,
                domain=info.domain,
                metadata=dict(info.metadata),
                details_bytes=len(encoded),
            )
        if packed.Unpack(retry):
            failed = replace(failed, retry=retry.retry_delay.seconds > 0)
    return failed


def call_raw(
    channel: grpc.Channel, method: str, request: bytes, *, stream: bool = False
) -> None:
    """Call a method with bytes of the test's choice."""
    if stream:
        many: Any = channel.unary_stream(method)
        list(many(request, timeout=10))
    else:
        one: Any = channel.unary_unary(method)
        one(request, timeout=10)


def _block_response() -> transfer_pb.ReadVersionResponse:
    block = transfer_pb.Block(data=bytes(1024 * 1024))
    items = transfer_pb.TransferItems(items=[transfer_pb.TransferItem(block=block)])
    return transfer_pb.ReadVersionResponse(items=items)
