# SPDX-License-Identifier: Apache-2.0
"""The audit log of all servers, in the bucket: batches and signed checkpoints.

A batch's number is its place: created if absent, so that of several servers one
gets it, and the others go on behind it. Nothing is ever written over.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import IntegrityError, StrongroomError
from strongroom_server.core import layout
from strongroom_server.core.audit_batch import (
    MAX_BODY_BYTES,
    AuditBatch,
    batch_body,
    batch_damaged,
    parse_batch,
)
from strongroom_server.core.audit_failures import log_damaged
from strongroom_server.core.merkle import Frontier, leaf_hash
from strongroom_server.core.sealing import ObjectKind, seal_object
from strongroom_server.core.signed_note import MAX_NOTE_BYTES
from strongroom_server.ports import (
    BlobExistsError,
    BlobNotFoundError,
    BlobStore,
    BlobVersion,
)
from strongroom_server.repository.keyring import Keyring
from strongroom_server.repository.numbered_blobs import first_version, put_numbered
from strongroom_server.repository.written_heads import WrittenHeads

#: Batches that a pass over the log fetches at once, and holds at most.
READ_THREADS: Final = 8
READ_AHEAD: Final = 32
#: What encryption adds to a batch, and to spare.
_MAX_STORED_BYTES: Final = MAX_BODY_BYTES + 64 * 1024


@dataclass(frozen=True, slots=True)
class LogHead:
    """How far a server knows the log of all, and how much of its own is in it.

    Attributes:
        number: Of the next batch.
        tree: The log, as far as it is known.
        shipped: The next line of the server's own log.
    """

    number: int = 0
    tree: Frontier = field(default_factory=Frontier)
    shipped: int = 0


class SharedAuditLog:
    """One log below `audit/<name>/`. Safe to use from many threads."""

    def __init__(self, name: str, *, blobs: BlobStore, keyring: Keyring) -> None:
        self._name = name
        self._blobs = blobs
        self._keyring = keyring

    @property
    def origin(self) -> str:
        """What checkpoints call the log."""
        return f"strongroom/{self._keyring.store.hex()}/{self._name}"

    def seal(self, batch: AuditBatch) -> bytes:
        """Return the bytes of a batch; each time others, so that they are ours."""
        return seal_object(
            self._keyring.open_store_domain(),
            ObjectKind.AUDIT,
            layout.audit_batch_key(self._name, batch.number),
            batch_body(batch),
            salt=self._keyring.salt(),
        )

    def put(self, number: int, data: bytes) -> bool:
        """Store what `seal` returned; return False if another batch has the number.

        Raises:
            UnavailableError: It is not known whether it was stored.
        """
        return put_numbered(
            self._blobs, layout.audit_batch_key(self._name, number), data
        )

    def listed(self, start: int = 0) -> Iterator[tuple[int, BlobVersion]]:
        """Yield number and object of every batch from `start` on.

        Raises:
            IntegrityError: A number is missing (AUDIT_CORRUPT).
        """
        prefix = layout.audit_batches_prefix(self._name)
        after = layout.audit_batch_key(self._name, start - 1) if start else ""
        expected = start
        for item in self._blobs.first_versions(prefix, start_after=after):
            number = layout.upload_key_number(item.key)
            if number < 0:
                continue
            if number != expected:
                raise log_damaged(
                    f"batch {expected} of the audit log is gone", number=expected
                )
            yield number, item
            expected += 1

    def read(self, number: int, item: BlobVersion) -> AuditBatch:
        """Return a batch that `listed` showed.

        Raises:
            IntegrityError: It is damaged, or not of this store (AUDIT_CORRUPT).
        """
        try:
            data = self._blobs.get(
                item.key, version_id=item.version_id, max_bytes=_MAX_STORED_BYTES
            )
            body = self._keyring.open_object(
                self._keyring.open_store_domain(),
                ObjectKind.AUDIT,
                layout.audit_batch_key(self._name, number),
                data,
                max_bytes=MAX_BODY_BYTES,
            )
        except (IntegrityError, BlobNotFoundError) as error:
            raise batch_damaged(number) from error
        return parse_batch(number, body)

    def batches(self, start: int = 0) -> Iterator[AuditBatch]:
        """Yield every batch from `start` on, in order, some fetched ahead.

        Errors as `listed` and `read`, after all that comes before.
        """
        ahead: deque[Future[AuditBatch]] = deque()
        listed = self.listed(start)
        with ThreadPoolExecutor(READ_THREADS) as pool:
            failure: StrongroomError | None = None
            try:
                for number, item in listed:
                    ahead.append(pool.submit(self.read, number, item))
                    if len(ahead) == READ_AHEAD:
                        yield ahead.popleft().result()
            except StrongroomError as error:
                failure = error
            for future in ahead:
                yield future.result()
            if failure is not None:
                raise failure

    def boundary(self, size: int, head: LogHead) -> LogHead | None:
        """Return where the log had `size` entries, between two batches.

        Args:
            size: Entries.
            head: How far the log is known; whether it goes on is looked up.

        Returns:
            Nothing if the log is shorter, or never ended there.

        Raises:
            IntegrityError: A batch is damaged (AUDIT_CORRUPT).
            UnavailableError: S3 cannot be reached.
        """
        if size == head.tree.size:
            return head
        ahead = size > head.tree.size
        return self._ahead(size, head) if ahead else self._behind(size, head)

    def _ahead(self, size: int, head: LogHead) -> LogHead | None:
        for batch in self.batches(head.number):
            if batch.after.size == size:
                return LogHead(batch.number + 1, batch.after)
            if batch.after.size > size:
                break
        return None

    def _behind(self, size: int, head: LogHead) -> LogHead | None:
        # From the end on: what is asked for is mostly near, and what is far may rot.
        step, high = 1, head.number
        batch = self._read_number(high - 1)
        while batch.before.size > size:
            high, step = batch.number, 2 * step
            batch = self._read_number(max(0, head.number - step))
        while batch.before.size != size and batch.number + 1 < high:
            middle = self._read_number((batch.number + high) // 2)
            if middle.before.size <= size:
                batch = middle
            else:
                high = middle.number
        return (
            LogHead(batch.number, batch.before) if batch.before.size == size else None
        )

    def growth(self, start: LogHead, size: int) -> list[bytes]:
        """Return the leaf hashes from a boundary on, up to `size` entries.

        Raises:
            IntegrityError: The batches do not go on there, or do not lead to that
                size (AUDIT_CORRUPT).
            UnavailableError: S3 cannot be reached.
        """
        leaves: list[bytes] = []
        tree = start.tree
        if tree.size == size:
            return leaves
        for batch in self.batches(start.number):
            if batch.before != tree:
                raise batch_damaged(batch.number)
            leaves += [leaf_hash(item) for item in batch.entries]
            tree = batch.after
            if tree.size >= size:
                break
        if tree.size != size:
            raise batch_damaged(start.number)
        return leaves

    def check_heads(self, heads: WrittenHeads) -> None:
        """Check what entries say of journals against the store; errors as there."""
        heads.check(self._blobs)

    def put_cosigned(self, witness: str, size: int, note: bytes) -> None:
        """Store a cosigned checkpoint; harmless if there is one of that size."""
        with contextlib.suppress(BlobExistsError):
            self._blobs.put_new(
                layout.audit_cosigned_key(self._name, witness, size), note
            )

    def cosigned(self, witness: str = "") -> Iterator[tuple[int, bytes]]:
        """Yield size and bytes of all checkpoints that a witness, or any, cosigned.

        Of each witness by size; whatever they say.
        """
        yield from self._notes(layout.audit_cosigned_prefix(self._name, witness))

    def put_checkpoint(self, size: int, note: bytes) -> None:
        """Store a signed checkpoint; harmless if there is one of that size."""
        with contextlib.suppress(BlobExistsError):
            self._blobs.put_new(layout.audit_checkpoint_key(self._name, size), note)

    def checkpoints(self) -> Iterator[tuple[int, bytes]]:
        """Yield size and bytes of every checkpoint, whatever they say, by size."""
        yield from self._notes(layout.audit_checkpoints_prefix(self._name))

    def _notes(self, prefix: str) -> Iterator[tuple[int, bytes]]:
        for item in self._blobs.first_versions(prefix):
            size = layout.upload_key_number(item.key)
            if size < 0:
                continue
            try:
                yield (
                    size,
                    self._blobs.get(
                        item.key, version_id=item.version_id, max_bytes=MAX_NOTE_BYTES
                    ),
                )
            except (BlobNotFoundError, IntegrityError):
                yield size, b""

    def _read_number(self, number: int) -> AuditBatch:
        item = first_version(self._blobs, layout.audit_batch_key(self._name, number))
        if item is None:
            raise batch_damaged(number)
        return self.read(number, item)
