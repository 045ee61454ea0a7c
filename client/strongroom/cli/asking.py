# SPDX-License-Identifier: Apache-2.0
"""Asks others to approve what was refused for want of an approval, byte for byte."""

from typing import Final

from strongroom import _convert
from strongroom.client import Client
from strongroom.errors import Reason, StrongroomError

#: The field that says of many requests why they are made.
_REASON: Final = "reason"
_DRY_RUN: Final = "validate_only"


def ask_for_approval(client: Client, error: StrongroomError) -> None:
    """Ask for the approval that a call was refused for, and say so in its error.

    A refused dry run asks for nothing: it would be a dry run that is approved.

    Args:
        client: Of the same caller.
        error: What the call raised; its hint says what comes next.
    """
    if error.reason is not Reason.APPROVAL_REQUIRED or error.refused is None:
        return
    method, data = error.refused
    try:
        request = _convert.request_of(method, data)
        if getattr(request, _DRY_RUN, False):
            error.hint = "Without --dry-run, it is asked for."
            return
        why = str(getattr(request, _REASON, "")).strip()
        approval = client.request_approval(
            method, data, reason=why or f"{error.metadata.get('action')}: no reason"
        )
    except StrongroomError as problem:
        error.hint = f"It could not be asked for: {problem.message}"
        return
    name = approval.approval_id
    error.metadata["approval"] = name
    error.hint = (
        f"Asked for as {name}. Somebody else: strongroom approvals approve {name}; "
        f"then you: strongroom approvals run {name}"
    )
