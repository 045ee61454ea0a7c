# SPDX-License-Identifier: Apache-2.0
"""The server's own certificate, issued by Vault's PKI engine."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.errors import PreconditionError
from strongroom_server.adapters.vault.client import VaultClient
from strongroom_server.adapters.vault.failures import setting_invalid, unavailable
from strongroom_server.ports import CertificateIssuer, IssuedCertificate


class VaultIssuer:
    """The `CertificateIssuer` port over a PKI role."""

    def __init__(
        self,
        client: VaultClient,
        *,
        mount: str,
        role: str,
        spiffe_id: str,
        dns_names: Sequence[str],
        ip_addresses: Sequence[str],
        ttl: timedelta,
    ) -> None:
        self._client = client
        self._mount = mount
        self._role = role
        self._body: dict[str, object] = {
            "uri_sans": spiffe_id,
            "alt_names": ",".join(dns_names),
            "ip_sans": ",".join(ip_addresses),
            "ttl": f"{int(ttl.total_seconds())}s",
            "private_key_format": "pkcs8",
        }

    def issue(self) -> IssuedCertificate:
        """Issue a fresh key and certificate.

        Raises:
            PreconditionError: The role does not allow the names or the lifetime
                (SETTING_INVALID), or as for `KeyService`.
            UnavailableError: As for `KeyService`.
        """
        data = self._client.request(
            "POST",
            self._mount,
            "issue",
            name=self._role,
            body=self._body,
            refused=_issue_refused,
        )
        try:
            return _issued(data)
        except (KeyError, TypeError, ValueError) as error:
            raise unavailable("Vault's answer cannot be understood") from error


def _issued(data: dict[str, Any]) -> IssuedCertificate:
    leaf = x509.load_pem_x509_certificate(str(data["certificate"]).encode())
    chain = [
        x509.load_pem_x509_certificate(str(pem).encode())
        for pem in data.get("ca_chain") or [data["issuing_ca"]]
    ]
    # The root is what peers must have already; it does not travel in handshakes.
    roots = [ca for ca in chain if ca.issuer == ca.subject]
    between = [ca for ca in chain if ca.issuer != ca.subject]
    return IssuedCertificate(
        private_key_pem=_pem(str(data["private_key"])),
        chain_pem=b"".join(_encode(one) for one in [leaf, *between]),
        ca_pem=b"".join(_encode(one) for one in roots or chain[-1:]),
        not_after=datetime.fromtimestamp(int(data["expiration"]), UTC),
    )


def _encode(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _pem(text: str) -> bytes:
    return text.encode().rstrip(b"\n") + b"\n"


def _issue_refused() -> PreconditionError:
    return setting_invalid("Vault's PKI role does not allow the server's certificate")


_issuer: type[CertificateIssuer] = VaultIssuer
