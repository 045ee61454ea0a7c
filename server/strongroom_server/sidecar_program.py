# SPDX-License-Identifier: Apache-2.0
"""The sidecar as a process: wires grants of central's to a socket of the pod.

It holds no credential of the store and none of Vault: a certificate of its own, keys
of the chunks that it was granted, and packs that are encrypted.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Final

from strongroom.errors import PreconditionError, Reason
from strongroom.format.lanes import SOCKET_SUFFIX
from strongroom_server import process_memory
from strongroom_server.adapters.central import (
    CentralChannel,
    CentralGrants,
    CentralWrites,
)
from strongroom_server.adapters.certificate_files import CertificateFiles
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.memory_packs import MemoryPackCache
from strongroom_server.adapters.pack_files import PackFiles
from strongroom_server.adapters.pack_urls import HttpPacks, HttpPuts, PackConnections
from strongroom_server.adapters.shared_memory import (
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.config import (
    SidecarSettings,
    format_sections,
    read_sidecar_settings,
)
from strongroom_server.ports import (
    CertificateIssuer,
    Clock,
    Entropy,
    PackCache,
    SharedMemory,
)
from strongroom_server.process_signals import stop_on_signals
from strongroom_server.repository.budget import ByteBudget
from strongroom_server.repository.buffers import BufferPool
from strongroom_server.repository.chunks import ChunkReader
from strongroom_server.repository.grant_book import GrantBook
from strongroom_server.repository.granted_chunks import GrantedChunks
from strongroom_server.repository.pack_arrivals import PackArrivals
from strongroom_server.rpc.admission import Admission
from strongroom_server.rpc.certificates import CertificateKeeper
from strongroom_server.rpc.file_reads import FileReads
from strongroom_server.rpc.forwarding import Forwarder
from strongroom_server.rpc.health import Health
from strongroom_server.rpc.responding import Handler
from strongroom_server.rpc.sidecar_calls import LocalCalls
from strongroom_server.rpc.sidecar_files import READ_FILES, LocalFiles
from strongroom_server.rpc.sidecar_reads import READ_VERSION, LocalReads
from strongroom_server.rpc.sidecar_serving import SidecarListening, serving_sidecar
from strongroom_server.rpc.sidecar_writes import WRITE_VERSION, LocalWrites
from strongroom_server.rpc.version_reads import VersionReads
from strongroom_server.rpc.watchdog import Watchdog
from strongroom_server.services.downloads import GrantedDownloads, GrantedEngine
from strongroom_server.services.leasing import LeaseWatch
from strongroom_server.services.uploads import GrantedWriteEngine
from strongroom_server.telemetry import CallThreads, gauge, log_to_stderr, telemetry

_LOG: Final = logging.getLogger("strongroom_server.sidecar")
#: Certificates that somebody else renews are looked at again that often.
_FILES_AGE: Final = timedelta(seconds=60)
_AGENT_AGE: Final = timedelta(seconds=15)


def serve(config: Path) -> None:
    """Serve until SIGTERM or SIGINT, then drain and stop.

    Raises:
        StrongroomError: The settings, the certificate or the socket do not allow it.
    """
    settings = read_sidecar_settings(config)
    process_memory.keep_private()
    process_memory.keep_small()
    log_to_stderr()
    stop = stop_on_signals()
    with running_sidecar(settings) as health_port:
        line = {
            "event": "serving",
            "version": version("strongroom"),
            "socket": str(settings.listen.socket),
            "health_port": health_port,
        }
        _LOG.info("%s", json.dumps(line))
        process_memory.keep_settled()
        stop.wait()
        _LOG.info("%s", json.dumps({"event": "stopping"}))


def show_config(config: Path) -> str:
    """Return the settings as understood, after checking them."""
    return format_sections(read_sidecar_settings(config))


@contextmanager
def running_sidecar(settings: SidecarSettings) -> Iterator[int]:
    """Serve a sidecar for as long as the context lasts; yields the health port.

    Raises:
        StrongroomError: The certificate, the socket or a folder do not allow it.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    with ExitStack() as stack:
        stack.enter_context(
            telemetry(
                service_name=settings.telemetry.service_name,
                spans_file=settings.telemetry.spans_file,
                otlp_endpoint=settings.telemetry.otlp_endpoint,
                clock=clock,
            )
        )
        parts = _open(settings, clock, entropy, stack)
        yield stack.enter_context(parts.serving(settings, clock, entropy))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The opened parts, and how they are wired to the socket."""

    keeper: CertificateKeeper
    channel: CentralChannel
    grants: CentralGrants
    book: GrantBook
    kept: PackArrivals
    downloads: GrantedDownloads
    writes: CentralWrites
    write_engine: GrantedWriteEngine
    memory: SharedMemory | None

    @contextmanager
    def serving(
        self, settings: SidecarSettings, clock: Clock, entropy: Entropy
    ) -> Iterator[int]:
        """Listen, with the threads that keep certificate, leases and limits."""
        listen = settings.listen
        watchdog = Watchdog(clock=clock, stall_s=listen.stall_s)
        admission = Admission(listen.max_calls)
        health = self._health(listen.probe_s)
        forwarder = Forwarder(
            self.channel.lend,
            endpoint=settings.central.endpoint,
            admission=admission,
            watchdog=watchdog,
            limit_s=listen.stream_s,
            clock=clock,
        )
        calls = LocalCalls(
            forwarder,
            admission=admission,
            watchdog=watchdog,
            principal=settings.identity.spiffe_id,
            limit_s=listen.stream_s,
            clock=clock,
            entropy=entropy,
        )
        with (
            self.keeper.running(),
            gauge(
                "strongroom.certificate.time_left",
                "Until the sidecar's certificate ends.",
                unit="s",
                read=self.keeper.time_left_s,
            ),
            gauge(
                "strongroom.sidecar.versions",
                "Versions of which keys are held.",
                unit="{version}",
                read=lambda: float(len(self.book.held())),
            ),
            watchdog.running(),
            LeaseWatch(self.book, self.grants, self.kept).running(),
            serving_sidecar(
                _listening(settings),
                local=self._local(calls, clock, listen.stall_s),
                forwarder=forwarder,
                admission=admission,
                state=health,
            ) as port,
            health.running(),
        ):
            yield port

    def _local(
        self, calls: LocalCalls, clock: Clock, stall_s: float
    ) -> dict[str, Handler]:
        """Return what serves the methods that are not passed on."""
        downloads, memory = self.downloads, self.memory
        reads = LocalReads(VersionReads(downloads, clock=clock, memory=memory), calls)
        files = LocalFiles(
            FileReads(downloads, clock=clock, memory=memory), calls, stall_s=stall_s
        )
        writes = LocalWrites(
            self.writes,
            self.write_engine,
            calls,
            stall_s=stall_s,
            clock=clock,
            memory=memory,
        )
        return {
            READ_VERSION: reads.handler(),
            READ_FILES: files.handler(),
            WRITE_VERSION: writes.handler(),
        }

    def _health(self, interval_s: float) -> Health:
        return Health(
            {
                "certificate": self.keeper.check_ready,
                "central": self.channel.check_ready,
            },
            interval_s=interval_s,
            alarms={"certificate": self.keeper.check_renewed},
        )


def _listening(settings: SidecarSettings) -> SidecarListening:
    listen = settings.listen
    return SidecarListening(
        socket=listen.socket,
        mode=settings.socket_mode,
        health=listen.health,
        max_calls=listen.max_calls,
        drain_delay_s=listen.drain_delay_s,
        grace_s=listen.grace_s,
    )


def _open(
    settings: SidecarSettings, clock: Clock, entropy: Entropy, stack: ExitStack
) -> _Parts:
    keeper = _open_keeper(settings, clock, stack)
    channel = CentralChannel(settings.central.endpoint, lambda: keeper.current)
    stack.callback(channel.close)
    grants = CentralGrants(channel)
    threads = stack.enter_context(CallThreads(settings.workers.threads, "work"))
    book = GrantBook(grants, clock=clock, executor=threads)
    connections = PackConnections(clock, ca_file=settings.store.ca_file)
    stack.callback(connections.close)
    packs = HttpPacks(connections)
    half = settings.memory.max_bytes // 2
    kept = PackArrivals(_open_cache(settings, clock, entropy), ByteBudget(half))
    stack.callback(kept.close)
    chunks = ChunkReader(GrantedChunks(book, fetcher=packs, packs=kept))
    bases = GrantedChunks(book, fetcher=packs, packs=kept, keeps=False)
    engine = GrantedEngine(book, chunks, threads, ByteBudget(half), clock)
    write_half = settings.memory.max_write_bytes // 2
    write_engine = GrantedWriteEngine(
        clock=clock,
        entropy=entropy,
        executor=threads,
        chunks=ChunkReader(bases),
        write_budget=ByteBudget(write_half),
        open_budget=ByteBudget(write_half),
        header_lock=Lock(),
        book=book,
        putter=HttpPuts(connections),
        buffers=BufferPool(),
    )
    return _Parts(
        keeper,
        channel,
        grants,
        book,
        kept,
        GrantedDownloads(engine),
        CentralWrites(channel),
        write_engine,
        _open_memory(settings, entropy, stack),
    )


def _open_memory(
    settings: SidecarSettings, entropy: Entropy, stack: ExitStack
) -> SharedMemory | None:
    """Open the data socket; None if the kernel cannot, and nobody asked for it."""
    shared, socket = settings.shared_memory, settings.listen.socket
    opened = running_shared_memory(
        SharedMemorySettings(
            socket=shared.socket or socket.with_name(socket.name + SOCKET_SUFFIX),
            uids=tuple(int(uid) for uid in shared.uids),
            ring_bytes=shared.ring_bytes,
            mapped_bytes=shared.mapped_bytes,
        ),
        entropy=entropy,
    )
    try:
        return stack.enter_context(opened)
    except PreconditionError as error:
        if shared.socket is not None:
            raise
        line = {"event": "shared_memory_missing", "cause": error.message}
        _LOG.warning("%s", json.dumps(line))
        return None


def _open_cache(settings: SidecarSettings, clock: Clock, entropy: Entropy) -> PackCache:
    cache = settings.cache
    if cache.path is None:
        return MemoryPackCache(max_bytes=0)
    return PackFiles(
        cache.path,
        max_bytes=cache.max_bytes,
        max_files=cache.max_files,
        clock=clock,
        entropy=entropy,
    )


def _open_keeper(
    settings: SidecarSettings, clock: Clock, stack: ExitStack
) -> CertificateKeeper:
    identity = settings.identity
    if identity.cert_file and identity.key_file and identity.ca_file:
        files = CertificateFiles(
            cert_file=identity.cert_file,
            key_file=identity.key_file,
            ca_file=identity.ca_file,
        )
        return CertificateKeeper(files, clock=clock, max_age=_FILES_AGE)
    issuer = _open_agent(settings, stack)
    return CertificateKeeper(issuer, clock=clock, max_age=_AGENT_AGE)


def _open_agent(settings: SidecarSettings, stack: ExitStack) -> CertificateIssuer:
    try:
        # An extra of its own brings what this imports.
        from strongroom_server.adapters.workload_api import (  # noqa: PLC0415
            open_workload_api,
        )
    except ImportError as error:
        message = "identity.workload_socket is set, but spiffe is not installed"
        raise PreconditionError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="pip install 'strongroom[server,spiffe]'",
        ) from error
    identity = settings.identity
    return stack.enter_context(
        open_workload_api(
            identity.workload_socket,
            spiffe_id=identity.spiffe_id,
            trust_domain=identity.trust_domain,
        )
    )
