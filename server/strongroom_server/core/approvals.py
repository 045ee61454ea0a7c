# SPDX-License-Identifier: Apache-2.0
"""Approvals: what exactly people approve, and what their security keys sign.

An approval is of one request, byte for byte, of one principal, in one store. Its
canonical bytes are what everybody hashes: the server, and the approver's own
client, which believes no server about what it shows.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import InvalidArgumentError, PermissionDeniedError, Reason
from strongroom_server.core import canonical

#: A request that is to be approved fits on a person's screen, more or less.
MAX_REQUEST_BYTES: Final = 64 * 1024
MAX_REASON_CHARS: Final = 1000
#: Longer than that nobody is to wait for a person; 15 minutes are the default.
MAX_EXPIRE_S: Final = 86_400
MAX_CREDENTIAL_ID_BYTES: Final = 1023
MAX_ASSERTION_BYTES: Final = 8 * 1024

_FORMAT: Final = 1
_MAX_BYTES: Final = 16 * 1024
_CHALLENGE: Final = b"strongroom.approve.v1\0"
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{10}\Z")
_KEYS: Final = frozenset(
    {
        "format", "id", "store", "method", "request_sha256", "requester", "reason",
        "create_time", "expire_time",
    }
)  # fmt: skip

#: Random bytes in an approval's id, and those that only the store's servers can make.
ID_RANDOM_BYTES: Final = 2
_ID_MAC_BYTES: Final = 3
_ID_LABEL: Final = b"strongroom.approval-id.v1\0"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is to be approved.

    Attributes:
        approval_id: When it expires, so that a listing that begins at now has those
            that are alive, and ten digits that only servers of the store can make.
        store: The store's id, 32 hex digits.
        method: The full name of the gRPC method.
        request_sha256: Of the request's bytes, 64 hex digits.
        requester: The principal that may send it.
        reason: Why, in the requester's words.
        create_s: When it was asked for, in Unix seconds.
        expire_s: From when on it counts for nothing, in Unix seconds.
    """

    approval_id: str
    store: str
    method: str
    request_sha256: str
    requester: str
    reason: str
    create_s: int
    expire_s: int

    @property
    def canonical(self) -> bytes:
        """The bytes that are approved."""
        return canonical.encode(self.to_body())

    @property
    def challenge(self) -> bytes:
        """What an approver's security key signs, 32 bytes."""
        return hashlib.sha256(_CHALLENGE + self.canonical).digest()

    def to_body(self) -> dict[str, object]:
        """Return it as canonical JSON has it."""
        return {
            "format": _FORMAT,
            "id": self.approval_id,
            "store": self.store,
            "method": self.method,
            "request_sha256": self.request_sha256,
            "requester": self.requester,
            "reason": self.reason,
            "create_time": self.create_s,
            "expire_time": self.expire_s,
        }


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a security key answered: WebAuthn's, byte for byte.

    Attributes:
        credential_id: Of the key's credential.
        authenticator_data: What the key says of itself, and that is signed.
        client_data: The JSON that names challenge and origin, and that is signed.
        signature: Over both.
    """

    credential_id: bytes
    authenticator_data: bytes
    client_data: bytes
    signature: bytes


def parse_request(body: Mapping[str, Any]) -> ApprovalRequest:
    """Read what `to_body` made.

    Raises:
        ValueError: It is nothing of the kind.
    """
    if set(body) != _KEYS or body["format"] != _FORMAT:
        message = "the approval has other fields"
        raise ValueError(message)
    return ApprovalRequest(
        approval_id=text_of(body, "id"),
        store=text_of(body, "store"),
        method=text_of(body, "method"),
        request_sha256=text_of(body, "request_sha256"),
        requester=text_of(body, "requester"),
        reason=text_of(body, "reason"),
        create_s=integer_of(body, "create_time"),
        expire_s=integer_of(body, "expire_time"),
    )


def text_of(body: Mapping[str, Any], key: str) -> str:
    """Return a text of a decoded record; ValueError."""
    value = body.get(key)
    if not isinstance(value, str):
        message = f"{key} is no text"
        raise ValueError(message)  # noqa: TRY004 (of a record, not of a program)
    return value


def integer_of(body: Mapping[str, Any], key: str) -> int:
    """Return an integer of a decoded record; ValueError."""
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        message = f"{key} is no number"
        raise ValueError(message)
    return value


def make_id(expire_s: int, random: bytes, key: bytes) -> str:
    """Return an approval's id.

    Args:
        expire_s: When it expires, in Unix seconds.
        random: `ID_RANDOM_BYTES` of them.
        key: The store's; without it nobody can make ids that a listing looks at.
    """
    head = f"{expire_s:08x}-{random.hex()}"
    return head + _id_mac(head, key)


def is_made_id(text: str, key: bytes) -> bool:
    """Tell whether `make_id` made an id under this key."""
    head = text[: -2 * _ID_MAC_BYTES]
    return is_id(text) and hmac.compare_digest(text, head + _id_mac(head, key))


def _id_mac(head: str, key: bytes) -> str:
    mac = hmac.digest(key, _ID_LABEL + head.encode(), "sha256")
    return mac[:_ID_MAC_BYTES].hex()


def first_id(expire_s: int) -> str:
    """Return what sorts before the ids of all that expire then or later."""
    return f"{expire_s:08x}"


def is_id(text: str) -> bool:
    """Tell whether a text has the form of an approval's id."""
    return bool(_ID.match(text))


