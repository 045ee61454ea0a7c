# SPDX-License-Identifier: Apache-2.0
"""The stack's identity provider, a real OpenBao: what it gives, and what it refuses."""

import base64
import hashlib
import http.client
import json
import secrets
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from strongroom._login.loopback import redirect_path
from strongroom.errors import PermissionDeniedError, PreconditionError
from strongroom_server.dev.identity_provider import (
    MOUNT,
    NAME_CLAIM,
    PROVIDER,
    client_id,
    issuer_url,
    provide_people,
    redirect_uri,
)
from strongroom_server.dev.people import PERIOD_S, Person, person
from strongroom_server.dev.provisioning import PROVISIONER_APPROLE, approle
from strongroom_server.dev.sign_in import log_in
from strongroom_server.dev.stack import Stack
from strongroom_server.dev.vault_client import VaultClient
from tests.dev.stacks import parts

VERIFIER = secrets.token_urlsafe(48)


@pytest.fixture
def client(stack: Stack) -> VaultClient:
    return parts(stack)[0].client()


@pytest.fixture
def alice(stack: Stack) -> Person:
    return person(stack.layout, "alice")


@pytest.fixture(scope="module")
def logged_in(stack: Stack) -> VaultClient:
    """Alice after her password and code; once, for codes are good once."""
    bao = parts(stack)[0].client()
    return bao.with_token(log_in(bao, person(stack.layout, "alice")))


def asked(stack: Stack, **changes: str) -> dict[str, str]:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": client_id(stack.layout),
        "redirect_uri": redirect(stack),
        "scope": "openid profile",
        "state": "s",
        "nonce": "n",
        "max_age": "3600",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in query.items() if value}


def authorize(
    logged_in: VaultClient, query: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    return logged_in.exchange("GET", f"{PROVIDER}/authorize?{urlencode(query)}")


def request(stack: Stack, method: str, url: str, **form: str) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=str(stack.layout.vault_ca))
    target = urlsplit(url)
    connection = http.client.HTTPSConnection(
        "127.0.0.1", target.port, timeout=10, context=context
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, target.path, urlencode(form) or None, headers)
    response = connection.getresponse()
    body = json.loads(response.read() or b"{}")
    connection.close()
    return response.status, body


def exchange(stack: Stack, code: str, **changes: str) -> tuple[int, dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect(stack),
        "client_id": client_id(stack.layout),
        "code_verifier": VERIFIER,
    } | changes
    return request(stack, "POST", f"{issuer(stack)}/token", **form)


def issuer(stack: Stack) -> str:
    return issuer_url(parts(stack)[0].port)


def redirect(stack: Stack, port: int = 40000) -> str:
    """Where a command line waits at a port."""
    target = urlsplit(redirect_uri(parts(stack)[0].port))
    return target._replace(netloc=f"{target.hostname}:{port}").geturl()


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return found


def test_a_token_says_who_how_and_when(stack: Stack, logged_in: VaultClient) -> None:
    status, answer = authorize(logged_in, asked(stack))
    assert status == 200, answer

    status, tokens = exchange(stack, answer["code"])

    assert status == 200, tokens
    claims = claims_of(tokens["id_token"])
    assert claims["iss"] == issuer(stack)
    assert claims["aud"] == client_id(stack.layout)
    assert claims[NAME_CLAIM] == "alice"
    assert claims["amr"] == ["pwd", "otp", "mfa"]
    assert "acr" not in claims, "a one-time code can be phished"
    assert abs(claims["auth_time"] - time.time()) < 120
    assert (claims["nonce"], claims["exp"] - claims["iat"]) == ("n", 3600)


def test_the_provider_tells_where_everything_is(stack: Stack) -> None:
    url = f"{issuer(stack)}/.well-known/openid-configuration"

    status, found = request(stack, "GET", url)

    assert status == 200
    assert found["issuer"] == issuer(stack)
    status, keys = request(stack, "GET", found["jwks_uri"])
    assert status == 200
    assert {key["alg"] for key in keys["keys"]} == {"ES256"}
    page = found["authorization_endpoint"]
    context = ssl.create_default_context(cafile=str(stack.layout.vault_ca))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", urlsplit(page).port, context=context
    )
    connection.request("GET", urlsplit(page).path)
    assert b"<html" in connection.getresponse().read(), "for those with a browser"
    connection.close()


def test_a_password_without_a_code_is_not_enough(
    client: VaultClient, alice: Person
) -> None:
    answer = client.write(f"auth/{MOUNT}/login/alice", {"password": alice.password()})

    auth = answer["auth"]
    assert isinstance(auth, dict)
    assert auth["client_token"] == ""
    requirement = auth["mfa_requirement"]
    [method] = requirement["mfa_constraints"]["people"]["any"]
    body = {
        "mfa_request_id": requirement["mfa_request_id"],
        "mfa_payload": {method["id"]: ["000000"]},
    }
    assert client.exchange("POST", "sys/mfa/validate", body)[0] == 403


