# SPDX-License-Identifier: Apache-2.0
"""Identity providers that hang, or answer byte by byte, hold up few and not long."""

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from strongroom.errors import Reason, UnauthenticatedError, UnavailableError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.oidc import OidcTokens
from strongroom_server.adapters.oidc.provider import (
    MAX_WAITING,
    UNKNOWN_KEY_AGE_S,
    ProviderKeys,
)
from strongroom_server.core.operators import LoginRules, Operator
from tests.contract.test_token_verifiers import good_claims
from tests.rpc.authority import Authority
from tests.support.clock import ManualClock
from tests.support.oidc_issuer import (
    AUDIENCE,
    DISCOVERY,
    KEYS,
    Issuer,
    running_issuer,
)
from tests.support.waiting import wait_until

CALLS = 24
#: A TLS record that says it is long, and then comes slowly.
RECORD = b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb"
DRIPS = 200
ANSWER = b"HTTP/1.1 200 OK\r\nX-Filler: "


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def verifier(
    issuer: Issuer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> OidcTokens:
    # Whoever waits here waits for the test, not for a limit.
    monkeypatch.setattr("strongroom_server.bounded_http.STEP_S", 60.0)
    monkeypatch.setattr("strongroom_server.adapters.oidc.provider.DEADLINE_S", 60.0)
    rules = LoginRules(issuer.url, AUDIENCE)
    return OidcTokens(rules, ca_file=issuer.ca_file, clock=clock)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def refusal(call: Future[Operator]) -> Reason | None:
    error = call.exception()
    if isinstance(error, UnavailableError | UnauthenticatedError):
        return error.reason
    assert error is None
    return None


def test_while_the_issuer_hangs_few_wait_and_the_others_are_answered(
    issuer: Issuer, verifier: OidcTokens, clock: ManualClock
) -> None:
    token = issuer.token(good_claims(issuer.url, clock))
    issuer.gate.clear()
    with ThreadPoolExecutor(CALLS) as threads:
        calls = [threads.submit(verifier.verify, token) for _ in range(CALLS)]
        try:
            wait_until(lambda: sum(c.done() for c in calls) == CALLS - MAX_WAITING - 1)
            answered = [refusal(call) for call in calls if call.done()]
            told = str(next(call for call in calls if call.done()).exception())
        finally:
            issuer.gate.set()
        wait(calls)

    assert {*answered} == {Reason.LOGIN_UNAVAILABLE}
    assert "it has not answered yet" in told
    # Those who waited got what one of them had asked for.
    assert [refusal(call) for call in calls].count(None) == MAX_WAITING + 1
    assert issuer.requests == [DISCOVERY, KEYS]


def test_while_a_key_is_looked_for_those_with_known_ones_go_on(
    issuer: Issuer, verifier: OidcTokens, clock: ManualClock
) -> None:
    claims = good_claims(issuer.url, clock)
    verifier.verify(issuer.token(claims))
    clock.advance(UNKNOWN_KEY_AGE_S)
    issuer.add_key("two", "ES256")
    issuer.gate.clear()
    with ThreadPoolExecutor(CALLS) as threads:
        token = issuer.token(claims, key_id="two")
        calls = [threads.submit(verifier.verify, token) for _ in range(CALLS)]
        try:
            wait_until(lambda: sum(c.done() for c in calls) == CALLS - MAX_WAITING - 1)
            assert verifier.verify(issuer.token(claims)).name == "alice"
        finally:
            issuer.gate.set()
        wait(calls)

    reasons = [refusal(call) for call in calls]
    # Nobody is told that there is no such key while that is being found out.
    assert {*reasons} == {None, Reason.LOGIN_UNAVAILABLE}
    assert reasons.count(None) == MAX_WAITING + 1


@contextmanager
def dripping(folder: Path, first: bytes, *, tls: bool) -> Iterator[str]:
    """Serve what begins well and goes on a byte at a time; yield the issuer."""
    authority = Authority()
    made = authority.issue("ip:127.0.0.1")
    (folder / "ca.pem").write_bytes(authority.ca_pem)
    (folder / "both.pem").write_bytes(made.private_key_pem + made.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            if tls:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                connection.recv(4096)
                connection.sendall(first)
                for _ in range(DRIPS):
                    if stop.wait(0.05):
                        break
                    connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    ("first", "tls"), [(RECORD, False), (ANSWER, True)], ids=["handshake", "header"]
)
def test_who_answers_a_byte_at_a_time_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, tls: bool
) -> None:
    monkeypatch.setattr("strongroom_server.adapters.oidc.provider.DEADLINE_S", 0.5)
    clock = SystemClock()
    with dripping(tmp_path, first, tls=tls) as url:
        keys = ProviderKeys(url, ca_file=tmp_path / "ca.pem", clock=clock)
        begun_s = clock.monotonic()

        with pytest.raises(UnavailableError, match="it took too long"):
            keys.find("one", "ES256")

        # No single byte of these would have been late.
        assert 0.4 < clock.monotonic() - begun_s < 8
