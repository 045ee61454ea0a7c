# SPDX-License-Identifier: Apache-2.0
"""Cosigning: checkpoints go to witnesses, and what they sign is kept in the store.

A server proves to each witness that the log went on where it ended when the witness
cosigned last. Where a witness does not agree, the note that it holds is looked at: if
it is signed by the log's own keys, and is none of this log, the log was rewound or has
two faces, and nothing is served any more.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    IntegrityError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core.audit_failures import log_damaged, same_again
from strongroom_server.core.merkle import growth_proof
from strongroom_server.core.signed_note import (
    Checkpoint,
    NoteKey,
    add_signatures,
    cosignature_lines,
    open_note,
)
from strongroom_server.core.witness import Submission, WitnessStatus
from strongroom_server.ports import Clock, Witness
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.services.auditing.shipping import Shipper

#: Between two tries with a witness that did not cosign.
RETRY_S: Final = 5.0
#: A witness that has not cosigned for so long is an alarm.
ALARM_S: Final = 60.0
#: From then on, of the time for which it has not, so much passes between two tries, up
#: to a bound: each may read all that came since from the store.
_PATIENCE: Final = 0.1
_MAX_PAUSE_S: Final = 300.0
#: Of several servers each asks at once, and one of them is first.
_ATTEMPTS: Final = 4
_CLOSE_TIMEOUT_S: Final = 5.0

_LOG: Final = logging.getLogger("strongroom_server.audit")


@dataclass(frozen=True, slots=True)
class _Offer:
    """The newest checkpoint that was signed."""

    checkpoint: Checkpoint
    note: bytes


@dataclass(slots=True)
class _Standing:
    """How a witness stands to this server.

    Attributes:
        size: Of the checkpoint that it is known to have cosigned last.
        failing_since_s: Since when it has not done what it was asked for.
        failed_s: When it was asked last, and did not.
        failure: Why.
    """

    size: int = 0
    failing_since_s: float | None = None
    failed_s: float = 0.0
    failure: StrongroomError | None = None

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is to be asked again."""
        if self.failing_since_s is None:
            return True
        alarmed_s = max(self.failed_s - self.failing_since_s - ALARM_S, 0.0)
        return now_s >= self.failed_s + min(_PATIENCE * alarmed_s, _MAX_PAUSE_S)


