# SPDX-License-Identifier: Apache-2.0
"""`strongroom-server restore`: from the backup bucket and Vault alone.

No server runs for it, no index is read, and the store that was lost is not asked. It
goes to a folder, as plain files, or into the bucket that `[store]` of the settings
names, which is then a store.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from strongroom.errors import (
    IntegrityError,
    InvalidArgumentError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server import process_memory
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory import MemoryIndex
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
from strongroom_server.ports import BlobStore, Clock, Entropy, LockedBlobs
from strongroom_server.repository.backup_engine import BackupEngine, signed_store
from strongroom_server.repository.backup_records import BackupRecords
from strongroom_server.repository.repository import (
    Repository,
    open_keyring,
    open_repository,
)
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.restoring import (
    FolderRestore,
    StoreRestore,
    plan_folder,
    plan_store,
    sign_report,
)

_MIB: Final = 1024 * 1024


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
        receipt: Where to write the receipt; beside the files if None.
        max_bytes_per_second: How fast to copy into a bucket; 0 for no limit.
    """

    config: Path
    selection: Selection
    backup: int = 0
    as_of: datetime | None = None
    to_folder: Path | None = None
    dry_run: bool = False
    as_json: bool = False
    receipt: Path | None = None
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
    if options.receipt is not None and options.receipt.exists():
        raise InvalidArgumentError(
            f"{options.receipt} exists: a receipt overwrites nothing",
            reason=Reason.TARGET_EXISTS,
        )
    with _opened(options) as parts:
        tell = _Telling(options.as_json, write)
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


@contextmanager
def _opened(options: RestoreOptions) -> Iterator[_Parts]:
    settings = read_restore_settings(options.config)
    server, clock, entropy = settings.server, SystemClock(), SystemEntropy()
    with ExitStack() as stack:
        vault = stack.enter_context(
            open_vault(vault_settings(server), clock=clock, entropy=entropy)
        )
        executor = stack.enter_context(
            ThreadPoolExecutor(server.workers.threads, "restore")
        )
        bucket = _bucket(server, clock, stack)
        store = signed_store(bucket, vault.signer)
        records = BackupRecords(bucket, vault.signer, store)
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
        index=MemoryIndex(),
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
    path = options.receipt
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
            hint="Run it again with another --receipt: what is there is not copied "
            "again.",
        ) from error
    return receipt.decode() if options.as_json else str(path)


class _Telling:
    """Tells in lines, for people or for programs."""

    def __init__(self, as_json: bool, write: Callable[[str], object]) -> None:  # noqa: FBT001
        self._as_json = as_json
        self._write = write

    def progress(self, item: RestoreProgress) -> None:
        """Tell how far it is."""
        if self._as_json:
            self._json("progress", asdict(item))
            return
        of = f" of {_size(item.total_bytes)}" if item.total_bytes else ""
        self._write(
            f"{item.stage}: {item.done_count} there, {_size(item.done_bytes)}{of}\n"
        )

    def plan(self, plan: RestorePlan) -> None:
        """Tell what would be done."""
        if self._as_json:
            self._json("plan", asdict(plan))
            return
        for line in _plan_lines(plan):
            self._write(f"{line}\n")

    def report(self, report: RestoreReport, receipt: str) -> None:
        """Tell what was done, and how it is proved."""
        if self._as_json:
            shown = asdict(replace(report, seconds=round(report.seconds, 3)))
            self._json("report", {**shown, "receipt": receipt})
            return
        for line in _report_lines(report, receipt):
            self._write(f"{line}\n")

    def _json(self, event: str, body: dict[str, Any]) -> None:
        self._write(json.dumps({"event": event, **body}, default=_shown) + "\n")


def _plan_lines(plan: RestorePlan) -> Iterator[str]:
    yield (
        f"backup {plan.backup} of {plan.create_time:%Y-%m-%d %H:%M:%SZ}, newest commit "
        f"{_time(plan.newest_commit_time)}"
    )
    yield _scope(plan.is_part)
    held = ", and by a legal hold" if plan.is_held else ""
    yield f"locked until {_time(plan.protected_until)}{held}"
    yield f"{plan.version_count} versions, {_size(plan.size_bytes)} to write"
    if plan.object_count:
        yield f"{plan.object_count} stored objects, {plan.there_count} there already"
    else:
        yield f"{plan.file_count} files"
    yield f"about {plan.estimated_s:.0f} s at the rate of a sample just read"
    for kek in plan.keks:
        versions = ", ".join(map(str, kek.versions))
        state = f"MISSING: {kek.problem}" if kek.problem else "there"
        yield f"KEK {kek.name}, versions {versions}: {state}"
    yield from plan.approvals or ("no approvals are needed",)
    yield "nothing was changed (--dry-run)"


def _report_lines(report: RestoreReport, receipt: str) -> Iterator[str]:
    yield (
        f"restored {report.version_count} versions from backup {report.backup} in "
        f"{report.seconds:.1f} s: {report.copied_count} copied "
        f"({_size(report.copied_bytes)}), {report.there_count} there already"
    )
    yield _scope(report.is_part)
    yield f"recovery point: {_time(report.recovery_point)}"
    for line in report.damaged:
        yield f"NOT RESTORED: {line}"
    yield f"receipt, for `strongroom receipt verify`: {receipt}"


def _scope(is_part: bool) -> str:  # noqa: FBT001
    part = "a part of the store only, as it was chosen then"
    return f"that backup is of {part if is_part else 'the whole store'}"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    raise TypeError(value)


def _time(time: datetime | None) -> str:
    return "none" if time is None else f"{time:%Y-%m-%d %H:%M:%SZ}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.1f} MiB"
