# SPDX-License-Identifier: Apache-2.0
"""Blobs, index and audit log in memory, with back doors for an adversary.

They keep the ports' contracts and pass the same suites as the real adapters. What
a test does behind the server's back (an overwrite, a delete marker, a flipped bit)
has a method of its own, which no port has.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core.audit import (
    GENESIS,
    AuditEvent,
    AuditReceipt,
    format_line,
    line_digest,
)
from strongroom_server.ports import (
    AuditSink,
    BlobExistsError,
    BlobNotFoundError,
    BlobPresigner,
    BlobRemover,
    BlobVersion,
    Clock,
    Index,
    ReadBuffer,
    SignedPut,
    VersionedBlobs,
)

#: 2026-11-01T00:00Z: the time in a store that has no clock.
_START_S: Final = 1_793_491_200.0


@dataclass(frozen=True, slots=True)
class _Stored:
    """A version; a delete marker has no data."""

    version_id: str
    data: bytes | None
    modified_s: float


class MemoryBlobStore:
    """A versioned bucket; safe to use from many threads.

    Args:
        clock: Dates what is written; without one, time goes on by `advance` only.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._lock = threading.Lock()
        self._versions: dict[str, list[_Stored]] = {}
        self._count = 0
        self._clock = clock
        self._advanced_s = 0.0

    def put_new(self, key: str, data: ReadBuffer) -> str:
        """See `BlobStore`."""
        with self._lock:
            versions = self._versions.get(key)
            if versions and versions[-1].data is not None:
                raise BlobExistsError(key)
            return self._add(key, bytes(data))

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobStore`."""
        data = self._find(key, version_id)
        if len(data) > max_bytes:
            raise IntegrityError(
                f"a stored object has {len(data)} bytes, more than {max_bytes}",
                reason=Reason.RECORD_CORRUPT,
                size_bytes=len(data),
                max_bytes=max_bytes,
            )
        return data

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobStore`."""
        view = buffer.cast("B")
        if not len(view):
            return
        data = self._find(key, version_id)
        if offset_bytes + len(view) > len(data):
            raise BlobNotFoundError(key)
        view[:] = memoryview(data)[offset_bytes : offset_bytes + len(view)]

    def first_versions(
        self, prefix: str, *, start_after: str = ""
    ) -> Iterator[BlobVersion]:
        """See `BlobStore`."""
        with self._lock:
            found = [
                BlobVersion(key, stored.version_id, len(stored.data), stored.modified_s)
                for key, versions in sorted(self._versions.items())
                if key.startswith(prefix) and key > start_after
                for stored in versions
                if stored.data is not None
            ]
        last = ""
        for version in found:
            if version.key != last:
                yield version
            last = version.key

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        """See `VersionedBlobs`."""
        with self._lock:
            found = [
                BlobVersion(key, stored.version_id, len(stored.data), stored.modified_s)
                for key, versions in sorted(self._versions.items())
                if key.startswith(prefix) and key > start_after
                for stored in reversed(versions)
                if stored.data is not None
            ]
        yield from found

    def subfolders(self, prefix: str) -> Iterator[str]:
        """See `BlobStore`."""
        last = ""
        for version in self.first_versions(prefix):
            segment, slash, _ = version.key.removeprefix(prefix).partition("/")
            folder = f"{prefix}{segment}/"
            if slash and folder != last:
                yield folder
                last = folder

    def time_s(self) -> float:
        """See `BlobStore`."""
        start_s = _START_S if self._clock is None else self._clock.now().timestamp()
        return start_s + self._advanced_s

    def check_ready(self) -> None:
        """See `BlobStore`."""

    def advance(self, seconds: float) -> None:
        """Let the store's own clock go on."""
        self._advanced_s += seconds

    def overwrite(self, key: str, data: bytes) -> str:
        """Put a newer version over whatever is there; return its version id."""
        with self._lock:
            return self._add(key, data)

    def add_delete_marker(self, key: str) -> str:
        """Do what S3 does on a delete without a version id."""
        with self._lock:
            return self._add(key, None)

    def delete_version(self, key: str, version_id: str) -> bool:
        """Remove one version for ever; return whether it was there."""
        with self._lock:
            versions = self._versions.get(key, [])
            kept = [item for item in versions if item.version_id != version_id]
            self._versions[key] = kept
            return len(kept) < len(versions)

    def holds(self, key: str, version_id: str) -> bool:
        """Return whether a version is there, and no delete marker."""
        try:
            self._find(key, version_id)
        except BlobNotFoundError:
            return False
        return True

    def corrupt(self, key: str, version_id: str, data: bytes) -> None:
        """Change the bytes of a version in place, as bit rot would."""
        with self._lock:
            self._versions[key] = [
                _Stored(version_id, data, item.modified_s)
                if item.version_id == version_id
                else item
                for item in self._versions[key]
            ]

    def objects(self) -> list[tuple[BlobVersion, bytes]]:
        """Return every version of every key, in key order, oldest first."""
        with self._lock:
            return [
                (
                    BlobVersion(key, item.version_id, len(item.data), item.modified_s),
                    item.data,
                )
                for key, versions in sorted(self._versions.items())
                for item in versions
                if item.data is not None
            ]

    def _add(self, key: str, data: bytes | None) -> str:
        self._count += 1
        version_id = f"v{self._count:08d}"
        stored = _Stored(version_id, data, self.time_s())
        self._versions.setdefault(key, []).append(stored)
        return version_id

    def _find(self, key: str, version_id: str) -> bytes:
        with self._lock:
            for stored in self._versions.get(key, ()):
                if stored.version_id == version_id and stored.data is not None:
                    return stored.data
        raise BlobNotFoundError(key)


