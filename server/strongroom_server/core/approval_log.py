# SPDX-License-Identifier: Apache-2.0
"""The life of one approval: a short log of what happened to it, and what it adds up to.

Records have dense numbers and each names the digest of the one before, so that of
two servers that decide at once one comes second and decides again.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

from strongroom_server.core.approvals import (
    ApprovalRequest,
    Assertion,
    integer_of,
    parse_request,
    text_of,
)
from strongroom_server.core.canonical import decode_base64
from strongroom_server.core.sealing import ObjectKind, object_error

#: Records of one approval: nobody needs more, and nobody can make it slow to read.
MAX_RECORDS: Final = 64
#: A record's body: a request of 64 KiB in base64, and what is said of it.
MAX_RECORD_BYTES: Final = 128 * 1024
#: What the first record names as the one before it.
GENESIS: Final = "0" * 64


class ApprovalState(StrEnum):
    """What an approval is good for."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    DENIED = "DENIED"
    IN_USE = "IN_USE"
    USED = "USED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


@dataclass(frozen=True, slots=True)
class Requested:
    """Somebody asked for it.

    Attributes:
        request: What is to be approved.
        data: The request's bytes.
        workload: The SPIFFE id of the connection that asked.
    """

    request: ApprovalRequest
    data: bytes
    workload: str


@dataclass(frozen=True, slots=True)
class Consented:
    """A person approved it, with a security key.

    Attributes:
        principal: Who, as `operator:NAME`.
        assertion: What the key signed.
        counter: The key's counter, as told.
        time_s: When, in Unix seconds.
        audit_id: The call's entry in the audit log.
    """

    principal: str
    assertion: Assertion
    counter: int
    time_s: int
    audit_id: str


@dataclass(frozen=True, slots=True)
class Denied:
    """Somebody denied it, and why; nobody can approve it any more.

    If that is who asked for it, it was withdrawn.
    """

    principal: str
    reason: str
    time_s: int
    audit_id: str


@dataclass(frozen=True, slots=True)
class Used:
    """A server began to carry it out.

    Attributes:
        time_s: When, in Unix seconds.
        until_s: When it counts as broken off, if nothing ends it: that server says
            so, since others may give calls another time.
    """

    time_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class Released:
    """It failed, and may be tried again."""

    time_s: int


@dataclass(frozen=True, slots=True)
class Finished:
    """It succeeded; that was all."""

    time_s: int


Event: TypeAlias = Requested | Consented | Denied | Used | Released | Finished


@dataclass(frozen=True, slots=True)
class Approval:
    """What an approval's records add up to.

    Attributes:
        requested: The first record.
        consents: In order; at most one of a person.
        denied: Who denied it, if anybody did.
        used: The last use that did not fail, if there is one.
        used_number: The number of its record; -1 for none.
        used_stored_s: When that was written, in Unix seconds of the store's clock.
        finished: When it succeeded, if it did.
        record_count: How many records there are.
        head: The digest of the last one, in hex.
    """

    requested: Requested
    consents: tuple[Consented, ...] = ()
    denied: Denied | None = None
    used: Used | None = None
    used_number: int = -1
    used_stored_s: float = 0.0
    finished: Finished | None = None
    record_count: int = 1
    head: str = GENESIS

    @property
    def request(self) -> ApprovalRequest:
        """What is to be approved."""
        return self.requested.request

    @property
    def is_withdrawn(self) -> bool:
        """Whether who asked for it has taken it back."""
        denied = self.denied
        return denied is not None and is_same(denied.principal, self.request.requester)

    def state(self, now_s: int) -> ApprovalState:
        """Return what it is good for now, in Unix seconds."""
        if self.finished is not None:
            return ApprovalState.USED
        if self.denied is not None:
            return (
                ApprovalState.WITHDRAWN if self.is_withdrawn else ApprovalState.DENIED
            )
        if now_s >= self.request.expire_s:
            return ApprovalState.EXPIRED
        if self.used is not None and now_s < self.used.until_s:
            return ApprovalState.IN_USE
        return ApprovalState.APPROVED if self.consents else ApprovalState.PENDING


def is_same(one: str, other: str) -> bool:
    """Tell whether two principals are one, however an identity provider spells them."""
    return one.casefold() == other.casefold()


def digest(data: bytes) -> str:
    """Return how the next record names a stored one."""
    return hashlib.sha256(data).hexdigest()


