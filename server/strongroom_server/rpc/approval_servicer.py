# SPDX-License-Identifier: Apache-2.0
"""ApprovalService: what people ask other people to agree to.

An approval is shown to who asked for it, to who may decide it, and to who might do
the same: to all others there is none, for its request may name what they may not see.
"""

# Names and arguments are those of the generated base class.
# ruff: noqa: ARG002, N802

from datetime import UTC, datetime
from functools import partial
from typing import Final

import grpc

from strongroom.errors import InvalidArgumentError, Reason, StrongroomError
from strongroom.v1 import approval_service_pb2 as pb
from strongroom.v1 import approval_service_pb2_grpc as pb_grpc
from strongroom_server.core.access import SERVER, AccessAction
from strongroom_server.core.approval_log import Approval, ApprovalState
from strongroom_server.core.approvals import Assertion, is_id
from strongroom_server.core.operator_credentials import credential_name
from strongroom_server.rpc.approvable import core_of, read_approvable
from strongroom_server.rpc.call import current_call
from strongroom_server.rpc.convert import timestamp
from strongroom_server.services.approving import Approving, unknown

_PREFIX: Final = "approvals/"
_STATES: Final = {
    ApprovalState.PENDING: pb.APPROVAL_STATE_PENDING,
    ApprovalState.APPROVED: pb.APPROVAL_STATE_APPROVED,
    ApprovalState.DENIED: pb.APPROVAL_STATE_DENIED,
    ApprovalState.IN_USE: pb.APPROVAL_STATE_IN_USE,
    ApprovalState.USED: pb.APPROVAL_STATE_USED,
    ApprovalState.EXPIRED: pb.APPROVAL_STATE_EXPIRED,
    ApprovalState.WITHDRAWN: pb.APPROVAL_STATE_WITHDRAWN,
}