class Cosigner:
    """Has one server's checkpoints cosigned. Safe to use from many threads."""

    def __init__(
        self,
        shipper: Shipper,
        shared: SharedAuditLog,
        witnesses: Sequence[Witness],
        *,
        log_keys: Callable[[], Sequence[NoteKey]],
        clock: Clock,
    ) -> None:
        """Prepare to ask witnesses.

        Args:
            shipper: Knows how far the log has come.
            shared: The log.
            witnesses: Whom to ask; no two of one name.
            log_keys: Returns the log's own public keys.
            clock: For alarms.
        """
        self._shipper = shipper
        self._shared = shared
        self._witnesses = witnesses
        self._log_keys = log_keys
        self._clock = clock
        self._standings = {witness.name: _Standing() for witness in witnesses}
        self._changed = threading.Condition()
        self._offer: _Offer | None = None
        self._is_new = False
        self._stopping = False
        self._forked: IntegrityError | None = None
        self._thread = threading.Thread(target=self._run, name="audit-cosigner")
        self._thread.daemon = True  # A witness that hangs must not keep us.

    @contextmanager
    def running(self) -> Iterator["Cosigner"]:
        """Have what is offered cosigned until the end, and once more then."""
        if not self._witnesses:
            yield self
            return
        self._thread.start()
        try:
            yield self
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._thread.join(_CLOSE_TIMEOUT_S)

    def offer(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Take the newest signed checkpoint; an older one is not asked for any more."""
        with self._changed:
            self._offer = _Offer(checkpoint, note)
            self._is_new = True
            self._changed.notify_all()

    def confront(self) -> None:
        """Compare the log with what witnesses have cosigned, before it is relied on.

        A server that remembers nothing of the log needs one witness at least that
        answers: it could not tell a log that was rewound by itself.

        Raises:
            IntegrityError: The log was rewound, or is another one (AUDIT_CORRUPT).
            UnavailableError: This server remembers nothing, and no witness answers
                (WITNESS_UNAVAILABLE); or S3 or Vault cannot be reached.
        """
        failure: StrongroomError | None = None
        answers = 0
        for witness in self._witnesses:
            try:
                self._compare(witness)
            except UnavailableError as error:
                if error.reason is not Reason.WITNESS_UNAVAILABLE:
                    raise
                failure = error
                self._note_failure(witness, error)
            else:
                answers += 1
        if failure is not None and not answers and self._shipper.is_new:
            raise failure
        self._shipper.confirm()

    def check_unforked(self) -> None:
        """Check that no witness has shown another log.

        Raises:
            IntegrityError: One has (AUDIT_CORRUPT).
        """
        forked = self._forked
        if forked is not None:
            raise same_again(forked)

    def check_current(self) -> None:
        """Check that every witness cosigns.

        Raises:
            IntegrityError: One has shown another log (AUDIT_CORRUPT).
            UnavailableError: One has not for a minute (WITNESS_UNAVAILABLE).
        """
        self.check_unforked()
        now = self._clock.monotonic()
        for name, standing in self._standings.items():
            since_s, failure = standing.failing_since_s, standing.failure
            if since_s is not None and failure is not None and now - since_s > ALARM_S:
                raise _refusal(f"the witness {name} does not cosign: {failure.message}")

    def cosign(self) -> None:
        """Ask every witness to cosign what was offered last, unless it has.

        What fails is kept for `check_current` and `check_unforked`.
        """
        with self._changed:
            offer = self._offer
        if offer is None:
            return
        for witness in self._witnesses:
            standing = self._standings[witness.name]
            if not standing.is_due(self._clock.monotonic()):
                continue
            try:
                if standing.size < offer.checkpoint.size:
                    self._submit(witness, offer)
            except StrongroomError as error:
                self._note_failure(witness, error)
            except Exception as error:  # noqa: BLE001 - the alarm tells
                self._note_failure(witness, _refusal(type(error).__qualname__))
            else:
                standing.failing_since_s = standing.failure = None

    def _run(self) -> None:
        """Ask until the end, and then once more; the body of the thread."""
        is_last = False
        while not is_last:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._is_new, RETRY_S)
                is_last, self._is_new = self._stopping, False
            self.cosign()

    def _submit(self, witness: Witness, offer: _Offer) -> None:
        """Have one witness cosign one checkpoint.

        Raises:
            IntegrityError: It holds another log (AUDIT_CORRUPT).
            UnavailableError: It does not do it.
        """
        standing, checkpoint = self._standings[witness.name], offer.checkpoint
        self._reach(witness, checkpoint.size)
        for _ in range(_ATTEMPTS):
            if standing.size >= checkpoint.size:
                return  # Another server was first, with more of the same log.
            proof = self._proof(standing.size, checkpoint.size)
            answer = witness.add_checkpoint(
                Submission(standing.size, tuple(proof), offer.note)
            )
            if answer.status is WitnessStatus.COSIGNED:
                self._keep(witness, offer, answer.lines)
                return
            if answer.status not in {
                WitnessStatus.CONFLICT,
                WitnessStatus.INCONSISTENT,
            }:
                text = f"{answer.status.value} {answer.status.name}"
                raise _refusal(f"the witness {witness.name} refuses: {text}")
            before = standing.size
            if not self._compare(witness):
                standing.size = answer.size  # It shows nothing; what it says must do.
            if standing.size == before:
                break
        raise _refusal(
            f"the witness {witness.name} does not cosign {checkpoint.size} entries, "
            f"though it shows {standing.size} of the same log"
        )

    def _reach(self, witness: Witness, size: int) -> None:
        """Ask a witness what it has seen, before much is read from the store for it.

        Raises:
            StrongroomError: It is away, or as `_compare`.
        """
        standing = self._standings[witness.name]
        known = standing.size
        is_near = not known or self._shipper.recent.find(known, size) is not None
        if not is_near and not self._compare(witness):
            standing.size = known  # It shows nothing.

    def _proof(self, old_size: int, size: int) -> Sequence[bytes]:
        recent = self._shipper.recent.find(old_size, size)
        if recent is None and old_size:
            start = self._shared.boundary(old_size, self._shipper.head)
            if start is None:
                raise _refusal(f"the log never had {old_size} entries")
            recent = start.tree, self._shared.growth(start, size)
        return growth_proof(*recent) if recent and old_size else ()

    def _keep(self, witness: Witness, offer: _Offer, lines: bytes) -> None:
        try:
            own = cosignature_lines(offer.checkpoint, lines, witness.keys)
        except IntegrityError as error:
            message = f"the witness {witness.name} answers with wrong signatures"
            raise _refusal(message) from error
        note = add_signatures(offer.note, own)
        self._shared.put_cosigned(witness.name, offer.checkpoint.size, note)
        self._standings[witness.name].size = offer.checkpoint.size

    def _compare(self, witness: Witness) -> bool:
        """Find what a witness has cosigned last in the log, or name what is wrong.

        The witness is asked first: what it has seen must be in the store by then.

        Returns:
            Whether it shows what it has cosigned.
        """
        origin, standing = self._shared.origin, self._standings[witness.name]
        note = witness.newest(origin)
        if note is None:
            standing.size = 0
            return False
        try:
            shown = open_note(note, [*self._log_keys(), *witness.keys])
        except IntegrityError as error:
            message = f"the witness {witness.name} shows what is no cosigned checkpoint"
            raise _refusal(message) from error
        if shown.origin != origin:
            raise _refusal(f"the witness {witness.name} shows another log's checkpoint")
        head = self._shipper.head
        found = self._shared.boundary(shown.size, head)
        if found is None and self._ends_before(shown.size):
            raise self._fork(
                f"the audit log in the store ends before entry {shown.size}, which the "
                f"witness {witness.name} has cosigned: its tail is cut off"
            )
        if found is None or found.tree.root != shown.root:
            raise self._fork(
                "the audit log in the store is not the one of which the witness "
                f"{witness.name} has cosigned {shown.size} entries: two views of it "
                "differ"
            )
        if self._shipper.is_new and shown.size < head.tree.size:
            # What the newest batch said of those before it was believed till now.
            leaves = self._shared.growth(found, head.tree.size)
            if found.tree.extended(leaves) != head.tree:
                raise self._fork(
                    "the batches of the audit log do not lead to its newest"
                )
        # An answer that was lost on the way is kept from here.
        self._shared.put_cosigned(witness.name, shown.size, note)
        standing.size = shown.size
        return True

    def _fork(self, message: str) -> IntegrityError:
        """Remember, and return, that a witness holds a log that is not this one."""
        self._forked = log_damaged(message)
        return self._forked

    def _ends_before(self, size: int) -> bool:
        head = self._shipper.head
        end = head.tree.size
        for batch in self._shared.batches(head.number):
            end = batch.after.size
        return end < size

    def _note_failure(self, witness: Witness, error: StrongroomError) -> None:
        standing = self._standings[witness.name]
        is_new = standing.failing_since_s is None
        was_forked = isinstance(standing.failure, IntegrityError)
        standing.failure = error
        standing.failed_s = self._clock.monotonic()
        if is_new:
            standing.failing_since_s = standing.failed_s
        if is_new or (isinstance(error, IntegrityError) and not was_forked):
            line = {"event": "audit_not_cosigned", "witness": witness.name}
            more = {"reason": error.reason.value, "error": error.message}
            _LOG.error("%s", json.dumps({**line, **more}))


def _refusal(message: str) -> UnavailableError:
    return UnavailableError(
        message,
        reason=Reason.WITNESS_UNAVAILABLE,
        hint="See that the witness is served, and knows the log's newest public keys.",
    )
