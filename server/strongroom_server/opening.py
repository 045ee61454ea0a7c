# SPDX-License-Identifier: Apache-2.0
"""Opens parts from their section of the settings; `app` wires them together."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.cedar import AccessFiles
from strongroom_server.adapters.certificate_files import CertificateFiles
from strongroom_server.adapters.credentials_file import CredentialsFile
from strongroom_server.adapters.folder_copy import FolderCopy
from strongroom_server.adapters.lmdb_index import open_lmdb_index
from strongroom_server.adapters.oidc import OidcTokens
from strongroom_server.adapters.revocation_file import RevocationFile
from strongroom_server.adapters.s3 import S3Presigner, S3Settings, open_s3
from strongroom_server.adapters.s3 import open_remover as open_s3_remover
from strongroom_server.adapters.shared_memory import (
    SharedMemorySettings,
    running_shared_memory,
)
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    VaultSession,
    VaultSettings,
    make_login,
    open_vault,
)
from strongroom_server.adapters.webauthn_check import WebAuthnVerifier
from strongroom_server.config import ServerSettings, read_credentials
from strongroom_server.core.operators import LoginRules
from strongroom_server.core.revocation import Revocations
from strongroom_server.ports import (
    BlobCopy,
    BlobRemover,
    CertificateIssuer,
    Clock,
    Entropy,
    Index,
    KeyAdmin,
    SharedMemory,
    TokenVerifier,
)
from strongroom_server.repository.approvals import ApprovalRecords
from strongroom_server.repository.copies import BucketCopy
from strongroom_server.repository.relocations import presigner_for
from strongroom_server.repository.repository import Repository
from strongroom_server.rpc.certificates import CertificateKeeper
from strongroom_server.rpc.grant_servicer import GrantServicer
from strongroom_server.rpc.identity import IdentityRules
from strongroom_server.rpc.limits import GuardLimits
from strongroom_server.rpc.methods import METHODS
from strongroom_server.services.approving import (
    ApprovalSettings,
    Approving,
    SecurityKeys,
)
from strongroom_server.services.granting import GrantFeed, Granting
from strongroom_server.services.uploads.by_grant import GrantedWriting
from strongroom_server.telemetry import telemetry

#: Certificates that somebody else renews are looked at again that often.
CERTIFICATE_FILES_AGE: Final = timedelta(seconds=60)
WORKLOAD_API_AGE: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Identity:
    """The server's own identity, and the rules for those of callers.

    Attributes:
        keeper: Of the server's certificate.
        rules: For callers.
        alarms: What somebody has to see to, while the server goes on.
        tokens: What checks people's logins; None where nobody may sign in.
    """

    keeper: CertificateKeeper
    rules: IdentityRules
    alarms: Mapping[str, Callable[[], object]]
    tokens: TokenVerifier | None = None


def open_identity(
    settings: ServerSettings, vault: VaultSession, clock: Clock, stack: ExitStack
) -> Identity:
    """Get the server's certificate, read who is revoked, and say who may sign in.

    Raises:
        StrongroomError: As the issuer does, or the revocations cannot be read.
    """
    identity = settings.identity
    keeper = _open_keeper(settings, vault, clock, stack)
    alarms: dict[str, Callable[[], object]] = {"certificate": keeper.check_renewed}
    rules = IdentityRules(
        identity.trust_domain,
        identity.caller_paths,
        max_lifetime=timedelta(seconds=identity.max_lifetime_s) or None,
        post_quantum=identity.pq == "require",
    )
    if identity.revoked_file is not None:
        revocations = RevocationFile(identity.revoked_file, clock=clock)
        rules = replace(rules, revoked=revocations.current)
        alarms["revocations"] = revocations.check_current
    tokens = open_tokens(settings, clock)
    if tokens is not None:
        alarms["logins"] = tokens.check_current
    return Identity(keeper, rules, alarms, tokens)


def open_tokens(settings: ServerSettings, clock: Clock) -> TokenVerifier | None:
    """Open what checks people's logins, if the settings say where they sign in.

    Raises:
        PreconditionError: The provider's authorities cannot be read
            (SETTING_INVALID).
    """
    operators = settings.operators
    if not operators.issuer:
        return None
    rules = LoginRules(
        operators.issuer,
        operators.audience,
        name_claim=operators.name_claim,
        acr_values=operators.acr_values,
        max_age=timedelta(seconds=operators.session_s),
    )
    return OidcTokens(rules, ca_file=operators.ca_file, clock=clock)


def _open_workload_api(
    settings: ServerSettings,
) -> AbstractContextManager[CertificateIssuer]:
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
    return open_workload_api(
        identity.workload_socket,
        spiffe_id=identity.spiffe_id,
        trust_domain=identity.trust_domain,
    )


def _open_keeper(
    settings: ServerSettings, vault: VaultSession, clock: Clock, stack: ExitStack
) -> CertificateKeeper:
    identity = settings.identity
    if identity.workload_socket:
        api = stack.enter_context(_open_workload_api(settings))
        return CertificateKeeper(api, clock=clock, max_age=WORKLOAD_API_AGE)
    if identity.cert_file and identity.key_file and identity.ca_file:
        files = CertificateFiles(
            cert_file=identity.cert_file,
            key_file=identity.key_file,
            ca_file=identity.ca_file,
        )
        return CertificateKeeper(files, clock=clock, max_age=CERTIFICATE_FILES_AGE)
    issuer: CertificateIssuer = vault.issuer(
        identity.spiffe_id,
        dns_names=identity.dns_names,
        ip_addresses=identity.ip_addresses,
        ttl=timedelta(seconds=identity.certificate_ttl_s),
    )
    return CertificateKeeper(issuer, clock=clock)


def open_index(settings: ServerSettings, mac_key: bytes, stack: ExitStack) -> Index:
    """Open the local cache."""
    index = settings.index
    return stack.enter_context(
        open_lmdb_index(
            index.path, mac_key=mac_key, map_size_bytes=index.map_size_bytes
        )
    )


def vault_settings(settings: ServerSettings) -> VaultSettings:
    """Return where Vault is, and how to log in."""
    vault = settings.vault
    return VaultSettings(
        address=vault.address,
        ca_file=vault.ca_file,
        login=make_login(
            vault.auth,
            mount=vault.auth_mount,
            role=vault.auth_role,
            files=vault.login_files,
        ),
        transit_mount=vault.transit_mount,
        pki_mount=settings.identity.pki_mount,
        pki_role=settings.identity.pki_role,
    )


def open_key_admin(
    settings: ServerSettings, clock: Clock, entropy: Entropy, stack: ExitStack
) -> KeyAdmin | None:
    """Open what KEKs are changed with, if this server is given a credential for it."""
    vault = settings.vault
    role_id, secret_id = vault.key_admin_role_id_file, vault.key_admin_secret_id_file
    if role_id is None or secret_id is None:
        return None
    session = open_own_role(settings, (role_id, secret_id), clock, entropy, stack)
    return session.key_admin


def open_own_role(
    settings: ServerSettings,
    files: tuple[Path, Path],
    clock: Clock,
    entropy: Entropy,
    stack: ExitStack,
) -> VaultSession:
    """Open Vault as another identity than the server's: of a role and secret id."""
    vault = settings.vault
    role_id, secret_id = files
    mount = vault.auth_mount if vault.auth == "approle" else ""
    login = AppRoleLogin(role_id, secret_id, mount or "approle")
    own = replace(vault_settings(settings), login=login)
    return stack.enter_context(open_vault(own, clock=clock, entropy=entropy))


