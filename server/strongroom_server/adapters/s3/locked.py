# SPDX-License-Identifier: Apache-2.0
"""`LockedBlobs` on S3 with Object Lock, and who tries and removes in spite of locks.

Each has a credential of its own. That of `S3LockedBlobs` may read, write and lock;
what it should be refused, `S3LockAttempts` tries. That of `S3SlotRemover` may delete
versions of key slots in spite of governance, and nothing else.
"""

import math
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.s3.connections import S3Connections, open_connections
from strongroom_server.adapters.s3.errors import (
    unavailable,
    unsuitable,
    was_not_done,
)
from strongroom_server.adapters.s3.requests import S3Requests, always, crc32_header
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.adapters.s3.store import S3BlobStore
from strongroom_server.ports import (
    BlobNotFoundError,
    BlobRemover,
    Clock,
    Lock,
    LockAttempts,
    LockedBlobs,
    LockMode,
    ReadBuffer,
)

T = TypeVar("T")

#: S3's names of the modes, and of a hold.
_MODES: Final = {
    LockMode.COMPLIANCE: "COMPLIANCE",
    LockMode.GOVERNANCE: "GOVERNANCE",
}
_HELD: Final = {True: "ON", False: "OFF"}
_MODE_HEADER: Final = "x-amz-object-lock-mode"
_DATE_HEADER: Final = "x-amz-object-lock-retain-until-date"
_HOLD_HEADER: Final = "x-amz-object-lock-legal-hold"
_BYPASS: Final = {"x-amz-bypass-governance-retention": "true"}
#: Changes of a version wait for each other, and for some others by chance.
_TURNS: Final = 64
#: How often a change is looked for before it is given up.
_MAX_LOOKS: Final = 6
_CONTESTED: Final = "somebody else changes the same lock"
_UNLOCKED: Final = Lock(LockMode.GOVERNANCE, 0.0)
_NAMESPACE: Final = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass(frozen=True, slots=True)
class _Document:
    """What is put beside an object, or a bucket, to say how it is kept."""

    operation: str
    query: Mapping[str, str]
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def open_locked(settings: S3Settings, clock: Clock) -> Iterator["S3LockedBlobs"]:
    """Yield the bucket, and close its connections at the end. Makes no call.

    Raises:
        PreconditionError: The settings cannot be used (STORE_UNSUITABLE).
    """
    with open_connections(settings, clock) as connections:
        yield S3LockedBlobs(connections, settings, clock)


@contextmanager
def open_lock_attempts(
    settings: S3Settings, clock: Clock
) -> Iterator["S3LockAttempts"]:
    """Yield what tries the credential. Otherwise as `open_locked`."""
    with open_connections(settings, clock) as connections:
        yield S3LockAttempts(connections, settings, clock)


@contextmanager
def open_slot_remover(settings: S3Settings, clock: Clock) -> Iterator["S3SlotRemover"]:
    """Yield what removes locked key slots. Otherwise as `open_locked`."""
    with open_connections(settings, clock) as connections:
        yield S3SlotRemover(connections, settings, clock)


