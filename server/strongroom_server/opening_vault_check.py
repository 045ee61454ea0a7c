# SPDX-License-Identifier: Apache-2.0
"""Opens what compares a Vault with a store, or with a backup of it: no server runs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.s3 import open_s3
from strongroom_server.adapters.vault import VaultSession, open_vault
from strongroom_server.config import ServerSettings, read_settings
from strongroom_server.opening import s3_settings, vault_settings
from strongroom_server.opening_locked import open_backup_bucket
from strongroom_server.ports import BlobStore, Clock
from strongroom_server.repository.backup_engine import signed_store, view_of
from strongroom_server.repository.backup_records import BackupRecords, SavedBackup
from strongroom_server.repository.signed_records import SignedRecords
from strongroom_server.repository.store import read_store
from strongroom_server.services.keys import VaultCheck

#: What stands for the number of the newest backup.
NEWEST: Final = "newest"
#: Each waits for Vault, mostly.
_THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class OpenedCheck:
    """What compares, and with what.

    Attributes:
        check: What compares.
        backup: The number of the backup; 0 if it is the store.
    """

    check: VaultCheck
    backup: int


@contextmanager
def open_vault_check(config: Path, *, backup: str = "") -> Iterator[OpenedCheck]:
    """Open what a store, or a backup of it, needs of Vault; nothing is written.

    Args:
        config: The settings of a server.
        backup: The number of a backup, or `newest`; the store itself if empty.

    Raises:
        StrongroomError: The settings, Vault or S3 do not allow it; the bucket holds
            no store (RECORD_CORRUPT), or there is no such backup (BACKUP_NOT_FOUND).
    """
    number = _number(backup) if backup else None
    settings, clock, entropy = read_settings(config), SystemClock(), SystemEntropy()
    with ExitStack() as stack:
        vault = stack.enter_context(
            open_vault(vault_settings(settings), clock=clock, entropy=entropy)
        )
        vault.keys.check_ready()
        found = 0
        if backup:
            saved, blobs = _open_backup(settings, vault, number, clock, stack)
            store, found = saved.root.store, saved.number
        else:
            store, blobs = _open_store(settings, clock, stack)
        check = VaultCheck(
            store,
            blobs=blobs,
            key_service=vault.keys,
            signer=vault.signer,
            checkpoints=vault.checkpoints,
            log=settings.audit.log,
            clock=clock,
            entropy=entropy,
            executor=stack.enter_context(ThreadPoolExecutor(_THREADS, "vault-check")),
        )
        yield OpenedCheck(check, found)


def _open_store(
    settings: ServerSettings, clock: Clock, stack: ExitStack
) -> tuple[bytes, BlobStore]:
    credentials = settings.store.credentials_file
    blobs = stack.enter_context(open_s3(s3_settings(settings, credentials), clock))
    store = read_store(blobs)
    if store is None:
        raise IntegrityError(
            f"the bucket {settings.store.bucket} holds no strongroom.json",
            reason=Reason.RECORD_CORRUPT,
            hint="Look at store.bucket and store.prefix in the settings; if the store "
            f"is lost, ask for a backup: --backup {NEWEST}",
        )
    return store, blobs


def _open_backup(
    settings: ServerSettings,
    vault: VaultSession,
    number: int | None,
    clock: Clock,
    stack: ExitStack,
) -> tuple[SavedBackup, BlobStore]:
    """Open a backup; None stands for the newest one."""
    bucket = open_backup_bucket(settings, clock, stack)
    if bucket is None:
        raise InvalidArgumentError(
            "the settings name no backup bucket",
            reason=Reason.SETTING_INVALID,
            hint="Set backup.endpoint, bucket and credentials_file.",
        )
    signed = SignedRecords(bucket)
    store = signed_store(bucket, vault.signer, signed)
    records = BackupRecords(bucket, vault.signer, store, signed)
    saved = records.newest() if number is None else records.load(number)
    if saved is None:
        raise NotFoundError(
            f"no backup of the store {store.hex()} is whole, and signed by this "
            "Vault's keys",
            reason=Reason.BACKUP_NOT_FOUND,
            hint="If there should be one, this Vault is another one, or was restored "
            "from before its signing keys were rotated.",
        )
    return saved, view_of(bucket, saved)


def _number(backup: str) -> int | None:
    """Return the number of a backup; None stands for the newest one."""
    if backup == NEWEST:
        return None
    if not backup.isdecimal() or not backup.isascii() or not int(backup[:40]):
        raise InvalidArgumentError(
            f"{backup[:40]!r} is no backup's number, which are from 1",
            hint=f"Name one of `strongroom backup ls`, or say {NEWEST}.",
            field="backup",
        )
    return int(backup)
