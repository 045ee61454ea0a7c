# SPDX-License-Identifier: Apache-2.0
"""Servers that write one audit log in one store, as the tests start and kill them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_checkpoints import MemoryCheckpointSigner
from strongroom_server.core.audit import AuditEvent
from strongroom_server.core.audit_check import AuditEntry, LogChecker
from strongroom_server.ports import BlobStore, Clock, Witness
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.services.auditing import (
    AuditReader,
    AuditTrail,
    Checkpointer,
    Cosigner,
    JournalHeads,
    KeyRequests,
    KeyUse,
    Shipper,
)
from tests.contract.audit_sink_suite import audit_event
from tests.support.audit_logs import opened
from tests.support.world import World


@dataclass
class AuditWorld:
    """One store, and the folders of its servers' own logs."""

    root: Path
    world: World = field(default_factory=World)
    clock: Clock = field(default_factory=SystemClock)
    signer: MemoryCheckpointSigner = field(
        default_factory=lambda: MemoryCheckpointSigner(entropy=SystemEntropy())
    )

    witnesses: Sequence[Witness] = ()

    def log(self, blobs: BlobStore | None = None) -> SharedAuditLog:
        """Return the log of all servers, as one of them sees it."""
        return SharedAuditLog(
            "main",
            blobs=blobs or self.world.blobs,
            keyring=self.world.repository.keyring,
        )

    @contextmanager
    def server(
        self, name: str, *, blobs: BlobStore | None = None
    ) -> Iterator["AuditServer"]:
        """Run what a server has of auditing, in a folder of its own."""
        seed, shared = sum(name.encode()), self.log(blobs)
        with opened(self.root / name, seed=seed) as local:
            shipper = Shipper(local, shared, clock=self.clock)
            requests = KeyRequests(clock=self.clock)
            heads = JournalHeads(clock=self.clock)
            key_use = KeyUse(local, [requests, heads], clock=self.clock)
            cosigner = Cosigner(
                shipper,
                shared,
                self.witnesses,
                log_keys=lambda: self.signer.keys(shared.origin),
                clock=self.clock,
            )
            checkpointer = Checkpointer(
                shipper,
                shared,
                self.signer,
                clock=self.clock,
                key_use=key_use,
                cosigner=cosigner,
            )
            with shipper.running():
                cosigner.confront()
                trail = AuditTrail(local, shipper, checkpointer, cosigner, key_use)
                parts = (shipper, checkpointer, trail, cosigner, requests, heads)
                yield AuditServer(*parts)

    def reader(self) -> AuditReader:
        """Return what reads the log, with the keys that it is signed with."""
        log = self.log()
        return AuditReader(
            log,
            keyring=self.world.repository.keyring,
            keys=self.signer.keys(log.origin),
            witnesses=self.witnesses,
        )

    def entries(self) -> list[AuditEntry]:
        """Check the whole log, and return its entries."""
        checker = LogChecker()
        return [
            checker.add(entry)
            for batch in self.log().batches()
            for entry in batch.entries
        ]

    def marks(self) -> list[str]:
        """Return the `mark` of every entry, in order."""
        return [entry.body["detail"]["mark"] for entry in self.entries()]


@dataclass(frozen=True)
class AuditServer:
    """The parts of one server; its checkpoints are signed when a test says so."""

    shipper: Shipper
    checkpointer: Checkpointer
    trail: AuditTrail
    cosigner: Cosigner
    requests: KeyRequests
    heads: JournalHeads

    def record(self, mark: str, *, shared: bool = True) -> str:
        """Record an event that carries a mark; return its audit id."""
        event = replace(audit_event(), detail=(("mark", mark),))
        return self.append(event, shared=shared)

    def append(self, event: AuditEvent, *, shared: bool = True) -> str:
        """Record an event; return its audit id."""
        return self.trail.append(event, shared=shared).audit_id

    def sign(self) -> None:
        """Sign all that is shipped, and have it cosigned."""
        self.checkpointer.sign()
        self.cosigner.cosign()
