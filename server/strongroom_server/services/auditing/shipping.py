# SPDX-License-Identifier: Apache-2.0
"""Shipping: lines of a server's own audit log go, in batches, to the log of all.

One thread takes all lines that wait, seals them as the next batch and creates it.
If another server was there first, it follows that server's batches and tries the
number behind them. A batch of its own that it finds there, from a try whose fate was
not known, it knows by its id and line numbers: so no line is there twice.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

from strongroom.errors import IntegrityError, Reason, StrongroomError, UnavailableError
from strongroom_server.core import canonical
from strongroom_server.core.audit_batch import (
    MAX_LINES,
    AuditBatch,
    batch_damaged,
    how_many_fit,
)
from strongroom_server.core.audit_failures import log_damaged, same_again
from strongroom_server.core.merkle import Frontier
from strongroom_server.ports import Clock, LocalAuditLog
from strongroom_server.repository.audit_log import LogHead, SharedAuditLog
from strongroom_server.services.auditing.growth import RecentGrowth

#: New calls are refused while lines wait longer than this, or are more.
MAX_LAG_S: Final = 5.0
MAX_LAG_BYTES: Final = 64 * 2**20
#: How long a call waits for the store before it is refused.
SHARED_TIMEOUT_S: Final = 10.0
#: Between two tries while the store refuses.
RETRY_S: Final = 0.2
#: What the end of a server waits for lines that are still on their way.
CLOSE_TIMEOUT_S: Final = 5.0
#: How long lines for which nobody waits are gathered, unless they are so many.
LINGER_S: Final = 0.5
FULL: Final = MAX_LINES
_MAX_MARK_BYTES: Final = 8192

_LOG: Final = logging.getLogger("strongroom_server.audit")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A line on its way, and since when."""

    number: int
    line: bytes
    since_s: float


