# SPDX-License-Identifier: Apache-2.0
"""`Approvals`: what one person may do only if other people agree."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

from strongroom import _convert
from strongroom._channel import methods
from strongroom.client.access import Access
from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
)
from strongroom.v1 import approval_service_pb2 as pb

if TYPE_CHECKING:
    from strongroom.values import (
        Approval,
        ApprovalListing,
        KeyAssertion,
        RelyingParty,
        TrustedStore,
    )

#: Answers a challenge for a relying party, with one of these credentials.
Signer = Callable[[bytes, "RelyingParty", tuple[bytes, ...]], "KeyAssertion"]

_HEADER: Final = "strongroom-approval"


class Approvals(Access):
    """The part of `Client` that asks for approvals, gives them and uses them."""

    def request_approval(
        self, method: str, request: bytes, *, reason: str
    ) -> "Approval":
        """Ask other people to approve a request, byte for byte.

        Who has asked for the same already gets that one, as long as it can be approved
        or used.

        Args:
            method: The gRPC method's full name.
            request: The request's bytes; an error whose reason is APPROVAL_REQUIRED
                has both as `refused`.
            reason: Why; the others read it.

        Raises:
            ExhaustedError: The caller waits for too many already.
        """
        message = pb.RequestApprovalRequest(
            method=method, request=request, reason=reason
        )
        return _convert.approval_of(
            self._caller.unary(methods.REQUEST_APPROVAL, message)
        )

    def list_approvals(self) -> "ApprovalListing":
        """Return the approvals whose time is not over."""
        answer = self._caller.unary(methods.LIST_APPROVALS, pb.ListApprovalsRequest())
        return _convert.approval_listing_of(answer)

    def get_approval(self, approval_id: str) -> "Approval":
        """Return all of an approval, after checking that its parts belong together.

        Raises:
            NotFoundError: There is none (APPROVAL_NOT_FOUND).
            IntegrityError: What would be signed is not what is shown, or it is
                another approval (DIGEST_MISMATCH).
        """
        request = pb.GetApprovalRequest(name=_convert.approval_name(approval_id))
        answer = self._caller.unary(methods.GET_APPROVAL, request)
        if answer.name != request.name:
            raise IntegrityError(
                f"asked for {request.name!r}, the server answered with {answer.name!r}",
                reason=Reason.DIGEST_MISMATCH,
                hint="Do not approve it; tell whoever runs the server.",
                approval=approval_id,
            )
        approval = _convert.approval_of(answer)
        approval.check_statement()
        return approval

    def approve(
        self, approval: "Approval", sign: Signer, *, trusted: "TrustedStore"
    ) -> "Approval":
        """Approve what `get_approval` returned, with a security key.

        Args:
            approval: What to approve; what it shows is what is signed.
            sign: Asks the security key.
            trusted: For which store it signs; from settings, not from the server.

        Raises:
            IntegrityError: It would count in another store, or the key would sign for
                somebody else (DIGEST_MISMATCH).
            InvalidArgumentError: The request names a version by what may be another
                one by the time it runs.
            PreconditionError: The server knows no security key of the caller
                (SETTING_INVALID).
            PermissionDeniedError: The caller asked for it, or has approved it
                (APPROVAL_INVALID); it can be approved no more.
        """
        approval.check_statement()
        approval.check_store(trusted)
        request_ = _convert.request_of(approval.method, approval.request)
        for field, name in _convert.moving_names(request_):
            message = f"the request names the version {name.short}, and no number"
            raise InvalidArgumentError(
                message, hint="It could be another one once it runs.", field=field
            )
        party = approval.relying_party
        if party is None or not approval.credential_ids:
            message = "the server knows no security key of yours"
            raise PreconditionError(
                message,
                reason=Reason.SETTING_INVALID,
                hint="strongroom approvals enroll",
            )
        trusted.check_party(party)
        answer = sign(approval.challenge, party, approval.credential_ids)
        request = pb.DecideApprovalRequest(
            name=_convert.approval_name(approval.approval_id),
            approve=pb.KeyAssertion(
                credential_id=answer.credential_id,
                authenticator_data=answer.authenticator_data,
                client_data=answer.client_data,
                signature=answer.signature,
            ),
        )
        return self._decide(request)

    def deny(self, approval_id: str, *, reason: str) -> "Approval":
        """Deny an approval; nobody can approve it then.

        Raises:
            NotFoundError: There is none (APPROVAL_NOT_FOUND).
            PermissionDeniedError: It can be denied no more.
        """
        request = pb.DecideApprovalRequest(
            name=_convert.approval_name(approval_id), deny=pb.Denial(reason=reason)
        )
        return self._decide(request)

    def withdraw_approval(self, approval_id: str, *, reason: str = "") -> "Approval":
        """Take back what you asked for; nobody can approve or use it then.

        Raises:
            NotFoundError: You asked for none of that id (APPROVAL_NOT_FOUND).
            PermissionDeniedError: It was denied, used or withdrawn, or has ended.
        """
        request = pb.WithdrawApprovalRequest(
            name=_convert.approval_name(approval_id), reason=reason
        )
        return _convert.approval_of(
            self._caller.unary(methods.WITHDRAW_APPROVAL, request)
        )

    def run_approved(self, approval: "Approval") -> tuple[Message, ...]:
        """Send exactly the bytes that were approved; return the answers.

        Args:
            approval: What `get_approval` returned.

        Raises:
            PermissionDeniedError: It is not approved, or not any more.
            StrongroomError: Whatever the method itself raises.
        """
        approval.check_statement()
        _convert.request_of(approval.method, approval.request)
        answers = self._caller.send(
            approval.method,
            approval.request,
            headers=((_HEADER, approval.approval_id),),
            streamed=_convert.answers_stream(approval.method),
        )
        return tuple(_convert.answer_of(approval.method, item) for item in answers)

    def _decide(self, request: pb.DecideApprovalRequest) -> "Approval":
        method: methods.Method[Any, pb.Approval] = methods.DECIDE_APPROVAL
        return _convert.approval_of(self._caller.unary(method, request))
