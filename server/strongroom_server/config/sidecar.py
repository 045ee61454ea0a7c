# SPDX-License-Identifier: Apache-2.0
"""The settings of a sidecar: a file of its own, with no credential in it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom_server.config.sections import TelemetrySection, WorkersSection
from strongroom_server.config.sharing import SharedMemorySection
from strongroom_server.config.tables import (
    load_sections,
    read_document,
    read_environ,
    setting_error,
)

#: Half of it are packs on their way to the disk: one of them at least.
_MIN_MEMORY_BYTES: Final = 64 * 1024 * 1024
_ENDPOINT: Final = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")
_MODE: Final = re.compile(r"0?[0-7]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralSection:
    """`[central]`: the server that decides.

    Attributes:
        endpoint: `host:port`; the host is checked against its certificate.
    """

    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnIdentitySection:
    """`[identity]`: the sidecar's certificate; what it may read, the pod may.

    Attributes:
        cert_file: Its certificate chain, which somebody else renews.
        key_file: The private key.
        ca_file: The authority of central.
        workload_socket: The SPIFFE Workload API, `unix:///…`, in place of the files.
        spiffe_id: The id that the agent is to give; the sidecar's name in its log.
        trust_domain: Of central, with `workload_socket`.
    """

    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    workload_socket: str = ""
    spiffe_id: str = "sidecar"
    trust_domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketSection:
    """`[listen]`: where the pod finds the sidecar, and limits.

    Attributes:
        socket: The path of a Unix socket, in a folder that only the pod sees.
        mode: Who may open it, as permission bits in octal. Whoever may open it may
            read all that the sidecar may.
        health: `host:port` for probes.
        max_calls: Calls served at once.
        stall_s: How long a peer may take or send nothing.
        stream_s: How long a transfer may take.
        probe_s: Between two looks at central.
        drain_delay_s: Between "not ready" and refusing calls.
        grace_s: What running calls have to end when the sidecar stops.
    """

    socket: Path
    mode: str = "0600"
    health: str = "127.0.0.1:0"
    max_calls: int = 64
    stall_s: float = 60.0
    stream_s: float = 86_400.0
    probe_s: float = 5.0
    drain_delay_s: float = 0.0
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSection:
    """`[store]`: the bucket, which is reached by URLs of central's.

    Attributes:
        ca_file: Certificates to trust for it; the machine's own if missing.
    """

    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSection:
    """`[cache]`: packs, encrypted, on a disk that the sidecars of a node share.

    Attributes:
        path: A folder of its own; nothing is kept if it is missing.
        max_bytes: What all sidecars together may keep there.
        max_files: How many packs that may be.
    """

    path: Path | None = None
    max_bytes: int = 64 * 1024**3
    max_files: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySection:
    """`[memory]`: what is under way.

    Attributes:
        max_bytes: Half of it for plaintext that nobody has taken yet, half for packs
            on their way to the disk.
        max_write_bytes: Half of it for what was received of writes, half for what is
            on its way to the store, plain and encrypted.
    """

    max_bytes: int = 512 * 1024**2
    max_write_bytes: int = 512 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarSettings:
    """All settings, one attribute a section of the file."""

    central: CentralSection
    listen: SocketSection
    identity: OwnIdentitySection = field(default_factory=OwnIdentitySection)
    store: BucketSection = field(default_factory=BucketSection)
    cache: CacheSection = field(default_factory=CacheSection)
    memory: MemorySection = field(default_factory=MemorySection)
    shared_memory: SharedMemorySection = field(default_factory=SharedMemorySection)
    workers: WorkersSection = field(default_factory=WorkersSection)
    telemetry: TelemetrySection = field(default_factory=TelemetrySection)

    @property
    def socket_mode(self) -> int:
        """The permission bits of the socket."""
        return int(self.listen.mode, 8)


def read_sidecar_settings(path: Path) -> SidecarSettings:
    """Read a sidecar's settings file and the environment.

    Raises:
        InvalidArgumentError: A setting is unknown, missing, of another type, or
            cannot be (SETTING_INVALID).
    """
    settings = load_sections(SidecarSettings, read_document(path), read_environ())
    problem = _problem(settings)
    if problem:
        raise setting_error(problem)
    return settings


def _problem(settings: SidecarSettings) -> str:
    listen, identity = settings.listen, settings.identity
    files = {identity.cert_file, identity.key_file, identity.ca_file}
    by_agent = bool(identity.workload_socket)
    if by_agent == (files != {None}):
        return (
            "identity needs either workload_socket or cert_file, key_file and ca_file"
        )
    checks = {
        "central.endpoint is not host:port": _ENDPOINT.fullmatch(
            settings.central.endpoint
        ),
        "identity.cert_file, key_file and ca_file belong together": by_agent
        or None not in files,
        "identity.trust_domain and spiffe_id are missing": not by_agent
        or (identity.trust_domain and identity.spiffe_id.startswith("spiffe://")),
        "listen.mode is not like 0600": _MODE.fullmatch(listen.mode),
        "listen.socket is not an absolute path": listen.socket.is_absolute(),
        "shared_memory.uids are not numbers": all(
            uid.isdecimal() for uid in settings.shared_memory.uids
        ),
        f"memory.max_bytes is less than {_MIN_MEMORY_BYTES}": settings.memory.max_bytes
        >= _MIN_MEMORY_BYTES,
        f"memory.max_write_bytes is less than {_MIN_MEMORY_BYTES}": (
            settings.memory.max_write_bytes >= _MIN_MEMORY_BYTES
        ),
        "workers.threads cannot be 0": settings.workers.threads,
        "a limit of listen cannot be 0": all(
            (listen.max_calls, listen.stall_s, listen.stream_s, listen.probe_s)
        ),
    }
    return next((text for text, holds in checks.items() if not holds), "")
