# SPDX-License-Identifier: Apache-2.0
"""The whole engine over one backup: from the backup bucket and Vault alone.

Neither the store that was backed up nor any server's state is needed. What it reads
is what the backup's signed root names; it can write nothing.
"""

from concurrent.futures import Executor
from dataclasses import dataclass

from strongroom.errors import (
    IntegrityError,
    NotFoundError,
    Reason,
    StrongroomError,
)
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
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
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
from strongroom_server.repository.signed_records import SignedRecords


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


def signed_store(
    bucket: LockedBlobs, signer: Signer, signed: SignedRecords | None = None
) -> bytes:
    """Return the id of the store that a bucket has backups of, as a root tells it.

    `strongroom.json` is not asked: anybody who may write to the bucket may have put
    one there before us. Whose root is signed by the store's keys is believed.

    Args:
        bucket: The backup bucket.
        signer: Knows the public keys.
        signed: Told what was planted there, for `BackupRecords` that come after.

    Raises:
        NotFoundError: No root in it is signed by these keys (BACKUP_NOT_FOUND).
        PreconditionError: Vault refuses the public keys (KEK_ACCESS_DENIED).
        UnavailableError: S3 or Vault cannot be reached.
    """
    bad: dict[int, StrongroomError] = {}
    for saved in BackupRecords(bucket, signer, b"", signed).newest_first(bad):
        return saved.root.store
    unsigned = f"; {len(bad)} are not signed as they must be" if bad else ""
    raise NotFoundError(
        f"there is no backup in this bucket{unsigned}",
        reason=Reason.BACKUP_NOT_FOUND,
        hint="Look at backup.endpoint, bucket and prefix in the settings; if there "
        "should be one, this Vault is another one, or was restored from before its "
        "signing keys were rotated.",
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
            refuses it (KEK_ACCESS_DENIED); or something in it needs a newer release.
        IntegrityError: The backup's first records are damaged, gone, or another
            store's (RECORD_CORRUPT).
        UnavailableError: Vault or the backup bucket cannot be reached.
    """
    view = view_of(bucket, saved)
    try:
        keyring = open_keyring(
            blobs=view, key_service=key_service, clock=clock, entropy=entropy
        )
    except BlobNotFoundError as error:
        raise IntegrityError(
            f"an object is gone that backup {saved.number} cannot be opened without",
            reason=Reason.RECORD_CORRUPT,
            hint="Use an older backup: `strongroom backup ls`.",
        ) from error
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
