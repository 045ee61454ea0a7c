# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: what the log holds is signed every few seconds, and kept.

From then on nothing before it can change, go or be put in between without it
showing, whoever has the store and its keys; only Vault can sign.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from strongroom.errors import Reason, StrongroomError, UnavailableError
from strongroom_server.core.signed_note import Checkpoint
from strongroom_server.ports import CheckpointSigner, Clock
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.services.auditing.cosigning import Cosigner
from strongroom_server.services.auditing.key_use import KeyUse
from strongroom_server.services.auditing.shipping import Shipper

#: Between two checkpoints, while there are new entries.
INTERVAL_S: Final = 5.0
#: Entries that stay unsigned longer than this are an alarm.
ALARM_S: Final = 60.0
_CLOSE_TIMEOUT_S: Final = 5.0

_LOG: Final = logging.getLogger("strongroom_server.audit")


class Checkpointer:
    """Signs the log as far as one server knows it."""

    def __init__(
        self,
        shipper: Shipper,
        shared: SharedAuditLog,
        signer: CheckpointSigner,
        *,
        clock: Clock,
        key_use: KeyUse | None = None,
        cosigner: Cosigner | None = None,
    ) -> None:
        """Prepare to sign.

        Args:
            shipper: Knows how far the log has come.
            shared: The log.
            signer: Its keys.
            clock: Dates signatures, and is for alarms.
            key_use: What was asked of Vault is recorded before it is signed.
            cosigner: Is given what is signed.
        """
        self._shipper = shipper
        self._key_use = key_use
        self._cosigner = cosigner
        self._shared = shared
        self._signer = signer
        self._clock = clock
        self._stopping = threading.Event()
        self._signed = 0
        self._failing_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="audit-checkpoints")
        self._thread.daemon = True  # A Vault that hangs must not keep us from ending.

    @contextmanager
    def running(self) -> Iterator["Checkpointer"]:
        """Sign every few seconds, and once more at the end."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join(_CLOSE_TIMEOUT_S)
            if self._key_use is not None:
                self._key_use.close()

    def sign(self) -> None:
        """Sign the log as it is known now, unless that was done.

        Raises:
            UnavailableError: Vault or S3 cannot be reached.
            PreconditionError: Vault refuses the key.
        """
        if self._key_use is not None:
            self._key_use.flush()
        tree = self._shipper.head.tree
        if tree.size <= self._signed:
            return
        checkpoint = Checkpoint(self._shared.origin, tree.size, tree.root)
        time_s = int(self._clock.now().timestamp())
        note = self._signer.sign(checkpoint, time_s=time_s)
        self._shared.put_checkpoint(tree.size, note)
        self._signed = tree.size
        if self._cosigner is not None:
            self._cosigner.offer(checkpoint, note)

    def check_current(self) -> None:
        """Check that new entries have been signed lately.

        Raises:
            UnavailableError: They have not (AUDIT_UNAVAILABLE).
        """
        since_s = self._failing_since_s
        if since_s is not None and self._clock.monotonic() - since_s > ALARM_S:
            raise UnavailableError(
                "the audit log's checkpoints are not signed",
                reason=Reason.AUDIT_UNAVAILABLE,
                hint="See that Vault has the key sr.log and lets the server sign.",
            )

    def _run(self) -> None:
        """Sign until the end, and then once more; the body of the thread."""
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(INTERVAL_S)
            try:
                self.sign()
            except Exception as error:  # noqa: BLE001 - the alarm tells
                self._note_failure(error)
            else:
                self._failing_since_s = None

    def _note_failure(self, error: Exception) -> None:
        if self._failing_since_s is not None:
            return
        self._failing_since_s = self._clock.monotonic()
        text = error.message if isinstance(error, StrongroomError) else ""
        line = {"event": "audit_not_signed", "error": type(error).__qualname__}
        _LOG.error("%s", json.dumps({**line, "message": text}))
