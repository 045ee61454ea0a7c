# SPDX-License-Identifier: Apache-2.0
"""Replica records: that a bucket is a replica of a store, and that it was promoted.

They lie in the replica's own bucket and are neither secret nor signed: they keep
operators from mistakes, and whoever may write there could do more harm otherwise.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical
from strongroom_server.core.clear_fields import body_of, store_of

FORMAT: Final = 1
TYPE: Final = "strongroom.replica"
MAX_RECORD_BYTES: Final = 4096
_FIELDS: Final = frozenset({"format", "state", "store", "time", "type"})


class ReplicaState(Enum):
    """What a bucket is from a record on. The values are those of the stored bytes."""

    FOLLOWING = "following"
    PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """What one record says.

    Attributes:
        store: The store's id, 16 bytes.
        state: What the bucket is from now on.
        time: When that was said, in UTC, by the clock of who said it.
    """

    store: bytes
    state: ReplicaState
    time: datetime


def format_record(record: ReplicaRecord) -> bytes:
    """Return the stored bytes of a record."""
    return canonical.encode(
        {
            "format": FORMAT,
            "state": record.state.value,
            "store": record.store.hex(),
            "time": record.time.astimezone(UTC).isoformat(timespec="seconds"),
            "type": TYPE,
        }
    )


def parse_record(data: bytes) -> ReplicaRecord:
    """Return what a record says.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        body = body_of(data, TYPE, _FIELDS, newest=FORMAT, max_bytes=MAX_RECORD_BYTES)
        time = datetime.fromisoformat(body["time"])
        record = ReplicaRecord(
            store_of(body["store"]), ReplicaState(body["state"]), time
        )
        if time.tzinfo is not UTC or format_record(record) != data:
            raise _malformed()
    except (ValueError, TypeError) as error:
        raise _malformed() from error
    return record


def _malformed() -> IntegrityError:
    return IntegrityError(
        "a record below replica/ is damaged",
        reason=Reason.RECORD_CORRUPT,
        hint="Somebody else writes to the bucket; see `strongroom doctor`.",
    )