class ApprovalServicer(pb_grpc.ApprovalServiceServicer):
    """Answers from the use case `Approving`; the guard has decided who may ask."""

    def __init__(self, approving: Approving) -> None:
        self._approving = approving

    def RequestApproval(
        self, request: pb.RequestApprovalRequest, context: grpc.ServicerContext
    ) -> pb.Approval:
        """Keep a request, for others to approve."""
        peer = current_call().peer
        read_approvable(request.method, request.request)
        approval = self._approving.request(
            request.method,
            request.request,
            request.reason,
            requester=peer.principal,
            workload=peer.workload or peer.principal,
            core_of=partial(core_of, request.method),
        )
        _note(approval)
        return self._message(approval)

    def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: grpc.ServicerContext
    ) -> pb.ListApprovalsResponse:
        """List the approvals whose time is not over."""
        found = self._approving.alive(shown=_is_shown)
        return pb.ListApprovalsResponse(
            approvals=map(self._message, found.approvals),
            damaged=found.damaged,
            relying_party=self._party(),
        )

    def GetApproval(
        self, request: pb.GetApprovalRequest, context: grpc.ServicerContext
    ) -> pb.Approval:
        """Return all of an approval, and what the caller would have to sign."""
        approval = self._approving.get(_id(request.name))
        if not _is_shown(approval):
            raise unknown()
        return self._whole(approval)

    def DecideApproval(
        self, request: pb.DecideApprovalRequest, context: grpc.ServicerContext
    ) -> pb.Approval:
        """Approve or deny."""
        call = current_call()
        principal, audit_id = call.caller.principal, call.caller.audit_id
        name = _id(request.name)
        match request.WhichOneof("decision"):
            case "approve":
                told = request.approve
                wanted = self._approving.get(name)
                # A server of another release may have let it be asked for.
                read_approvable(wanted.request.method, wanted.requested.data)
                approval = self._approving.approve(
                    name,
                    Assertion(
                        told.credential_id,
                        told.authenticator_data,
                        told.client_data,
                        told.signature,
                    ),
                    principal=principal,
                    workload=call.peer.workload or principal,
                    audit_id=audit_id,
                )
                call.count("approved", 1)
            case "deny":
                approval = self._approving.deny(
                    name, request.deny.reason, principal=principal, audit_id=audit_id
                )
                call.count("denied", 1)
            case _:
                message = "the request neither approves nor denies"
                raise InvalidArgumentError(message, field="decision")
        _note(approval)
        return self._message(approval)

    def WithdrawApproval(
        self, request: pb.WithdrawApprovalRequest, context: grpc.ServicerContext
    ) -> pb.Approval:
        """Take back what the caller asked for."""
        call = current_call()
        approval = self._approving.withdraw(
            _id(request.name),
            request.reason,
            principal=call.caller.principal,
            audit_id=call.caller.audit_id,
        )
        call.count("withdrawn", 1)
        _note(approval)
        return self._message(approval)

    def _whole(self, approval: Approval) -> pb.Approval:
        message = self._message(approval)
        principal = current_call().peer.principal
        message.request = approval.requested.data
        message.statement = approval.request.canonical
        message.credential_ids.extend(
            item.credential_id for item in self._approving.credentials_of(principal)
        )
        party = self._party()
        if party is not None:
            message.relying_party.CopyFrom(party)
        return message

    def _message(self, approval: Approval) -> pb.Approval:
        request = approval.request
        message = pb.Approval(
            name=_PREFIX + request.approval_id,
            method=request.method,
            requester=request.requester,
            reason=request.reason,
            create_time=timestamp(_time(request.create_s)),
            expire_time=timestamp(_time(request.expire_s)),
            state=_STATES[self._approving.state(approval)],
            consents=(
                pb.Consent(
                    principal=item.principal,
                    create_time=timestamp(_time(item.time_s)),
                    credential=self._credential(item.assertion),
                )
                for item in approval.consents
            ),
        )
        try:
            approvable = read_approvable(request.method, approval.requested.data)
        except StrongroomError:
            # Of another release: it can be denied, and shown as far as it goes.
            pass
        else:
            message.action = approvable.method.action
            message.resources.extend(item.resource for item in approvable.targets)
            needed = current_call().needed(
                request.requester, approval.requested.workload, approvable
            )
            if needed is not None:
                message.needed_count = needed
        if approval.denied is not None:
            message.denier = approval.denied.principal
            message.deny_reason = approval.denied.reason
        return message

    def _credential(self, assertion: Assertion) -> str:
        keys = self._approving.keys
        known = keys.credentials.current() if keys is not None else {}
        found = known.get(credential_name(assertion.credential_id))
        return found.name if found is not None else ""

    def _party(self) -> pb.RelyingParty | None:
        keys = self._approving.keys
        if keys is None:
            return None
        return pb.RelyingParty(id=keys.relying_party, origin=keys.origin)


def _is_shown(approval: Approval) -> bool:
    call, request = current_call(), approval.request
    if call.peer.principal == request.requester:
        return True
    if call.might(AccessAction.APPROVAL_DECIDE, SERVER):
        return True
    try:
        wanted = read_approvable(request.method, approval.requested.data)
    except StrongroomError:
        return False  # Of another release: what it is about cannot be told.
    action = wanted.method.action
    return all(call.might(action, item.resource) for item in wanted.targets)


def _id(name: str) -> str:
    approval_id = name.removeprefix(_PREFIX)
    if not name.startswith(_PREFIX) or not is_id(approval_id):
        message = f"{name[:100]!r} is no name of an approval"
        raise InvalidArgumentError(
            message,
            reason=Reason.NAME_MALFORMED,
            hint="See: strongroom approvals ls",
            name=name[:100],
        )
    return approval_id


def _note(approval: Approval) -> None:
    """Let the audit entry say which request was asked for, approved or denied."""
    note = current_call().note
    note("approval", approval.request.approval_id)
    note("requested", approval.request.method)
    note("requester", approval.request.requester)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
