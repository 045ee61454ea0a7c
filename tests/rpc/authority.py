# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for tests, with every certificate that callers may show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from strongroom_server.ports import IssuedCertificate

TRUST_DOMAIN = "test.strongroom.internal"
DEVELOPER = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/developer/job/local"
READER = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/reader/job/local"
TRAINER = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/trainer/job/local"
NOBODY = f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/nobody/job/local"
SERVER = f"spiffe://{TRUST_DOMAIN}/strongroom/server"


@dataclass
class Authority:
    """Signs what it is asked to sign."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.certificate = self._sign(
            _name("test authority"), self.key, sans=(), is_ca=True, days=30, issuer=None
        )

    @property
    def ca_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        *sans: str,
        is_ca: bool = False,
        days: int = 1,
        self_signed: bool = False,
        starts_in_days: int = 0,
        usage: str = "leaf",
        purposes: Sequence[x509.ObjectIdentifier] = (),
    ) -> IssuedCertificate:
        """Issue for SPIFFE or other URIs, `dns:NAME` and `ip:ADDRESS`.

        `usage` is that of a `leaf`, of an `authority`, of `both`, or `none`.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        signer = key if self_signed else self.key
        certificate = self._sign(
            _name("leaf"),
            key,
            sans=sans,
            is_ca=is_ca,
            days=days,
            issuer=None if self_signed else self.certificate.subject,
            signer=signer,
            starts_in_days=starts_in_days,
            usage=usage,
            purposes=purposes,
        )
        return IssuedCertificate(
            private_key_pem=key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            chain_pem=certificate.public_bytes(Encoding.PEM),
            ca_pem=self.ca_pem,
            not_after=certificate.not_valid_after_utc,
        )

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        sans: Sequence[str],
        is_ca: bool,
        days: int,
        issuer: x509.Name | None,
        signer: ec.EllipticCurvePrivateKey | None = None,
        starts_in_days: int = 0,
        usage: str = "authority",
        purposes: Sequence[x509.ObjectIdentifier] = (),
    ) -> x509.Certificate:
        now = datetime.now(UTC) + timedelta(days=starts_in_days)
        end = now + timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(
                min(now, end) - timedelta(days=0 if starts_in_days else 1)
            )
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        )
        if sans:
            names = x509.SubjectAlternativeName([_san(san) for san in sans])
            builder = builder.add_extension(names, critical=False)
        if usage != "none":
            builder = builder.add_extension(_usage(usage), critical=True)
        if purposes:
            extended = x509.ExtendedKeyUsage(purposes)
            builder = builder.add_extension(extended, critical=False)
        return builder.sign(signer or key, SHA256())


class FixedIssuer:
    """The `CertificateIssuer` port over an authority of ours."""

    def __init__(self, authority: Authority, *, days: int = 1) -> None:
        self.authority = authority
        self.days = days
        self.count = 0

    def issue(self) -> IssuedCertificate:
        self.count += 1
        return self.authority.issue(
            SERVER, "dns:localhost", "ip:127.0.0.1", days=self.days
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(kind: str) -> x509.KeyUsage:
    authority = kind != "leaf"
    return x509.KeyUsage(
        digital_signature=kind != "authority",
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _san(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    match kind:
        case "dns":
            return x509.DNSName(value)
        case "ip":
            return x509.IPAddress(IPv4Address(value))
        case _:
            return x509.UniformResourceIdentifier(text)
