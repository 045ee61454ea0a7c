# SPDX-License-Identifier: Apache-2.0
"""Opens what drills run on, from the settings and the parts of backups."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from strongroom.errors import (
    InternalError,
    NotFoundError,
    PreconditionError,
    Reason,
    StrongroomError,
)
from strongroom_server.adapters.memory import MemoryIndex
from strongroom_server.adapters.memory_files import MemoryFiles
from strongroom_server.config import ServerSettings
from strongroom_server.core.access import AccessAction
from strongroom_server.core.canary import CANARY, canary_digest, canary_files
from strongroom_server.core.history import History
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
from strongroom_server.services.uploads import Uploads, UploadStart
from strongroom_server.telemetry import gauge

_MESSAGE: Final = "the canary of this store: drills restore it"
_REQUEST: Final = b"strongroom.v1/canary/request\0"
_BLOCK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DrillParts:
    """Drills, as a server serves them.

    Attributes:
        servicer: Answers calls; refuses them where there are no backups.
        alarms: What somebody has to see to.
    """

    servicer: DrillServicer
    alarms: Mapping[str, Callable[[], object]] = field(default_factory=dict)


class CanaryWriter:
    """Writes a store's canary once; see `core.canary`."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._uploads = Uploads(repository)

    def __call__(self, caller: Caller) -> datetime | None:
        """See to it that there is one; return since when.

        One that somebody else has written over is left alone: drills tell of it.

        Returns:
            None if there can be none any more: its project was shredded.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
            IntegrityError: Its journal is damaged.
        """
        try:
            past = self._history()
            live = past.live_versions()
            if not live:
                self._write(len(past.versions), caller)
                live = self._history().live_versions()
        except PreconditionError as error:
            if error.reason is not Reason.KEY_SHREDDED:
                raise
            return None
        return live[0].info.time

    def _history(self) -> History:
        try:
            return self._repository.artifact(CANARY).history
        except NotFoundError:
            return History()

    def _write(self, version_count: int, caller: Caller) -> None:
        store = self._repository.keyring.store
        # Of servers that do this at once, one writes, and all get its answer.
        named = hashlib.sha256(_REQUEST + store + version_count.to_bytes(8, "big"))
        request_id = str(UUID(bytes=named.digest()[:16], version=4))
        start = UploadStart(
            CANARY, None, _MESSAGE, {}, request_id, may_create_project=True
        )
        files = canary_files(store)
        with self._uploads.begin(start, caller=caller) as upload:
            for file in files:
                upload.start_file(
                    file.path, size_bytes=len(file.data), executable=False
                )
                for offset in range(0, len(file.data), _BLOCK_BYTES):
                    block = file.data[offset : offset + _BLOCK_BYTES]
                    upload.write(block, offset_bytes=offset)
                upload.end_file(file.digest)
            upload.commit(file_count=len(files), digest=canary_digest(store))


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
            MemoryIndex,
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