def test_a_wrong_password_gets_nowhere(client: VaultClient) -> None:
    with pytest.raises(PreconditionError, match="invalid username or password"):
        client.write(f"auth/{MOUNT}/login/alice", {"password": "guess"})


def test_a_code_is_good_once(stack: Stack, client: VaultClient) -> None:
    bob = person(stack.layout, "bob")
    for _ in range(3):
        client.with_token(log_in(client, bob)).write("auth/token/revoke-self")

    waited: list[float] = []
    with pytest.raises(PermissionDeniedError, match="takes no code") as caught:
        # Nobody waits here for the code that would be good then.
        log_in(client, bob, wait=waited.append)

    assert str(PERIOD_S) in caught.value.hint
    assert len(waited) == 2
    assert all(0 < wait_s <= PERIOD_S + 1 for wait_s in waited)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:40000/other"}, "invalid_redirect_uri"),
        ({"redirect_uri": "http://127.0.0.1:40000/callback"}, "invalid_redirect_uri"),
        ({"redirect_uri": "https://evil.example/callback"}, "invalid_redirect_uri"),
        ({"client_id": "somebody-else"}, "invalid_client_id"),
        ({"scope": "profile"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_other_requests_than_ours_are_refused(
    stack: Stack, logged_in: VaultClient, changes: dict[str, str], error: str
) -> None:
    status, answer = authorize(logged_in, asked(stack, **changes))

    assert (status, answer["error"]) == (400, error)


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "x" * 50},
        {"code_verifier": ""},
        {"client_id": "somebody-else"},
    ],
)
def test_a_code_is_of_no_use_to_who_stole_it(
    stack: Stack, logged_in: VaultClient, changes: dict[str, str]
) -> None:
    _, answer = authorize(logged_in, asked(stack))

    status, refusal = exchange(stack, answer["code"], **changes)

    assert status in {400, 401}
    assert "id_token" not in refusal


def test_a_code_is_for_the_port_that_it_was_sent_to(
    stack: Stack, logged_in: VaultClient
) -> None:
    _, answer = authorize(logged_in, asked(stack))

    status, refusal = exchange(
        stack, answer["code"], redirect_uri=redirect(stack, 40001)
    )

    assert (status, refusal["error"]) == (400, "invalid_grant")


def test_a_browser_is_sent_to_nobody_who_waits_for_another_provider(
    stack: Stack, logged_in: VaultClient
) -> None:
    """What a mix-up needs: our pages named by a provider that a thief runs."""
    of_thief = redirect_path("https://evil.example/realm")

    status, answer = authorize(
        logged_in, asked(stack, redirect_uri=f"http://127.0.0.1:40000{of_thief}")
    )

    assert (status, answer["error"]) == (400, "invalid_redirect_uri")
    assert "code" not in answer


def test_a_code_is_exchanged_once(stack: Stack, logged_in: VaultClient) -> None:
    _, answer = authorize(logged_in, asked(stack))
    assert exchange(stack, answer["code"])[0] == 200

    status, refusal = exchange(stack, answer["code"])

    assert (status, refusal["error"]) == (400, "invalid_grant")


def test_nobody_signs_in_without_being_a_person(
    stack: Stack, client: VaultClient
) -> None:
    assert authorize(client, asked(stack))[0] == 403
    provisioner = approle(stack.layout, PROVISIONER_APPROLE).log_in(client)
    assert authorize(provisioner, asked(stack))[0] == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "auth/token/create"),
        ("POST", "transit/decrypt/sr.kek.store"),
        ("GET", "sys/policies/acl/strongroom-server"),
        ("POST", "identity/entity"),
        ("POST", "identity/mfa/method/totp/admin-destroy"),
        ("POST", f"auth/{MOUNT}/users/alice/password"),
        ("GET", "identity/oidc/client/strongroom"),
    ],
)
def test_a_person_can_do_nothing_else_at_openbao(
    logged_in: VaultClient, method: str, path: str
) -> None:
    body: dict[str, object] | None = {} if method == "POST" else None

    assert logged_in.exchange(method, path, body)[0] == 403


def test_doing_it_again_changes_nobody(stack: Stack, alice: Person) -> None:
    bao = parts(stack)[0]
    before = (alice.password(), alice.code(0), client_id(stack.layout))
    provisioner = approle(stack.layout, PROVISIONER_APPROLE).log_in(bao.client())
    root = bao.client(bao.make_root_token(provisioner))
    try:
        provide_people(root, stack.layout)
    finally:
        root.write("auth/token/revoke-self")

    assert (alice.password(), alice.code(0), client_id(stack.layout)) == before


@pytest.fixture(scope="module", autouse=True)
def ends_logged_out(logged_in: VaultClient) -> Iterator[None]:
    yield
    logged_in.write("auth/token/revoke-self")
