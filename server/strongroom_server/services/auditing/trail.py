# SPDX-License-Identifier: Apache-2.0
"""The audit log as calls write it: first this server's disk, then the store."""

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom_server.core.audit import AuditEvent, AuditReceipt, Phase
from strongroom_server.ports import AuditSink, CheckpointSigner, Clock, LocalAuditLog
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.services.auditing.checkpoints import Checkpointer
from strongroom_server.services.auditing.shipping import Shipper


class AuditTrail:
    """`AuditSink` over a server's own log and the log of all servers."""

    def __init__(
        self, local: LocalAuditLog, shipper: Shipper, checkpointer: Checkpointer
    ) -> None:
        self._local = local
        self._shipper = shipper
        self._checkpointer = checkpointer

    def append(self, event: AuditEvent, *, shared: bool = False) -> AuditReceipt:
        """See `AuditSink`."""
        # What a call that began has come to is recorded whatever happens: it is on
        # disk, and follows when the store is back.
        if event.phase is not Phase.OUTCOME:
            self._shipper.check_lag()
        receipt = self._local.append(event)
        if shared:
            self._shipper.wait_for(receipt.number)
        return receipt

    def check_ready(self) -> None:
        """Check that new calls would be let in; errors as `Shipper.check_lag`."""
        self._shipper.check_lag()

    def check_signed(self) -> None:
        """Check that events are signed; errors as `Checkpointer.check_current`."""
        self._checkpointer.check_current()


@contextmanager
def open_trail(
    local: LocalAuditLog,
    shared: SharedAuditLog,
    signer: CheckpointSigner,
    *,
    clock: Clock,
) -> Iterator[AuditTrail]:
    """Ship a server's events, and sign them, for as long as the context lasts.

    Raises:
        IntegrityError: The log in the store is damaged, or not the one that this
            server knows (AUDIT_CORRUPT).
        UnavailableError: The store cannot be reached.
    """
    shipper = Shipper(local, shared, clock=clock)
    checkpointer = Checkpointer(shipper, shared, signer, clock=clock)
    # At the end the last events are shipped first, and then signed.
    with checkpointer.running(), shipper.running():
        yield AuditTrail(local, shipper, checkpointer)


_audit_sink: type[AuditSink] = AuditTrail
