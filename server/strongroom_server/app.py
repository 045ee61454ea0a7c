# SPDX-License-Identifier: Apache-2.0
"""The composition root: the one file that reads settings and names adapters."""

import json
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Final

from strongroom_server import process_memory
from strongroom_server.adapters.audit_log import (
    AuditSummary,
    open_audit_log,
    verify_audit_log,
)
from strongroom_server.adapters.certificate_files import CertificateFiles
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.folder_copy import FolderCopy
from strongroom_server.adapters.lmdb_index import open_lmdb_index
from strongroom_server.adapters.s3 import (
    S3BlobStore,
    S3Settings,
    open_remover,
    open_s3,
)
from strongroom_server.adapters.vault import VaultSession, VaultSettings, open_vault
from strongroom_server.config import (
    ServerSettings,
    format_settings,
    read_credentials,
    read_policy,
    read_settings,
)
from strongroom_server.core.access import Policy, roles_of
from strongroom_server.core.suites import DEFAULT_SUITE, FIPS_SUITE
from strongroom_server.ports import (
    AuditSink,
    BlobCopy,
    BlobRemover,
    CertificateIssuer,
    Clock,
    Entropy,
)
from strongroom_server.repository.copies import BucketCopy
from strongroom_server.repository.repository import (
    Repository,
    open_keyring,
    open_repository,
)
from strongroom_server.rpc.artifact_servicer import ArtifactServicer
from strongroom_server.rpc.call_audit import CallAudit
from strongroom_server.rpc.certificates import CertificateKeeper
from strongroom_server.rpc.guard import Guard, GuardLimits
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.identity import IdentityRules
from strongroom_server.rpc.maintenance_servicer import MaintenanceServicer, ServerFacts
from strongroom_server.rpc.serve import Bound, Listening, Servicers, serving
from strongroom_server.rpc.transfer_servicer import TransferServicer
from strongroom_server.rpc.watchdog import Watchdog
from strongroom_server.services.artifacts import Artifacts
from strongroom_server.services.checks import Checks
from strongroom_server.services.diffs import Diffs
from strongroom_server.services.downloads import Downloads
from strongroom_server.services.index_rebuild import IndexRebuild
from strongroom_server.services.probes import StoreProbe
from strongroom_server.services.refs import Refs
from strongroom_server.services.repairing import Repairing
from strongroom_server.services.retention import Retention
from strongroom_server.services.store_verification import StoreVerification
from strongroom_server.services.sweeping import Sweeping, SweepSettings
from strongroom_server.services.uploads import Uploads
from strongroom_server.services.verification import Verification
from strongroom_server.telemetry import CallThreads, log_to_stderr, telemetry

#: Certificate files are read again that often, whoever renews them.
CERTIFICATE_FILES_AGE: Final = timedelta(seconds=60)

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
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    with running_server(settings) as bound:
        line = {
            "event": "serving",
            "version": version("strongroom"),
            "data_port": bound.data_port,
            "health_port": bound.health_port,
        }
        _LOG.info("%s", json.dumps(line))
        stop.wait()
        _LOG.info("%s", json.dumps({"event": "stopping"}))


