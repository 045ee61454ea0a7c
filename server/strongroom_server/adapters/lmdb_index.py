# SPDX-License-Identifier: Apache-2.0
"""`Index` on LMDB: a cache that may be lost, and is never believed unchecked.

Each value carries a MAC, since LMDB hands out rotten bytes without a word, and the
whole file carries another one, written when it is closed. LMDB walks through a
damaged tree until the process dies, so a file without that seal is not opened: it
is deleted, and fills again.
"""

import fcntl
import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import lmdb

from strongroom.errors import Reason, UnavailableError
from strongroom_server.ports import Index

T = TypeVar("T")

#: LMDB 0.9: the format that has been in the field for ten years. lmdb 3 also has
#: 1.0, which cannot read it, and its default may change; so it is named.
ENGINE: Final = 0
TAG_BYTES: Final = 16
MAX_KEY_BYTES: Final = 500
#: Items read in one transaction of a scan; no transaction outlives a batch.
SCAN_ITEMS: Final = 256
#: A map is address space, not memory; it is doubled up to this.
MAX_MAP_BYTES: Final = 2**40
_SEAL_NAME: Final = "seal"
#: All that is ever deleted; whatever else lies in the directory is not ours.
_FILE_NAMES: Final = ("data.mdb", "lock.mdb", "seal", "seal.new")


@contextmanager
def open_lmdb_index(
    path: Path, *, mac_key: bytes, map_size_bytes: int
) -> Iterator["LmdbIndex"]:
    """Open the index in the directory `path`, empty unless it was closed well.

    Args:
        path: Made if it is missing. One process at a time.
        mac_key: 32 secret bytes, the same at every start.
        map_size_bytes: The first size of the map; it grows by itself.

    Raises:
        UnavailableError: The directory cannot be used, or another process uses it
            (INDEX_UNAVAILABLE).
    """
    index = LmdbIndex(path, mac_key=mac_key, map_size_bytes=map_size_bytes)
    try:
        index.open()
        yield index
    finally:
        index.close()


