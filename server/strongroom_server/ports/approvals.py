# SPDX-License-Identifier: Apache-2.0
"""The ports of approvals: the book of them, and what checks a person's assertion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from strongroom_server.core.approvals import Assertion
from strongroom_server.core.operator_credentials import OperatorCredential


@dataclass(frozen=True, slots=True)
class Approved:
    """One request that other people approved, byte for byte.

    Attributes:
        approval_id: Of the approval.
        approvers: The principals of distinct people, none of them the requester;
            at least one, in the order in which they approved.
    """

    approval_id: str
    approvers: tuple[str, ...]


class ApprovalBook(Protocol):
    """Knows which requests were approved, and sees to it that each runs once.

    All servers of a store share one book. Errors as for `BlobStore`, and
    IntegrityError (RECORD_CORRUPT) if what is stored of the approval is damaged.
    """

    def check(
        self, approval_id: str, *, method: str, request: bytes, requester: str
    ) -> Approved:
        """Return who approved exactly this request of exactly this principal.

        Nothing is changed: it may be asked before access is decided.

        Args:
            approval_id: As the caller names it; any text.
            method: The full name of the gRPC method.
            request: The raw bytes of the one request, as they came.
            requester: The principal of the call.

        Raises:
            PermissionDeniedError: There is no such approval, or it is of another
                request, method or principal (APPROVAL_INVALID); its time is over
                (APPROVAL_EXPIRED); it was used, or is in use (APPROVAL_USED);
                somebody denied it (APPROVAL_DENIED); nobody has approved it yet
                (APPROVAL_REQUIRED).
        """
        ...

    def use(self, approved: Approved) -> None:
        """Take an approval into use; to be called right before the servicer.

        Of several calls at once, on whatever server, exactly one gets through. A use
        that neither `finish` nor `release` ended counts as broken off after some
        minutes, and the same request may run again.

        Raises:
            PermissionDeniedError: It was used, or is in use (APPROVAL_USED); its
                time is over (APPROVAL_EXPIRED); somebody denied it meanwhile
                (APPROVAL_DENIED).
        """
        ...

    def finish(self, approved: Approved) -> None:
        """Note that the request succeeded: it never runs under this approval again.

        Raises:
            PermissionDeniedError: Another call has taken it into use meanwhile, so
                it may have happened twice (APPROVAL_USED); it is noted all the same.
        """
        ...

    def release(self, approved: Approved) -> None:
        """Note that the request failed and runs no more: it may be tried again."""
        ...


class AssertionVerifier(Protocol):
    """Checks what a security key signed for the person who holds it."""

    def verify(
        self, assertion: Assertion, *, challenge: bytes, credential: OperatorCredential
    ) -> int:
        """Return the key's signature counter, as told; nothing is built on it.

        Raises:
            PermissionDeniedError: It is not this credential's signature over this
                challenge, for this relying party and origin, with the person
                verified (APPROVAL_INVALID).
        """
        ...


class CredentialSource(Protocol):
    """Whose security keys are believed, kept current by somebody outside."""

    def current(self) -> Mapping[str, OperatorCredential]:
        """Return the newest credentials, by id; none if they make no sense; quick."""
        ...

    def check_current(self) -> None:
        """Check that the newest credentials are those that are used.

        Raises:
            StrongroomError: They could not be understood, and why.
        """
        ...
