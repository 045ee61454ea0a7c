# SPDX-License-Identifier: Apache-2.0
"""Approvals: what people are asked to agree to, and what their security keys sign."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from strongroom.errors import IntegrityError, Reason

_CHALLENGE: Final = b"strongroom.approve.v1\0"


class ApprovalState(StrEnum):
    """What an approval is good for."""

    PENDING = "PENDING"
    #: Somebody approved it; how many people it takes, policies say.
    APPROVED = "APPROVED"
    DENIED = "DENIED"
    #: A server carries it out.
    IN_USE = "IN_USE"
    USED = "USED"
    EXPIRED = "EXPIRED"
    #: Who asked for it has taken it back.
    WITHDRAWN = "WITHDRAWN"


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom security keys sign for, in the words of WebAuthn."""

    relying_party: str
    origin: str


@dataclass(frozen=True, slots=True)
class TrustedStore:
    """For which store a person's security key signs, whatever a server says.

    Attributes:
        store_id: The store's id, 32 hex digits.
        relying_party: Whom its security keys sign for, a domain.
    """

    store_id: str
    relying_party: str

    def check_party(self, party: RelyingParty) -> None:
        """Check that a security key is to sign for nobody else.

        Raises:
            IntegrityError: It is (DIGEST_MISMATCH).
        """
        wanted = RelyingParty(self.relying_party, f"https://{self.relying_party}")
        if party != wanted:
            raise IntegrityError(
                f"the server asks for signatures for {party.relying_party!r} at "
                f"{party.origin!r}, not for {self.relying_party!r}",
                reason=Reason.DIGEST_MISMATCH,
                hint="Do not sign. Is this the right server? It is relying_party in "
                "client.toml that says whom to sign for.",
            )


@dataclass(frozen=True, slots=True)
class Consent:
    """One person's consent.

    Attributes:
        principal: Who.
        time: When.
        credential: The name of the security key.
    """

    principal: str
    time: datetime
    credential: str


@dataclass(frozen=True, slots=True)
class KeyAssertion:
    """What a security key answered."""

    credential_id: bytes
    authenticator_data: bytes
    client_data: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Approval:
    """What somebody asked to have approved, as a server tells it.

    Attributes:
        approval_id: Names it.
        method: The gRPC method's full name.
        action: The right that it needs.
        resources: What the request is about.
        requester: Who may send it.
        reason: Why, in the requester's words.
        create_time: When it was asked for.
        expire_time: From when on it counts for nothing.
        state: What it is good for.
        consents: Who approved it.
        needed_count: How many people have to approve it, by the policies of now; None
            if no number helps, or the server cannot tell.
        denier: Who denied it, or took it back; "" for nobody.
        deny_reason: Why.
        request: The request's bytes; only of `get_approval`.
        statement: What is approved, canonical JSON; only of `get_approval`.
        credential_ids: The caller's own security keys; only of `get_approval`.
        relying_party: Whom they sign for; only of `get_approval`.
    """

    approval_id: str
    method: str
    action: str
    resources: tuple[str, ...]
    requester: str
    reason: str
    create_time: datetime
    expire_time: datetime
    state: ApprovalState
    consents: tuple[Consent, ...] = ()
    needed_count: int | None = None
    denier: str = ""
    deny_reason: str = ""
    request: bytes = field(default=b"", repr=False)
    statement: bytes = field(default=b"", repr=False)
    credential_ids: tuple[bytes, ...] = field(default=(), repr=False)
    relying_party: RelyingParty | None = field(default=None, repr=False)

    @property
    def is_enough(self) -> bool:
        """Whether it can be run now, as far as the server can tell."""
        needed = 1 if self.needed_count is None else self.needed_count
        return self.state is ApprovalState.APPROVED and len(self.consents) >= max(
            needed, 1
        )

    @property
    def challenge(self) -> bytes:
        """What a security key signs to approve it, 32 bytes."""
        return hashlib.sha256(_CHALLENGE + self.statement).digest()

    @property
    def digest(self) -> str:
        """Names all of it: whoever repeats it has seen exactly this. 64 hex digits."""
        return self.challenge.hex()

    @property
    def store(self) -> str:
        """The id of the store in which it would count; "" if it says none."""
        try:
            told = json.loads(self.statement)
        except ValueError:
            return ""
        return str(told.get("store", "")) if isinstance(told, dict) else ""

    def check_store(self, trusted: TrustedStore) -> None:
        """Check that it counts in no other store: a server may pass on another's.

        Raises:
            IntegrityError: It does (DIGEST_MISMATCH).
        """
        if self.store != trusted.store_id:
            raise IntegrityError(
                f"approval {self.approval_id} would count in the store "
                f"{self.store!r}, not in {trusted.store_id!r}",
                reason=Reason.DIGEST_MISMATCH,
                hint="Do not approve it; tell whoever runs the server. It is store_id "
                "in client.toml that says which store is yours.",
                approval=self.approval_id,
            )

    def check_statement(self) -> None:
        """Check that what would be signed is what the other attributes show.

        A server, or whoever speaks for it, could show one thing and have another
        one signed.

        Raises:
            IntegrityError: It is not (DIGEST_MISMATCH).
        """
        try:
            told = json.loads(self.statement)
        except ValueError:
            told = None
        want: Mapping[str, object] = {
            "id": self.approval_id,
            "method": self.method,
            "request_sha256": hashlib.sha256(self.request).hexdigest(),
            "requester": self.requester,
            "reason": self.reason,
            "create_time": int(self.create_time.timestamp()),
            "expire_time": int(self.expire_time.timestamp()),
        }
        same = isinstance(told, dict) and all(
            told.get(key) == value for key, value in want.items()
        )
        if not same or {*told} != {*want, "format", "store"}:
            raise IntegrityError(
                f"approval {self.approval_id} is not what the server shows of it",
                reason=Reason.DIGEST_MISMATCH,
                hint="Do not approve it; tell whoever runs the server.",
                approval=self.approval_id,
            )


@dataclass(frozen=True, slots=True)
class ApprovalListing:
    """The approvals whose time is not over.

    Attributes:
        approvals: Those that can still be used first; each the first to end first.
        damaged: Ids of those that are damaged, and count for nothing.
        relying_party: Whom security keys sign for; None if the server knows none.
    """

    approvals: tuple[Approval, ...]
    damaged: tuple[str, ...]
    relying_party: RelyingParty | None