def access_files(settings: ServerSettings) -> AccessFiles:
    """Return where it stands who may do what."""
    access = settings.access
    return AccessFiles(
        access.assignments_file,
        access.policies,
        access.shipped_roles,
        access.shipped_rules,
        access.protected_refs,
        settings.backup.lock_days_alone,
    )


def guard_limits(settings: ServerSettings) -> GuardLimits:
    """Return how many calls there may be at once, and how long each may take."""
    listen = settings.listen
    return GuardLimits(
        max_calls=listen.max_calls,
        max_own_calls=listen.max_own_calls,
        short_s=listen.short_s,
        long_s=listen.long_s,
        stream_s=listen.stream_s,
        max_watches=listen.max_watches,
    )


def open_approving(
    settings: ServerSettings,
    repository: Repository,
    revoked: Callable[[], Revocations],
) -> Approving:
    """Open the book of approvals; nobody can approve without operators' credentials.

    Args:
        settings: The server's.
        repository: Where it is kept.
        revoked: Who is nobody, and has consented to nothing.

    Raises:
        StrongroomError: The credentials cannot be read.
    """
    operators, limits = settings.operators, guard_limits(settings)
    keys = None
    if operators.credentials_file is not None:
        origin = f"https://{operators.rp_id}"
        keys = SecurityKeys(
            operators.rp_id,
            origin,
            CredentialsFile(operators.credentials_file, clock=repository.clock),
            WebAuthnVerifier(relying_party=operators.rp_id, origin=origin),
            revoked,
        )
    bounds = ApprovalSettings(
        settings.approvals.expire_s,
        settings.approvals.max_pending,
        lambda method: _limit_s(limits, method),
    )
    records = ApprovalRecords(repository.blobs, repository.keyring)
    clock, entropy = repository.clock, repository.entropy
    return Approving(records, keys, bounds, clock=clock, entropy=entropy)