def check_wanted(method: str, data: bytes, reason: str) -> None:
    """Check the bounds of what is to be approved.

    Raises:
        InvalidArgumentError: The request is too long, or no reason is given.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise InvalidArgumentError(
            f"the request has {len(data)} bytes; at most {MAX_REQUEST_BYTES} can be "
            f"approved",
            hint="Ask for less at once.",
            method=method,
            size_bytes=len(data),
        )
    if not reason.strip() or len(reason) > MAX_REASON_CHARS:
        raise InvalidArgumentError(
            f"an approval needs a reason of 1 to {MAX_REASON_CHARS} characters",
            hint="Say to the others why: --reason.",
            field="reason",
        )


def check_same(
    approval: ApprovalRequest, *, store: str, method: str, data: bytes, requester: str
) -> None:
    """Check that a call is the one that an approval is of.

    Raises:
        PermissionDeniedError: It is not (APPROVAL_INVALID).
    """
    if approval.requester != requester or approval.store != store:
        # Not whose: whoever guessed an id learns nothing from it.
        raise unknown_approval(approval.approval_id)
    if approval.method != method:
        raise invalid(
            approval.approval_id, f"it is of {approval.method}, not of {method}"
        )
    if approval.request_sha256 != hashlib.sha256(data).hexdigest():
        raise invalid(approval.approval_id, "it is of a request with other bytes")


def invalid(approval_id: str, why: str) -> PermissionDeniedError:
    """Return the refusal of an approval that is not for this."""
    return PermissionDeniedError(
        f"approval {approval_id} does not count: {why}",
        reason=Reason.APPROVAL_INVALID,
        hint="strongroom approvals run sends what was approved, and nothing else.",
        approval=approval_id,
    )


def used_elsewhere(approval_id: str) -> PermissionDeniedError:
    """Return what a call ends with that succeeded under another call's use."""
    return PermissionDeniedError(
        f"approval {approval_id} was taken into use by another call before this one "
        f"ended; this one happened, too",
        reason=Reason.APPROVAL_USED,
        hint="Compare the servers' clocks, and look at both calls: strongroom audit ls",
        approval=approval_id,
    )


def unknown_approval(approval_id: str) -> PermissionDeniedError:
    """Return the refusal of an approval that is not there, or not the caller's."""
    shown = approval_id if is_id(approval_id) else "of that name"
    return PermissionDeniedError(
        f"there is no approval {shown} for this caller",
        reason=Reason.APPROVAL_INVALID,
        hint="See: strongroom approvals ls",
        approval=shown,
    )
