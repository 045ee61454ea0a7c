# SPDX-License-Identifier: Apache-2.0
"""The sections of the server's settings, and what each setting means."""

from dataclasses import dataclass, field
from pathlib import Path

from strongroom_server.config.backups import BackupSection, DrillSection
from strongroom_server.config.sharing import SharedMemorySection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSection:
    """`[store]`: the bucket.

    Attributes:
        endpoint: The URL of S3; `http://` on loopback only.
        bucket: Versioned; made before.
        credentials_file: JSON with `access_key` and `secret_key`.
        remover_credentials_file: The same, of a credential that may delete versions;
            only for servers that sweep.
        shredder_credentials_file: The same, of a credential that may delete versions
            of key slots and nothing else; only for servers that shred projects.
        shred_watch_s: How often a server looks whether another one has shredded a
            project.
        region: Any name will do for stores that have none.
        prefix: Put before every key.
        ca_file: Certificates to trust for `endpoint`; the public ones if missing.
        fips: Whether to use NIST's algorithms only.
    """

    endpoint: str
    bucket: str
    credentials_file: Path
    remover_credentials_file: Path | None = None
    shredder_credentials_file: Path | None = None
    shred_watch_s: float = 2.0
    region: str = "us-east-1"
    prefix: str = ""
    ca_file: Path | None = None
    fips: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSection:
    """`[vault]`: where keys live.

    Attributes:
        address: The URL of Vault; `http://` on loopback only.
        auth: How the server logs in: `approle`, `jwt`, `kubernetes`, `cert` or
            `token`. The files of a login are read anew each time.
        auth_mount: Where that method is mounted, below `auth/`; its name if empty.
        auth_role: The role to log in as; for `jwt` and `kubernetes`, and `cert` may.
        role_id_file: For `approle`: the role id.
        secret_id_file: For `approle`: the secret id.
        jwt_file: For `jwt` and `kubernetes`: the token, such as a projected one.
        cert_file: For `cert`: the client certificate with its chain.
        key_file: For `cert`: its private key.
        token_file: For `token`: a token that somebody else keeps current.
        key_admin_role_id_file: The role id of an AppRole that rotates and retires
            KEKs; only for servers that do so.
        key_admin_secret_id_file: Its secret id.
        key_destroyer_role_id_file: The role id of an AppRole that destroys KEKs of
            projects; only for servers that shred.
        key_destroyer_secret_id_file: Its secret id.
        snapshot_days: How long snapshots of Vault's storage are kept; for receipts.
        ca_file: Certificates to trust for `address`; the public ones if missing.
        transit_mount: Where the transit engine is mounted.
    """

    address: str
    auth: str = "approle"
    auth_mount: str = ""
    auth_role: str = ""
    role_id_file: Path | None = None
    secret_id_file: Path | None = None
    jwt_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token_file: Path | None = None
    key_admin_role_id_file: Path | None = None
    key_admin_secret_id_file: Path | None = None
    key_destroyer_role_id_file: Path | None = None
    key_destroyer_secret_id_file: Path | None = None
    snapshot_days: int = 35
    ca_file: Path | None = None
    transit_mount: str = "transit"

    @property
    def login_files(self) -> dict[str, Path]:
        """The files of the login that are set, by the name of their setting."""
        named = {
            "role_id_file": self.role_id_file,
            "secret_id_file": self.secret_id_file,
            "jwt_file": self.jwt_file,
            "cert_file": self.cert_file,
            "key_file": self.key_file,
            "token_file": self.token_file,
        }
        return {name: path for name, path in named.items() if path is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySection:
    """`[identity]`: the server's certificate, and whose it accepts.

    Attributes:
        trust_domain: The only SPIFFE trust domain of callers.
        spiffe_id: The server's own id.
        caller_paths: Path patterns of callers' ids, `*` for any one segment.
        dns_names: Names that callers know the server by.
        ip_addresses: Addresses that callers know the server by.
        pki_mount: Where Vault's PKI engine is mounted.
        pki_role: The PKI role of the server's certificate.
        certificate_ttl_s: The lifetime to ask for; renewed at half of it.
        cert_file: A certificate chain that somebody else renews, instead of PKI.
        key_file: Its private key.
        ca_file: The authority of callers, with `cert_file`.
        workload_socket: The SPIFFE Workload API, `unix:///…`, that gives `spiffe_id`
            its certificate and says who vouches for callers; instead of PKI.
        max_lifetime_s: How long a caller's certificate may be valid in all; 0 for
            any time.
        pq: `require` refuses callers without a post-quantum key exchange; `allow`.
        revoked_file: Who is nobody from now on: a SPIFFE id or `sha256:…` of a
            certificate a line; read again when it changes.
    """

    trust_domain: str
    spiffe_id: str
    caller_paths: tuple[str, ...] = ("/ns/*/sa/*/job/*",)
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    pki_mount: str = "pki"
    pki_role: str = "strongroom-server"
    certificate_ttl_s: int = 86_400
    cert_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    workload_socket: str = ""
    max_lifetime_s: int = 0
    pq: str = "allow"
    revoked_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSection:
    """`[listen]`: addresses and limits.

    Attributes:
        data: `host:port` for callers, mTLS.
        health: `host:port` for probes.
        admin: `unix:PATH`, or `host:port` on loopback.
        max_calls: Calls served at once.
        max_calls_of_principal: Calls of one principal served at once; 0 means half
            of `max_calls`.
        max_watches: Calls of sidecars, beside those, that only wait for news; half of
            them of one principal.
        stall_s: How long a peer may take or send nothing.
        short_s: How long a listing or a change may take.
        long_s: How long a comparison or a check may take.
        stream_s: How long a transfer or a verification may take.
        probe_s: Between two looks at Vault and S3.
        drain_delay_s: Between "not ready" and refusing calls.
        grace_s: What running calls have to end when the server stops.
    """

    data: str
    health: str
    admin: str
    max_calls: int = 64
    max_calls_of_principal: int = 0
    max_watches: int = 256
    stall_s: float = 60.0
    short_s: float = 60.0
    long_s: float = 600.0
    stream_s: float = 86_400.0
    probe_s: float = 5.0
    drain_delay_s: float = 0.0
    grace_s: float = 10.0

    @property
    def max_own_calls(self) -> int:
        """What `max_calls_of_principal` comes to; one at least."""
        return self.max_calls_of_principal or max(self.max_calls // 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSection:
    """`[index]`: the local cache, which may be deleted at any time.

    Attributes:
        path: A directory of its own.
        map_size_bytes: Address space to begin with; it grows by itself.
    """

    path: Path
    map_size_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSection:
    """`[audit]`: the log of every call.

    Attributes:
        path: A directory of its own, on a disk that keeps what it is given.
        log: The log's name in the bucket; the same for all servers.
    """

    path: Path
    log: str = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSection:
    """`[access]`: who may do what.

    Attributes:
        assignments_file: TOML: who has which role where.
        policies: A folder with Cedar policies of your own; none if missing.
        shipped_roles: Whether the roles that come with the server are there.
        shipped_rules: Whether the rules for everybody that come with it are: fresh
            logins for changes, two people for what cannot be undone.
        reload_s: How often the files are looked at; a good change counts at once.
        protected_refs: Names of refs, such as `prod` or `release-*`, of any artifact:
            a person moves them, and another one approves exactly that move.
    """

    assignments_file: Path
    policies: Path | None = None
    shipped_roles: bool = True
    shipped_rules: bool = True
    reload_s: float = 5.0
    protected_refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorsSection:
    """`[operators]`: people, who sign in at an OpenID Connect provider.

    Attributes:
        issuer: The provider, `https://…`, as its tokens spell it; nobody may sign in
            if it is empty.
        audience: The client id that people's tokens are for.
        ca_file: Certificates to trust for `issuer`; the public ones if missing.
        name_claim: The claim that holds a person's name; nobody but the provider may
            be able to choose it.
        acr_values: The provider's classes of authentication that are two factors.
        session_s: How long after signing in a person must do so again.
        rp_id: The host name that security keys of approvers are registered for.
        credentials_file: TOML: whose security keys are believed.
    """

    issuer: str = ""
    audience: str = ""
    ca_file: Path | None = None
    name_claim: str = "sub"
    acr_values: tuple[str, ...] = ("phr", "phrh")
    session_s: int = 43_200
    rp_id: str = ""
    credentials_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalsSection:
    """`[approvals]`: what one person may do only if others agree.

    Attributes:
        expire_s: How long a request waits for approvals, and may then be sent.
        max_pending: How many a principal may have that nobody has decided.
    """

    expire_s: int = 900
    max_pending: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySection:
    """`[telemetry]`: where spans go.

    Attributes:
        spans_file: JSON lines, one span each; none if missing.
        otlp_endpoint: An OTLP collector's URL; none if empty.
        service_name: What spans call this server.
    """

    spans_file: Path | None = None
    otlp_endpoint: str = ""
    service_name: str = "strongroom-server"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSection:
    """`[workers]`: the threads that encrypt, decrypt and talk to S3.

    Attributes:
        threads: Shared by all calls.
    """

    threads: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSection:
    """`[sweep]`: how long sweeps wait; nothing is lost if all of it is 0.

    Attributes:
        min_age_s: Younger objects are not condemned, for the sake of uploads that
            go on.
        grace_s: Between condemning and removing.
        upload_age_s: What an upload has stored is kept for so long after it was
            last heard of.
    """

    min_age_s: float = 86_400.0
    grace_s: float = 86_400.0
    upload_age_s: float = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsSection:
    """`[grants]`: what sidecars get to read with.

    Attributes:
        lifetime_s: How long the keys of chunks that one gets may be used. Who loses a
            right while a sidecar cannot reach us loses it so much later.
    """

    lifetime_s: int = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySection:
    """`[[copies]]`: another copy of the bucket, to mend damage from; read only.

    Either a folder, or another bucket.

    Attributes:
        name: What the operator calls it.
        path: A folder with the bucket's keys as paths, such as a synced one.
        endpoint: The URL of S3; `http://` on loopback only.
        bucket: The bucket.
        credentials_file: JSON with `access_key` and `secret_key`.
        region: Any name will do for stores that have none.
        prefix: Put before every key.
        ca_file: Certificates to trust for `endpoint`; the public ones if missing.
    """

    name: str
    path: Path | None = None
    endpoint: str = ""
    bucket: str = ""
    credentials_file: Path | None = None
    region: str = "us-east-1"
    prefix: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessSection:
    """`[[witnesses]]`: who else remembers how far the audit log had come.

    Attributes:
        url: What stands before `/add-checkpoint`; `http://` on loopback only.
        keys_file: The witness's public keys, one a line.
        ca_file: Certificates to trust for `url`; the public ones if missing.
    """

    url: str
    keys_file: Path
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """All settings, one attribute a section of the file."""

    store: StoreSection
    vault: VaultSection
    identity: IdentitySection
    listen: ListenSection
    index: IndexSection
    audit: AuditSection
    access: AccessSection
    operators: OperatorsSection = field(default_factory=OperatorsSection)
    approvals: ApprovalsSection = field(default_factory=ApprovalsSection)
    telemetry: TelemetrySection = field(default_factory=TelemetrySection)
    sweep: SweepSection = field(default_factory=SweepSection)
    grants: GrantsSection = field(default_factory=GrantsSection)
    shared_memory: SharedMemorySection = field(default_factory=SharedMemorySection)
    workers: WorkersSection = field(default_factory=WorkersSection)
    backup: BackupSection = field(default_factory=BackupSection)
    drill: DrillSection = field(default_factory=DrillSection)
    copies: tuple[CopySection, ...] = ()
    witnesses: tuple[WitnessSection, ...] = ()