class S3LockedBlobs(S3BlobStore):
    """A bucket with Object Lock, under one prefix; safe to use from many threads.

    SeaweedFS 4.48 keeps date and hold of a version in one record that it reads and
    writes: of two changes at once one takes the other back. So changes of a version
    wait for each other here, and each is looked at after it was made. Of two servers
    one may still take the other's back, to what was before both and never to less.
    """

    def __init__(
        self, connections: S3Connections, settings: S3Settings, clock: Clock
    ) -> None:
        super().__init__(connections, settings, clock)
        self._turns = tuple(threading.Lock() for _ in range(_TURNS))

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `LockedBlobs`."""
        with self._given(key):
            return super().get(key, version_id=version_id, max_bytes=max_bytes)

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `LockedBlobs`."""
        with self._given(key):
            super().read_into(
                key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
            )

    def put_locked(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        """See `LockedBlobs`. Repeated only where S3 said that nothing was done."""
        return self._put_under(key, data, {"if-none-match": "*", **_lock_headers(lock)})

    def put_over(self, key: str, data: ReadBuffer, *, lock: Lock) -> str:
        """See `LockedBlobs`. Repeated only where S3 said that nothing was done."""
        return self._put_under(key, data, _lock_headers(lock))

    @contextmanager
    def _given(self, key: str) -> Iterator[None]:
        """Tell one object that S3 never gives, while it answers, from S3 being down.

        Stores that check what lies on their disks refuse to read what has rotted, and
        answer as if they were out of order: all else can still be restored.
        """
        try:
            yield
        except UnavailableError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            self.check_ready()
            raise IntegrityError(
                f"the backup bucket answers, and does not give {key}: {error.message}",
                reason=Reason.RECORD_CORRUPT,
                hint="`strongroom backup create --read-all` stores it anew from the "
                "primary.",
                key=key,
            ) from error

    def lock_of(self, key: str, *, version_id: str) -> Lock | None:
        """See `LockedBlobs`."""
        return self.retry(partial(_look, self, key, version_id), always)

    def extend(self, key: str, *, version_id: str, until_s: float) -> Lock:
        """See `LockedBlobs`. What is returned was seen after it was put."""
        refused: PreconditionError | None = None
        seen_s = 0.0
        with self._turn(key):
            for _ in range(_MAX_LOOKS):
                lock = self.lock_of(key, version_id=version_id)
                if lock is None or not lock.until_s:
                    raise unsuitable(
                        "PutObjectRetention",
                        "a version that is to stay locked never was",
                    )
                if lock.until_s >= until_s:
                    return lock
                # Somebody else may have locked it for longer meanwhile, and S3
                # refuses to shorten that.
                if refused is not None and lock.until_s == seen_s:
                    raise refused
                seen_s = lock.until_s
                longer = replace(lock, until_s=until_s)
                refused = self._put_date(key, version_id, longer)
        raise unavailable("PutObjectRetention", _CONTESTED)

    def set_hold(self, key: str, *, version_id: str, is_held: bool) -> None:
        """See `LockedBlobs`. It was seen, with a date as late as before."""
        document = _Document(
            "PutObjectLegalHold",
            {"legal-hold": "", "versionId": version_id},
            f"<LegalHold {_NAMESPACE}><Status>{_HELD[is_held]}</Status></LegalHold>",
        )
        latest = _UNLOCKED
        with self._turn(key):
            for _ in range(_MAX_LOOKS):
                lock = self.lock_of(key, version_id=version_id) or _UNLOCKED
                if lock.until_s < latest.until_s:
                    refused = self._put_date(key, version_id, latest)
                    if refused is not None:
                        raise refused
                    continue
                latest = lock
                if lock.is_held == is_held:
                    return
                self.retry(partial(_put_document, self, key, document), always)
        raise unavailable("PutObjectLegalHold", _CONTESTED)

    def _put_date(
        self, key: str, version_id: str, lock: Lock
    ) -> PreconditionError | None:
        """Put mode and date on a version; return what S3 refuses it with."""
        document = _retention(version_id, lock)
        try:
            self.retry(partial(_put_document, self, key, document), always)
        except PreconditionError as error:
            if error.reason is not Reason.STORE_ACCESS_DENIED:
                raise
            return error
        return None

    def _turn(self, key: str) -> threading.Lock:
        return self._turns[zlib.crc32(key.encode()) % len(self._turns)]

    def _put_under(self, key: str, data: ReadBuffer, headers: Mapping[str, str]) -> str:
        view = memoryview(data).cast("B")
        return self.retry(
            lambda deadline: self._put(key, view, headers, deadline), was_not_done
        )


class S3LockAttempts(S3Requests):
    """Tries one credential on one bucket; each once, whatever the answer."""

    def delete(
        self, key: str, *, version_id: str = "", may_bypass: bool = False
    ) -> None:
        """See `LockAttempts`."""
        self._once(partial(_delete, self, key, version_id, may_bypass))

    def relock(
        self, key: str, *, version_id: str, lock: Lock, may_bypass: bool = False
    ) -> None:
        """See `LockAttempts`."""
        document = _retention(version_id, lock, may_bypass=may_bypass)
        self._once(partial(_put_document, self, key, document))

    def keep_versions(self) -> None:
        """See `LockAttempts`."""
        document = _Document(
            "PutBucketVersioning",
            {"versioning": ""},
            f"<VersioningConfiguration {_NAMESPACE}><Status>Enabled</Status>"
            "</VersioningConfiguration>",
        )
        self._once(partial(_put_document, self, "", document))

    def _once(self, call: Callable[[float], T]) -> T:
        return call(self.clock.monotonic() + self.settings.operation_timeout_s)


class S3SlotRemover(S3Requests):
    """Removes versions in spite of governance; safe to use from many threads."""

    def remove(self, key: str, *, version_id: str) -> bool:
        """See `BlobRemover`."""
        # S3 answers alike whether the version was there or not, so it is asked
        # first; a delete marker counts as not there, and stays.
        try:
            self.retry(partial(_look, self, key, version_id), always)
        except BlobNotFoundError:
            return False
        self.retry(partial(_delete, self, key, version_id, True), always)  # noqa: FBT003 - bypass
        return True


def _look(
    requests: S3Requests, key: str, version_id: str, deadline: float
) -> Lock | None:
    query = {"versionId": version_id}
    with requests.exchange("HeadObject", "HEAD", key, deadline, query=query) as answer:
        is_held = answer.header(_HOLD_HEADER).upper() == _HELD[True]
        mode, date = answer.header(_MODE_HEADER), answer.header(_DATE_HEADER)
    if not mode or not date:
        return Lock(LockMode.GOVERNANCE, 0.0, is_held=True) if is_held else None
    try:
        until_s = datetime.fromisoformat(date).timestamp()
        return Lock(LockMode(mode.lower()), until_s, is_held)
    except ValueError as error:
        raise unsuitable("HeadObject", "a lock that makes no sense") from error


def _delete(
    requests: S3Requests,
    key: str,
    version_id: str,
    may_bypass: bool,  # noqa: FBT001 - for `partial`
    deadline: float,
) -> None:
    query = {"versionId": version_id} if version_id else {}
    headers = _BYPASS if may_bypass else {}
    with requests.exchange(
        "DeleteObject", "DELETE", key, deadline, query=query, headers=headers
    ):
        pass


def _retention(version_id: str, lock: Lock, *, may_bypass: bool = False) -> _Document:
    return _Document(
        "PutObjectRetention",
        {"retention": "", "versionId": version_id},
        f"<Retention {_NAMESPACE}><Mode>{_MODES[lock.mode]}</Mode>"
        f"<RetainUntilDate>{_date(lock.until_s)}</RetainUntilDate></Retention>",
        _BYPASS if may_bypass else {},
    )


def _put_document(
    requests: S3Requests, key: str, document: _Document, deadline: float
) -> None:
    body = document.body.encode()
    with requests.exchange(
        document.operation,
        "PUT",
        key,
        deadline,
        query=document.query,
        headers={**crc32_header(memoryview(body)), **document.headers},
        body=body,
    ):
        pass


def _lock_headers(lock: Lock) -> dict[str, str]:
    headers = {_MODE_HEADER: _MODES[lock.mode], _DATE_HEADER: _date(lock.until_s)}
    return headers | ({_HOLD_HEADER: _HELD[True]} if lock.is_held else {})


def _date(until_s: float) -> str:
    """Return the first whole second that is not before, as S3 spells it."""
    date = datetime.fromtimestamp(math.ceil(until_s), UTC)
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


_locked_blobs: type[LockedBlobs] = S3LockedBlobs
_lock_attempts: type[LockAttempts] = S3LockAttempts
_blob_remover: type[BlobRemover] = S3SlotRemover
