# SPDX-License-Identifier: Apache-2.0
"""What drills run on: a backup, read as a store, with nothing of the store's own."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from strongroom_server.ports import (
    BlobVersion,
    Clock,
    Entropy,
    Index,
    KeyService,
    Scratch,
    Signer,
)
from strongroom_server.repository.backup_engine import open_backup_engine
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.repository.inventory_view import BlobReader
from strongroom_server.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What an engine on a backup runs on.

    Attributes:
        keys: Vault's keys that wrap.
        signer: Vault's keys that sign; on a backup they only verify.
        clock: Time.
        entropy: Draws the seed.
        executor: The threads that chunks are read on.
        open_index: Makes an index that nothing is in yet.
        scratch: Where files are restored to.
    """

    keys: KeyService
    signer: Signer
    clock: Clock
    entropy: Entropy
    executor: Executor
    open_index: Callable[[], Index]
    scratch: Scratch


class CountedBucket:
    """A backup bucket that counts what is read. Safe to use from many threads.

    Attributes:
        request_count: Reads so far.
        read_bytes: What they gave.
    """

    def __init__(self, bucket: BlobReader) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self.request_count = 0
        self.read_bytes = 0

    def get(self, key: str, *, version_id: str, max_bytes: int) -> bytes:
        """See `BlobReader`."""
        data = self._bucket.get(key, version_id=version_id, max_bytes=max_bytes)
        self._count(len(data))
        return data

    def read_into(
        self, key: str, *, version_id: str, offset_bytes: int, buffer: memoryview
    ) -> None:
        """See `BlobReader`."""
        self._bucket.read_into(
            key, version_id=version_id, offset_bytes=offset_bytes, buffer=buffer
        )
        self._count(len(buffer))

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[BlobVersion]:
        """See `BlobReader`."""
        self._count(0)
        yield from self._bucket.versions(prefix, start_after=start_after)

    def time_s(self) -> float:
        """See `BlobReader`."""
        return self._bucket.time_s()

    def check_ready(self) -> None:
        """See `BlobReader`."""
        self._bucket.check_ready()

    def _count(self, size_bytes: int) -> None:
        with self._lock:
            self.request_count += 1
            self.read_bytes += size_bytes


def open_backup(
    parts: EngineParts, bucket: BlobReader, saved: SavedBackup
) -> Repository:
    """Open the store as a backup has it, to be read; errors as `open_backup_engine`."""
    return open_backup_engine(
        bucket,
        saved,
        key_service=parts.keys,
        signer=parts.signer,
        index=parts.open_index(),
        clock=parts.clock,
        entropy=parts.entropy,
        executor=parts.executor,
    ).repository


_reader: type[BlobReader] = CountedBucket
