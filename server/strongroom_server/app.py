# SPDX-License-Identifier: Apache-2.0
"""The composition root: wires what `opening` and adapters open to what is served."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from strongroom_server import process_memory
from strongroom_server.adapters.audit_log import AuditSummary, verify_audit_log
from strongroom_server.adapters.cedar import ReloadingAuthorizer
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import VaultSession
from strongroom_server.config import (
    ServerSettings,
    format_settings,
    read_settings,
)
from strongroom_server.core.suites import DEFAULT_SUITE, FIPS_SUITE
from strongroom_server.opening import (
    Identity,
    access_files,
    guard_limits,
    open_approving,
    open_copies,
    open_grants,
    open_identity,
    open_index,
    open_key_admin,
    open_remover,
    open_shared_memory,
    open_telemetry,
    open_tokens,
)
from strongroom_server.opening_audit import open_audit_trail, open_noted_vault
from strongroom_server.opening_backups import BackupParts, open_backups
from strongroom_server.opening_drills import DrillParts, DrillSources, open_drills
from strongroom_server.opening_locked import open_backup_bucket, open_backup_slots
from strongroom_server.opening_restores import open_restores
from strongroom_server.opening_shredding import ShreddingParts, open_shredding
from strongroom_server.opening_store import open_bucket
from strongroom_server.ports import (
    BlobCopy,
    BlobRemover,
    BlobStore,
    Clock,
    Entropy,
    KeyAdmin,
    SharedMemory,
)
from strongroom_server.process_signals import stop_on_signals
from strongroom_server.repository.audit_log import SharedAuditLog
from strongroom_server.repository.repository import (
    Repository,
    open_keyring,
    open_repository,
)
from strongroom_server.rpc.access_servicer import AccessServicer
from strongroom_server.rpc.approval_servicer import ApprovalServicer
from strongroom_server.rpc.artifact_servicer import ArtifactServicer
from strongroom_server.rpc.call_audit import CallAudit
from strongroom_server.rpc.guard import Guard
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.key_servicer import KeyServicer
from strongroom_server.rpc.maintenance_servicer import MaintenanceServicer, ServerFacts
from strongroom_server.rpc.readers import Readers
from strongroom_server.rpc.reviews import Reviews
from strongroom_server.rpc.serve import Bound, Listening, Servicers, serving
from strongroom_server.rpc.transfer_servicer import TransferServicer
from strongroom_server.rpc.watchdog import Watchdog
from strongroom_server.services.approving import Approving
from strongroom_server.services.artifacts import Artifacts
from strongroom_server.services.auditing import AuditTrail, JournalHeads, KeyRequests
from strongroom_server.services.checks import Checks
from strongroom_server.services.diffs import Diffs
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.index_rebuild import IndexRebuild
from strongroom_server.services.keys import KeyLife
from strongroom_server.services.lineage import Lineages
from strongroom_server.services.probes import StoreProbe
from strongroom_server.services.refs import Refs
from strongroom_server.services.repairing import Repairing
from strongroom_server.services.retention import Retention
from strongroom_server.services.store_verification import StoreVerification
from strongroom_server.services.sweeping import Sweeping, SweepSettings
from strongroom_server.services.uploads import Drafts, Uploads
from strongroom_server.services.verification import Verification
from strongroom_server.telemetry import (
    CallThreads,
    gauge,
    log_to_stderr,
)

_LOG: Final = logging.getLogger("strongroom_server.app")


def serve(config: Path) -> None:
    """Serve until SIGTERM or SIGINT, then drain and stop.

    Raises:
        StrongroomError: The settings, Vault, S3 or a disk do not allow to start.
    """
    settings = read_settings(config)
    process_memory.keep_private()
    process_memory.keep_small()
    log_to_stderr()
    stop = stop_on_signals()
    with running_server(settings) as bound:
        line = {
            "event": "serving",
            "version": version("strongroom"),
            "data_port": bound.data_port,
            "health_port": bound.health_port,
        }
        _LOG.info("%s", json.dumps(line))
        process_memory.keep_settled()
        stop.wait()
        _LOG.info("%s", json.dumps({"event": "stopping"}))


def show_config(config: Path) -> str:
    """Return the settings as understood, after checking them and what they name."""
    settings = read_settings(config)
    access_files(settings).read()
    open_tokens(settings, SystemClock())
    return format_settings(settings)


def verify_audit(config: Path) -> AuditSummary:
    """Check the whole audit log; needs neither Vault nor S3.

    Raises:
        IntegrityError: Names the first entry that is wrong (AUDIT_CORRUPT).
        UnavailableError: The files cannot be read.
    """
    return verify_audit_log(read_settings(config).audit.path)


@contextmanager
def running_server(settings: ServerSettings) -> Iterator[Bound]:
    """Open everything, serve for as long as the context lasts, close everything.

    Raises:
        StrongroomError: A part cannot be opened, or the store does not keep a
            promise that the repository needs.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    with ExitStack() as stack:
        authorizer = ReloadingAuthorizer(access_files(settings))
        open_telemetry(settings, clock, stack)
        threads = stack.enter_context(CallThreads(settings.workers.threads, "work"))
        requests, heads = KeyRequests(clock=clock), JournalHeads(clock=clock)
        vault = open_noted_vault(settings, requests, clock, entropy, stack)
        blobs, probe = open_bucket(settings, threads, clock, entropy, stack)
        keyring = open_keyring(
            blobs=blobs, key_service=vault.keys, clock=clock, entropy=entropy
        )
        shared = SharedAuditLog(settings.audit.log, blobs=blobs, keyring=keyring)
        audit = open_audit_trail(
            settings, shared, vault, (requests, heads),
            clock=clock, entropy=entropy, stack=stack,
        )  # fmt: skip
        index = open_index(settings, keyring.index_key(), stack)
        repository = open_repository(
            keyring=keyring,
            blobs=blobs,
            signer=vault.signer,
            index=index,
            clock=clock,
            entropy=entropy,
            executor=threads,
            suite=FIPS_SUITE if settings.store.fips else DEFAULT_SUITE,
            heads=heads,
        )
        identity = open_identity(settings, vault, clock, stack)
        copies = open_copies(settings, clock, stack)
        remover = open_remover(settings, clock, stack)
        key_admin = open_key_admin(settings, clock, entropy, stack)
        bucket = open_backup_bucket(settings, clock, stack)
        shredding = open_shredding(
            settings, repository, vault.keys, entropy, stack,
            backup_slots=open_backup_slots(settings, bucket, clock, stack),
        )  # fmt: skip
        parts = _Parts(
            settings, repository, vault, blobs, audit, probe, authorizer, identity,
            copies, remover, key_admin, shredding,
            open_approving(settings, repository, identity.rules.revoked),
            open_shared_memory(settings, entropy, stack),
            open_backups(
                settings, repository, bucket, stack, signer=vault.signer, audit=audit
            ),
            open_drills(
                settings, repository,
                DrillSources(bucket, vault.keys, vault.signer, audit), stack,
            ),
        )  # fmt: skip
        yield stack.enter_context(parts.serving(clock, entropy))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The opened parts, and how they are wired to listeners."""

    settings: ServerSettings
    repository: Repository
    vault: VaultSession
    blobs: BlobStore
    audit: AuditTrail
    probe: StoreProbe
    authorizer: ReloadingAuthorizer
    identity: Identity
    copies: Sequence[BlobCopy]
    remover: BlobRemover | None
    key_admin: KeyAdmin | None
    shredding: ShreddingParts
    approving: Approving
    memory: SharedMemory | None
    backups: BackupParts
    drills: DrillParts

    @contextmanager
    def serving(self, clock: Clock, entropy: Entropy) -> Iterator[Bound]:
        """Listen, with the threads that keep certificate, health and time limits."""
        settings = self.settings
        keeper, reviews = self.identity.keeper, Reviews()
        watchdog = Watchdog(clock=clock, stall_s=settings.listen.stall_s)
        health = Health(
            {
                "vault": self.repository.keyring.check_ready,
                "store": self.blobs.check_ready,
                "certificate": keeper.check_ready,
                "audit": self.audit.check_ready,
            },
            interval_s=settings.listen.probe_s,
            alarms={
                "access": self.authorizer.check_current,
                "audit": self.audit.check_signed,
                "witness": self.audit.check_witnessed,
                "shreds": self.shredding.watch.check,
                **self.backups.alarms,
                **self.drills.alarms,
                **self.identity.alarms,
                **self.approving.alarms,
            },
        )
        guard = Guard(
            rules=self.identity.rules,
            authorizer=self.authorizer,
            audit=CallAudit(self.audit, names=self.repository.keyring, clock=clock),
            watchdog=watchdog,
            reviews=reviews,
            limits=guard_limits(settings),
            clock=clock,
            entropy=entropy,
            tokens=self.identity.tokens,
            approvals=self.approving,
            alive=self.repository.check_alive,
            readers=Readers(clock, grant_lifetime_s=settings.grants.lifetime_s),
        )
        with (
            keeper.running(),
            gauge(
                "strongroom.certificate.time_left",
                "Until the server's certificate ends.",
                unit="s",
                read=keeper.time_left_s,
            ),
            self.authorizer.running(interval_s=settings.access.reload_s),
            watchdog.running(),
            reviews.running(),
            serving(
                self._listening(),
                guard=guard,
                state=health,
                servicers=self._servicers(clock),
                credentials=keeper.credentials(),
            ) as bound,
            health.running(),
        ):
            yield bound

    def _listening(self) -> Listening:
        listen = self.settings.listen
        return Listening(
            data=listen.data,
            health=listen.health,
            admin=listen.admin,
            max_calls=listen.max_calls,
            max_watches=listen.max_watches,
            max_stream_s=listen.stream_s,
            drain_delay_s=listen.drain_delay_s,
            grace_s=listen.grace_s,
        )

    def _checks(self) -> Checks:
        return Checks(
            key_service=self.vault.keys,
            signer=self.vault.signer,
            store_probe=lambda: (*self.probe.run(), *self.backups.probe()),
            key_clock=self.vault.check_clock,
            authorizer=self.authorizer,
            alarms={
                f"identity.{name}": check
                for name, check in {
                    **self.identity.alarms,
                    **self.approving.alarms,
                }.items()
            }
            | {**self.backups.alarms, **self.drills.alarms},
        )

    def _servicers(self, clock: Clock) -> Servicers:
        repository = self.repository
        facts = ServerFacts(
            version=version("strongroom"),
            store_id=repository.keyring.store.hex(),
            certificate_expire_time=lambda: self.identity.keeper.current.not_after,
            roles=self.authorizer.roles_of,
        )
        sweep = self.settings.sweep
        return Servicers(
            ArtifactServicer(
                Artifacts(repository),
                Refs(repository),
                Diffs(repository),
                Retention(repository),
                Lineages(repository),
                protected=self.backups.protected,
            ),
            TransferServicer(
                Uploads(repository),
                Drafts(repository),
                Downloads(repository),
                clock=clock,
                memory=self.memory,
            ),
            MaintenanceServicer(
                Verification(repository),
                self._checks(),
                facts,
                store=StoreVerification(repository, self.copies),
                repairing=Repairing(repository),
                sweeping=Sweeping(
                    repository,
                    self.remover,
                    SweepSettings(sweep.min_age_s, sweep.grace_s, sweep.upload_age_s),
                ),
                index_rebuild=IndexRebuild(repository),
            ),
            KeyServicer(
                KeyLife(repository, self.vault.keys, self.key_admin),
                self.shredding.use_case,
            ),
            AccessServicer(self.authorizer, clock=clock),
            ApprovalServicer(self.approving),
            self.backups.servicer,
            self.drills.servicer,
            open_restores(repository, self.backups.bucket, self.vault),
            open_grants(self.settings, repository),
        )
