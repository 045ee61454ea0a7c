# SPDX-License-Identifier: Apache-2.0
"""The whole engine over one backup: from the backup bucket and Vault alone.

Neither the store that was backed up nor any server's state is needed. What it reads
is what the backup's signed root names; it can write nothing.
"""

import contextlib
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from strongroom.errors import IntegrityError, NotFoundError, Reason
from strongroom_server.core import layout
from strongroom_server.core.scope import format_id
from strongroom_server.core.suites import DEFAULT_SUITE
from strongroom_server.ports import (
    BlobNotFoundError,
    Clock,
    Entropy,
    Index,
    KeyService,
    LockedBlobs,
    Signer,
)
from strongroom_server.repository.backup_records import SavedBackup
from strongroom_server.repository.inventory_view import (
    BlobReader,
    InventoryView,
    PagedRows,
)
from strongroom_server.repository.repository import (
    Repository,
    open_keyring,
    open_repository,
)
from strongroom_server.repository.store import parse_store

_MAX_RECORD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class BackupEngine:
    """A backup that can be read as a store.

    Attributes:
        saved: The backup.
        view: Its objects.
        repository: The engine on them.
        later: The newest backup, if it is another one: what had been shredded by then
            is dead in this one, too.
    """

    saved: SavedBackup
    view: InventoryView
    repository: Repository
    later: "BackupEngine | None" = None

    def is_dead(self, domain: bytes) -> bool:
        """Return whether a key domain is known to have been shredded by now."""
        name = format_id(domain)
        later = self.later is not None and self.later.is_dead(domain)
        return later or self.repository.shreds.is_dead(name)


def store_of(bucket: LockedBlobs) -> bytes:
    """Return the id of the store that a bucket has backups of.

    Nothing is believed for that: a root that is signed for another store is refused.

    Raises:
        NotFoundError: There is no backup in it (BACKUP_NOT_FOUND).
        IntegrityError: Its `strongroom.json` is damaged (RECORD_CORRUPT).
        UnavailableError: S3 cannot be reached.
    """
    # The oldest version is the one that was locked first; others may lie over it.
    first = next(iter(bucket.first_versions(layout.STORE)), None)
    if first is not None and first.key == layout.STORE:
        with contextlib.suppress(BlobNotFoundError):
            return parse_store(
                bucket.get(
                    layout.STORE,
                    version_id=first.version_id,
                    max_bytes=_MAX_RECORD_BYTES,
                )
            )
    raise NotFoundError(
        "there is no backup in this bucket",
        reason=Reason.BACKUP_NOT_FOUND,
        hint="Look at backup.endpoint, bucket and prefix in the settings.",
    )


def view_of(bucket: BlobReader, saved: SavedBackup) -> InventoryView:
    """Return the objects of a backup; makes no call."""
    return InventoryView(
        bucket,
        PagedRows(bucket, saved.root.pages),
        modified_s=saved.root.create_time.timestamp(),
    )


def open_backup_engine(
    bucket: BlobReader,
    saved: SavedBackup,
    *,
    key_service: KeyService,
    signer: Signer,
    index: Index,
    clock: Clock,
    entropy: Entropy,
    executor: Executor,
) -> BackupEngine:
    """Open a backup for reading.

    Args:
        bucket: The backup bucket.
        saved: The backup, as its signed root was verified.
        key_service: Unwraps the master keys of the backup's key slots.
        signer: Knows the public keys that journals are checked with.
        index: Of its own: what a backup says belongs into no server's index.
        clock: Time.
        entropy: Randomness.
        executor: Its threads read and decrypt.

    Raises:
        PreconditionError: Vault does not have the store's KEK (KEK_MISSING), or
            refuses it (KEK_ACCESS_DENIED).
        IntegrityError: The backup's first records are damaged, or another store's.
        UnavailableError: Vault or the backup bucket cannot be reached.
    """
    view = view_of(bucket, saved)
    keyring = open_keyring(
        blobs=view, key_service=key_service, clock=clock, entropy=entropy
    )
    if keyring.store != saved.root.store:
        raise IntegrityError(
            f"backup {saved.number} is of another store than its strongroom.json",
            reason=Reason.RECORD_CORRUPT,
            hint="Use an older backup: `strongroom backup ls`.",
        )
    repository = open_repository(
        keyring=keyring,
        blobs=view,
        signer=signer,
        index=index,
        clock=clock,
        entropy=entropy,
        executor=executor,
        suite=DEFAULT_SUITE,
    )
    return BackupEngine(saved, view, repository)
