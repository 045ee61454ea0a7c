# SPDX-License-Identifier: Apache-2.0
"""Opens what restores run on: backups as stores, and other use cases' help."""

from concurrent.futures import Executor
from functools import partial

from strongroom_server.adapters.bounded_index import BoundedIndex
from strongroom_server.adapters.vault import VaultSession
from strongroom_server.ports import (
    Clock,
    Entropy,
    KeyService,
    LockedBlobs,
    Signer,
)
from strongroom_server.repository.backup_engine import (
    BackupEngine,
    open_backup_engine,
)
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.inventory_view import InventoryCopy
from strongroom_server.repository.repository import Repository
from strongroom_server.rpc.restore_servicer import Restores, RestoreServicer
from strongroom_server.services.restoring import (
    LivingRestore,
    OpenedBackups,
    sign_report,
)
from strongroom_server.services.store_verification import StoreVerification
from strongroom_server.writing_anew import StoredAnew


def open_backups_as_stores(
    records: BackupRecords,
    bucket: LockedBlobs,
    *,
    key_service: KeyService,
    signer: Signer,
    clock: Clock,
    entropy: Entropy,
    executor: Executor,
) -> OpenedBackups:
    """Return what finds and opens backups; makes no call."""

    def opens(saved: SavedBackup) -> BackupEngine:
        return open_backup_engine(
            bucket,
            saved,
            key_service=key_service,
            signer=signer,
            index=BoundedIndex(),
            clock=clock,
            entropy=entropy,
            executor=executor,
        )

    return OpenedBackups(records, opens)


def open_restores(
    repository: Repository, bucket: LockedBlobs | None, vault: VaultSession
) -> RestoreServicer:
    """Return what answers calls that restore into the store; makes no call."""
    if bucket is None:
        return RestoreServicer()
    use_case = open_living_restore(
        repository, bucket, key_service=vault.keys, signer=vault.signer
    )
    sign = partial(sign_report, vault.signer, repository.keyring.store)
    return RestoreServicer(Restores(use_case, sign))


def open_living_restore(
    repository: Repository,
    bucket: LockedBlobs,
    *,
    key_service: KeyService,
    signer: Signer,
) -> LivingRestore:
    """Return what restores into the store that is served; makes no call."""

    def mends(copy: InventoryCopy) -> StoreVerification:
        return StoreVerification(repository, [copy])

    return LivingRestore(
        repository,
        open_backups_as_stores(
            BackupRecords(bucket, signer, repository.keyring.store),
            bucket,
            key_service=key_service,
            signer=signer,
            clock=repository.clock,
            entropy=repository.entropy,
            executor=repository.executor,
        ),
        key_service=key_service,
        mends=mends,
        writer=StoredAnew(repository),
    )
