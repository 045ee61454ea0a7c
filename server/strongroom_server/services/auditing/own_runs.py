# SPDX-License-Identifier: Apache-2.0
"""Audit entries of what a server does by its own schedule: nobody calls, it is told.

Each run has an entry before anything happens and one after it, as calls have; its
principal is the server itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final, Protocol

from strongroom.errors import StrongroomError
from strongroom_server.core.access import SERVER
from strongroom_server.core.audit import AuditEvent, Phase
from strongroom_server.ports import AuditSink, Clock, Entropy

#: What allowed it: the settings of the server.
POLICY: Final = "schedule"
_ID_BYTES: Final = 16


class NameSealer(Protocol):
    """Hides names: the keyring."""

    def resource_id(self, name: str) -> str:
        """Return the keyed id of a resource name."""
        ...

    def seal_name(self, name: str) -> str:
        """Return a resource name, encrypted under the store's audit key; base64."""
        ...


@dataclass(slots=True)
class OwnRun:
    """One run, from its first entry on.

    Attributes:
        action: The right that a caller would need for it.
        call_id: The same in both entries; 32 hex digits.
        trace_id: As a call's.
        audit_id: Of the first entry.
        detail: What the last entry says beside: counts and digests, no names.
    """

    action: str
    call_id: str
    trace_id: str
    audit_id: str = ""
    detail: dict[str, str] = field(default_factory=dict)


class OwnRuns:
    """Writes what a server does by itself. Safe to use from many threads."""

    def __init__(
        self,
        sink: AuditSink,
        *,
        names: NameSealer,
        principal: Callable[[], str],
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._sink = sink
        self._names = names
        self._principal = principal
        self._clock = clock
        self._entropy = entropy

    def begin(self, action: str, detail: Mapping[str, str] | None = None) -> OwnRun:
        """Write that a run begins; durable, in the log of all servers, on return.

        Raises:
            UnavailableError: It cannot be made durable (AUDIT_UNAVAILABLE); then
                nothing may happen.
        """
        token = self._entropy.token_bytes
        run = OwnRun(action, token(_ID_BYTES).hex(), token(_ID_BYTES).hex())
        run.audit_id = self._append(run, Phase.INTENT, "", "", detail or {})
        return run

    def end(self, run: OwnRun, failure: StrongroomError | None = None) -> None:
        """Write what has become of a run; errors as `begin`."""
        outcome = failure.code if failure else "OK"
        reason = failure.reason.value if failure else ""
        self._append(run, Phase.OUTCOME, outcome, reason, run.detail)

    def _append(
        self,
        run: OwnRun,
        phase: Phase,
        outcome: str,
        reason: str,
        detail: Mapping[str, str],
    ) -> str:
        now = self._clock.now().astimezone(UTC)
        event = AuditEvent(
            time=now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            phase=phase,
            call_id=run.call_id,
            principal=self._principal(),
            action=run.action,
            method="",
            resource_id=self._names.resource_id(SERVER),
            sealed_resource=self._names.seal_name(SERVER),
            decision="allow",
            policy=POLICY,
            outcome=outcome,
            reason=reason,
            trace_id=run.trace_id,
            detail=tuple(detail.items()),
        )
        return self._sink.append(event, shared=True).audit_id
