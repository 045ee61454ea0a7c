# SPDX-License-Identifier: Apache-2.0
"""What the Vault adapter makes of answers that a sound Vault does not give."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from strongroom.errors import (
    IntegrityError,
    PreconditionError,
    Reason,
    UnavailableError,
)
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.entropy import SystemEntropy
from strongroom_server.adapters.vault import (
    AppRoleLogin,
    VaultSession,
    VaultSettings,
    open_vault,
    transport,
)
from tests.contract.scripted_vault import Answer, ScriptedServer, scripted_vault

KEK = "sr.aaaa.bbbb"
CONTEXT = bytes(48)
READY = (200, json.dumps({"request_id": "r-1", "data": {"id": "x"}}))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_vault() as scripted:
        yield scripted


@pytest.fixture
def settings(server: ScriptedServer, tmp_path: Path) -> VaultSettings:
    (tmp_path / "role_id").write_text("role\n")
    (tmp_path / "secret_id").write_text("secret\n")
    return VaultSettings(
        address=server.address,
        ca_file=None,
        login=AppRoleLogin(tmp_path / "role_id", tmp_path / "secret_id"),
        read_timeout_s=0.3,
        deadline_s=2.0,
    )


@pytest.fixture
def vault(settings: VaultSettings) -> Iterator[VaultSession]:
    with open_vault(settings, clock=SystemClock(), entropy=SystemEntropy()) as session:
        yield session


@pytest.mark.parametrize("status", [429, 472, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(
    server: ScriptedServer, vault: VaultSession, status: int
) -> None:
    server.script = [(status, '{"errors":["try later"]}'), READY]

    vault.keys.check_ready()

    assert not server.script


@pytest.mark.parametrize(
    "answer",
    [
        (500, '{"errors":["no audit backend succeeded"]}'),
        (502, "<html>bad gateway</html>"),
        (504, ""),
        (307, ""),
        (200, "not JSON"),
        (200, "[]"),
        (206, "{}"),
    ],
)
def test_a_lasting_fault_is_given_up_after_three_tries(
    server: ScriptedServer, vault: VaultSession, answer: Answer
) -> None:
    server.script = [answer] * 4

    with pytest.raises(UnavailableError) as caught:
        vault.keys.check_ready()

    assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
    assert len(server.script) == 1


@pytest.mark.parametrize(
    ("status", "text"),
    [(503, "Vault is sealed"), (501, "server is not yet initialized")],
)
def test_a_sealed_vault_is_not_asked_again(
    server: ScriptedServer, vault: VaultSession, status: int, text: str
) -> None:
    server.script = [(status, json.dumps({"errors": [text]}))]

    with pytest.raises(UnavailableError) as caught:
        vault.keys.check_ready()

    assert caught.value.reason is Reason.KEY_SERVICE_SEALED


def test_a_redirect_does_not_carry_the_token_away(
    server: ScriptedServer, vault: VaultSession
) -> None:
    # 192.0.2.1 answers nobody: following the redirect would end in a time-out.
    server.script = [(307, ""), READY]

    vault.keys.check_ready()


def test_a_denied_request_is_made_once_more_after_a_login(
    server: ScriptedServer, vault: VaultSession
) -> None:
    server.script = [(403, '{"errors":["permission denied"]}')] * 2

    with pytest.raises(PreconditionError) as caught:
        vault.keys.check_ready()

    assert caught.value.reason is Reason.KEK_ACCESS_DENIED
    paths = [path.rpartition("/")[2] for path, _ in server.seen]
    assert paths == ["login", "lookup-self", "login", "lookup-self"]


@pytest.mark.alone
def test_a_slow_answer_ends_with_the_deadline(
    server: ScriptedServer, vault: VaultSession, settings: VaultSettings
) -> None:
    released = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        released.wait(10)

    server.script = [hang] * 4
    clock = SystemClock()
    start = clock.monotonic()

    try:
        with pytest.raises(UnavailableError) as caught:
            vault.keys.check_ready()
        took_s = clock.monotonic() - start
    finally:
        released.set()

    assert caught.value.reason is Reason.KEY_SERVICE_UNAVAILABLE
    assert took_s < settings.deadline_s + settings.read_timeout_s + 1.0


def test_a_cut_connection_is_tried_again(
    server: ScriptedServer, vault: VaultSession
) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    server.script = [cut, READY]

    vault.keys.check_ready()


def test_an_answer_cut_short_is_tried_again(
    server: ScriptedServer, vault: VaultSession
) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"data":')
        handler.close_connection = True

    server.script = [cut, READY]

    vault.keys.check_ready()


@pytest.mark.parametrize(
    "login", [{}, {"auth": None}, {"auth": {"client_token": ""}}, {"auth": {"x": 1}}]
)
def test_a_login_without_a_token_is_no_login(
    server: ScriptedServer, vault: VaultSession, login: dict[str, object]
) -> None:
    server.login = (200, json.dumps(login))

    with pytest.raises(UnavailableError, match="login"):
        vault.keys.check_ready()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"plaintext": "AAAA", "ciphertext": "vault:v1:AAAA"},
        {"plaintext": "!", "ciphertext": "vault:v1:AAAA"},
        {"plaintext": None, "ciphertext": "vault:v1:AAAA"},
        {"plaintext": "A" * 43 + "=", "ciphertext": "vault:v1:AAAB="},
        {"plaintext": "A" * 43 + "=", "ciphertext": 7},
    ],
)
def test_a_data_key_of_another_shape_is_not_used(
    server: ScriptedServer, vault: VaultSession, data: dict[str, object]
) -> None:
    server.script = [(200, json.dumps({"data": data}))]

    with pytest.raises(UnavailableError, match="cannot be understood"):
        vault.keys.generate(KEK, CONTEXT)


def test_an_unknown_refusal_to_decrypt_counts_as_corrupt(
    server: ScriptedServer, vault: VaultSession
) -> None:
    server.script = [(400, '{"errors":["words of a later release"]}')]

    with pytest.raises(IntegrityError) as caught:
        vault.keys.unwrap(KEK, CONTEXT, "vault:v1:AAAA")

    assert caught.value.reason is Reason.KEY_SLOT_CORRUPT


@pytest.mark.parametrize(
    "data",
    [
        {"signature": "vault:v0:AAAA"},
        {"signature": "AAAA"},
        {"signature": None},
        {},
    ],
)
def test_a_signature_of_another_shape_is_not_used(
    server: ScriptedServer, vault: VaultSession, data: dict[str, object]
) -> None:
    server.script = [(200, json.dumps({"data": data}))]

    with pytest.raises(UnavailableError, match="cannot be understood"):
        vault.signer.sign(b"entry")


@pytest.mark.parametrize(
    "keys",
    [
        {"0": {"public_key": "AAAA"}},
        {"x": {"public_key": "AAAA"}},
        {"1": {"public_key": "é"}},
        {"1": {}},
        {"1": 7},
    ],
)
def test_public_keys_of_another_shape_are_not_used(
    server: ScriptedServer, vault: VaultSession, keys: dict[str, object]
) -> None:
    data = {"type": "ecdsa-p384", "keys": keys}
    server.script = [(200, json.dumps({"data": data}))]

    with pytest.raises(UnavailableError, match="cannot be understood"):
        vault.signer.public_keys()


def test_a_certificate_of_another_shape_is_not_used(
    server: ScriptedServer, vault: VaultSession, settings: VaultSettings
) -> None:
    issuer = vault.issuer(
        "spiffe://t/s", dns_names=(), ip_addresses=(), ttl=timedelta(hours=1)
    )
    for data in ({}, {"certificate": "x"}, {"certificate": 7, "private_key": "x"}):
        server.script = [(200, json.dumps({"data": data}))]

        with pytest.raises(UnavailableError, match="cannot be understood"):
            issuer.issue()


def test_the_trace_goes_on_to_vault_and_secrets_do_not_go_to_the_trace(
    server: ScriptedServer, vault: VaultSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(transport, "_TRACER", provider.get_tracer("test"))
    server.script = [
        (400, '{"errors":["cipher: message authentication failed"]}'),
        READY,
    ]

    with pytest.raises(IntegrityError):
        vault.keys.unwrap(KEK, CONTEXT, "vault:v1:AAAA")
    vault.keys.check_ready()

    login, unwrap, ready = exporter.get_finished_spans()
    assert [span.name for span in (login, unwrap, ready)] == [
        "Vault auth/approle/login",
        "Vault transit/decrypt",
        "Vault auth/token/lookup-self",
    ]
    assert unwrap.status.status_code is trace.StatusCode.ERROR
    assert unwrap.status.description == "KEY_SLOT_CORRUPT"
    assert dict(ready.attributes or {}) == {
        "vault.mount": "auth/token",
        "vault.operation": "lookup-self",
        "vault.request_id": "r-1",
        "http.request.method": "GET",
        "http.response.status_code": 200,
    }
    for (_, headers), span in zip(server.seen, (login, unwrap, ready), strict=True):
        assert span.context is not None
        trace_id, span_id = headers["traceparent"].split("-")[1:3]
        assert trace_id == f"{span.context.trace_id:032x}"
        assert span_id == f"{span.context.span_id:016x}"
        assert "s.planted" not in span.to_json()
        assert "AAAA" not in span.to_json()
        assert not span.events


def test_errors_tell_neither_addresses_nor_tokens(
    server: ScriptedServer, vault: VaultSession
) -> None:
    server.script = [(500, '{"errors":["x"]}')] * 3

    with pytest.raises(UnavailableError) as caught:
        vault.keys.check_ready()

    error = caught.value
    shown = error.message + error.hint + str(error.metadata)
    assert "127.0.0.1" not in shown
    assert "s.planted" not in shown
