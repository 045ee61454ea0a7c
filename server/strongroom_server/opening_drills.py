# SPDX-License-Identifier: Apache-2.0
"""Opens what drills run on, from the settings and the parts of backups."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from strongroom.errors import (
    InternalError,
    StrongroomError,
)
from strongroom_server.adapters.bounded_index import BoundedIndex
from strongroom_server.adapters.memory_files import MemoryFiles
from strongroom_server.canary_writing import CanaryWriter
from strongroom_server.config import ServerSettings
from strongroom_server.core.access import AccessAction
from strongroom_server.core.records import Caller
from strongroom_server.ports import AuditSink, KeyService, LockedBlobs, Signer
from strongroom_server.repository.backup_records import BackupRecords
from strongroom_server.repository.drill_records import DrillRecords
from strongroom_server.repository.leases import Leases
from strongroom_server.repository.repository import Repository
from strongroom_server.rpc.drill_servicer import DrillServicer
from strongroom_server.services.auditing.own_runs import OwnRuns
from strongroom_server.services.drills import (
    DrillLimits,
    Drills,
    DrillWatch,
    EngineParts,
    OwnDrill,
)
from strongroom_server.telemetry import gauge


@dataclass(frozen=True, slots=True)
class DrillParts:
    """Drills, as a server serves them.

    Attributes:
        servicer: Answers calls; refuses them where there are no backups.
        alarms: What somebody has to see to.
    """

    servicer: DrillServicer
    alarms: Mapping[str, Callable[[], object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrillSources:
    """What drills are made of, beside the store that they are kept in.

    Attributes:
        bucket: The backup bucket; None if there are no backups.
        keys: Vault's keys that wrap.
        signer: Vault's keys that sign.
        audit: Hears what a server drills by itself.
    """

    bucket: LockedBlobs | None
    keys: KeyService
    signer: Signer
    audit: AuditSink


def open_drills(
    settings: ServerSettings,
    repository: Repository,
    sources: DrillSources,
    stack: ExitStack,
) -> DrillParts:
    """Open what runs drills, and have it run them by their schedule.

    Args:
        settings: The server's.
        repository: The store that drills are kept in.
        sources: What they are made of.
        stack: Ends the schedule.
    """
    section, clock, entropy = settings.drill, repository.clock, repository.entropy
    bucket, signer = sources.bucket, sources.signer
    if bucket is None:
        return DrillParts(DrillServicer())
    principal = settings.identity.spiffe_id
    runs = OwnRuns(
        sources.audit,
        names=repository.keyring,
        principal=lambda: principal,
        clock=clock,
        entropy=entropy,
    )
    drills = Drills(
        repository,
        BackupRecords(bucket, signer, repository.keyring.store),
        bucket,
        DrillRecords(repository.blobs, repository.keyring, signer),
        EngineParts(
            sources.keys,
            signer,
            clock,
            entropy,
            repository.executor,
            BoundedIndex,
            MemoryFiles(),
        ),
        limits=DrillLimits(section.sample_bytes, section.sample_versions),
        make_canary=CanaryWriter(repository),
    )
    watch = DrillWatch(
        drills,
        Leases(repository.blobs, clock=clock, entropy=entropy),
        lambda: audited(runs, principal),
        clock=clock,
        every_s=section.every_s,
    )
    stack.enter_context(
        gauge(
            "strongroom.drill.age",
            "Since the last good drill ended; -1 if there was none.",
            unit="s",
            read=watch.age_s,
        )
    )
    stack.enter_context(watch.running())
    return DrillParts(DrillServicer(drills, watch), {"drill": watch.check})


@contextmanager
def audited(runs: OwnRuns, principal: str) -> Iterator[OwnDrill]:
    """Write to the audit log that a server drills, and what came of it."""
    run = runs.begin(AccessAction.DRILL_RUN.value)
    own = OwnDrill(Caller(principal, run.trace_id, run.audit_id), run.detail)
    try:
        yield own
    except StrongroomError as error:
        runs.end(run, error)
        raise
    except Exception:
        runs.end(run, InternalError("a drill met a bug"))
        raise
    runs.end(run)
