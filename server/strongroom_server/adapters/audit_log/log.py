# SPDX-License-Identifier: Apache-2.0
"""`LocalAuditLog` on files: one thread makes all events that wait durable at once."""

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Final

from strongroom.errors import InternalError
from strongroom_server.adapters.audit_log.files import (
    CURRENT_NAME,
    OPEN_FLAGS,
    ChainEnd,
    disk_errors,
    full_name,
    lines_from,
    load_or_make_id,
    own,
    read_mark,
    recover,
    refusal,
    sync_directory,
    write_fully,
    write_mark,
)
from strongroom_server.core.audit import (
    MAX_LINE_BYTES,
    AuditEvent,
    AuditReceipt,
    Phase,
    format_line,
    line_digest,
)
from strongroom_server.ports import Clock, Entropy, LocalAuditLog

#: A file that has grown to this is put aside, and a new one begun.
ROTATE_BYTES: Final = 64 * 2**20
#: Events that may wait; more are refused, and with them their calls.
QUEUE_SIZE: Final = 1024
#: Events made durable together at most; bounds what one failure refuses.
BATCH_SIZE: Final = 256
#: How long a call waits for the disk before it is refused.
APPEND_TIMEOUT_S: Final = 10.0


@contextmanager
def open_audit_log(
    directory: Path,
    *,
    clock: Clock,
    entropy: Entropy,
    rotate_bytes: int = ROTATE_BYTES,
) -> Iterator["FileAuditLog"]:
    """Open the log in `directory`, making it if it is missing; close it at the end.

    The chain of the last file is checked. What a crash left of a line is put aside
    in a file of its own, and that is an event of its own.

    Raises:
        IntegrityError: The last file, or its link to the one before, is damaged
            (AUDIT_CORRUPT).
        UnavailableError: The disk refuses, or another process has the log
            (AUDIT_UNAVAILABLE).
    """
    with disk_errors():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner_fd = own(directory)
    try:
        with disk_errors():
            log_id = load_or_make_id(directory, entropy)
            state, torn_bytes = recover(directory)
        log = FileAuditLog(directory, log_id, state, rotate_bytes=rotate_bytes)
        log.start()
        try:
            if torn_bytes:
                log.append(_recovery_event(clock, torn_bytes, state.number))
            yield log
        finally:
            log.close()
    finally:
        os.close(owner_fd)


@dataclass(slots=True)
class _Ticket:
    """An event on its way to the disk."""

    event: AuditEvent
    # Held until it is over; an `Event` costs several times as much.
    pending: threading.Lock = field(default_factory=threading.Lock)
    receipt: AuditReceipt | None = None
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.pending.acquire()