class LmdbIndex:
    """A map of bytes in one LMDB environment; safe to use from many threads.

    One lock admits one transaction at a time. They take microseconds, because
    nothing is synced before the end: after a crash the file is deleted anyway.
    """

    def __init__(self, path: Path, *, mac_key: bytes, map_size_bytes: int) -> None:
        self._path = path
        self._mac_key = mac_key
        self._map_size_bytes = map_size_bytes
        self._lock = threading.Lock()
        self._environment: lmdb.Environment | None = None
        self._owner_fd = -1

    def open(self) -> None:
        """Open the file if its seal is good, else an empty one."""
        with self._lock, self._failures():
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own()
            try:
                self._check_seal()
                self._open_environment()
            except (_UnsealedError, lmdb.Error):
                self._start_empty()

    def close(self) -> None:
        """Close the file and seal it; without a seal it will not be used again."""
        with self._lock:
            environment, self._environment = self._environment, None
            try:
                if environment is not None:
                    self._close_and_seal(environment)
            finally:
                if self._owner_fd >= 0:
                    os.close(self._owner_fd)
                    self._owner_fd = -1

    def get(self, key: bytes) -> bytes | None:
        """See `Index`."""
        sealed = self._run(lambda environment: _read(environment, key))
        if sealed is None:
            return None
        value = self._unseal(key, sealed)
        if value is None:
            self._run(lambda environment: _forget(environment, key, sealed))
        return value

    def put_many(self, items: Mapping[bytes, bytes]) -> None:
        """See `Index`."""
        for key in items:
            if not 0 < len(key) <= MAX_KEY_BYTES:
                message = f"a key of {len(key)} bytes is not 1 to {MAX_KEY_BYTES} long"
                raise ValueError(message)
        # In key order, LMDB walks its tree once.
        sealed = [(key, value + self._tag(key, value)) for key, value in items.items()]
        sealed.sort()
        self._run(lambda environment: _write(environment, sealed))

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Index`. Items that are stored meanwhile may or may not be seen."""
        start = prefix
        while True:
            batch = self._scan_from(start, prefix)
            for key, sealed in batch:
                value = self._unseal(key, sealed)
                if value is not None:
                    yield key, value
            if len(batch) < SCAN_ITEMS:
                return
            # The next key in order: nothing lies between k and k + one zero byte.
            start = batch[-1][0] + b"\0"

    def forget(self, prefix: bytes) -> None:
        """See `Index`."""
        while batch := self._scan_from(prefix, prefix):
            keys = [key for key, _ in batch]
            self._run(partial(_delete, keys=keys))

    def clear(self) -> None:
        """See `Index`."""
        with self._lock, self._failures():
            self._start_empty()

    def _scan_from(self, start: bytes, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return self._run(lambda environment: _read_batch(environment, start, prefix))

    def _run(self, transact: Callable[[lmdb.Environment], T]) -> T:
        """Run a transaction; make room, or begin anew, where that helps."""
        with self._lock, self._failures():
            while True:
                if self._environment is None:
                    message = "the index is closed"
                    raise UnavailableError(message, reason=Reason.INDEX_UNAVAILABLE)
                try:
                    return transact(self._environment)
                except lmdb.MapFullError:
                    self._grow()
                except lmdb.Error as error:
                    if error.code > 0:  # An errno: the disk's fault, not the tree's.
                        raise
                    # The tree is damaged. What it held is elsewhere, so begin
                    # anew; the next failure is not ours to mend.
                    self._start_empty()
                    return transact(self._environment)

    def _grow(self) -> None:
        if self._environment is None or self._map_size_bytes >= MAX_MAP_BYTES:
            message = f"the index has outgrown {MAX_MAP_BYTES} bytes"
            raise UnavailableError(message, reason=Reason.INDEX_UNAVAILABLE)
        self._map_size_bytes *= 2
        self._environment.set_mapsize(self._map_size_bytes)

    def _open_environment(self) -> None:
        size_bytes = 0
        with suppress(FileNotFoundError):
            size_bytes = (self._path / "data.mdb").stat().st_size
        self._map_size_bytes = max(self._map_size_bytes, 2 * size_bytes)
        self._environment = lmdb.open(
            str(self._path),
            map_size=self._map_size_bytes,
            mode=0o600,
            sync=False,
            metasync=False,
            readahead=False,
            lib_version=ENGINE,
        )

    def _close_and_seal(self, environment: lmdb.Environment) -> None:
        # If the disk refuses, there is no seal, and that says all there is to say:
        # the next start begins anew. It is no reason to end with an error.
        with suppress(lmdb.Error, OSError):
            try:
                environment.sync(force=True)
            finally:
                environment.close()
            temporary = self._path / f"{_SEAL_NAME}.new"
            temporary.write_bytes(self._seal())
            temporary.replace(self._path / _SEAL_NAME)

    def _start_empty(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        for name in _FILE_NAMES:
            (self._path / name).unlink(missing_ok=True)
        self._open_environment()

    def _own(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._owner_fd = os.open(self._path / "owner", flags, 0o600)
        try:
            fcntl.flock(self._owner_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._owner_fd)
            self._owner_fd = -1
            message = f"another process uses the index in {self._path}"
            raise UnavailableError(message, reason=Reason.INDEX_UNAVAILABLE) from error

    def _check_seal(self) -> None:
        """Check the file's seal and break it, since the file will now change."""
        seal = self._path / _SEAL_NAME
        try:
            if not hmac.compare_digest(seal.read_bytes(), self._seal()):
                raise _UnsealedError
        except FileNotFoundError as error:
            raise _UnsealedError from error
        seal.unlink()

    def _seal(self) -> bytes:
        with (self._path / "data.mdb").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        return hmac.digest(self._mac_key, b"file" + digest, "sha256")

    def _tag(self, key: bytes, value: bytes) -> bytes:
        # The length of the key, so that no byte can move between key and value.
        message = b"item" + len(key).to_bytes(2, "big") + key + value
        return hmac.digest(self._mac_key, message, "sha256")[:TAG_BYTES]

    def _unseal(self, key: bytes, sealed: bytes) -> bytes | None:
        value, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        return value if hmac.compare_digest(tag, self._tag(key, value)) else None

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (lmdb.Error, OSError) as error:
            if isinstance(error, UnavailableError):
                raise
            cause = error.strerror if isinstance(error, OSError) else str(error)
            raise UnavailableError(
                f"the index cannot be used: {cause}",
                reason=Reason.INDEX_UNAVAILABLE,
                hint="Look at the disk of the index; deleting the index is harmless.",
                cause=cause or type(error).__name__,
            ) from error


class _UnsealedError(Exception):
    """The file was not closed well, or has changed since."""


def _read(environment: lmdb.Environment, key: bytes) -> bytes | None:
    with environment.begin() as transaction:
        return transaction.get(key)


def _write(environment: lmdb.Environment, items: list[tuple[bytes, bytes]]) -> None:
    with environment.begin(write=True) as transaction:
        for key, value in items:
            transaction.put(key, value)


def _forget(environment: lmdb.Environment, key: bytes, value: bytes) -> None:
    """Delete an item, unless somebody has stored another value meanwhile."""
    with environment.begin(write=True) as transaction:
        if transaction.get(key) == value:
            transaction.delete(key)


def _delete(environment: lmdb.Environment, keys: list[bytes]) -> None:
    with environment.begin(write=True) as transaction:
        for key in keys:
            transaction.delete(key)


def _read_batch(
    environment: lmdb.Environment, start: bytes, prefix: bytes
) -> list[tuple[bytes, bytes]]:
    batch: list[tuple[bytes, bytes]] = []
    with environment.begin() as transaction, transaction.cursor() as cursor:
        # An empty key is no key to LMDB.
        found = cursor.set_range(start) if start else cursor.first()
        while found and len(batch) < SCAN_ITEMS:
            key, value = cursor.item()
            if not key.startswith(prefix):
                break
            batch.append((key, value))
            found = cursor.next()
    return batch


_index: type[Index] = LmdbIndex
