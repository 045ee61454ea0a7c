# SPDX-License-Identifier: Apache-2.0
"""Every certificate that a caller may show, and what comes of it."""

import grpc
import pytest

from strongroom.errors import Reason
from tests.rpc.authority import DEVELOPER
from tests.rpc.calling import GET_ARTIFACT, get_artifact, refused
from tests.rpc.running import Running, call_raw
from tests.security.certificates import NOBODIES, UNTRUSTED


@pytest.mark.parametrize("name", NOBODIES)
def test_a_certificate_without_one_good_spiffe_id_is_nobody(
    server: Running, name: str
) -> None:
    certificate = NOBODIES[name](server.authority)

    failed = refused(lambda: get_artifact(server, certificate))

    assert (failed.code, failed.reason) == ("UNAUTHENTICATED", Reason.IDENTITY_INVALID)
    [event] = server.audit.events()
    assert event.principal == ""
    assert (event.decision, event.outcome) == ("deny", "UNAUTHENTICATED")
    assert event.resource_id == ""


@pytest.mark.parametrize("name", UNTRUSTED)
def test_a_certificate_that_does_not_verify_ends_in_the_handshake(
    server: Running, name: str
) -> None:
    certificate = UNTRUSTED[name](server.authority)

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
