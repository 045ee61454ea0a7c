# SPDX-License-Identifier: Apache-2.0
"""What an approval's life allows: to be decided, by whom, and to be taken into use."""

from strongroom.errors import PermissionDeniedError, Reason
from strongroom_server.core.approval_log import Approval, ApprovalState, is_same
from strongroom_server.core.approvals import invalid


def check_usable(approval: Approval, now_s: int) -> None:
    """Check that what was approved may be carried out now, by its state.

    Raises:
        PermissionDeniedError: APPROVAL_USED, APPROVAL_DENIED, APPROVAL_EXPIRED, or
            APPROVAL_REQUIRED.
    """
    name = approval.request.approval_id
    match approval.state(now_s):
        case ApprovalState.APPROVED:
            return
        case ApprovalState.USED:
            message = f"approval {name} was used"
            raise _refused(name, message, Reason.APPROVAL_USED, "Ask for another one.")
        case ApprovalState.IN_USE:
            raise in_use(name)
        case ApprovalState.PENDING:
            message = f"nobody has approved {name} yet"
            hint = f"Somebody else has to: strongroom approvals approve {name}"
            raise _refused(name, message, Reason.APPROVAL_REQUIRED, hint)
        case _:
            check_open(approval, now_s)


def check_open(approval: Approval, now_s: int) -> None:
    """Check that an approval can still be decided.

    Raises:
        PermissionDeniedError: It was denied (APPROVAL_DENIED), was used
            (APPROVAL_USED), or its time is over (APPROVAL_EXPIRED).
    """
    name = approval.request.approval_id
    if approval.finished is not None:
        message = f"approval {name} was used"
        raise _refused(name, message, Reason.APPROVAL_USED, "There is nothing to do.")
    if approval.denied is not None:
        message = f"approval {name} was denied by {approval.denied.principal}"
        hint = "Ask them why; then ask for another one."
        if approval.is_withdrawn:
            message = f"approval {name} was withdrawn by who asked for it"
            hint = "Ask for another one."
        raise _refused(name, message, Reason.APPROVAL_DENIED, hint)
    if now_s >= approval.request.expire_s:
        message = f"the time of approval {name} is over"
        hint = "Ask for another one, and have somebody ready to approve it."
        raise _refused(name, message, Reason.APPROVAL_EXPIRED, hint)


def check_lapsed(approval: Approval, store_s: float) -> None:
    """Check that a use before this one is over by the clock that all servers share.

    Servers' own clocks may differ by more than a use is given beyond its call's
    limit; then one would begin what another one still runs.

    Args:
        approval: What would be taken into use.
        store_s: The time by the store's clock, in Unix seconds.

    Raises:
        PermissionDeniedError: It may still be running (APPROVAL_USED).
    """
    used = approval.used
    if used is not None and store_s < (
        approval.used_stored_s + used.until_s - used.time_s
    ):
        raise in_use(approval.request.approval_id)


def in_use(name: str) -> PermissionDeniedError:
    """Return the refusal of an approval that another call uses."""
    hint = "Wait: it may be tried again if that one fails or breaks off."
    message = f"approval {name} is in use"
    return _refused(name, message, Reason.APPROVAL_USED, hint)


def check_other_person(approval: Approval, principal: str, workload: str) -> None:
    """Check that somebody may approve: not the requester, and not twice.

    Args:
        approval: What they would approve.
        principal: Who.
        workload: The SPIFFE id of their connection: what a program asked for is not
            approved over the program's own connection.

    Raises:
        PermissionDeniedError: They may not (APPROVAL_INVALID).
    """
    name, requester = approval.request.approval_id, approval.request.requester
    if is_same(requester, principal) or is_same(requester, workload):
        raise invalid(name, f"{principal} asked for it; another person has to approve")
    if any(is_same(consent.principal, principal) for consent in approval.consents):
        raise invalid(name, f"{principal} has approved it; one person counts once")


def _refused(
    name: str, message: str, reason: Reason, hint: str
) -> PermissionDeniedError:
    return PermissionDeniedError(message, reason=reason, hint=hint, approval=name)
