# SPDX-License-Identifier: Apache-2.0
"""The server's certificate: renewed in time, shown in handshakes, told when it ends."""

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from strongroom.errors import Reason, UnavailableError
from strongroom.v1 import artifact_service_pb2 as artifact_pb
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.workload_api import open_workload_api
from strongroom_server.ports import IssuedCertificate
from strongroom_server.rpc.certificates import CertificateKeeper
from tests.rpc.authority import (
    DEVELOPER,
    SERVER,
    TRUST_DOMAIN,
    Authority,
    FixedIssuer,
)
from tests.rpc.running import ARTIFACT, Running, running_server
from tests.support.clock import ManualClock
from tests.support.waiting import wait_until
from tests.support.workload_api import running_agent


@pytest.fixture
def server() -> Iterator[Running]:
    with running_server() as server:
        yield server


def test_a_certificate_is_renewed_at_half_its_life() -> None:
    clock = ManualClock()
    issuer = ClockedIssuer(clock)
    keeper = CertificateKeeper(issuer, clock=clock)
    first = keeper.current

    keeper.renew_if_due()
    assert keeper.current is first

    clock.advance(12 * 3600 + 1)
    keeper.renew_if_due()
    assert keeper.current is not first
    assert issuer.count == 2


def test_files_are_read_again_when_they_are_old() -> None:
    clock = ManualClock()
    issuer = ClockedIssuer(clock)
    keeper = CertificateKeeper(issuer, clock=clock, max_age=timedelta(seconds=60))

    clock.advance(61)
    keeper.renew_if_due()

    assert issuer.count == 2


def test_files_that_nobody_renewed_keep_the_tls_context() -> None:
    clock, authority = ManualClock(), Authority()
    issuer = FixedIssuer(authority, days=3)
    same = issuer.issue()
    issuer.issue = lambda: same  # type: ignore[method-assign]
    keeper = CertificateKeeper(issuer, clock=clock, max_age=timedelta(seconds=60))
    first = keeper._held.configuration

    clock.advance(61)
    keeper.renew_if_due()
    assert keeper._held.configuration is first
    issuer.issue = lambda: authority.issue(DEVELOPER)  # type: ignore[method-assign]
    clock.advance(59)
    keeper.renew_if_due()
    assert keeper._held.configuration is first, "looked at a minute ago"
    clock.advance(2)
    keeper.renew_if_due()
    assert keeper._held.configuration is not first


def test_a_certificate_that_is_not_renewed_is_an_alarm_before_it_ends() -> None:
    clock = ManualClock()
    issuer = ClockedIssuer(clock)
    keeper = CertificateKeeper(issuer, clock=clock)
    issuer.broken = True

    clock.advance(18 * 3600 - 1)
    keeper.check_renewed()
    clock.advance(1)
    with pytest.raises(UnavailableError, match="is not renewed") as caught:
        keeper.check_renewed()
    keeper.check_ready()

    assert caught.value.reason is Reason.CERTIFICATE_EXPIRED
    assert keeper.time_left_s() == pytest.approx(6 * 3600)
    issuer.broken = False
    keeper.renew_if_due()
    keeper.check_renewed()


def test_an_agents_certificates_and_authorities_reach_the_handshakes(
    tmp_path: Path,
) -> None:
    old, new = Authority(), Authority()

    def issue(authority: Authority) -> IssuedCertificate:
        return authority.issue(SERVER, "dns:localhost", "ip:127.0.0.1")

    with (
        running_agent(tmp_path, issue(old)) as agent,
        open_workload_api(
            agent.socket, spiffe_id=SERVER, trust_domain=TRUST_DOMAIN
        ) as api,
        running_server(
            authority=old,
            keeper=CertificateKeeper(api, clock=SystemClock(), max_age=timedelta()),
        ) as server,
    ):
        get = artifact_pb.GetArtifactRequest(name=ARTIFACT)
        with server.artifacts() as stub:
            stub.GetArtifact(get, timeout=10)
        before = server.keeper.current

        agent.give(issue(new))
        wait_until(lambda: api.issue() != before)
        server.keeper.renew_if_due()

        with server.artifacts() as stub, pytest.raises(grpc.RpcError):
            stub.GetArtifact(get, timeout=10)
        server.authority = new
        with server.artifacts() as stub:
            stub.GetArtifact(get, timeout=10)


def test_a_failed_renewal_keeps_the_certificate_until_it_ends() -> None:
    clock = ManualClock()
    issuer = ClockedIssuer(clock)
    keeper = CertificateKeeper(issuer, clock=clock)
    first = keeper.current
    issuer.broken = True
    clock.advance(13 * 3600)

    with pytest.raises(UnavailableError):
        keeper.renew_if_due()

    assert keeper.current is first
    keeper.check_ready()
    clock.advance(12 * 3600)
    with pytest.raises(UnavailableError) as caught:
        keeper.check_ready()
    assert caught.value.reason is Reason.CERTIFICATE_EXPIRED


def test_a_renewed_certificate_is_shown_in_the_next_handshake(server: Running) -> None:
    def serial() -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", server.port))
        return hash(pem)

    def call() -> None:
        with server.artifacts() as stub:
            stub.GetArtifact(artifact_pb.GetArtifactRequest(name=ARTIFACT), timeout=10)

    call()
    before = serial()
    assert serial() == before

    server.keeper._held = server.keeper._issue(None)
    assert serial() != before
    call()


class ClockedIssuer:
    """Issues certificates of one day by a clock of the test's."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._issued = Authority().issue(DEVELOPER)
        self.count = 0
        self.broken = False

    def issue(self) -> IssuedCertificate:
        if self.broken:
            message = "Vault is away"
            raise UnavailableError(message)
        self.count += 1
        issued = self._issued
        return IssuedCertificate(
            issued.private_key_pem,
            issued.chain_pem,
            issued.ca_pem,
            self._clock.now() + timedelta(days=1),
        )
