# SPDX-License-Identifier: Apache-2.0
"""What every change to an artifact says: why, and under which request id."""

from typing import Final

from strongroom.errors import InvalidArgumentError, Reason

MAX_REASON_CHARS: Final = 1000
MAX_REQUEST_ID_CHARS: Final = 128


def check_request(reason: str, request_id: str) -> None:
    """Check a change's reason and request id.

    Raises:
        InvalidArgumentError: One is missing or too long.
    """
    if not request_id or len(request_id) > MAX_REQUEST_ID_CHARS:
        raise InvalidArgumentError(
            "request_id is missing or too long", reason=Reason.ARGUMENT_INVALID
        )
    if len(reason) > MAX_REASON_CHARS:
        raise InvalidArgumentError(
            f"reason has more than {MAX_REASON_CHARS} characters",
            reason=Reason.ARGUMENT_INVALID,
        )


def request_reused() -> InvalidArgumentError:
    """Return the error for a request id that has changed something else."""
    return InvalidArgumentError(
        "this request_id has changed something else",
        reason=Reason.ARGUMENT_INVALID,
        hint="Use a new request id for each change.",
    )
