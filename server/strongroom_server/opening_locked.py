# SPDX-License-Identifier: Apache-2.0
"""Opens the backup bucket, its probe, and what removes dead key slots from it."""

from contextlib import ExitStack
from pathlib import Path

from strongroom_server.adapters.s3 import S3Settings
from strongroom_server.adapters.s3.locked import (
    open_lock_attempts,
    open_locked,
    open_slot_remover,
)
from strongroom_server.config import ServerSettings, read_credentials
from strongroom_server.ports import Clock, Entropy, LockAttempts, LockedBlobs, LockMode
from strongroom_server.services.backup_probe import BackupProbe
from strongroom_server.services.shredding import BackupSlots


def open_backup_bucket(
    settings: ServerSettings, clock: Clock, stack: ExitStack
) -> LockedBlobs | None:
    """Open the backup bucket; None if there are no backups. Makes no call.

    Raises:
        PreconditionError: Its credentials cannot be read (SETTING_INVALID).
    """
    path = settings.backup.credentials_file
    if path is None:
        return None
    return stack.enter_context(open_locked(backup_s3(settings, path), clock))


def open_backup_probe(
    settings: ServerSettings,
    bucket: LockedBlobs,
    clock: Clock,
    entropy: Entropy,
    stack: ExitStack,
) -> BackupProbe:
    """Open what proves that the backup bucket keeps its locks. Makes no call.

    Raises:
        PreconditionError: Credentials cannot be read (SETTING_INVALID).
    """
    section = settings.backup

    def attempts(path: Path) -> LockAttempts:
        s3 = backup_s3(settings, path)
        return stack.enter_context(open_lock_attempts(s3, clock))

    shredder = section.shredder_credentials_file
    return BackupProbe(
        bucket=bucket,
        attempts=attempts(section.credentials_file or Path()),
        slot_attempts=None if shredder is None else attempts(shredder),
        mode=LockMode(section.mode),
        clock=clock,
        entropy=entropy,
    )


def open_backup_slots(
    settings: ServerSettings,
    bucket: LockedBlobs | None,
    clock: Clock,
    stack: ExitStack,
) -> BackupSlots | None:
    """Open what removes dead key slots from the backup bucket, if this server may.

    Raises:
        PreconditionError: The credential cannot be read (SETTING_INVALID).
    """
    path = settings.backup.shredder_credentials_file
    if bucket is None or path is None:
        return None
    remover = stack.enter_context(open_slot_remover(backup_s3(settings, path), clock))
    return BackupSlots(bucket, remover)


def backup_s3(settings: ServerSettings, credentials: Path) -> S3Settings:
    """Return where the backup bucket is, with a credential for it."""
    pool_size = settings.workers.threads
    keys = read_credentials(credentials)
    return S3Settings.of(
        settings.backup, keys, pool_size=pool_size, role="the backup bucket"
    )
