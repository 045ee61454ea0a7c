# SPDX-License-Identifier: Apache-2.0
"""Identity, from what gRPC says of a connection; the zoo itself is in test_guard."""

import hashlib
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from strongroom.errors import Reason, UnauthenticatedError
from strongroom_server.core.revocation import parse_revocations
from strongroom_server.rpc.identity import IdentityRules, identify
from tests.rpc.authority import DEVELOPER, READER, TRUST_DOMAIN, Authority

RULES = IdentityRules(TRUST_DOMAIN)
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def facts() -> dict[str, list[bytes]]:
    return {
        "x509_pem_cert": [Authority().issue(DEVELOPER).chain_pem],
        "ssl_tls_version": [b"TLSv1.3"],
        "ssl_negotiated_key_exchange_group": [b"X25519MLKEM768"],
        "peer_spiffe_id": [DEVELOPER.encode()],
    }


def test_a_good_peer_is_known_with_its_connection(
    facts: dict[str, list[bytes]],
) -> None:
    peer = identify(facts, RULES, now=NOW)

    assert peer.principal == DEVELOPER
    assert (peer.tls_version, peer.key_exchange) == ("TLSv1.3", "X25519MLKEM768")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"x509_pem_cert": []}, Reason.CERTIFICATE_MISSING),
        ({"ssl_tls_version": [b"TLSv1.2"]}, Reason.IDENTITY_INVALID),
        ({"ssl_tls_version": []}, Reason.IDENTITY_INVALID),
        ({"peer_spiffe_id": []}, Reason.IDENTITY_INVALID),
        ({"peer_spiffe_id": [DEVELOPER.encode()] * 2}, Reason.IDENTITY_INVALID),
        ({"peer_spiffe_id": [b"spiffe://x/\xff"]}, Reason.IDENTITY_INVALID),
        (
            {
                "peer_spiffe_id": [
                    f"spiffe://{TRUST_DOMAIN}.evil/ns/a/sa/b/job/c".encode()
                ]
            },
            Reason.IDENTITY_INVALID,
        ),
        (
            {"peer_spiffe_id": [f"spiffe://{TRUST_DOMAIN}/ns/a/sa/b/job/".encode()]},
            Reason.IDENTITY_INVALID,
        ),
        (
            {"peer_spiffe_id": [f"spiffe://{TRUST_DOMAIN}/ns/*/sa/b/job/c".encode()]},
            Reason.IDENTITY_INVALID,
        ),
    ],
)
def test_a_peer_with_anything_missing_is_nobody(
    facts: dict[str, list[bytes]], changes: dict[str, list[bytes]], reason: Reason
) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        identify(facts | changes, RULES, now=NOW)

    assert caught.value.reason is reason


@pytest.mark.parametrize("usage", ["none", "authority", "both"])
def test_a_key_for_more_than_signatures_is_no_callers(
    facts: dict[str, list[bytes]], usage: str
) -> None:
    other = {"x509_pem_cert": [Authority().issue(DEVELOPER, usage=usage).chain_pem]}

    with pytest.raises(UnauthenticatedError, match="digital signatures"):
        identify(facts | other, RULES, now=NOW)


def test_a_certificate_that_lives_too_long_is_refused(
    facts: dict[str, list[bytes]],
) -> None:
    # Theirs begins a day before now and ends a day after.
    rules = replace(RULES, max_lifetime=timedelta(days=2))
    assert identify(facts, rules, now=NOW).principal == DEVELOPER

    rules = replace(RULES, max_lifetime=timedelta(days=2) - timedelta(seconds=1))
    with pytest.raises(UnauthenticatedError, match="2 days") as caught:
        identify(facts, rules, now=NOW)

    assert caught.value.reason is Reason.IDENTITY_INVALID


@pytest.mark.parametrize(
    ("group", "accepted"),
    [
        ("X25519MLKEM768", True),
        ("SecP256r1MLKEM768", True),
        ("SecP384r1MLKEM1024", True),
        ("X25519", False),
        ("P-256", False),
        ("x25519mlkem768", False),
        ("", False),
    ],
)
def test_only_a_hybrid_key_exchange_is_accepted_where_it_is_required(
    facts: dict[str, list[bytes]], group: str, accepted: bool
) -> None:
    facts = facts | {"ssl_negotiated_key_exchange_group": [group.encode()]}
    assert identify(facts, RULES, now=NOW).key_exchange == group

    rules = replace(RULES, post_quantum=True)
    if accepted:
        assert identify(facts, rules, now=NOW).key_exchange == group
        return
    with pytest.raises(UnauthenticatedError, match=group or "unknown") as caught:
        identify(facts, rules, now=NOW)

    assert caught.value.reason is Reason.KEY_EXCHANGE_REFUSED


def test_the_digest_of_a_certificate_is_that_of_its_der(
    facts: dict[str, list[bytes]],
) -> None:
    der = ssl.PEM_cert_to_DER_cert(facts["x509_pem_cert"][0].decode())

    peer = identify(facts, RULES, now=NOW)

    assert peer.certificate_digest == "sha256:" + hashlib.sha256(der).hexdigest()


def test_who_is_revoked_is_nobody_by_name_or_by_certificate(
    facts: dict[str, list[bytes]],
) -> None:
    peer = identify(facts, RULES, now=NOW)
    for line in (DEVELOPER, peer.certificate_digest):
        rules = replace(RULES, revoked=partial(parse_revocations, line))
        with pytest.raises(UnauthenticatedError) as caught:
            identify(facts, rules, now=NOW)
        assert caught.value.reason is Reason.IDENTITY_REVOKED

    rules = replace(RULES, revoked=partial(parse_revocations, READER))
    assert identify(facts, rules, now=NOW) == peer


@pytest.mark.parametrize("days", [-3, 3])
def test_a_certificate_is_checked_on_every_call(
    facts: dict[str, list[bytes]], days: int
) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        identify(facts, RULES, now=NOW + timedelta(days=days))

    assert caught.value.reason is Reason.CERTIFICATE_EXPIRED


def test_an_authority_is_no_caller(facts: dict[str, list[bytes]]) -> None:
    ca = {"x509_pem_cert": [Authority().issue(DEVELOPER, is_ca=True).chain_pem]}

    with pytest.raises(UnauthenticatedError, match="authority"):
        identify(facts | ca, RULES, now=NOW)


def test_other_paths_can_be_configured(facts: dict[str, list[bytes]]) -> None:
    rules = IdentityRules(TRUST_DOMAIN, ("/workload/*", "/ns/dev/sa/*/job/*"))

    assert identify(facts, rules, now=NOW).principal == DEVELOPER
