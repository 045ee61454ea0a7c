# SPDX-License-Identifier: Apache-2.0
"""What calls have done elsewhere, recorded: requests to Vault, entries of journals.

Vault gives every request an id and tells it with the answer; the entry of a call's
outcome names the ids of all that was asked for on its behalf, so that Vault's own log
can be explained. It names the journal entries that the call wrote, too, so that a
journal whose end was cut off shows. What belongs to no call, such as signatures of
checkpoints, gets entries of its own.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.core import journal_heads, key_requests
from strongroom_server.core.audit import AuditEvent, Phase
from strongroom_server.ports import (
    Clock,
    JournalHeadSink,
    KeyRequestSink,
    LocalAuditLog,
)

#: Notes that wait to be recorded; beyond, the oldest are given up and counted.
MAX_WAITING: Final = 65_536
#: A call that goes on for longer has what it asked for recorded before its outcome.
STALE_S: Final = 30.0
_NO_TRACE: Final = "0" * 32


@dataclass(frozen=True, slots=True)
class _Note:
    """Something that was done, in which trace, and when."""

    text: str
    trace_id: str
    time_s: float


class CallNotes:
    """Notes of one kind on their way to the log; safe to use from many threads.

    Attributes:
        detail: Under which name entries hold them.
        action: Of entries that are none of a call's.
        at_most: In one entry.
    """

    def __init__(self, detail: str, action: str, at_most: int, clock: Clock) -> None:
        self.detail = detail
        self.action = action
        self.at_most = at_most
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_Note] = deque()
        self._lost = 0

    def add(self, text: str, trace_id: str) -> None:
        """Take a note; it holds no comma."""
        now = self._clock.monotonic()
        with self._lock:
            self._waiting.append(_Note(text, trace_id or _NO_TRACE, now))
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self._lost += 1

    def take(self, trace_id: str) -> list[str]:
        """Return the notes of a trace, the first `at_most`; only once."""
        if not self._waiting:  # Nearly always; the lock is for those that have some.
            return []
        taken: list[str] = []
        with self._lock:
            kept: deque[_Note] = deque()
            for item in self._waiting:
                if item.trace_id == trace_id and len(taken) < self.at_most:
                    taken.append(item.text)
                else:
                    kept.append(item)
            self._waiting = kept
        return taken

    def take_others(self, age_s: float) -> tuple[dict[str, list[str]], int]:
        """Return, by trace, what no call's outcome will name, and how many were lost.

        That is what belongs to no trace, and what has waited for `age_s`.
        """
        limit = self._clock.monotonic() - age_s
        found: dict[str, list[str]] = {}
        with self._lock:
            kept: deque[_Note] = deque()
            for item in self._waiting:
                if item.trace_id == _NO_TRACE or item.time_s <= limit:
                    found.setdefault(item.trace_id, []).append(item.text)
                else:
                    kept.append(item)
            self._waiting = kept
            lost, self._lost = self._lost, 0
        return found, lost

    def give_back(self, found: Mapping[str, Sequence[str]], lost: int) -> None:
        """Take again what `take_others` returned, and could not be recorded."""
        for trace_id, texts in found.items():
            for text in texts:
                self.add(text, trace_id)
        with self._lock:
            self._lost += lost


class KeyRequests(CallNotes):
    """Ids of requests to Vault that did something with keys."""

    def __init__(self, *, clock: Clock) -> None:
        kind = key_requests
        super().__init__(kind.DETAIL, kind.ACTION, kind.MAX_IDS, clock)

    def note(self, request_id: str, *, trace_id: str) -> None:
        """See `KeyRequestSink`."""
        self.add(request_id, trace_id)


class JournalHeads(CallNotes):
    """Journal entries that this server wrote."""

    def __init__(self, *, clock: Clock) -> None:
        kind = journal_heads
        super().__init__(kind.DETAIL, kind.ACTION, kind.MAX_HEADS, clock)

    def note_head(self, key: str, digest: bytes, *, trace_id: str) -> None:
        """See `JournalHeadSink`."""
        self.add(journal_heads.format_head(key, digest), trace_id)


class KeyUse:
    """Puts notes into a server's events; safe to use from many threads."""

    def __init__(
        self, local: LocalAuditLog, notes: Sequence[CallNotes], *, clock: Clock
    ) -> None:
        self._local = local
        self._notes = notes
        self._clock = clock
        self._is_due = False

    def completed(self, event: AuditEvent) -> AuditEvent:
        """Return a call's event with what was noted for it, once all of it is known.

        That is with its last event, whatever it has come to.
        """
        self._is_due = True
        if event.phase is Phase.INTENT:
            return event
        found = [(kind.detail, kind.take(event.trace_id)) for kind in self._notes]
        detail = tuple((name, ",".join(texts)) for name, texts in found if texts)
        return replace(event, detail=(*event.detail, *detail)) if detail else event

    def flush(self) -> None:
        """Record what no call's event names, if there were calls since the last time.

        Without calls there is nothing but signatures of the log itself; would those
        be recorded at once, the record would have to be signed, and so on for ever.

        Raises:
            UnavailableError: The disk refuses (AUDIT_UNAVAILABLE).
        """
        if self._is_due:
            self._is_due = False
            self._record_all(STALE_S)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Record all that is left when the context ends, while it is still shipped."""
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Record all that is left: at the very end on disk, for the next start to ship.

        Raises:
            UnavailableError: The disk refuses (AUDIT_UNAVAILABLE).
        """
        self._record_all(0)

    def _record_all(self, age_s: float) -> None:
        for kind in self._notes:
            found, lost = kind.take_others(age_s)
            try:
                for trace_id, texts in found.items():
                    for start in range(0, len(texts), kind.at_most):
                        part = ",".join(texts[start : start + kind.at_most])
                        self._record(kind.action, trace_id, (kind.detail, part))
                if lost:
                    told = (f"{kind.detail}_lost", str(lost))
                    self._record(kind.action, _NO_TRACE, told)
            except StrongroomError:
                # Those that were recorded may be so twice, which harms nothing.
                self._is_due = True
                kind.give_back(found, lost)
                raise

    def _record(self, action: str, trace_id: str, detail: tuple[str, str]) -> None:
        now = self._clock.now().astimezone(UTC).replace(tzinfo=None)
        self._local.append(
            AuditEvent(
                time=now.isoformat(timespec="microseconds") + "Z",
                phase=Phase.CALL,
                call_id="0" * 32,
                principal="",
                action=action,
                method="",
                resource_id="",
                sealed_resource="",
                decision="allow",
                policy="default",
                outcome="OK",
                reason="",
                trace_id=trace_id,
                detail=(detail,),
            )
        )


_requests: type[KeyRequestSink] = KeyRequests
_heads: type[JournalHeadSink] = JournalHeads
