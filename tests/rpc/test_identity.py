# SPDX-License-Identifier: Apache-2.0
"""Identity, from what gRPC says of a connection; the zoo itself is in test_guard."""

from datetime import UTC, datetime, timedelta

import pytest

from strongroom.errors import Reason, UnauthenticatedError
from strongroom_server.rpc.identity import IdentityRules, identify
from tests.rpc.authority import DEVELOPER, TRUST_DOMAIN, Authority

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