def show_config(config: Path) -> str:
    """Return the settings as understood, after checking them and the policy."""
    settings = read_settings(config)
    read_policy(settings.access.policy_file)
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
        policy = read_policy(settings.access.policy_file)
        stack.enter_context(
            telemetry(
                service_name=settings.telemetry.service_name,
                spans_file=settings.telemetry.spans_file,
                otlp_endpoint=settings.telemetry.otlp_endpoint,
            )
        )
        audit = stack.enter_context(
            open_audit_log(settings.audit.path, clock=clock, entropy=entropy)
        )
        threads = stack.enter_context(CallThreads(settings.workers.threads, "work"))
        vault = stack.enter_context(
            open_vault(_vault_settings(settings), clock=clock, entropy=entropy)
        )
        blobs = stack.enter_context(
            open_s3(_s3_settings(settings, settings.store.credentials_file), clock)
        )
        probe = StoreProbe(blobs=blobs, clock=clock, entropy=entropy, executor=threads)
        probe.require()
        keyring = open_keyring(
            blobs=blobs, key_service=vault.keys, clock=clock, entropy=entropy
        )
        index = stack.enter_context(
            open_lmdb_index(
                settings.index.path,
                mac_key=keyring.index_key(),
                map_size_bytes=settings.index.map_size_bytes,
            )
        )
        repository = open_repository(
            keyring=keyring,
            blobs=blobs,
            signer=vault.signer,
            index=index,
            clock=clock,
            entropy=entropy,
            executor=threads,
            suite=FIPS_SUITE if settings.store.fips else DEFAULT_SUITE,
        )
        copies = _open_copies(settings, clock, stack)
        remover = _open_remover(settings, clock, stack)
        parts = _Parts(
            settings, repository, vault, blobs, audit, probe, policy, copies, remover
        )
        yield stack.enter_context(parts.serving(clock, entropy))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The opened parts, and how they are wired to listeners."""

    settings: ServerSettings
    repository: Repository
    vault: VaultSession
    blobs: S3BlobStore
    audit: AuditSink
    probe: StoreProbe
    policy: Policy
    copies: Sequence[BlobCopy]
    remover: BlobRemover | None

    @contextmanager
    def serving(self, clock: Clock, entropy: Entropy) -> Iterator[Bound]:
        """Listen, with the threads that keep certificate, health and time limits."""
        settings = self.settings
        keeper = self._keeper(clock)
        watchdog = Watchdog(clock=clock, stall_s=settings.listen.stall_s)
        health = Health(
            {
                "vault": self.vault.keys.check_ready,
                "store": self.blobs.check_ready,
                "certificate": keeper.check_ready,
            },
            interval_s=settings.listen.probe_s,
        )
        guard = Guard(
            rules=IdentityRules(
                settings.identity.trust_domain, settings.identity.caller_paths
            ),
            policy=self.policy,
            audit=CallAudit(self.audit, names=self.repository.keyring, clock=clock),
            watchdog=watchdog,
            limits=GuardLimits(
                max_calls=settings.listen.max_calls,
                max_own_calls=settings.listen.max_own_calls,
                short_s=settings.listen.short_s,
                long_s=settings.listen.long_s,
                stream_s=settings.listen.stream_s,
            ),
            clock=clock,
            entropy=entropy,
        )
        with (
            keeper.running(),
            watchdog.running(),
            serving(
                self._listening(),
                guard=guard,
                state=health,
                servicers=self._servicers(keeper, clock),
                credentials=keeper.credentials(),
            ) as bound,
            health.running(),
        ):
            yield bound

    def _keeper(self, clock: Clock) -> CertificateKeeper:
        identity = self.settings.identity
        if identity.cert_file and identity.key_file and identity.ca_file:
            files = CertificateFiles(
                cert_file=identity.cert_file,
                key_file=identity.key_file,
                ca_file=identity.ca_file,
            )
            return CertificateKeeper(files, clock=clock, max_age=CERTIFICATE_FILES_AGE)
        issuer: CertificateIssuer = self.vault.issuer(
            identity.spiffe_id,
            dns_names=identity.dns_names,
            ip_addresses=identity.ip_addresses,
            ttl=timedelta(seconds=identity.certificate_ttl_s),
        )
        return CertificateKeeper(issuer, clock=clock)

    def _listening(self) -> Listening:
        listen = self.settings.listen
        return Listening(
            data=listen.data,
            health=listen.health,
            admin=listen.admin,
            max_calls=listen.max_calls,
            max_stream_s=listen.stream_s,
            drain_delay_s=listen.drain_delay_s,
            grace_s=listen.grace_s,
        )

    def _servicers(self, keeper: CertificateKeeper, clock: Clock) -> Servicers:
        repository = self.repository
        checks = Checks(
            key_service=self.vault.keys,
            signer=self.vault.signer,
            store_probe=self.probe.run,
        )
        facts = ServerFacts(
            version=version("strongroom"),
            store_id=repository.keyring.store.hex(),
            certificate_expire_time=lambda: keeper.current.not_after,
            roles=lambda principal: roles_of(self.policy, principal),
        )
        sweep = self.settings.sweep
        return Servicers(
            ArtifactServicer(
                Artifacts(repository),
                Refs(repository),
                Diffs(repository),
                Retention(repository),
            ),
            TransferServicer(Uploads(repository), Downloads(repository), clock=clock),
            MaintenanceServicer(
                Verification(repository),
                checks,
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
        )


def _vault_settings(settings: ServerSettings) -> VaultSettings:
    return VaultSettings(
        address=settings.vault.address,
        ca_file=settings.vault.ca_file,
        role_id_file=settings.vault.role_id_file,
        secret_id_file=settings.vault.secret_id_file,
        transit_mount=settings.vault.transit_mount,
        approle_mount=settings.vault.approle_mount,
        pki_mount=settings.identity.pki_mount,
        pki_role=settings.identity.pki_role,
    )


def _open_copies(
    settings: ServerSettings, clock: Clock, stack: ExitStack
) -> list[BlobCopy]:
    """Open what damage is mended from; it is looked at when it is needed."""
    copies: list[BlobCopy] = []
    for section in settings.copies:
        if section.path is not None or section.credentials_file is None:
            copies.append(FolderCopy(section.name, section.path or Path()))
            continue
        access_key, secret_key = read_credentials(section.credentials_file)
        s3 = S3Settings(
            endpoint=section.endpoint,
            region=section.region,
            bucket=section.bucket,
            prefix=section.prefix,
            access_key=access_key,
            secret_key=secret_key,
            ca_file=str(section.ca_file or ""),
            pool_size=settings.workers.threads,
        )
        blobs = stack.enter_context(open_s3(s3, clock))
        copies.append(BucketCopy(section.name, blobs))
    return copies


def _open_remover(
    settings: ServerSettings, clock: Clock, stack: ExitStack
) -> BlobRemover | None:
    """Open what sweeps remove with, if this server is given a credential for it."""
    path = settings.store.remover_credentials_file
    if path is None:
        return None
    return stack.enter_context(open_remover(_s3_settings(settings, path), clock))


def _s3_settings(settings: ServerSettings, credentials: Path) -> S3Settings:
    access_key, secret_key = read_credentials(credentials)
    return S3Settings(
        endpoint=settings.store.endpoint,
        region=settings.store.region,
        bucket=settings.store.bucket,
        prefix=settings.store.prefix,
        access_key=access_key,
        secret_key=secret_key,
        ca_file=str(settings.store.ca_file or ""),
        pool_size=settings.workers.threads + settings.listen.max_calls,
    )