class MemoryBlobRemover:
    """Removes versions from a `MemoryBlobStore`, except those that are locked."""

    def __init__(self, store: MemoryBlobStore) -> None:
        self._store = store
        self._locked: set[str] = set()
        self.removed: list[tuple[str, str]] = []

    def remove(self, key: str, *, version_id: str) -> bool:
        """See `BlobRemover`."""
        if key in self._locked:
            raise PreconditionError(
                "S3 refused DeleteObject: the version is locked",
                reason=Reason.STORE_ACCESS_DENIED,
            )
        if not self._store.holds(key, version_id):
            return False
        self.removed.append((key, version_id))
        return self._store.delete_version(key, version_id)

    def lock(self, key: str) -> None:
        """Refuse to remove a key's versions from now on."""
        self._locked.add(key)


class MemoryBlobPresigner:
    """Makes URLs that only tests can read."""

    def presign(self, key: str, *, version_id: str, lifetime_s: int) -> str:
        """See `BlobPresigner`."""
        return f"memory://{key}?versionId={version_id}&lifetime={lifetime_s}"

    def presign_put(
        self, key: str, *, size_bytes: int, crc32: int, lifetime_s: int
    ) -> SignedPut:
        """See `BlobPresigner`."""
        url = f"memory://{key}?lifetime={lifetime_s}"
        given = {"content-length": str(size_bytes), "if-none-match": "*"}
        return SignedPut(url, given | {"checksum-crc32": str(crc32)})


class MemoryIndex:
    """An index that is forgotten with the process; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """See `Index`."""
        with self._lock:
            return self._items.get(key)

    def put_many(self, items: Mapping[bytes, bytes]) -> None:
        """See `Index`."""
        with self._lock:
            self._items.update(items)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Index`. Items that are stored meanwhile may be left out."""
        with self._lock:
            keys = sorted(self._items)
        for key in keys[bisect_left(keys, prefix) :]:
            if not key.startswith(prefix):
                return
            value = self.get(key)
            if value is not None:
                yield key, value

    def forget(self, prefix: bytes) -> None:
        """See `Index`."""
        with self._lock:
            for key in [key for key in self._items if key.startswith(prefix)]:
                del self._items[key]

    def clear(self) -> None:
        """See `Index`."""
        with self._lock:
            self._items.clear()


class MemoryAuditLog:
    """An audit log that can be read back, and told to fail."""

    def __init__(self, log_id: str = "00000000") -> None:
        self._lock = threading.Lock()
        self._log_id = log_id
        self._prev = GENESIS
        self._lines: list[bytes] = []
        self._events: list[AuditEvent] = []
        self._shared: list[bool] = []
        self._failing = False

    def append(self, event: AuditEvent, *, shared: bool = False) -> AuditReceipt:
        """See `AuditSink`."""
        with self._lock:
            if self._failing:
                message = "the audit log cannot be written: it was told to fail"
                raise UnavailableError(message, reason=Reason.AUDIT_UNAVAILABLE)
            number = len(self._lines)
            line = format_line(event, number=number, prev=self._prev)
            self._prev = line_digest(line)
            self._lines.append(line)
            self._events.append(event)
            self._shared.append(shared)
            return AuditReceipt(self._log_id, number, self._prev)

    def fail(self, *, failing: bool) -> None:
        """Refuse every event from now on, or take them again."""
        with self._lock:
            self._failing = failing

    def lines(self) -> list[bytes]:
        """Return every line, as a file would hold it."""
        with self._lock:
            return list(self._lines)

    def events(self) -> list[AuditEvent]:
        """Return every event."""
        with self._lock:
            return list(self._events)

    def shared(self) -> list[bool]:
        """Return of every event whether it had to be in the store."""
        with self._lock:
            return list(self._shared)


_blob_store: type[VersionedBlobs] = MemoryBlobStore
_blob_presigner: type[BlobPresigner] = MemoryBlobPresigner
_blob_remover: type[BlobRemover] = MemoryBlobRemover
_index: type[Index] = MemoryIndex
_audit_sink: type[AuditSink] = MemoryAuditLog