def _limit_s(limits: GuardLimits, method: str) -> float:
    row = METHODS.get(method)
    # A newer server's method runs there, for however long.
    return limits.seconds(row.time_class) if row is not None else limits.stream_s


def open_grants(settings: ServerSettings, repository: Repository) -> GrantServicer:
    """Open what sidecars are granted with; makes no call."""
    s3 = s3_settings(settings, settings.store.credentials_file)
    clock = repository.clock
    presigner = presigner_for(repository.blobs, S3Presigner(s3, clock))
    granting = Granting(repository, presigner, lifetime_s=settings.grants.lifetime_s)
    writing = GrantedWriting(repository, presigner)
    return GrantServicer(granting, GrantFeed(repository), writing, clock=clock)


def open_copies(
    settings: ServerSettings, clock: Clock, stack: ExitStack
) -> list[BlobCopy]:
    """Open what damage is mended from; it is looked at when it is needed."""
    copies: list[BlobCopy] = []
    for section in settings.copies:
        if section.path is not None or section.credentials_file is None:
            copies.append(FolderCopy(section.name, section.path or Path()))
            continue
        keys = read_credentials(section.credentials_file)
        pool_size = settings.workers.threads
        role = f"the copy {section.name!r}"
        s3 = S3Settings.of(section, keys, pool_size=pool_size, role=role)
        blobs = stack.enter_context(open_s3(s3, clock))
        copies.append(BucketCopy(section.name, blobs))
    return copies


def open_remover(
    settings: ServerSettings, clock: Clock, stack: ExitStack
) -> BlobRemover | None:
    """Open what sweeps remove with, if this server is given a credential for it."""
    path = settings.store.remover_credentials_file
    if path is None:
        return None
    return stack.enter_context(open_s3_remover(s3_settings(settings, path), clock))


def s3_settings(settings: ServerSettings, credentials: Path) -> S3Settings:
    """Return where the bucket is, with a credential for it."""
    pool_size = settings.workers.threads + settings.listen.max_calls
    keys = read_credentials(credentials)
    return S3Settings.of(settings.store, keys, pool_size=pool_size)


def open_shared_memory(
    settings: ServerSettings, entropy: Entropy, stack: ExitStack
) -> SharedMemory | None:
    """Listen for readers of this machine, if the settings say where."""
    section = settings.shared_memory
    if section.socket is None:
        return None
    shared = SharedMemorySettings(
        section.socket,
        tuple(map(int, section.uids)),
        section.ring_bytes,
        section.mapped_bytes,
    )
    return stack.enter_context(running_shared_memory(shared, entropy=entropy))


def open_telemetry(settings: ServerSettings, clock: Clock, stack: ExitStack) -> None:
    """Have spans and metrics go where the settings say."""
    section = settings.telemetry
    stack.enter_context(
        telemetry(
            service_name=section.service_name,
            spans_file=section.spans_file,
            otlp_endpoint=section.otlp_endpoint,
            clock=clock,
        )
    )
