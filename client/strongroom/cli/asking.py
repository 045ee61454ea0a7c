# SPDX-License-Identifier: Apache-2.0
"""Asks others to approve what was refused for want of an approval, byte for byte."""

from typing import Final

from strongroom import _convert
from strongroom.client import Client
from strongroom.errors import Reason, StrongroomError
from strongroom.format.names import VersionName

#: The field that says of many requests why they are made.
_REASON: Final = "reason"
#: The only field that has a selector alone.
_VERSION: Final = "version"
_DRY_RUN: Final = "validate_only"


def ask_for_approval(client: Client, error: StrongroomError) -> None:
    """Ask for the approval that a call was refused for, and say so in its error.

    A refused dry run asks for nothing: it would be a dry run that is approved. What
    names a version by `latest` or a ref asks for the number that it is now.

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
        for field, moving in list(_convert.moving_names(request)):
            number = str(client.show(moving.short).number)
            fixed = VersionName(moving.artifact, number)
            setattr(request, field, number if field == _VERSION else fixed.resource)
            data = request.SerializeToString()
        why = str(getattr(request, _REASON, "")).strip()
        approval = client.request_approval(
            method, data, reason=why or f"{error.metadata.get('action')}: no reason"
        )
    except StrongroomError as problem:
        error.hint = f"It could not be asked for: {problem.message}"
        return
    name = approval.approval_id
    error.metadata["approval"] = name
    if approval.is_enough:
        error.hint = f"Approved as {name}: strongroom approvals run {name}"
        return
    error.hint = (
        f"Asked for as {name}. Somebody else: strongroom approvals approve {name}; "
        f"then you: strongroom approvals run {name}"
    )
