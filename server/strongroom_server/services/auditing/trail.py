# SPDX-License-Identifier: Apache-2.0
"""The audit log as calls write it: first this server's disk, then the store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from strongroom_server.core.audit import AuditEvent, AuditReceipt, Phase
from strongroom_server.ports import (
    AuditSink,
    CheckpointSigner,
    Clock,
    LocalAuditLog,
    Witness,
)
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.services.auditing.checkpoints import Checkpointer
from strongroom_server.services.auditing.cosigning import Cosigner
from strongroom_server.services.auditing.key_use import CallNotes, KeyUse
from strongroom_server.services.auditing.shipping import Shipper


class AuditTrail:
    """`AuditSink` over a server's own log and the log of all servers."""

    def __init__(
        self,
        local: LocalAuditLog,
        shipper: Shipper,
        checkpointer: Checkpointer,
        cosigner: Cosigner,
        key_use: KeyUse,
    ) -> None:
        self._local = local
        self._shipper = shipper
        self._checkpointer = checkpointer
        self._cosigner = cosigner
        self._key_use = key_use

    def append(self, event: AuditEvent, *, shared: bool = False) -> AuditReceipt:
        """See `AuditSink`."""
        # What a call that began has come to is recorded whatever happens: it is on
        # disk, and follows when the store is back.
        if event.phase is not Phase.OUTCOME:
            self.check_ready()
        receipt = self._local.append(self._key_use.completed(event))
        if shared:
            self._shipper.wait_for(receipt.number)
        return receipt

    def check_ready(self) -> None:
        """Check that new calls would be let in.

        Raises:
            UnavailableError: As `Shipper.check_lag`.
            IntegrityError: The same, or as `Cosigner.check_unforked`.
        """
        self._shipper.check_lag()
        self._cosigner.check_unforked()

    def check_signed(self) -> None:
        """Check that events are signed; errors as `Checkpointer.check_current`."""
        self._checkpointer.check_current()

    def check_witnessed(self) -> None:
        """Check that witnesses cosign; errors as `Cosigner.check_current`."""
        self._cosigner.check_current()


@contextmanager
def open_trail(
    local: LocalAuditLog,
    shared: SharedAuditLog,
    signer: CheckpointSigner,
    *,
    clock: Clock,
    witnesses: Sequence[Witness] = (),
    notes: Sequence[CallNotes] = (),
) -> Iterator[AuditTrail]:
    """Ship a server's events, and sign them, for as long as the context lasts.

    Args:
        local: The server's own log.
        shared: That of all servers.
        signer: Signs it.
        clock: For dates and alarms.
        witnesses: Who is to cosign it.
        notes: What calls do elsewhere, to be recorded.

    Raises:
        IntegrityError: The log in the store is damaged, or not the one that this
            server, or a witness, knows (AUDIT_CORRUPT).
        UnavailableError: The store cannot be reached; or this server remembers
            nothing, and no witness answers.
    """
    shipper = Shipper(local, shared, clock=clock)
    key_use = KeyUse(local, notes, clock=clock)
    cosigner = Cosigner(
        shipper,
        shared,
        witnesses,
        log_keys=lambda: signer.keys(shared.origin),
        clock=clock,
    )
    checkpointer = Checkpointer(
        shipper, shared, signer, clock=clock, key_use=key_use, cosigner=cosigner
    )
    shipper.catch_up()
    # Before anything of this log is signed, or relied on.
    cosigner.confront()
    # At the end the last events are shipped first, then signed, then cosigned.
    with (
        cosigner.running(),
        checkpointer.running(),
        shipper.running(),
        key_use.ending(),
    ):
        yield AuditTrail(local, shipper, checkpointer, cosigner, key_use)


_audit_sink: type[AuditSink] = AuditTrail
