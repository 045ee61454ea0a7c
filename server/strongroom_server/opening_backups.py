# SPDX-License-Identifier: Apache-2.0
"""Opens what takes and keeps backups, from the settings and the backup bucket."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from strongroom_server.config import ServerSettings
from strongroom_server.core.records import CheckResult
from strongroom_server.opening_locked import open_backup_probe
from strongroom_server.ports import (
    AuditSink,
    BlobStore,
    LockedBlobs,
    LockMode,
    Signer,
)
from strongroom_server.repository.backup_records import BackupRecords
from strongroom_server.repository.leases import Leases
from strongroom_server.repository.relocations import RelocatedBlobs
from strongroom_server.repository.repository import Repository
from strongroom_server.rpc.backup_servicer import BackupServicer
from strongroom_server.rpc.protecting import ProtectedDates
from strongroom_server.services.auditing.own_runs import OwnRun, OwnRuns
from strongroom_server.services.backups import (
    LOOK_S,
    BackupRules,
    Backups,
    BackupSchedule,
    KnownAs,
)
from strongroom_server.services.store_verification.object_checks import ObjectChecks
from strongroom_server.telemetry import gauge


@dataclass(frozen=True, slots=True)
class BackupParts:
    """Backups, as a server serves them.

    Attributes:
        servicer: Answers calls; refuses them where there is no backup bucket.
        protected: Until when versions are safe.
        alarms: What somebody has to see to.
        probe: Proves what the backup bucket enforces.
        bucket: The backup bucket; None if there is none.
    """

    servicer: BackupServicer = field(default_factory=BackupServicer)
    protected: ProtectedDates = field(default_factory=ProtectedDates)
    alarms: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    probe: Callable[[], tuple[CheckResult, ...]] = tuple
    bucket: LockedBlobs | None = None


def open_backups(
    settings: ServerSettings,
    repository: Repository,
    bucket: LockedBlobs | None,
    stack: ExitStack,
    *,
    signer: Signer,
    audit: AuditSink,
) -> BackupParts:
    """Open what takes backups, and have it take them by their schedule.

    Args:
        settings: The server's.
        repository: The store.
        bucket: Where backups lie; None if there are none.
        stack: Ends the schedule.
        signer: Vault's keys that sign.
        audit: Hears what a server takes by itself.

    Raises:
        PreconditionError: Credentials cannot be read (SETTING_INVALID).
    """
    if bucket is None:
        return BackupParts()
    section, clock, entropy = settings.backup, repository.clock, repository.entropy
    probe = open_backup_probe(settings, bucket, clock, entropy, stack)
    backups = Backups(
        repository,
        bucket,
        BackupRecords(bucket, signer, repository.keyring.store),
        BackupRules(
            LockMode(section.mode),
            section.retention_s,
            section.every_s,
            section.margin_s,
            section.max_bytes_per_second,
        ),
        require=probe.require,
        judge=ObjectChecks(repository, None, with_keys=True),
        known_as=_known_as(repository.blobs),
    )
    schedule = _open_schedule(settings, repository, backups, audit, stack)
    return BackupParts(
        BackupServicer(backups),
        ProtectedDates(backups.dates_of),
        {"backup": schedule.check},
        probe.run,
        bucket,
    )


def _open_schedule(
    settings: ServerSettings,
    repository: Repository,
    backups: Backups,
    audit: AuditSink,
    stack: ExitStack,
) -> BackupSchedule[OwnRun]:
    """Have backups taken, or only looked at, by the clock."""
    every_s, principal = settings.backup.every_s, settings.identity.spiffe_id
    clock, entropy = repository.clock, repository.entropy
    schedule = BackupSchedule(
        backups,
        Leases(repository.blobs, clock=clock, entropy=entropy),
        OwnRuns(
            audit,
            names=repository.keyring,
            principal=lambda: principal,
            clock=clock,
            entropy=entropy,
        ),
        clock=clock,
        interval_s=min(LOOK_S, every_s or LOOK_S),
    )
    planted = "Objects among the records of backups that are none of ours."
    for name, told, unit, read in (
        ("age", "Since the newest backup was begun.", "s", schedule.age_s),
        ("time_left", "Until locks of the newest one end.", "s", schedule.time_left_s),
        ("planted", planted, "{object}", schedule.planted_count),
    ):
        stack.enter_context(
            gauge(f"strongroom.backup.{name}", told, unit=unit, read=read)
        )
    stack.enter_context(schedule.running())
    return schedule


def _known_as(blobs: BlobStore) -> KnownAs:
    """Return what tells how versions were called in the buckets before this one."""
    if isinstance(blobs, RelocatedBlobs):
        return blobs.known_as
    return lambda _key, _version_id: ()
