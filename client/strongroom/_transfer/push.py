# SPDX-License-Identifier: Apache-2.0
"""Writes a version: as many attempts as it takes, each from where the last one got."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from strongroom import _lineage, _telemetry
from strongroom._channel.caller import Caller
from strongroom._channel.methods import WRITE_VERSION
from strongroom._convert import version_of
from strongroom._transfer.base_files import BaseFiles, open_base
from strongroom._transfer.batches import BLOCK_BYTES
from strongroom._transfer.handover import Handover
from strongroom._transfer.resuming import Resumption
from strongroom._transfer.sender import Push, Sender, source_changed
from strongroom.errors import (
    ConflictError,
    DeadlineExceededError,
    IntegrityError,
    InternalError,
    Reason,
    StrongroomError,
)
from strongroom.format.lanes import MIN_SOURCE_BYTES
from strongroom.v1 import transfer_service_pb2 as pb
from strongroom.values import PushResult

#: A source of less is sent sooner than what is known of it could be asked for.
_WORTH_BYTES: Final = 4 * BLOCK_BYTES
_WORTH_FILES: Final = 100
#: A sweep or a repair came between; what it took is sent in the next attempt.
_OVERTAKEN: Final = frozenset({Reason.SWEEP_OVERTOOK, Reason.CHUNK_MISSING})
#: How often a push begins anew behind one.
_MAX_OVERTAKEN: Final = 3


def push_version(caller: Caller, push: Push) -> PushResult:
    """Send what the server does not have, and commit.

    If the connection breaks, or falls silent once, it goes on at what the server
    has made durable. That is safe even if the commit was done, because
    `request_id` makes the server answer with the same version.

    Raises:
        StrongroomError: What the server refused, what the source does not allow,
            or that the connection stayed broken. Its metadata has the `upload_id`
            by which a later push goes on.
        IntegrityError: The server stored other content (DIGEST_MISMATCH).
    """
    try:
        # By the thread that pushes: gRPC's own are in no run.
        told = _lineage.current_lineage(caller.settings.endpoint)
        with _telemetry.operation("push") as trace_id:
            sender, result = _Attempts(caller, replace(push, lineage=told)).send()
    except StrongroomError as error:
        error.metadata.setdefault("upload_id", push.request_id)
        raise
    version = version_of(result.version)
    if version.artifact != push.artifact or version.digest != sender.digest:
        message = (
            f"the server stored {version.digest} as {version.name}, "
            f"but {sender.digest} was sent"
        )
        raise IntegrityError(
            message,
            reason=Reason.DIGEST_MISMATCH,
            hint="Do not use this version; report it with its trace id.",
            expected=sender.digest,
            actual=version.digest,
        )
    return PushResult(
        version=version,
        unchanged=result.unchanged,
        sent_bytes=sender.sent_bytes,
        stored_bytes=0 if result.unchanged else version.stored_bytes,
        empty_directory_count=push.source.empty_directory_count,
        trace_id=trace_id,
        upload_id=push.request_id,
        resumed_bytes=sender.resumed_bytes,
        same_bytes=sender.same_bytes,
    )


class _Attempts:
    """One push over as many streams as it takes."""

    def __init__(self, caller: Caller, push: Push) -> None:
        self._caller = caller
        self._push = push
        self._resumption = Resumption()
        self._overtaken_count = 0
        #: How much was durable when the last attempt began; None before the first.
        self._durable_bytes: int | None = None
        self._may_share = (
            push.source.total_bytes >= _WORTH_BYTES
            or len(push.source.paths) >= _WORTH_FILES
        )
        #: Whether large files are handed over to a server on this machine.
        self._may_hand = push.source.total_bytes >= MIN_SOURCE_BYTES

    def send(self) -> tuple[Sender, pb.WriteResult]:
        """Try until it works, or nothing moves any more."""
        while True:
            stall_s = self._caller.settings.stall_timeout_s
            base = self._base()
            with Handover(
                self._caller.lanes, stall_s=stall_s, wanted=self._may_hand
            ) as handover:
                sender = Sender(self._push, base, handover, stall_s=stall_s)
                try:
                    return sender, self._attempt(sender, handover)
                except StrongroomError as error:
                    failure = error
            if self._may_hand and handover.was_in_vain(failure):
                self._may_hand = False
            else:
                self._wait_after(failure, sender)

    def _base(self) -> BaseFiles | None:
        if not self._may_share:
            return None
        return open_base(self._caller, self._push.artifact)

    def _wait_after(self, error: StrongroomError, sender: Sender) -> None:
        """Prepare the next attempt, or raise `error`."""
        durable_bytes = sender.resumed_bytes
        if self._durable_bytes is not None and durable_bytes > self._durable_bytes:
            self._resumption.progressed()
        if sender.position is not None:
            self._durable_bytes = durable_bytes
        if isinstance(error, ConflictError) and error.reason is Reason.BASE_MISMATCH:
            if self._may_share:
                self._may_share = False  # the server has it no more: send everything
                return
        elif isinstance(error, ConflictError) and (
            error.reason in _OVERTAKEN and self._overtaken_count < _MAX_OVERTAKEN
        ):
            self._overtaken_count += 1
            return
        if error.reason is Reason.DIGEST_MISMATCH and durable_bytes:
            raise source_changed(self._push) from error
        # A server that never took a byte is not one that went away.
        if self._durable_bytes is None:
            raise error
        self._resumption.wait_after(error)

    def _attempt(self, sender: Sender, handover: Handover) -> pb.WriteResult:
        try:
            with self._caller.exchange(
                WRITE_VERSION, sender.requests(), handover.headers
            ) as stream:
                sender.cancel = stream.cancel
                result = _listen(stream, sender, handover)
        except StrongroomError as error:
            if isinstance(sender.error, DeadlineExceededError):
                self._caller.renew()
            # Its own refusal is the cause; the server's complaint follows from it.
            raise sender.error or error from error
        finally:
            sender.stop()
        if sender.error is not None:
            raise sender.error
        if result is None:
            message = "the server ended the push without a version"
            raise InternalError(message)
        return result


def _listen(
    responses: Iterable[pb.WriteVersionResponse], sender: Sender, handover: Handover
) -> pb.WriteResult | None:
    """Tell the sender what the server says, and return the result if it came."""
    result: pb.WriteResult | None = None
    # To the end: hanging up on the result would be audited as cancelled.
    for response in responses:
        handover.hear(response)
        if response.HasField("result"):
            result = response.result
        elif response.HasField("position"):
            sender.go_on(response.position)
        else:
            sender.go_on()
    return result
