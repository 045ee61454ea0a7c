# SPDX-License-Identifier: Apache-2.0
"""Artifact policies: the limits of their fields."""

from enum import StrEnum
from typing import Final

from strongroom.errors import InvalidArgumentError, Reason
from strongroom_server.core.records import ArtifactPolicy

MAX_KEEP_LAST: Final = 1_000_000
MAX_KEEP_BEST: Final = 10_000
MAX_DAYS: Final = 36_500
#: As long as a key of metadata may be.
MAX_BEST_BY_CHARS: Final = 128
ORDERS: Final = ("min", "max")
CODECS: Final = ("auto", "raw", "compact", "delta")


class Cuts(StrEnum):
    """Where the chunks of an artifact's files end."""

    #: At tensors and archive members, else every 16 MiB.
    ALIGNED = "aligned"
    #: Every 16 MiB, so that lengths of chunks tell nothing of what is in a file.
    FIXED = "fixed"
    #: At tensors and archive members, else where the content says.
    CONTENT = "content"


def check_policy(policy: ArtifactPolicy) -> None:
    """Check that a policy's fields are in range.

    Raises:
        InvalidArgumentError: One is not; the message names it.
    """
    limits = {
        "keep_last": (policy.keep_last, MAX_KEEP_LAST),
        "keep_best": (policy.keep_best, MAX_KEEP_BEST),
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
    _check_best(policy)
    choices = {"codec": (policy.codec, CODECS), "cuts": (policy.cuts, tuple(Cuts))}
    for name, (choice, known) in choices.items():
        if choice not in known:
            raise InvalidArgumentError(
                f"{name} is {choice[:100]!r}; it may be one of {', '.join(known)}",
                reason=Reason.ARGUMENT_INVALID,
                field=name,
            )


def _check_best(policy: ArtifactPolicy) -> None:
    problem, field = "", "best_by"
    if not policy.keep_best:
        if policy.best_by or policy.best_order:
            problem = "best_by and best_order need keep_best"
    elif not 1 <= len(policy.best_by) <= MAX_BEST_BY_CHARS:
        problem = f"best_by is to be a key of metadata, 1 to {MAX_BEST_BY_CHARS} long"
    elif policy.best_order not in ORDERS:
        problem, field = "best_order may be one of min, max", "best_order"
    if problem:
        raise InvalidArgumentError(problem, reason=Reason.ARGUMENT_INVALID, field=field)