class FileAuditLog:
    """The log of one server process; safe to use from many threads."""

    def __init__(
        self, directory: Path, log_id: str, state: ChainEnd, *, rotate_bytes: int
    ) -> None:
        self._directory = directory
        self._log_id = log_id
        self._state = state
        self._rotate_bytes = rotate_bytes
        # Without a bound of its own, but in C: `append` keeps the bound.
        self._queue: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="audit-writer")
        self._writer.daemon = True  # A disk that hangs must not keep us from ending.
        self._fd = -1
        self._clean = False
        self._closed = False
        self._on_durable: Callable[[int, Sequence[bytes]], None] | None = None

    @property
    def log_id(self) -> str:
        """See `LocalAuditLog`."""
        return self._log_id

    @property
    def next_number(self) -> int:
        """See `LocalAuditLog`."""
        return self._state.number

    def lines(self, start: int) -> Iterator[bytes]:
        """See `LocalAuditLog`. What is being written meanwhile may be left out."""
        return lines_from(self._directory, start)

    def follow(self, on_durable: Callable[[int, Sequence[bytes]], None]) -> None:
        """See `LocalAuditLog`."""
        self._on_durable = on_durable

    def mark(self) -> bytes:
        """See `LocalAuditLog`."""
        return read_mark(self._directory)

    def save_mark(self, mark: bytes) -> None:
        """See `LocalAuditLog`."""
        write_mark(self._directory, mark)

    def start(self) -> None:
        """Start the thread that writes."""
        self._writer.start()

    def close(self) -> None:
        """Make durable what waits, and stop. Later events are refused."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._writer.join(APPEND_TIMEOUT_S)

    def append(self, event: AuditEvent) -> AuditReceipt:
        """See `LocalAuditLog`. Waits at most `APPEND_TIMEOUT_S` for the disk.

        Raises:
            InternalError: The event has no valid line; a bug of the caller's.
        """
        ticket = _Ticket(event)
        if self._closed:
            raise refusal("it is closed")
        if self._queue.qsize() >= QUEUE_SIZE:
            raise refusal("too many events wait for the disk")
        self._queue.put(ticket)
        if not ticket.pending.acquire(timeout=APPEND_TIMEOUT_S):
            # It may become durable yet: an intent without an outcome.
            raise refusal("the disk does not answer")
        if ticket.receipt is not None:
            return ticket.receipt
        # A new exception for each caller: they add to what they catch.
        if isinstance(ticket.error, OSError):
            cause = ticket.error.strerror or type(ticket.error).__name__
            raise refusal(cause) from ticket.error
        if ticket.error is not None:
            message = f"an audit event cannot be recorded: {ticket.error}"
            raise InternalError(message) from ticket.error
        raise refusal("the writer has stopped")

    def _write_all(self) -> None:
        """Write until the end; the body of the thread."""
        ended = False
        while not ended:
            batch: list[_Ticket] = []
            ended = self._take(batch)
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001 - `append` raises it
                for ticket in batch:
                    ticket.error = error
            for ticket in batch:
                ticket.pending.release()
        # Whoever came between the last event and the end is refused at once.
        with suppress(queue.Empty):
            while True:
                if (late := self._queue.get_nowait()) is not None:
                    late.pending.release()
        if self._fd >= 0:
            os.close(self._fd)

    def _take(self, batch: list[_Ticket]) -> bool:
        """Wait for events, and take all that are there; tell if it is the end."""
        ticket = self._queue.get()
        while ticket is not None:
            batch.append(ticket)
            if len(batch) == BATCH_SIZE:
                return False
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                return False
        return True

    def _write(self, batch: list[_Ticket]) -> None:
        if not batch:
            return
        self._make_ready()
        lines, receipts, state = self._format(batch)
        self._clean = False
        write_fully(self._fd, b"".join(lines))  # durable on return: O_DSYNC
        self._clean = True
        first = self._state.number
        self._state = state
        if self._on_durable is not None:
            self._on_durable(first, lines)
        for ticket, receipt in zip(batch, receipts, strict=True):
            ticket.receipt = receipt

    def _format(
        self, batch: list[_Ticket]
    ) -> tuple[list[bytes], list[AuditReceipt | None], ChainEnd]:
        """Return the batch's lines and receipts; an event without a line has none."""
        state = self._state
        number, prev, size_bytes = state.number, state.prev, state.size_bytes
        lines: list[bytes] = []
        receipts: list[AuditReceipt | None] = []
        for ticket in batch:
            try:
                line = format_line(ticket.event, number=number, prev=prev)
                _check_length(line)
            except (TypeError, ValueError) as error:
                ticket.error = error
                receipts.append(None)
                continue
            prev = line_digest(line)
            receipts.append(AuditReceipt(self._log_id, number, prev))
            lines.append(line)
            number += 1
            size_bytes += len(line)
        return lines, receipts, ChainEnd(number, prev, state.first_number, size_bytes)

    def _make_ready(self) -> None:
        """Bring the file to where the chain ends: opened, cut, or begun anew."""
        if self._state.size_bytes >= self._rotate_bytes:
            self._rotate()
        if self._fd < 0:
            self._fd = os.open(
                self._directory / CURRENT_NAME,
                # One system call instead of two, between which others' threads run.
                os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_DSYNC | OPEN_FLAGS,
                0o600,
            )
            sync_directory(self._directory)
        if not self._clean:
            # The last write failed, perhaps half done, perhaps done and not synced.
            # Pages that failed to sync count as clean, so they are cut off and
            # written again: https://lwn.net/Articles/752063/
            os.ftruncate(self._fd, self._state.size_bytes)
            os.fdatasync(self._fd)
            self._clean = True

    def _rotate(self) -> None:
        current = self._directory / CURRENT_NAME
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with suppress(FileNotFoundError):  # An earlier try got as far as this.
            current.rename(self._directory / full_name(self._state.first_number))
        sync_directory(self._directory)
        state = self._state
        self._state = ChainEnd(state.number, state.prev, state.number, 0)
        self._clean = False


def _check_length(line: bytes) -> None:
    if len(line) > MAX_LINE_BYTES:
        message = f"its line of {len(line)} bytes is longer than {MAX_LINE_BYTES}"
        raise ValueError(message)


def _recovery_event(clock: Clock, torn_bytes: int, number: int) -> AuditEvent:
    now = clock.now().astimezone(UTC).replace(tzinfo=None)
    return AuditEvent(
        time=now.isoformat(timespec="microseconds") + "Z",
        phase=Phase.CALL,
        call_id="0" * 32,
        principal="",
        action="audit.recover",
        method="",
        resource_id="",
        sealed_resource="",
        decision="allow",
        policy="default",
        outcome="OK",
        reason="",
        trace_id="0" * 32,
        detail=(("torn_bytes", str(torn_bytes)), ("torn_number", str(number))),
    )


_local_audit_log: type[LocalAuditLog] = FileAuditLog
