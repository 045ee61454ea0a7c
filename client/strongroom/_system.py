# SPDX-License-Identifier: Apache-2.0
"""The client's clock and dice: the only module that asks the machine for them."""

import secrets  # noqa: TID251 - the client has no Entropy port; this is its place
import time
import uuid
from datetime import UTC, datetime


def now() -> datetime:
    """Return the time of this machine's clock, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - see the module's first sentence


def monotonic_s() -> float:
    """Return a clock that never runs backwards, in seconds."""
    return time.monotonic()  # noqa: TID251 - see the module's first sentence


def unix_ns() -> int:
    """Return the time of this machine's clock in nanoseconds since 1970, as spans."""
    return time.time_ns()  # noqa: TID251 - see the module's first sentence


def new_request_id() -> str:
    """Return a UUID4 that makes a call repeatable."""
    return str(uuid.uuid4())  # noqa: TID251 - see the module's first sentence


def new_id(byte_count: int) -> int:
    """Return a random number of `byte_count` bytes that is not 0.

    W3C trace context forbids ids that are all zero.
    """
    return 1 + secrets.randbelow((1 << 8 * byte_count) - 1)


def new_secret() -> str:
    """Return 43 characters of a URL that nobody can guess: 256 random bits."""
    return secrets.token_urlsafe(32)
