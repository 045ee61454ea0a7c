# SPDX-License-Identifier: Apache-2.0
"""What a call leaves behind: audit entries, one span, one log line, no names."""

import json
import logging
from datetime import UTC
from functools import lru_cache
from typing import Final, Protocol

from opentelemetry.trace import Span, Status, StatusCode

from strongroom.errors import StrongroomError
from strongroom_server.core.access import BREAK_GLASS
from strongroom_server.core.audit import READS, AuditEvent, Phase
from strongroom_server.ports import Approved, AuditSink, Clock
from strongroom_server.rpc.call import Call
from strongroom_server.rpc.failures import frames_of
from strongroom_server.rpc.identity import Peer
from strongroom_server.rpc.targets import Target

LOG: Final = logging.getLogger("strongroom_server.calls")

OK: Final = "OK"

#: Projects and artifacts whose ids and sealed names are remembered.
_REMEMBERED: Final = 4096


class NameSealer(Protocol):
    """Hides names: the keyring, as the guard needs it."""

    def resource_id(self, name: str) -> str:
        """Return the keyed id of a resource name."""
        ...

    def seal_name(self, name: str) -> str:
        """Return a resource name, encrypted under the store's audit key; base64."""
        ...


class CallAudit:
    """Writes what happened to calls. Safe to use from many threads."""

    def __init__(self, sink: AuditSink, *, names: NameSealer, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._resource_id = lru_cache(_REMEMBERED)(names.resource_id)
        self._seal = names.seal_name
        self._sealed = lru_cache(_REMEMBERED)(names.seal_name)

    def name_targets(self, call: Call, targets: tuple[Target, ...]) -> None:
        """Note what a call is about, so that its entries show it."""
        first = targets[0]
        call.resource_id = self._resource_id(first.scope)
        if len(targets) == 1 and first.resource == first.scope:
            # The id says already which entries are about the same; so may this.
            call.sealed_resource = self._sealed(first.resource)
            return
        # But of one artifact, nobody without the key sees which version.
        names = dict.fromkeys(target.resource for target in targets)
        call.sealed_resource = self._seal(" ".join(names))

    def append(self, call: Call, phase: Phase, failure: StrongroomError | None) -> None:
        """Write an entry, durable on return; the first one gives the call its id.

        Raises:
            UnavailableError: It could not be made durable (AUDIT_UNAVAILABLE).
        """
        receipt = self._sink.append(
            AuditEvent(
                time=self._time(),
                phase=phase,
                call_id=call.call_id,
                principal=call.peer.principal,
                action=call.action,
                method=call.method,
                resource_id=call.resource_id,
                sealed_resource=call.sealed_resource,
                decision="allow" if call.decision.allowed else "deny",
                policy=call.decision.policy_id,
                outcome="" if phase is Phase.INTENT else _code(failure),
                reason=failure.reason.value if failure else "",
                trace_id=call.trace_id,
                detail=_detail(call, phase),
            ),
            shared=call.action not in READS,
        )
        first = not call.audit_id
        call.audit_id = call.audit_id or receipt.audit_id
        if first and BREAK_GLASS in call.decision.policies and call.decision.allowed:
            self._warn(call)

    def _warn(self, call: Call) -> None:
        line = {
            "time": self._time(),
            "event": "break_glass",
            "method": call.method,
            "principal": call.peer.principal,
            "resource_id": call.resource_id,
            "trace_id": call.trace_id,
            "audit_id": call.audit_id,
        }
        LOG.warning("%s", json.dumps(line))

    def describe(self, call: Call, span: Span, failure: StrongroomError | None) -> None:
        """Complete the call's span and write its log line."""
        _complete(span, call, failure)
        if not LOG.isEnabledFor(logging.INFO):
            return
        line = {
            "time": self._time(),
            "event": "call",
            "method": call.method,
            "code": _code(failure),
            "reason": failure.reason.value if failure else "",
            "principal": call.peer.principal,
            "workload": call.peer.workload,
            "resource_id": call.resource_id,
            "duration_ms": round((self._clock.monotonic() - call.started_s) * 1000, 3),
            "trace_id": call.trace_id,
            "audit_id": call.audit_id,
            **call.detail,
        }
        # As `info`, which would look for the place in the code that calls it.
        text = json.dumps(line)
        LOG.handle(LOG.makeRecord(LOG.name, logging.INFO, "", 0, text, (), None))

    def describe_bug(self, call: Call, error: BaseException) -> None:
        """Log where an unforeseen error came from; its text could hold names."""
        line = {
            "time": self._time(),
            "event": "bug",
            "method": call.method,
            "error": type(error).__qualname__,
            "frames": frames_of(error),
            "trace_id": call.trace_id,
        }
        LOG.error("%s", json.dumps(line))

    def _time(self) -> str:
        now = self._clock.now().astimezone(UTC)
        return now.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _complete(span: Span, call: Call, failure: StrongroomError | None) -> None:
    if not span.is_recording():
        return
    attributes: dict[str, str | int] = {
        "rpc.response.status_code": _code(failure),
        "strongroom.action": call.action,
        "strongroom.resource_id": call.resource_id,
        "strongroom.audit_id": call.audit_id,
        "strongroom.reason": failure.reason.value if failure else "",
    }
    told = {key: value for key, value in attributes.items() if value}
    told |= {f"strongroom.{key}": count for key, count in call.detail.items()}
    span.set_attributes(told)
    if failure:
        span.set_status(Status(StatusCode.ERROR, failure.reason.value))


def _detail(call: Call, phase: Phase) -> tuple[tuple[str, str], ...]:
    """Return the counts of a call and, in its first event, whom and what it shows."""
    counts = (
        *call.notes.items(),
        *((key, str(call.detail[key])) for key in call.detail),
    )
    peer = call.peer
    if phase is Phase.OUTCOME or not peer.principal:
        return counts
    connection = (
        ("certificate", peer.certificate_digest),
        ("key_exchange", peer.key_exchange),
    )
    return (*connection, *_person(peer), *_approval(call.approved), *counts)


def _person(peer: Peer) -> tuple[tuple[str, str], ...]:
    """Return by what program a person called, and how they had signed in."""
    operator = peer.operator
    if operator is None:
        return ()
    return (
        ("workload", peer.workload),
        ("mfa", "true" if operator.mfa else "false"),
        ("auth_age_s", str(peer.auth_age_s)),
        ("acr", operator.acr),
        ("amr", " ".join(operator.amr)),
    )


def _approval(approved: Approved | None) -> tuple[tuple[str, str], ...]:
    if approved is None:
        return ()
    return (
        ("approval", approved.approval_id),
        ("approvers", " ".join(approved.approvers)),
    )


def _code(failure: StrongroomError | None) -> str:
    return failure.code if failure else OK
