# SPDX-License-Identifier: Apache-2.0
"""What a bucket is: a store, a replica that follows one, or one that was promoted.

A replica is begun in an empty bucket, and says so before anything else lies there. No
server serves it until it is promoted, and no replicator writes to it from then on.
"""

import threading
from datetime import datetime
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core import layout
from strongroom_server.core.replica_record import (
    MAX_RECORD_BYTES,
    ReplicaRecord,
    ReplicaState,
    format_record,
    parse_record,
)
from strongroom_server.core.stored_objects import link_number
from strongroom_server.ports import BlobNotFoundError, BlobStore, Clock
from strongroom_server.repository.numbered_blobs import put_numbered

_ATTEMPTS: Final = 10
#: Between two looks of a replicator that writes entries.
_LOOK_S: Final = 2.0


class ReplicaRecords:
    """The records below `replica/` of one bucket."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def state(self) -> ReplicaState | None:
        """Return what the bucket is; None if it is no replica and never was.

        What is damaged counts as a replica that follows: it was one, or somebody
        meddles, and either is to be looked at before anything is served.

        Raises:
            PreconditionError: A record is of a newer format (FORMAT_UNSUPPORTED).
            UnavailableError: S3 cannot be reached.
        """
        state = None
        for item in self._blobs.first_versions(layout.REPLICA):
            state = ReplicaState.FOLLOWING
            try:
                data = self._blobs.get(
                    item.key, version_id=item.version_id, max_bytes=MAX_RECORD_BYTES
                )
                if parse_record(data).state is ReplicaState.PROMOTED:
                    return ReplicaState.PROMOTED
            except (BlobNotFoundError, IntegrityError):
                continue
        return state

    def begin(self, store: bytes, time: datetime) -> None:
        """Say of an empty bucket that it is a replica from now on.

        Of several who do so at once, any is right.

        Raises:
            PreconditionError: It holds objects, and nothing says that they are a
                replica's (STORE_UNSUITABLE).
            UnavailableError: S3 cannot be reached.
        """
        if self.state() is not None:
            return
        for item in self._blobs.first_versions(""):
            if not item.key.startswith(layout.PROBE):
                raise PreconditionError(
                    f"the bucket to replicate to is no replica, and holds {item.key}",
                    reason=Reason.STORE_UNSUITABLE,
                    hint="Name an empty bucket or prefix in [replica]; it may be that "
                    "[store] and [replica] are the wrong way round.",
                    key=item.key,
                )
        record = ReplicaRecord(store, ReplicaState.FOLLOWING, time)
        put_numbered(self._blobs, layout.replica_key(0), format_record(record))

    def promote(self, store: bytes, time: datetime) -> None:
        """Say of a replica that it is a store of its own from now on.

        Raises:
            UnavailableError: It is not known whether that was said.
        """
        data = format_record(ReplicaRecord(store, ReplicaState.PROMOTED, time))
        for _ in range(_ATTEMPTS):
            keys = [item.key for item in self._blobs.first_versions(layout.REPLICA)]
            number = max(map(link_number, keys), default=-1) + 1
            if put_numbered(self._blobs, layout.replica_key(number), data):
                return
        raise UnavailableError(
            f"others took {_ATTEMPTS} numbers of records below replica/ meanwhile",
            reason=Reason.STORE_UNAVAILABLE,
            hint="Find out who writes to the bucket, and run it again.",
        )


class Fence:
    """Asks again and again whether a replica was promoted; safe for many threads.

    A replicator whose last look was just before a promotion may still write an entry
    or two behind it. That is harmless: where the promoted store has gone on, the
    number is taken, and elsewhere it is a commit of the primary with all it needs.
    """

    def __init__(self, blobs: BlobStore, clock: Clock) -> None:
        self._blobs = blobs
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_s = -_LOOK_S

    def check(self) -> None:
        """Check that it was not, as of a moment ago; errors as `require_following`."""
        with self._lock:
            now_s = self._clock.monotonic()
            if now_s - self._looked_s < _LOOK_S:
                return
            self._looked_s = now_s
        require_following(self._blobs)


def require_following(blobs: BlobStore) -> None:
    """Check that a replica was not promoted: nothing may be copied to it then.

    Raises:
        PreconditionError: It was (STORE_UNSUITABLE), or a record is of a newer
            format (FORMAT_UNSUPPORTED).
        UnavailableError: S3 cannot be reached.
    """
    if ReplicaRecords(blobs).state() is ReplicaState.PROMOTED:
        raise PreconditionError(
            "the replica was promoted: it is a store of its own, and nothing is "
            "copied to it any more",
            reason=Reason.STORE_UNSUITABLE,
            hint="End this replicator. To replicate the other way, name the promoted "
            "bucket in [store], and an empty one in [replica].",
        )


def require_serving(blobs: BlobStore) -> None:
    """Check that a bucket is no replica that another store is still copied to.

    Raises:
        PreconditionError: It is (STORE_UNSUITABLE), or a record is of a newer
            format (FORMAT_UNSUPPORTED).
        UnavailableError: S3 cannot be reached.
    """
    if ReplicaRecords(blobs).state() is ReplicaState.FOLLOWING:
        raise PreconditionError(
            "the bucket is a replica that follows another store: a server would "
            "write to it what that store does not have",
            reason=Reason.STORE_UNSUITABLE,
            hint="Run `strongroom-server promote` first, if it is to be a store of its "
            "own from now on.",
        )