class Shipper:
    """Ships one server's lines; safe to use from many threads.

    Attributes:
        recent: What the log has lately grown by.
        is_new: Whether this server remembers nothing of the log yet that can be
            relied on; until `confirm` it keeps nothing, either.
    """

    def __init__(
        self, local: LocalAuditLog, shared: SharedAuditLog, *, clock: Clock
    ) -> None:
        self._local = local
        self._shared = shared
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._wanted = -1  # the last line that somebody waits for
        self._head = LogHead()
        self.recent = RecentGrowth()
        self.is_new = False
        self._is_caught_up = False
        self._mark_lock = threading.Lock()
        self._failure: StrongroomError | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="audit-shipper")
        self._thread.daemon = True  # A store that hangs must not keep us from ending.

    @property
    def head(self) -> LogHead:
        """How far the log is known now."""
        with self._changed:
            return self._head

    @contextmanager
    def running(self) -> Iterator["Shipper"]:
        """Catch up unless that was done, and ship until the end.

        Raises:
            StrongroomError: As `catch_up`.
        """
        if not self._is_caught_up:
            self.catch_up()
        self._local.follow(self._offer)
        self._thread.start()
        try:
            yield self
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._thread.join(CLOSE_TIMEOUT_S)

    def confirm(self) -> None:
        """Rely on the log as it is known, also after the next start."""
        with self._mark_lock:
            self.is_new = False
            self._local.save_mark(_format_mark(self.head))

    def check_lag(self) -> None:
        """Check that lines do not wait too long, or too many.

        Raises:
            UnavailableError: New calls must be refused (AUDIT_UNAVAILABLE).
            IntegrityError: The log in the store is damaged (AUDIT_CORRUPT).
        """
        with self._changed:
            if isinstance(self._failure, IntegrityError):
                raise same_again(self._failure)
            lag_s = 0.0
            if self._waiting:
                lag_s = self._clock.monotonic() - self._waiting[0].since_s
            if lag_s > MAX_LAG_S or self._waiting_bytes > MAX_LAG_BYTES:
                raise _refusal(f"{len(self._waiting)} events wait for the store")

    def wait_for(self, number: int) -> None:
        """Wait until a line of the server's own log is in the log of all.

        Raises:
            UnavailableError: That takes too long; it may be there yet
                (AUDIT_UNAVAILABLE).
            IntegrityError: The log in the store is damaged (AUDIT_CORRUPT).
        """
        with self._changed:
            self._wanted = max(self._wanted, number)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._head.shipped > number or self._is_stuck(),
                SHARED_TIMEOUT_S,
            )
            if self._head.shipped > number:
                return
            if isinstance(self._failure, IntegrityError):
                raise same_again(self._failure)
        raise _refusal("the store does not take it")

    def _is_stuck(self) -> bool:
        return isinstance(self._failure, IntegrityError)

    def _offer(self, first: int, lines: Sequence[bytes]) -> None:
        """Take lines that have become durable; they end in line feeds."""
        now = self._clock.monotonic()
        with self._changed:
            before = len(self._waiting)
            for number, line in enumerate(lines, first):
                self._waiting.append(_Waiting(number, line[:-1], now))
                self._waiting_bytes += len(line)
            # In between the shipper lingers anyway; waking it would cost each call.
            if not before or before < FULL <= len(self._waiting):
                self._changed.notify_all()

    def catch_up(self) -> None:
        """Find where the log ends, and ship what is only on this server's disk.

        Raises:
            IntegrityError: The log in the store is damaged, or ends before what this
                server has seen of it (AUDIT_CORRUPT).
            UnavailableError: The store cannot be reached.
        """
        head = _parse_mark(self._local.mark())
        self._check_known(head)
        self._head = head
        self.is_new = head.number == 0
        if head.number == 0 and self._local.next_number == 0:
            # A new server, whose lines cannot be there yet. What the newest batch
            # says of those before it is believed: servers of this store sealed it.
            for number, item in deque(self._shared.listed(), 1):
                newest = self._shared.read(number, item)
                self._set_head(LogHead(number + 1, newest.after))
        else:
            for batch in self._shared.batches(head.number):
                self._follow(batch)
        if self._head.shipped > self._local.next_number:
            raise log_damaged(
                "this server's audit log on disk is older than what it has put into "
                "the store"
            )
        backlog = self._local.lines(self._head.shipped)
        while lines := list(islice(backlog, MAX_LINES)):
            while lines:
                shipped = self._head.shipped
                self._ship(lines)
                del lines[: self._head.shipped - shipped]
        self._is_caught_up = True

    def _check_known(self, head: LogHead) -> None:
        """Check that the last batch that this server saw is there, and the same."""
        if head.number == 0:
            return
        found = next(self._shared.batches(head.number - 1), None)
        if found is None:
            raise log_damaged(
                f"the audit log in the store ends before entry {head.tree.size}, "
                "which this server has seen there: its tail is cut off"
            )
        if found.after != head.tree:
            raise log_damaged(
                f"the audit log in the store is not the one of which this server has "
                f"seen {head.tree.size} entries: two views of it differ"
            )

    def _run(self) -> None:
        """Ship until the end; the body of the thread."""
        while True:
            with self._changed:
                while (wait_s := self._wait_s()) != 0:
                    self._changed.wait(wait_s)
                if not self._waiting or (self._stopping and self._failure):
                    return
                lines = [item.line for item in islice(self._waiting, MAX_LINES)]
            try:
                self._ship(lines)
            except Exception as error:  # noqa: BLE001 - callers and `check_lag` tell
                self._note_failure(error)
                self._clock.sleep(RETRY_S)
            else:
                with self._changed:
                    self._failure = None

    def _wait_s(self) -> float | None:
        """Return how long to wait before the next batch; None for an event."""
        if self._stopping or len(self._waiting) >= FULL:
            return 0
        if not self._waiting:
            return None
        if self._wanted >= self._waiting[0].number:
            return 0
        age_s = self._clock.monotonic() - self._waiting[0].since_s
        return max(LINGER_S - age_s, 0)

    def _note_failure(self, error: Exception) -> None:
        failure = (
            error
            if isinstance(error, StrongroomError)
            else _refusal(type(error).__name__)
        )
        with self._changed:
            is_new = self._failure is None
            self._failure = failure
            self._changed.notify_all()
        if is_new:
            line = {"event": "audit_not_shipped", "reason": failure.reason.value}
            _LOG.error("%s", json.dumps({**line, "error": failure.message}))

    def _ship(self, lines: Sequence[bytes]) -> None:
        """Put the first lines into the log, or find that another server was first."""
        head = self._head
        own = tuple(lines[: how_many_fit(lines)])
        batch = AuditBatch(
            head.number, self._local.log_id, head.shipped, head.tree, own
        )
        if self._shared.put(batch.number, self._shared.seal(batch)):
            self._follow(batch)
            return
        # Perhaps our own, of an earlier try whose fate was not known.
        for number, item in self._shared.listed(head.number):
            self._follow(self._shared.read(number, item))

    def _follow(self, batch: AuditBatch) -> None:
        """Go on behind a batch, whoever put it there."""
        head = self._head
        if (batch.number, batch.before) != (head.number, head.tree):
            raise batch_damaged(batch.number)
        shipped = head.shipped
        if batch.writer == self._local.log_id:
            # Also one that an earlier run of this server had sent when it died.
            if batch.start != shipped:
                raise log_damaged(
                    f"batch {batch.number} was put by another process with the audit "
                    f"log {batch.writer}, which is this server's"
                )
            shipped = batch.end
        self.recent.add(batch)
        self._set_head(LogHead(batch.number + 1, batch.after, shipped))

    def _set_head(self, head: LogHead) -> None:
        with self._mark_lock:
            if not self.is_new:
                self._local.save_mark(_format_mark(head))
        with self._changed:
            self._head = head
            while self._waiting and self._waiting[0].number < head.shipped:
                self._waiting_bytes -= len(self._waiting.popleft().line) + 1
            self._changed.notify_all()


def _format_mark(head: LogHead) -> bytes:
    return canonical.encode(
        {
            "batch": head.number,
            "size": head.tree.size,
            "frontier": [item.hex() for item in head.tree.hashes],
            "shipped": head.shipped,
        }
    )


def _parse_mark(mark: bytes) -> LogHead:
    """Return what a mark says; if it is none, that nothing is known."""
    try:
        body = canonical.decode_object(mark, _MAX_MARK_BYTES)
        hashes = tuple(bytes.fromhex(item) for item in body["frontier"])
        tree = Frontier(int(body["size"]), hashes)
        return LogHead(int(body["batch"]), tree, int(body["shipped"]))
    except (canonical.MalformedError, KeyError, TypeError, ValueError):
        return LogHead()


def _refusal(cause: str) -> UnavailableError:
    return UnavailableError(
        f"the audit log cannot be written: {cause}",
        reason=Reason.AUDIT_UNAVAILABLE,
        hint="See that S3 can be reached and written to; nothing else has to be done.",
        cause=cause,
    )
