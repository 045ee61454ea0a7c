# SPDX-License-Identifier: Apache-2.0
"""The guard's refusals, in words: each says what happened and what to do."""

import traceback

import grpc

from strongroom.errors import (
    CancelledError,
    DeadlineExceededError,
    ExhaustedError,
    InternalError,
    InvalidArgumentError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server.core.access import AccessAction
from strongroom_server.rpc.watchdog import Watch


def gave_up(watch: Watch, context: grpc.ServicerContext) -> StrongroomError:
    """Say why a call was cancelled: its right, the watchdog, time, or the caller."""
    if watch.refusal is not None:
        return watch.refusal
    if watch.verdict is Reason.STALLED:
        return UnavailableError(
            "the caller took or sent nothing for too long", reason=Reason.STALLED
        )
    if watch.verdict is not None or context.time_remaining() <= 0:
        return too_late()
    return CancelledError("the caller gave up")


def too_late() -> DeadlineExceededError:
    """Say that the call's time is over."""
    return DeadlineExceededError(
        "the call did not end in the time it was given",
        hint="Give it more time, or ask for less at once.",
    )


def no_request() -> InvalidArgumentError:
    """Say that a call ended before its first message."""
    return InvalidArgumentError("the call carries no request")


def draining() -> UnavailableError:
    """Say that the server takes no new calls."""
    return UnavailableError(
        "the server is shutting down",
        reason=Reason.DRAINING,
        hint="Try again; another server, or this one restarted, will answer.",
    )


def too_many_calls(max_calls: int) -> ExhaustedError:
    """Say that the server is full."""
    return ExhaustedError(
        f"the server runs {max_calls} calls, as many as it may",
        reason=Reason.TOO_MANY_CALLS,
        hint="Try again later, or add a server.",
        max_calls=max_calls,
    )


def too_many_own_calls(max_calls: int, principal: str) -> ExhaustedError:
    """Say that a principal has as many calls as one may have."""
    return ExhaustedError(
        f"the server runs {max_calls} calls of {principal}, as many as it may",
        reason=Reason.TOO_MANY_OWN_CALLS,
        hint="End some first, spread them over servers or principals, or raise "
        "listen.max_calls_of_principal.",
        max_calls=max_calls,
        principal=principal,
    )


def too_many_watches(max_watches: int) -> ExhaustedError:
    """Say that as many callers wait for news as may, in all or of one principal."""
    return ExhaustedError(
        f"{max_watches} calls wait for news of grants, as many as may",
        reason=Reason.TOO_MANY_CALLS,
        hint="Raise listen.max_watches, half of which one principal may have, or add "
        "a server.",
        max_watches=max_watches,
    )


def no_backups() -> PreconditionError:
    """Say that the settings know of no backup bucket."""
    return PreconditionError(
        "this server knows of no backups: its settings name no backup bucket",
        reason=Reason.SETTING_INVALID,
        hint="Name one in [backup] of the server's settings: docs/operations.md, 1.4.",
    )


def unknown_method(name: str) -> PermissionDeniedError:
    """Say that a method has no row in the table, or no servicer."""
    return PermissionDeniedError(
        f"permission denied on method {name} (or it might not exist)",
        reason=Reason.METHOD_UNKNOWN,
        hint="Check that client and server have the same version.",
        method=name,
    )


def denied(
    action: AccessAction, resource: str, principal: str
) -> PermissionDeniedError:
    """Say that the policy does not allow it, and not whether the thing exists."""
    return PermissionDeniedError(
        f"permission {action} denied on {resource} (or it might not exist)",
        hint="Ask an operator for a role that has this permission.",
        action=action,
        resource=resource,
        principal=principal,
    )


def step_up(
    action: AccessAction, resource: str, max_age_s: int
) -> PermissionDeniedError:
    """Say that a person must prove anew, with two factors, who they are."""
    return PermissionDeniedError(
        f"permission {action} on {resource} needs a login with a second factor, at "
        f"most {max_age_s} seconds ago",
        reason=Reason.STEP_UP_REQUIRED,
        hint="Sign in again: `strongroom login --fresh`.",
        action=action,
        resource=resource,
        max_age=max_age_s,
    )


def approval_required(
    method: str, action: AccessAction, resource: str, count: int
) -> PermissionDeniedError:
    """Say that others must approve exactly this request first."""
    who = "another person" if count == 1 else f"{count} other people"
    return PermissionDeniedError(
        f"permission {action} on {resource} needs the approval of {who}",
        reason=Reason.APPROVAL_REQUIRED,
        hint="Ask for it, then run what was approved; see `strongroom approvals`.",
        method=method,
        action=action,
        resource=resource,
        approvals=count,
    )


def frames_of(error: BaseException) -> list[str]:
    """Return where an error came from, without its text, which could hold names."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{item.filename}:{item.lineno}:{item.name}" for item in frames]


def bug(trace_id: str) -> InternalError:
    """Say that something unforeseen happened, and nothing of its text."""
    return InternalError(
        "internal error",
        hint="Tell the operator the trace id; the server's log has the place.",
        trace_id=trace_id,
    )
