# SPDX-License-Identifier: Apache-2.0
"""Every wrong certificate, named on the caller's side before a server must."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom._channel.own_certificate import (
    check_own_certificate,
    read_own_certificate,
)
from strongroom.client import Client
from strongroom.errors import Reason, StrongroomError, UnauthenticatedError
from strongroom_server.ports import IssuedCertificate
from tests.client.engine import Engine, write_settings
from tests.rpc.authority import DEVELOPER, READER, TRUST_DOMAIN, Authority

Make = Callable[[Authority], IssuedCertificate]

#: What is shown, the reason, what is said of it, and whether the handshake fails.
ZOO: dict[str, tuple[Make, Reason, str, bool]] = {
    "two URIs": (
        lambda ca: ca.issue(DEVELOPER, READER),
        Reason.IDENTITY_INVALID,
        "2 URIs",
        False,
    ),
    "http URI": (
        lambda ca: ca.issue("http://example.org/job"),
        Reason.IDENTITY_INVALID,
        "no SPIFFE id",
        False,
    ),
    "wildcard": (
        lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}/ns/*/sa/a/job/b"),
        Reason.IDENTITY_INVALID,
        "wildcard",
        False,
    ),
    "no SAN": (
        lambda ca: ca.issue(),
        Reason.IDENTITY_INVALID,
        "no name at all",
        False,
    ),
    "IP only": (
        lambda ca: ca.issue("ip:127.0.0.1"),
        Reason.IDENTITY_INVALID,
        "IP Address 127.0.0.1",
        False,
    ),
    "DNS only": (
        lambda ca: ca.issue("dns:localhost"),
        Reason.IDENTITY_INVALID,
        "DNS localhost",
        False,
    ),
    "other trust domain": (
        lambda ca: ca.issue("spiffe://other.internal/ns/a/sa/b/job/c"),
        Reason.IDENTITY_INVALID,
        "not of the trust domain",
        False,
    ),
    "CA leaf": (
        lambda ca: ca.issue(DEVELOPER, is_ca=True, usage="both"),
        Reason.IDENTITY_INVALID,
        "one of an authority",
        False,
    ),
    "expired": (
        lambda ca: ca.issue(DEVELOPER, days=-1),
        Reason.CERTIFICATE_EXPIRED,
        "not now",
        True,
    ),
    "not yet valid": (
        lambda ca: ca.issue(DEVELOPER, starts_in_days=2),
        Reason.CERTIFICATE_EXPIRED,
        "not yet",
        True,
    ),
    "self-signed": (
        lambda ca: ca.issue(DEVELOPER, self_signed=True),
        Reason.CERTIFICATE_UNTRUSTED,
        "self-signed",
        True,
    ),
    "for servers": (
        lambda ca: ca.issue(DEVELOPER, purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
        Reason.CERTIFICATE_UNTRUSTED,
        "not for clients",
        True,
    ),
    "for mail": (
        lambda ca: ca.issue(DEVELOPER, purposes=[ExtendedKeyUsageOID.EMAIL_PROTECTION]),
        Reason.CERTIFICATE_UNTRUSTED,
        "neither for clients nor servers",
        True,
    ),
}


@pytest.mark.parametrize("case", ZOO)
def test_a_wrong_certificate_is_named_here(
    engine: Engine, tmp_path: Path, case: str
) -> None:
    make, reason, said, _ = ZOO[case]
    shown = make(engine.server.authority)
    settings = replace(
        engine.settings(tmp_path, certificate=shown), trust_domain=TRUST_DOMAIN
    )

    with pytest.raises(UnauthenticatedError) as caught:
        check_own_certificate(settings)

    assert caught.value.reason is reason
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("case", [name for name in ZOO if ZOO[name][3]])
def test_a_handshake_that_fails_for_it_is_explained_by_it(
    engine: Engine, tmp_path: Path, case: str
) -> None:
    make, reason, said, _ = ZOO[case]
    settings = engine.settings(tmp_path, certificate=make(engine.server.authority))

    with Client(settings) as client, pytest.raises(StrongroomError) as caught:
        client.server_info()

    assert caught.value.reason is reason
    assert said in caught.value.message


@pytest.mark.parametrize("case", [name for name in ZOO if not ZOO[name][3]])
def test_where_the_handshake_works_the_server_refuses(
    engine: Engine, tmp_path: Path, case: str
) -> None:
    make, reason, *_ = ZOO[case]
    settings = engine.settings(tmp_path, certificate=make(engine.server.authority))

    with Client(settings) as client, pytest.raises(UnauthenticatedError) as caught:
        client.server_info()

    assert caught.value.reason is reason
    assert caught.value.audit_id


def test_a_good_certificate_is_good(engine: Engine, tmp_path: Path) -> None:
    settings = engine.settings(tmp_path)

    assert check_own_certificate(settings) == read_own_certificate(settings)


def test_a_certificate_ends_soon_in_the_last_quarter_of_its_life(
    tmp_path: Path,
) -> None:
    authority = Authority()
    settings = write_settings(
        tmp_path,
        endpoint="localhost:1",
        ca_pem=authority.ca_pem,
        certificate=authority.issue(DEVELOPER),
    )
    own = read_own_certificate(settings)
    life = own.not_after - own.not_before

    assert not own.is_ending(own.not_after - life / 4)
    assert own.is_ending(own.not_after - life / 5)
