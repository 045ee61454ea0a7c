# SPDX-License-Identifier: Apache-2.0
"""What was asked of Vault, recorded: so that Vault's own audit log can be explained.

Vault gives every request an id and tells it with the answer. The entry of a call's
outcome names the ids of all that was asked for on its behalf; what was asked for
outside of calls, such as signatures of checkpoints, gets entries of its own.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final

from strongroom.errors import StrongroomError
from strongroom_server.core.audit import AuditEvent, Phase
from strongroom_server.core.key_requests import (
    ACTION,
    DETAIL,
    LOST,
    MAX_IDS,
    format_ids,
)
from strongroom_server.ports import Clock, KeyRequestSink, LocalAuditLog

#: Ids that wait to be recorded; beyond, the oldest are given up and counted.
MAX_WAITING: Final = 65_536
#: A call that goes on for longer has what it asked for recorded before its outcome.
STALE_S: Final = 30.0
_NO_TRACE: Final = "0" * 32


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that Vault answered."""

    request_id: str
    trace_id: str
    time_s: float


class KeyRequests:
    """Ids of Vault's requests on their way to the log; safe to use from threads."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._lost = 0

    def note(self, request_id: str, *, trace_id: str) -> None:
        """See `KeyRequestSink`."""
        now = self._clock.monotonic()
        with self._lock:
            self._waiting.append(_Request(request_id, trace_id or _NO_TRACE, now))
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self._lost += 1

    def take(self, trace_id: str) -> list[str]:
        """Return what was asked for in a trace, the first `MAX_IDS`; only once."""
        if not self._waiting:  # Nearly always; the lock is for those that have some.
            return []
        taken: list[str] = []
        with self._lock:
            kept: deque[_Request] = deque()
            for item in self._waiting:
                if item.trace_id == trace_id and len(taken) < MAX_IDS:
                    taken.append(item.request_id)
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
            kept: deque[_Request] = deque()
            for item in self._waiting:
                if item.trace_id == _NO_TRACE or item.time_s <= limit:
                    found.setdefault(item.trace_id, []).append(item.request_id)
                else:
                    kept.append(item)
            self._waiting = kept
            lost, self._lost = self._lost, 0
        return found, lost

    def give_back(self, found: Mapping[str, Sequence[str]], lost: int) -> None:
        """Take again what `take_others` returned, and could not be recorded."""
        for trace_id, ids in found.items():
            for request_id in ids:
                self.note(request_id, trace_id=trace_id)
        with self._lock:
            self._lost += lost


class KeyUse:
    """Puts ids of Vault's requests into a server's events; safe to use from threads."""

    def __init__(
        self, local: LocalAuditLog, requests: KeyRequests, *, clock: Clock
    ) -> None:
        self._local = local
        self._requests = requests
        self._clock = clock
        self._is_due = False

    def completed(self, event: AuditEvent) -> AuditEvent:
        """Return a call's event with what was asked of Vault for it, once it is known.

        That is with its last event, whatever it has come to.
        """
        self._is_due = True
        if event.phase is Phase.INTENT:
            return event
        ids = self._requests.take(event.trace_id)
        if not ids:
            return event
        return replace(event, detail=(*event.detail, (DETAIL, format_ids(ids))))

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
        found, lost = self._requests.take_others(age_s)
        try:
            for trace_id, ids in found.items():
                for start in range(0, len(ids), MAX_IDS):
                    self._record(trace_id, ids[start : start + MAX_IDS], 0)
            if lost:
                self._record(_NO_TRACE, [], lost)
        except StrongroomError:
            # Those that were recorded may be so twice, which harms nothing.
            self._is_due = True
            self._requests.give_back(found, lost)
            raise

    def _record(self, trace_id: str, ids: Sequence[str], lost: int) -> None:
        now = self._clock.now().astimezone(UTC).replace(tzinfo=None)
        detail = [(DETAIL, format_ids(ids))] if ids else [(LOST, str(lost))]
        self._local.append(
            AuditEvent(
                time=now.isoformat(timespec="microseconds") + "Z",
                phase=Phase.CALL,
                call_id="0" * 32,
                principal="",
                action=ACTION,
                method="",
                resource_id="",
                sealed_resource="",
                decision="allow",
                policy="default",
                outcome="OK",
                reason="",
                trace_id=trace_id,
                detail=tuple(detail),
            )
        )


_sink: type[KeyRequestSink] = KeyRequests
