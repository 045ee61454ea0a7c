# SPDX-License-Identifier: Apache-2.0
"""`strongroom-server restore`: from the backup bucket and Vault alone.

No server runs for it, no index is read, and the store that was lost is not asked. It
goes to a folder, as plain files, or into the bucket that `[store]` of the settings
names, which is then a store.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
    UnavailableError,
)
from strongroom_server import process_memory
from strongroom_server.adapters.bounded_index import BoundedIndex
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.restore_folder import RECEIPT, DiskFolder
from strongroom_server.adapters.s3 import open_s3
from strongroom_server.adapters.vault import VaultSession, open_vault
from strongroom_server.config import (
    RestoreSettings,
    ServerSettings,
    read_restore_settings,
)
from strongroom_server.core.restore_records import (
    RestorePlan,
    RestoreProgress,
    RestoreReport,
    Selection,
)
from strongroom_server.core.suites import DEFAULT_SUITE
from strongroom_server.opening import s3_settings, vault_settings
from strongroom_server.opening_locked import open_backup_bucket
from strongroom_server.opening_restores import open_backups_as_stores
from strongroom_server.ports import BlobStore, Clock, Entropy, LockedBlobs, Signer
from strongroom_server.repository.backup_engine import BackupEngine, signed_store
from strongroom_server.repository.backup_records import BackupRecords
from strongroom_server.repository.repository import (
    Repository,
    open_keyring,
    open_repository,
)
from strongroom_server.repository.signed_records import SignedRecords
from strongroom_server.restore_telling import Telling
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.restoring import (
    FolderRestore,
    StoreRestore,
    held_versions,
    plan_folder,
    plan_store,
    sign_report,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What is restored, and where to.

    Attributes:
        config: The settings.
        selection: What of the backup.
        backup: From which backup, by number; 0 for none in particular.
        as_of: From the newest backup that was begun no later.
        to_folder: The folder; None is the bucket of the settings.
        dry_run: Whether to tell only what would be done.
        as_json: Whether to write a line of JSON for each thing told.
        out: Where to write the signed receipt: a new file; if None, here, or beside
            the files.
        max_bytes_per_second: How fast to copy into a bucket; 0 for no limit.
    """

    config: Path
    selection: Selection
    backup: int = 0
    as_of: datetime | None = None
    to_folder: Path | None = None
    dry_run: bool = False
    as_json: bool = False
    out: Path | None = None
    max_bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a restore runs on."""

    settings: RestoreSettings
    vault: VaultSession
    engine: BackupEngine
    executor: Executor
    clock: Clock
    entropy: Entropy


def restore(options: RestoreOptions, write: Callable[[str], object]) -> None:
    """Restore, and tell what is done.

    Args:
        options: What and where to.
        write: Takes each line that is told.

    Raises:
        IntegrityError: Something could not be restored; all else was (DATA_LOSS).
        StrongroomError: As the parts do.
    """
    process_memory.keep_private()
    options.selection.check()
    if options.out is not None and options.out.exists():
        raise InvalidArgumentError(
            f"{options.out} exists: a receipt overwrites nothing",
            reason=Reason.TARGET_EXISTS,
            hint="Name a new file with --out; what was restored already stays.",
        )
    with _opened(options) as parts:
        tell = Telling(write, as_json=options.as_json)
        if options.dry_run:
            tell.plan(_plan(options, parts))
            return
        report: RestoreReport | None = None
        for item in _run(options, parts):
            if isinstance(item, RestoreReport):
                report = item
            else:
                tell.progress(item)
        if report is None:
            raise AssertionError
        store = parts.engine.saved.root.store
        receipt = sign_report(parts.vault.signer, store, report)
        place = _write_receipt(options, report, receipt)
        tell.report(report, place)
        if report.damaged_count:
            raise IntegrityError(
                f"{report.damaged_count} things of backup {report.backup} could not "
                "be restored; everything else was",
                hint="The receipt names them; look for them in an older backup.",
            )


def list_backups(options: RestoreOptions, write: Callable[[str], object]) -> None:
    """Tell which backups there are; or, of one that was chosen, what is in it.

    Raises:
        IntegrityError: Some of it cannot be read; all else was told (DATA_LOSS).
        NotFoundError: There is no backup, or no such thing in it.
        StrongroomError: As the parts do.
    """
    process_memory.keep_private()
    options.selection.check()
    tell = Telling(write, as_json=options.as_json)
    is_one = options.backup or options.as_of or not options.selection.is_all
    with ExitStack() as stack:
        if is_one:
            parts = stack.enter_context(_opened(options))
            tell_contents(parts.engine, options.selection, tell)
            return
        settings = read_restore_settings(options.config)
        clock = SystemClock()
        vault = stack.enter_context(_vault(settings, clock))
        bucket = _bucket(settings.server, clock, stack)
        tell_backups(bucket, vault.signer, tell)


def tell_backups(bucket: LockedBlobs, signer: Signer, tell: Telling) -> None:
    """Tell which backups a bucket has, and what is none, and why.

    Raises:
        NotFoundError: It has none (BACKUP_NOT_FOUND); what looks like one was told.
    """
    nobody: NotFoundError | None = None
    store, signed = b"", SignedRecords(bucket)
    try:
        store = signed_store(bucket, signer, signed)
    except NotFoundError as error:
        nobody = error
    bad: dict[int, StrongroomError] = {}
    records = BackupRecords(bucket, signer, store, signed)
    tell.backups(records.newest_first(bad), bad)
    if nobody is not None:
        raise nobody


def tell_contents(engine: BackupEngine, selection: Selection, tell: Telling) -> None:
    """Tell what can be restored of a backup, by name.

    Raises:
        IntegrityError: Some of it cannot be read; all else was told (DATA_LOSS).
    """
    damaged: list[str] = []

    def damage(what: str, error: StrongroomError) -> None:
        damaged.append(f"{what}: {error.message}")

    tell.header(engine.saved)
    # They come by the ids of projects and artifacts, which are random.
    versions = sorted(
        held_versions(engine, selection, damage),
        key=lambda version: version.name.rpartition("@")[0],
    )
    tell.held(versions, damaged)
    if damaged:
        raise IntegrityError(
            f"{len(damaged)} {'thing' if len(damaged) == 1 else 'things'} of backup "
            f"{engine.saved.number} cannot be read, first {damaged[0]}",
            hint="See which KEKs Vault lacks with --dry-run in place of --list; or "
            "look into an older backup.",
        )


@contextmanager
def _vault(settings: RestoreSettings, clock: Clock) -> Iterator[VaultSession]:
    vault = vault_settings(settings.server)
    with open_vault(vault, clock=clock, entropy=SystemEntropy()) as session:
        yield session


@contextmanager
def _opened(options: RestoreOptions) -> Iterator[_Parts]:
    settings = read_restore_settings(options.config)
    server, clock, entropy = settings.server, SystemClock(), SystemEntropy()
    with ExitStack() as stack:
        vault = stack.enter_context(_vault(settings, clock))
        executor = stack.enter_context(
            ThreadPoolExecutor(server.workers.threads, "restore")
        )
        bucket = _bucket(server, clock, stack)
        signed = SignedRecords(bucket)
        store = signed_store(bucket, vault.signer, signed)
        records = BackupRecords(bucket, vault.signer, store, signed)
        backups = open_backups_as_stores(
            records,
            bucket,
            key_service=vault.keys,
            signer=vault.signer,
            clock=clock,
            entropy=entropy,
            executor=executor,
        )
        saved = backups.find(
            options.selection, number=options.backup, as_of=options.as_of
        )
        engine = backups.open(saved)
        yield _Parts(settings, vault, engine, executor, clock, entropy)


def _bucket(server: ServerSettings, clock: Clock, stack: ExitStack) -> LockedBlobs:
    bucket = open_backup_bucket(server, clock, stack)
    if bucket is None:  # The settings were checked for it.
        raise AssertionError
    return bucket


def _plan(options: RestoreOptions, parts: _Parts) -> RestorePlan:
    if options.to_folder is not None:
        return plan_folder(
            parts.engine,
            options.selection,
            key_service=parts.vault.keys,
            executor=parts.executor,
        )
    with _target(parts) as target:
        return plan_store(
            parts.engine,
            options.selection,
            target,
            key_service=parts.vault.keys,
            executor=parts.executor,
        )


def _run(
    options: RestoreOptions, parts: _Parts
) -> Iterator[RestoreProgress | RestoreReport]:
    if options.to_folder is not None:
        source = Downloads(parts.engine.repository)
        folder = DiskFolder(options.to_folder)
        yield from FolderRestore(parts.engine, source, folder).run(options.selection)
        return
    with _target(parts) as target:
        yield from StoreRestore(
            parts.engine,
            target,
            executor=parts.executor,
            opens=lambda blobs: _open_store(parts, blobs),
            max_bytes_per_second=options.max_bytes_per_second,
        ).run(options.selection)


@contextmanager
def _target(parts: _Parts) -> Iterator[BlobStore]:
    if not parts.settings.has_store:
        raise PreconditionError(
            "the settings have no section [store] to restore into",
            reason=Reason.SETTING_INVALID,
            hint="Add one, of an empty bucket; or restore with --to-folder DIR.",
        )
    server = parts.settings.server
    s3 = s3_settings(server, server.store.credentials_file)
    with open_s3(s3, parts.clock) as blobs:
        yield blobs


def _open_store(parts: _Parts, blobs: BlobStore) -> Repository:
    keyring = open_keyring(
        blobs=blobs,
        key_service=parts.vault.keys,
        clock=parts.clock,
        entropy=parts.entropy,
    )
    return open_repository(
        keyring=keyring,
        blobs=blobs,
        signer=parts.vault.signer,
        index=BoundedIndex(),
        clock=parts.clock,
        entropy=parts.entropy,
        executor=parts.executor,
        suite=DEFAULT_SUITE,
    )


def _write_receipt(
    options: RestoreOptions, report: RestoreReport, receipt: bytes
) -> str:
    """Write the receipt; return where it is, or, for programs, itself."""
    if options.to_folder is not None:
        DiskFolder(options.to_folder).finish(receipt)
    path = options.out
    if path is None and options.as_json:
        return receipt.decode()
    if path is None and options.to_folder is not None:
        return f"{options.to_folder}/{RECEIPT}"
    if path is None:
        time = f"{report.start_time:%Y%m%dT%H%M%SZ}"
        path = Path(f"strongroom-restore-{report.backup}-{time}.json")
    try:
        with path.open("xb") as file:
            file.write(receipt)
    except OSError as error:
        raise UnavailableError(
            f"the receipt {path} cannot be written: {error.strerror}; what "
            "was asked for is restored",
            reason=Reason.STORE_UNAVAILABLE,
            hint="Run it again with another --out: what is there is not copied again.",
        ) from error
    return receipt.decode() if options.as_json else str(path)
