# SPDX-License-Identifier: Apache-2.0
"""KEKs, signing keys and a certificate authority in memory: real keys, no Vault.

They keep the ports' contracts and pass the same suites as the Vault adapter. What
an operator does behind the server's back (seal, delete, rotate) has a method of its
own, which no port has.
"""

import base64
import ipaddress
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.core.signatures import PublicKey, Signature, SignatureAlgorithm
from strongroom_server.ports import (
    CertificateIssuer,
    Clock,
    DataKey,
    Entropy,
    IssuedCertificate,
    KeyService,
    Signer,
)

_KEY_BYTES = 32
_NONCE_BYTES = 12
_WRAPPED = re.compile(r"memory:v1:([A-Za-z0-9+/]{80})")
_CLASSIC_NAME = "sr.sign.version"
_PQ_NAME = "sr.sign.version.pq"
#: The order of P-384's base point; private keys lie below it.
_P384_ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
_BACKDATED = timedelta(seconds=30)
_CA_LIFE = timedelta(days=3650)


class MemoryKeyService:
    """KEKs that wrap with AES-256-GCM under a key derived from the context."""

    def __init__(self, *, entropy: Entropy) -> None:
        self._entropy = entropy
        self._lock = threading.Lock()
        self._keks: dict[str, bytes] = {}
        self._sealed = False

    def create_kek(self, name: str) -> None:
        """See `KeyService`."""
        self.check_ready()
        with self._lock:
            self._keks.setdefault(name, self._entropy.token_bytes(_KEY_BYTES))

    def generate(self, kek: str, context: bytes) -> DataKey:
        """See `KeyService`."""
        cipher = self._cipher(kek, context)
        plaintext = self._entropy.token_bytes(_KEY_BYTES)
        nonce = self._entropy.token_bytes(_NONCE_BYTES)
        data = nonce + cipher.encrypt(nonce, plaintext, None)
        return DataKey(plaintext, f"memory:v1:{base64.b64encode(data).decode()}")

    def unwrap(self, kek: str, context: bytes, wrapped: str) -> bytes:
        """See `KeyService`."""
        cipher = self._cipher(kek, context)
        match = _WRAPPED.fullmatch(wrapped)
        if match is None:
            raise _slot_corrupt()
        data = base64.b64decode(match[1])
        try:
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise _slot_corrupt() from error

    def check_ready(self) -> None:
        """See `KeyService`."""
        if self._sealed:
            message = "the key service is sealed"
            raise UnavailableError(
                message, reason=Reason.KEY_SERVICE_SEALED, hint="Call `unseal()`."
            )

    def seal(self) -> None:
        """Refuse everything until `unseal`, as a sealed Vault does."""
        self._sealed = True

    def unseal(self) -> None:
        """Serve again."""
        self._sealed = False

    def delete_kek(self, name: str) -> None:
        """Destroy a KEK, as shredding does."""
        with self._lock:
            del self._keks[name]

    def _cipher(self, kek: str, context: bytes) -> AESGCM:
        self.check_ready()
        if not context:
            message = "the context of a wrapped key must not be empty"
            raise ValueError(message)
        key = self._keks.get(kek)
        if key is None:
            message = f"there is no KEK {kek}"
            raise PreconditionError(message, reason=Reason.KEK_MISSING, key=kek)
        return AESGCM(HKDFExpand(hashes.SHA256(), _KEY_BYTES, context).derive(key))


class MemorySigner:
    """A P-384 key and an ML-DSA-65 key, in as many versions as were rotated."""

    def __init__(self, *, entropy: Entropy) -> None:
        self._entropy = entropy
        self._classic: list[ec.EllipticCurvePrivateKey] = []
        self._pq: list[mldsa.MLDSA65PrivateKey] = []
        self.rotate()

    def sign(self, message: bytes) -> Sequence[Signature]:
        """See `Signer`."""
        algorithm = ec.ECDSA(hashes.SHA384())
        return (
            Signature(
                f"{_CLASSIC_NAME}:{len(self._classic)}",
                SignatureAlgorithm.ECDSA_P384_SHA384,
                self._classic[-1].sign(message, algorithm),
            ),
            Signature(
                f"{_PQ_NAME}:{len(self._pq)}",
                SignatureAlgorithm.ML_DSA_65,
                self._pq[-1].sign(message),
            ),
        )

    def public_keys(self) -> Mapping[str, PublicKey]:
        """See `Signer`."""
        keys = [
            PublicKey(
                f"{_CLASSIC_NAME}:{version}",
                SignatureAlgorithm.ECDSA_P384_SHA384,
                key.public_key().public_bytes(
                    Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
                ),
            )
            for version, key in enumerate(self._classic, start=1)
        ]
        keys += [
            PublicKey(
                f"{_PQ_NAME}:{version}",
                SignatureAlgorithm.ML_DSA_65,
                key.public_key().public_bytes_raw(),
            )
            for version, key in enumerate(self._pq, start=1)
        ]
        return {key.key_id: key for key in keys}

    def rotate(self) -> None:
        """Make a new version of both keys; the old ones go on verifying."""
        # 16 bytes more than the order has, so that the remainder is uniform enough;
        # FIPS 186-5, A.2.1.
        number = int.from_bytes(self._entropy.token_bytes(64), "big")
        secret = number % (_P384_ORDER - 1) + 1
        self._classic.append(ec.derive_private_key(secret, ec.SECP384R1()))
        seed = self._entropy.token_bytes(_KEY_BYTES)
        self._pq.append(mldsa.MLDSA65PrivateKey.from_seed_bytes(seed))


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


def _slot_corrupt() -> IntegrityError:
    return IntegrityError(
        "a wrapped key does not open under its KEK and context",
        reason=Reason.KEY_SLOT_CORRUPT,
        hint="Restore the key slot from a backup.",
    )


_key_service: type[KeyService] = MemoryKeyService
_signer: type[Signer] = MemorySigner
_issuer: type[CertificateIssuer] = MemoryIssuer
