# SPDX-License-Identifier: Apache-2.0
"""A certificate authority in memory, with the contract of Vault's PKI engine."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom_server.ports import CertificateIssuer, Clock, IssuedCertificate

_BACKDATED = timedelta(seconds=30)
_CA_LIFE = timedelta(days=3650)


class MemoryIssuer:
    """A certificate authority of its own: one root, no intermediate."""

    def __init__(
        self,
        spiffe_id: str,
        *,
        dns_names: Sequence[str],
        ip_addresses: Sequence[str],
        ttl: timedelta,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._ttl = ttl
        self._names = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(spiffe_id),
                *(x509.DNSName(name) for name in dns_names),
                *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ip_addresses),
            ]
        )
        self._ca_name = x509.Name(
            [x509.NameAttribute(x509.NameOID.COMMON_NAME, "Strongroom in memory")]
        )
        self._ca_key = ec.generate_private_key(ec.SECP256R1())
        now = clock.now()
        self._ca = (
            self._builder(self._ca_name, self._ca_key, now, now + _CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .sign(self._ca_key, hashes.SHA256())
        )

    def issue(self) -> IssuedCertificate:
        """See `CertificateIssuer`."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock.now()
        usages = [
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
        ]
        leaf = (
            self._builder(x509.Name([]), key, now, now + self._ttl)
            .add_extension(self._names, critical=True)
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._ca_key, hashes.SHA256())
        )
        return IssuedCertificate(
            private_key_pem=key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            chain_pem=leaf.public_bytes(Encoding.PEM),
            ca_pem=self._ca.public_bytes(Encoding.PEM),
            not_after=leaf.not_valid_after_utc,
        )

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        now: datetime,
        not_after: datetime,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(not_after)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._ca_key.public_key()
                ),
                critical=False,
            )
        )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


_issuer: type[CertificateIssuer] = MemoryIssuer
