# SPDX-License-Identifier: Apache-2.0
"""Every certificate that a caller may show, and what comes of it."""

from collections.abc import Callable

import grpc
import pytest

from strongroom.errors import Reason
from strongroom_server.ports import IssuedCertificate
from tests.rpc.authority import DEVELOPER, READER, SERVER, TRUST_DOMAIN, Authority
from tests.rpc.calling import GET_ARTIFACT, get_artifact, refused
from tests.rpc.running import Running, call_raw


def of_another_domain(authority: Authority) -> IssuedCertificate:
    return authority.issue("spiffe://other.internal/ns/dev/sa/developer/job/local")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda ca: ca.issue(), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue("dns:localhost"), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue("ip:127.0.0.1"), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(DEVELOPER, READER), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(DEVELOPER, "http://x/y"), Reason.IDENTITY_INVALID),
        (
            lambda ca: ca.issue(f"http://{TRUST_DOMAIN}/ns/dev/sa/developer/job/local"),
            Reason.IDENTITY_INVALID,
        ),
        (of_another_domain, Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(SERVER), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}"), Reason.IDENTITY_INVALID),
        (lambda ca: ca.issue(f"{DEVELOPER}/more"), Reason.IDENTITY_INVALID),
        (
            lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/../job/local"),
            Reason.IDENTITY_INVALID,
        ),
        (
            lambda ca: ca.issue(f"spiffe://{TRUST_DOMAIN}/ns/dev/sa/de%20v/job/local"),
            Reason.IDENTITY_INVALID,
        ),
    ],
)
def test_a_certificate_without_one_good_spiffe_id_is_nobody(
    server: Running, make: Callable[[Authority], IssuedCertificate], reason: Reason
) -> None:
    certificate = make(server.authority)

    failed = refused(lambda: get_artifact(server, certificate))

    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", reason)
    [event] = server.audit.events()
    assert event.principal == ""
    assert (event.decision, event.outcome) == ("deny", "UNAUTHENTICATED")
    assert event.resource_id == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda ca: ca.issue(DEVELOPER, days=-1),
        lambda ca: ca.issue(DEVELOPER, self_signed=True),
        lambda ca: Authority().issue(DEVELOPER),
    ],
    ids=["expired", "self-signed", "other authority"],
)
def test_a_certificate_that_does_not_verify_ends_in_the_handshake(
    server: Running, make: Callable[[Authority], IssuedCertificate]
) -> None:
    certificate = make(server.authority)

    failed = refused(lambda: get_artifact(server, certificate))

    assert failed.code == "UNAVAILABLE"
    assert failed.reason == ""
    assert server.audit.events() == []


def test_no_certificate_ends_in_the_handshake(server: Running) -> None:
    credentials = grpc.ssl_channel_credentials(server.authority.ca_pem)
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        failed = refused(lambda: call_raw(channel, GET_ARTIFACT, b""))

    assert failed.code == "UNAVAILABLE"
    assert server.audit.events() == []


def test_an_authority_may_not_call(server: Running) -> None:
    certificate = server.authority.issue(DEVELOPER, is_ca=True)

    failed = refused(lambda: get_artifact(server, certificate))

    assert failed.code in {"UNAUTHENTICATED", "UNAVAILABLE"}
