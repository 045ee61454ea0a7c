# SPDX-License-Identifier: Apache-2.0
"""Artifact policies: the limits of their fields."""

from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.records import ArtifactPolicy

MAX_KEEP_LAST: Final = 1_000_000
MAX_DAYS: Final = 36_500
CODECS: Final = ("auto", "raw", "compact", "delta")


def check_policy(policy: ArtifactPolicy) -> None:
    """Check that a policy's fields are in range.

    Raises:
        InvalidArgumentError: One is not; the message names it.
    """
    limits = {
        "keep_last": (policy.keep_last, MAX_KEEP_LAST),
        "keep_days": (policy.keep_days, MAX_DAYS),
        "trash_days": (policy.trash_days, MAX_DAYS),
    }
    for name, (value, limit) in limits.items():
        if not 0 <= value <= limit:
            raise InvalidArgumentError(
                f"{name} is {value}; it may be 0 to {limit}",
                reason=Reason.ARGUMENT_INVALID,
                field=name,
            )
    if policy.codec not in CODECS:
        raise InvalidArgumentError(
            f"codec is {policy.codec!r}; it may be one of {', '.join(CODECS)}",
            reason=Reason.ARGUMENT_INVALID,
            field="codec",
        )
