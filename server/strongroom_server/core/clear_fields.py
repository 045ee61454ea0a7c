# SPDX-License-Identifier: Apache-2.0
"""Fields of records in the clear that anybody can read and check: inventories, roots.

Each function returns what a value of decoded canonical JSON says, or raises
`ValueError` if it cannot say that; who calls names the record that is damaged.
"""

import itertools
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any, Final

from strongroom.errors import PreconditionError, Reason
from strongroom_server.core import canonical
from strongroom_server.core.scope import STORE_BYTES

#: S3's limit for keys, and ours for version ids; in bytes.
MAX_NAME_BYTES: Final = 1024
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


def body_of(
    payload: bytes,
    kind: str,
    fields: AbstractSet[str] | None,
    *,
    newest: int,
    max_bytes: int,
) -> dict[str, Any]:
    """Return the fields of a record of this kind, which has exactly these.

    Args:
        payload: The record, in canonical JSON.
        kind: Its type.
        fields: What it has; None if that differs within one format.
        newest: The newest format that this release reads.
        max_bytes: How long it may be.

    Raises:
        ValueError: It is malformed.
        PreconditionError: Its format is newer than that (FORMAT_UNSUPPORTED).
    """
    body = canonical.decode_object(payload, max_bytes)
    number = body.get("format")
    if body.get("type") != kind or type(number) is not int or number < 1:
        raise ValueError(kind)
    if number > newest:
        raise PreconditionError(
            f"a record of type {kind} has format {number}; this release reads formats "
            f"up to {newest}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade strongroom.",
            format=number,
        )
    if fields is not None and set(body) != fields:
        raise ValueError(kind)
    return body


def items_of(value: object, count: int | None = None) -> list[Any]:
    """Return the items of a list, which are as many if `count` is given."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise ValueError(value)
    return value


def count_of(value: object) -> int:
    """Return a number of things, or of their bytes: 0 or more."""
    if type(value) is not int or not 0 <= value <= canonical.MAX_INTEGER:
        raise ValueError(value)
    return value


def number_of(value: object, limit: int) -> int:
    """Return a number from 1 to `limit`."""
    number = count_of(value)
    if not 0 < number <= limit:
        raise ValueError(value)
    return number


def sha256_of(value: object) -> str:
    """Return a SHA-256 in hex."""
    if not isinstance(value, str) or not _DIGEST.match(value):
        raise ValueError(value)
    return value


def name_of(value: object) -> str:
    """Return a key or a version id: 1 to 1024 bytes of printable text."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(value)
    if len(value.encode()) > MAX_NAME_BYTES:
        raise ValueError(value)
    return value


def store_of(value: object) -> bytes:
    """Return the id of a store."""
    store = bytes.fromhex(value) if isinstance(value, str) else b""
    if len(store) != STORE_BYTES or store.hex() != value:
        raise ValueError(value)
    return store


def show_time(time: datetime) -> str:
    """Return a time as records in the clear have it."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def time_of(value: object) -> datetime:
    """Return the time that `show_time` wrote, in UTC."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else None
    if time is None or time.tzinfo is None or show_time(time) != value:
        raise ValueError(value)
    return time


def second_of(value: object) -> datetime:
    """Return a time of whole seconds."""
    time = time_of(value)
    if time.microsecond:
        raise ValueError(value)
    return time


def check_ascends(items: Sequence[Any]) -> None:
    """Check that each item is greater than the one before it."""
    if any(one >= other for one, other in itertools.pairwise(items)):
        raise ValueError(items[:1])
