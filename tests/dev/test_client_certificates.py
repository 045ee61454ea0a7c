# SPDX-License-Identifier: Apache-2.0
"""The clients' certificates: what they say, and when they are issued anew."""

import datetime as dt
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom_server.dev.client_certificates import (
    ACCOUNTS,
    client_spiffe_id,
    ensure_client_certificates,
)
from strongroom_server.dev.layout import StackLayout
from tests.support.stack import BaoForTests, running_bao


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaoForTests]:
    with running_bao(tmp_path_factory.mktemp("bao")) as running:
        yield running


@pytest.fixture(scope="module")
def layout(bao: BaoForTests) -> StackLayout:
    ensure_client_certificates(bao.client(""), bao.layout)
    return bao.layout


def leaf_of(layout: StackLayout, account: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(
        (layout.client(account) / "tls.crt").read_bytes()
    )


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_certificate_names_its_job_and_nothing_else(
    layout: StackLayout, account: str
) -> None:
    leaf = leaf_of(layout, account)

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(names) == [x509.UniformResourceIdentifier(client_spiffe_id(account))]
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert list(leaf.subject) == []
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)


def test_a_certificate_is_vouched_for_by_the_ca_beside_it(layout: StackLayout) -> None:
    folder = layout.client("reader")
    chain = x509.load_pem_x509_certificates((folder / "tls.crt").read_bytes())
    ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())

    chain[0].verify_directly_issued_by(ca)
    assert chain[1:] == [ca]


def test_keys_are_for_their_owner_only(layout: StackLayout) -> None:
    for account in ACCOUNTS:
        mode = (layout.client(account) / "tls.key").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600


def test_good_certificates_are_left_alone(
    bao: BaoForTests, layout: StackLayout
) -> None:
    before = leaf_of(layout, "trainer").serial_number

    assert ensure_client_certificates(bao.client(""), layout) == []

    assert leaf_of(layout, "trainer").serial_number == before


def remove_key(folder: Path) -> None:
    (folder / "tls.key").unlink()


def swap_key(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "tls.key").write_bytes(pem)


def cut_off(folder: Path) -> None:
    path = folder / "tls.crt"
    path.write_bytes(path.read_bytes()[:100])


def swap_ca(folder: Path) -> None:
    (folder / "ca.crt").write_text("another", "utf-8")


def take_another_account(folder: Path) -> None:
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes((folder.parent / "developer" / name).read_bytes())


def let_it_age(folder: Path) -> None:
    """Put a certificate that is like ours but has a third of its life left."""
    old = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    aged = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=20))
        .not_valid_after(now + dt.timedelta(days=10))
        .add_extension(names.value, critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(aged.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "tls.key").write_bytes(pem)


@pytest.mark.parametrize(
    "spoil",
    [remove_key, swap_key, cut_off, swap_ca, take_another_account, let_it_age],
)
def test_a_certificate_that_will_not_do_is_issued_anew(
    bao: BaoForTests, layout: StackLayout, spoil: Callable[[Path], None]
) -> None:
    spoil(layout.client("trainer"))

    assert ensure_client_certificates(bao.client(""), layout) == ["trainer"]

    assert ensure_client_certificates(bao.client(""), layout) == []
