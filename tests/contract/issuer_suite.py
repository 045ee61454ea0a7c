# SPDX-License-Identifier: Apache-2.0
"""What every `CertificateIssuer` must do; run against memory and OpenBao alike."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.verification import PolicyBuilder, Store

from strongroom_server.ports import CertificateIssuer

SPIFFE_ID = "spiffe://dev.strongroom.internal/strongroom/server"
DNS_NAMES = ("localhost",)
IP_ADDRESSES = ("127.0.0.1",)
TTL = timedelta(hours=1)


class IssuerSuite:
    """Subclasses give a fixture `issuer` for the names above."""

    def test_the_leaf_has_exactly_the_names(self, issuer: CertificateIssuer) -> None:
        leaf = x509.load_pem_x509_certificates(issuer.issue().chain_pem)[0]

        names = leaf.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [SPIFFE_ID]
        assert names.get_values_for_type(x509.DNSName) == list(DNS_NAMES)
        assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]

    def test_the_leaf_is_no_ca_and_serves_both_sides(
        self, issuer: CertificateIssuer
    ) -> None:
        leaf = x509.load_pem_x509_certificates(issuer.issue().chain_pem)[0]

        find = leaf.extensions.get_extension_for_class
        # Without the extension it is no CA either; RFC 5280, section 4.2.1.9.
        assert not any(
            isinstance(extension.value, x509.BasicConstraints) and extension.value.ca
            for extension in leaf.extensions
        )
        assert find(x509.KeyUsage).value.digital_signature
        assert not find(x509.KeyUsage).value.key_cert_sign
        usages = set(find(x509.ExtendedKeyUsage).value)
        assert usages == {
            x509.oid.ExtendedKeyUsageOID.SERVER_AUTH,
            x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH,
        }

    def test_the_key_belongs_to_the_leaf(self, issuer: CertificateIssuer) -> None:
        issued = issuer.issue()

        leaf = x509.load_pem_x509_certificates(issued.chain_pem)[0]
        key = load_pem_private_key(issued.private_key_pem, None)

        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert key.public_key().public_bytes(*form) == leaf.public_key().public_bytes(
            *form
        )

    def test_the_chain_leads_to_the_ca(self, issuer: CertificateIssuer) -> None:
        issued = issuer.issue()
        leaf, *between = x509.load_pem_x509_certificates(issued.chain_pem)
        roots = x509.load_pem_x509_certificates(issued.ca_pem)

        verifier = PolicyBuilder().store(Store(roots)).build_client_verifier()

        assert verifier.verify(leaf, between).chain[-1] in roots

    def test_it_lives_as_long_as_was_asked(self, issuer: CertificateIssuer) -> None:
        issued = issuer.issue()

        leaf = x509.load_pem_x509_certificates(issued.chain_pem)[0]
        assert issued.not_after == leaf.not_valid_after_utc
        left = issued.not_after - datetime.now(UTC)
        assert TTL - timedelta(minutes=1) < left <= TTL + timedelta(seconds=1)

    def test_each_certificate_has_a_key_of_its_own(
        self, issuer: CertificateIssuer
    ) -> None:
        assert issuer.issue().private_key_pem != issuer.issue().private_key_pem

    def test_tls_takes_the_pair(
        self, issuer: CertificateIssuer, tmp_path: Path
    ) -> None:
        issued = issuer.issue()
        (tmp_path / "key").write_bytes(issued.private_key_pem)
        (tmp_path / "chain").write_bytes(issued.chain_pem)

        ssl.create_default_context(cadata=issued.ca_pem.decode()).load_cert_chain(
            tmp_path / "chain", tmp_path / "key"
        )

    def test_it_does_not_show_its_key(self, issuer: CertificateIssuer) -> None:
        issued = issuer.issue()

        assert issued.private_key_pem.decode()[30:60] not in repr(issued)
