# SPDX-License-Identifier: Apache-2.0
"""What is said where the audit log is not as it was written."""

from strongroom.errors import IntegrityError, Reason


def log_damaged(message: str, **metadata: object) -> IntegrityError:
    """Return the error for a log that is damaged, rewound or another one."""
    return IntegrityError(
        message,
        reason=Reason.AUDIT_CORRUPT,
        hint="See `The audit log is damaged` in docs/operations.md.",
        **metadata,
    )


def same_again(failure: IntegrityError) -> IntegrityError:
    """Return a new exception for each caller: they add to what they catch."""
    return IntegrityError(
        failure.message,
        reason=failure.reason,
        hint=failure.hint,
        **failure.metadata,
    )