def event_body(event: Event, before: str) -> dict[str, object]:
    """Return a record as canonical JSON has it.

    Args:
        event: What happened.
        before: The digest of the record before, in hex.
    """
    body: dict[str, object] = {"kind": _KINDS[type(event)], "before": before}
    match event:
        case Requested(request=request, data=data, workload=workload):
            body |= {"request": request.to_body(), "bytes": _encode(data)}
            body |= {"workload": workload}
        case Consented():
            assertion = event.assertion
            body |= {
                "principal": event.principal,
                "credential_id": _encode(assertion.credential_id),
                "authenticator_data": _encode(assertion.authenticator_data),
                "client_data": _encode(assertion.client_data),
                "signature": _encode(assertion.signature),
                "counter": event.counter,
                "time": event.time_s,
                "audit_id": event.audit_id,
            }
        case Denied():
            body |= {"principal": event.principal, "reason": event.reason}
            body |= {"time": event.time_s, "audit_id": event.audit_id}
        case Used():
            body |= {"time": event.time_s, "until": event.until_s}
        case Released() | Finished():
            body |= {"time": event.time_s}
    return body


def fold(
    approval_id: str, records: Sequence[tuple[Mapping[str, Any], str]]
) -> Approval:
    """Return what records add up to.

    Args:
        approval_id: Below whose place they lie.
        records: Of each, from the first on, the body and the digest.

    Raises:
        IntegrityError: They are no records that this release wrote there
            (RECORD_CORRUPT).
    """
    try:
        approval = _fold(records)
    except (ValueError, KeyError, TypeError) as error:
        raise object_error(ObjectKind.APPROVAL) from error
    if approval.request.approval_id != approval_id:
        raise object_error(ObjectKind.APPROVAL)
    return approval


def _fold(records: Iterable[tuple[Mapping[str, Any], str]]) -> Approval:
    approval: Approval | None = None
    for body, record_digest in records:
        if text_of(body, "before") != (approval.head if approval else GENESIS):
            message = "the record follows another one"
            raise ValueError(message)
        event = _parse(body)
        if approval is None:
            if not isinstance(event, Requested):
                message = "the first record asks for nothing"
                raise ValueError(message)
            approval = Approval(event, head=record_digest)
            continue
        count = approval.record_count
        approval = replace(
            _apply(approval, event, count), record_count=count + 1, head=record_digest
        )
    if approval is None:
        message = "there is no record"
        raise ValueError(message)
    return approval


def _apply(approval: Approval, event: Event, number: int) -> Approval:
    ended = approval.finished is not None
    match event:
        case Consented() if not ended and approval.denied is None:
            return replace(approval, consents=(*approval.consents, event))
        case Denied() if not ended and approval.denied is None:
            return replace(approval, denied=event)
        case Used() if not ended and approval.denied is None:
            return replace(approval, used=event, used_number=number)
        case Released() if not ended and approval.used is not None:
            return replace(approval, used=None, used_number=-1)
        case Finished() if not ended:
            # Late, perhaps: it happened, whatever was decided meanwhile.
            return replace(approval, finished=event)
        case _:
            message = f"{_KINDS[type(event)]} cannot follow"
            raise ValueError(message)


def _parse(body: Mapping[str, Any]) -> Event:
    match body.get("kind"):
        case "REQUEST":
            request = parse_request(body["request"])
            data = decode_base64(body["bytes"])
            if request.request_sha256 != digest(data):
                message = "the request has another digest"
                raise ValueError(message)
            return Requested(request, data, text_of(body, "workload"))
        case "APPROVE":
            parts = ("credential_id", "authenticator_data", "client_data", "signature")
            return Consented(
                text_of(body, "principal"),
                Assertion(*(decode_base64(body[part]) for part in parts)),
                integer_of(body, "counter"),
                integer_of(body, "time"),
                text_of(body, "audit_id"),
            )
        case "DENY":
            return Denied(
                text_of(body, "principal"),
                text_of(body, "reason"),
                integer_of(body, "time"),
                text_of(body, "audit_id"),
            )
        case "USE":
            return Used(integer_of(body, "time"), integer_of(body, "until"))
        case "RELEASE":
            return Released(integer_of(body, "time"))
        case "FINISH":
            return Finished(integer_of(body, "time"))
        case kind:
            message = f"{kind!r} is no kind of record"
            raise ValueError(message)


_KINDS: Final[Mapping[type[Event], str]] = {
    Requested: "REQUEST",
    Consented: "APPROVE",
    Denied: "DENY",
    Used: "USE",
    Released: "RELEASE",
    Finished: "FINISH",
}


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
