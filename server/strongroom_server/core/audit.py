# SPDX-License-Identifier: Apache-2.0
"""Audit events: one durable, hash-chained record of every call.

A line of the log is canonical JSON that names the SHA-256 of the line before.
Names of projects, artifacts, refs and paths never stand there in the clear:
`resource_id` holds keyed ids, and `sealed_resource` the name encrypted under the
store's audit key, so that an auditor with the key can read it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical

#: The `prev` of the first line.
GENESIS: Final = "0" * 64
#: The format of a line.
FORMAT: Final = 1
MAX_LINE_BYTES: Final = 8192
#: Calls that change nothing, by action, and those of nobody knows what: their events
#: are on this server's disk before the answer, and in the store within seconds. All
#: others', and those of actions to come, are in the store before the answer.
READS: Final = frozenset(
    {
        "",
        "artifact.get",
        "artifact.list",
        "journal.read",
        "project.list",
        "ref.list",
        "retention.explain",
        "server.info",
        "version.diff",
        "version.list",
        "version.read",
    }
)


class Phase(StrEnum):
    """Which part of a call an event records."""

    INTENT = "intent"
    OUTCOME = "outcome"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What is recorded of a call.

    Attributes:
        time: RFC 3339 in UTC, the server's clock.
        phase: INTENT before anything happens, OUTCOME after; CALL is both in one.
        call_id: The same for intent and outcome; 32 hex digits.
        principal: The peer's SPIFFE id, the person as `operator:NAME` if the call
            shows a login, or "" if it has neither.
        action: Such as `version.read`; "" for an unknown method.
        method: The gRPC method's full name.
        resource_id: A keyed id; shows equality, not the name.
        sealed_resource: The name, encrypted; base64, may be "".
        decision: `allow` or `deny`.
        policy: What decided: a binding's id, or `default`.
        outcome: gRPC status code name; "" in an intent.
        reason: `ErrorInfo.reason`; "" if none.
        trace_id: 32 hex digits.
        detail: Counts and digests, never names of what is stored: `bytes`, `files`;
            for people also how they signed in, and who approved.
    """

    time: str
    phase: Phase
    call_id: str
    principal: str
    action: str
    method: str
    resource_id: str
    sealed_resource: str
    decision: str
    policy: str
    outcome: str
    reason: str
    trace_id: str
    detail: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AuditReceipt:
    """Where an event stands in the log."""

    log_id: str
    number: int
    digest: str

    @property
    def audit_id(self) -> str:
        """The id that callers, errors and spans carry: `<log>-<number>`."""
        return f"{self.log_id}-{self.number}"


def format_line(event: AuditEvent, *, number: int, prev: str) -> bytes:
    """Return the line of an event, with its line feed."""
    body = {
        "format": FORMAT,
        "number": number,
        "prev": prev,
        "time": event.time,
        "phase": event.phase.value,
        "call_id": event.call_id,
        "principal": event.principal,
        "action": event.action,
        "method": event.method,
        "resource_id": event.resource_id,
        "sealed_resource": event.sealed_resource,
        "decision": event.decision,
        "policy": event.policy,
        "outcome": event.outcome,
        "reason": event.reason,
        "trace_id": event.trace_id,
        "detail": dict(event.detail),
    }
    return canonical.encode(body) + b"\n"


def line_digest(line: bytes) -> str:
    """Return what the next line names as `prev`."""
    return hashlib.sha256(line).hexdigest()


def verify_lines(
    lines: Iterable[bytes], *, number: int = 0, prev: str = GENESIS
) -> Iterator[tuple[int, str]]:
    """Yield each line's number and digest, or name the first line that is wrong.

    Raises:
        IntegrityError: A line is malformed, out of order, or does not name the
            one before (AUDIT_CORRUPT).
    """
    for line in lines:
        try:
            body = canonical.decode_object(line.rstrip(b"\n"), MAX_LINE_BYTES)
            good = (
                body["format"] == FORMAT
                and body["number"] == number
                and body["prev"] == prev
                and line.endswith(b"\n")
            )
        except (canonical.MalformedError, KeyError):
            good = False
        if not good:
            message = f"audit entry {number} is damaged, missing or out of order"
            raise IntegrityError(message, reason=Reason.AUDIT_CORRUPT, number=number)
        prev = line_digest(line)
        yield number, prev
        number += 1
