# SPDX-License-Identifier: Apache-2.0
"""Approvals, from messages."""

from strongroom._convert.catalog import time_of, word
from strongroom.v1 import approval_service_pb2 as pb
from strongroom.values import (
    Approval,
    ApprovalListing,
    ApprovalState,
    Consent,
    RelyingParty,
)

_PREFIX = "approvals/"


def approval_name(approval_id: str) -> str:
    """Return the name of an approval, as messages have it."""
    return _PREFIX + approval_id.removeprefix(_PREFIX)


def approval_of(message: pb.Approval) -> Approval:
    """Return the approval that a message describes."""
    return Approval(
        approval_id=message.name.removeprefix(_PREFIX),
        method=message.method,
        action=message.action,
        resources=tuple(message.resources),
        requester=message.requester,
        reason=message.reason,
        create_time=time_of(message.create_time),
        expire_time=time_of(message.expire_time),
        state=word(
            ApprovalState, pb.ApprovalState.Name, message.state, "APPROVAL_STATE_"
        ),
        consents=tuple(
            Consent(item.principal, time_of(item.create_time), item.credential)
            for item in message.consents
        ),
        needed_count=message.needed_count if message.HasField("needed_count") else None,
        denier=message.denier,
        deny_reason=message.deny_reason,
        request=message.request,
        statement=message.statement,
        credential_ids=tuple(message.credential_ids),
        relying_party=_party_of(message.relying_party),
    )


def approval_listing_of(message: pb.ListApprovalsResponse) -> ApprovalListing:
    """Return the approvals that a message lists."""
    return ApprovalListing(
        approvals=tuple(map(approval_of, message.approvals)),
        damaged=tuple(message.damaged),
        relying_party=_party_of(message.relying_party),
    )


def _party_of(message: pb.RelyingParty) -> RelyingParty | None:
    return RelyingParty(message.id, message.origin) if message.id else None
