# SPDX-License-Identifier: Apache-2.0
"""Certificates of the stack's clients, issued by OpenBao: accounts, a workstation."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from strongroom.errors import Reason, UnavailableError
from strongroom_server.dev.layout import StackLayout
from strongroom_server.dev.private_files import write_private
from strongroom_server.dev.provisioning import (
    CLIENT_ROLE,
    CLIENTS_APPROLE,
    PKI_MOUNT,
    TRUST_DOMAIN,
    approle,
)
from strongroom_server.dev.vault_client import VaultClient

#: Service accounts and the role that `assignments.toml` gives them.
ACCOUNTS: Final = {"developer": "owner", "trainer": "writer", "reader": "reader"}
#: Where people sit. It has no role: what they may do, they may as themselves.
WORKSTATION: Final = "workstation"
HOLDERS: Final = (*ACCOUNTS, WORKSTATION)


def client_spiffe_id(account: str, job: str = "local") -> str:
    """Spell the SPIFFE id of one job of a service account."""
    return f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/{account}/job/{job}"


def ensure_client_certificates(client: VaultClient, layout: StackLayout) -> list[str]:
    """Issue what is missing, foreign, or past half of its life.

    Args:
        client: Needs no token.
        layout: Where the certificates lie.

    Returns:
        The accounts that have new certificates.

    Raises:
        PreconditionError: OpenBao refused.
        UnavailableError: OpenBao does not answer.
    """
    authority = client.read(f"{PKI_MOUNT}/cert/ca")
    ca = str(authority["certificate"]).strip() if authority else ""
    stale = [name for name in HOLDERS if not _is_good(layout.client(name), name, ca)]
    if not stale:
        return []
    issuer = approle(layout, CLIENTS_APPROLE).log_in(client)
    for account in stale:
        _issue(issuer, layout.client(account), account)
    return stale


def _issue(issuer: VaultClient, folder: Path, account: str) -> None:
    data = issuer.write_for_data(
        f"{PKI_MOUNT}/issue/{CLIENT_ROLE}", {"uri_sans": client_spiffe_id(account)}
    )
    chain = data.get("ca_chain")
    if not isinstance(chain, list) or not chain:
        raise UnavailableError(
            f"OpenBao issued a certificate for {account} without its chain",
            reason=Reason.KEY_SERVICE_UNAVAILABLE,
            account=account,
        )
    # Key first, leaf last: what breaks off in between is seen as not matching.
    write_private(folder / "tls.key", f"{data['private_key']}\n")
    write_private(folder / "ca.crt", f"{data['issuing_ca']}\n")
    pems = [str(data["certificate"]), *(str(pem) for pem in chain)]
    write_private(folder / "tls.crt", "".join(f"{pem.strip()}\n" for pem in pems))


def _is_good(folder: Path, account: str, ca: str) -> bool:
    """Say whether a certificate is ours, matches its key, and is young."""
    try:
        key = load_pem_private_key((folder / "tls.key").read_bytes(), None)
        leaf = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
        trusted = (folder / "ca.crt").read_text("utf-8").strip()
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    ids = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    shape = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    matches = key.public_key().public_bytes(*shape) == leaf.public_key().public_bytes(
        *shape
    )
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    return (
        matches
        and trusted == ca
        and ids == [client_spiffe_id(account)]
        and left > life / 2
    )
