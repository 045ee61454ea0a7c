# SPDX-License-Identifier: Apache-2.0
"""Signing in at a real provider over HTTPS: what works, and what is refused."""

import base64
import hashlib
import http.client
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from strongroom._login.flow import sign_in
from strongroom._login.logins import Login, LoginHeaders, load_login, login_file
from strongroom.config import ClientSettings
from strongroom.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    PermissionDeniedError,
    Reason,
    StrongroomError,
    UnauthenticatedError,
    UnavailableError,
)
from tests.support.login_issuer import CLIENT_ID, LoginIssuer, running_login_issuer

WAIT_S = 20.0


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[LoginIssuer]:
    with running_login_issuer(tmp_path / "issuer") as running:
        yield running


@pytest.fixture
def settings(issuer: LoginIssuer, tmp_path: Path) -> ClientSettings:
    return ClientSettings(
        endpoint="127.0.0.1:1",
        login_issuer=issuer.url,
        login_client_id=CLIENT_ID,
        login_ca_file=issuer.ca_file,
        login_folder=tmp_path / "state" / "logins",
    )


def signed_in(
    settings: ClientSettings, issuer: LoginIssuer, *, fresh: bool = False
) -> Login:
    return sign_in(settings, issuer.visit, fresh=fresh, browser=False, wait_s=WAIT_S)


def refused(
    settings: ClientSettings, issuer: LoginIssuer, *, fresh: bool = False
) -> StrongroomError:
    """Sign in, which must fail and leave no login."""
    with pytest.raises(StrongroomError) as caught:
        signed_in(settings, issuer, fresh=fresh)
    assert not login_file(settings).exists()
    assert caught.value.hint
    return caught.value


def test_a_person_signs_in_and_each_call_carries_the_token(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    login = signed_in(settings, issuer)

    assert (login.name, login.methods) == ("alice", ("pwd", "otp", "mfa"))
    assert load_login(settings) == login
    assert LoginHeaders(settings)() == (("authorization", f"Bearer {login.token}"),)


def test_the_request_has_a_proof_a_state_and_a_nonce_of_its_own(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    signed_in(settings, issuer)
    signed_in(settings, issuer)

    first, second = issuer.asked
    assert first["response_type"] == "code"
    assert first["scope"] == "openid profile"
    assert first["code_challenge_method"] == "S256"
    target = urlsplit(first["redirect_uri"])
    assert (target.scheme, target.hostname) == ("http", "127.0.0.1")
    assert target.path == issuer.redirect_path
    assert int(first["max_age"]) > 3600
    assert "prompt" not in first
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
        assert len(first[name]) >= 43, "256 bits"
    verifier = issuer.forms[0]["code_verifier"]
    digest = hashlib.sha256(verifier.encode()).digest()
    proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert proof == first["code_challenge"]
    assert "client_secret" not in issuer.forms[0]


def test_a_fresh_login_has_the_person_asked_anew(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    signed_in(settings, issuer, fresh=True)

    assert issuer.asked[0]["prompt"] == "login"
    assert int(issuer.asked[0]["max_age"]) <= 60


def test_a_fresh_login_is_not_an_old_one_told_again(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.claims["auth_time"] = int(time.time()) - 600

    error = refused(settings, issuer, fresh=True)

    assert error.reason is Reason.TOKEN_INVALID
    assert "did not ask anew" in error.message
    assert signed_in(settings, issuer).name == "alice", "good enough for a usual login"


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"iss": "https://other.example"}, "of the issuer"),
        ({"aud": "somebody-else"}, "somebody-else"),
        ({"aud": [CLIENT_ID, "other"]}, "several parties"),
        ({"aud": [CLIENT_ID, "other"], "azp": "other"}, "several parties"),
        ({"nonce": "of another sign-in"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"exp": 1_600_000_000}, "has ended"),
        ({"exp": None}, "does not say exp"),
        ({"exp": "soon"}, "does not say exp"),
        ({"exp": True}, "does not say exp"),
        ({"exp": 1e300}, "no time"),
        ({"auth_time": None}, "does not say auth_time"),
        ({"auth_time": 1_600_000_000}, "did not ask anew"),
        ({"auth_time": 4_000_000_000}, "later than now"),
        ({"preferred_username": None, "sub": ""}, "names nobody"),
        ({"padding": "x" * 9000}, "at most"),
    ],
)
def test_a_token_that_does_not_answer_this_sign_in_is_refused(
    settings: ClientSettings, issuer: LoginIssuer, claims: dict[str, Any], told: str
) -> None:
    issuer.claims.update(claims)

    error = refused(settings, issuer)

    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.TOKEN_INVALID
    assert told in error.message


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c.d", "a.%%.c", "é.é.é", "a.W10.c"])
def test_what_is_no_token_is_refused(
    settings: ClientSettings, issuer: LoginIssuer, text: str
) -> None:
    issuer.answers = [(200, {"id_token": text})]

    assert refused(settings, issuer).reason is Reason.TOKEN_INVALID


def test_a_provider_that_says_no_is_quoted(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.redirect = {
        "code": None,
        "error": "access_denied",
        "error_description": "not assigned",
    }

    error = refused(settings, issuer)

    assert isinstance(error, PermissionDeniedError)
    assert "access_denied: not assigned" in error.message
    assert issuer.forms == []


def test_a_code_that_the_provider_does_not_take_is_told(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.answers = [(400, {"error": "invalid_grant"})]

    assert "invalid_grant" in refused(settings, issuer).message


def test_a_redirect_of_another_issuer_is_refused(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.redirect = {"iss": "https://other.example"}

    error = refused(settings, issuer)

    assert error.reason is Reason.TOKEN_INVALID
    assert issuer.forms == [], "the code went to nobody"


def test_a_provider_that_always_names_itself_is_not_believed_without_a_name(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.discovery = {"authorization_response_iss_parameter_supported": True}

    error = refused(settings, issuer)

    assert error.reason is Reason.TOKEN_INVALID
    assert "does not say whose" in error.message
    assert issuer.forms == [], "the code went to nobody"
    issuer.redirect = {"iss": issuer.url}
    assert signed_in(settings, issuer).name == "alice"


def test_a_provider_that_names_the_pages_of_another_gets_nobodys_code(
    settings: ClientSettings, issuer: LoginIssuer, tmp_path: Path
) -> None:
    """Mix-up: the person sees the pages that they trust, the thief gets the form."""
    with running_login_issuer(tmp_path / "thief") as thief:
        thief.discovery = {"authorization_endpoint": f"{issuer.url}/authorize"}
        at_thief = replace(
            settings, login_issuer=thief.url, login_ca_file=thief.ca_file
        )
        seen: list[int] = []
        browsers: list[threading.Thread] = []

        def visit(url: str) -> None:
            browser = threading.Thread(target=lambda: seen.append(issuer.follow(url)))
            browsers.append(browser)
            browser.start()

        with pytest.raises(DeadlineExceededError):
            sign_in(at_thief, visit, browser=False, wait_s=0.5)

        browsers[0].join(WAIT_S)
        assert seen == [400], "the honest provider does not know that address"
        assert issuer.codes == {}
        assert thief.forms == []
    assert signed_in(settings, issuer).name == "alice"


def test_redirects_without_our_state_change_nothing(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    seen: list[int] = []

    def visit(url: str) -> None:
        def follow() -> None:
            query = parse_qs(urlsplit(url).query)
            target = urlsplit(query["redirect_uri"][0])
            state = query["state"][0]
            for path in (
                f"{target.path}?code=x&state=guessed",
                f"{target.path}?code=x",
                f"{target.path}?code=x&state={state}&state={state}",
                f"/other?code=x&state={state}",
                f"/callback?code=x&state={state}",
            ):
                connection = http.client.HTTPConnection("127.0.0.1", target.port or 0)
                connection.request("GET", path)
                seen.append(connection.getresponse().status)
                connection.close()
            seen.append(issuer.follow(url))

        threading.Thread(target=follow, daemon=True).start()

    login = sign_in(settings, visit, browser=False, wait_s=WAIT_S)

    assert login.name == "alice"
    assert seen[:5] == [400] * 5


def test_connections_that_say_nothing_do_not_hold_up_the_answer(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    idle: list[http.client.HTTPConnection] = []

    def visit(url: str) -> None:
        def follow() -> None:
            target = urlsplit(parse_qs(urlsplit(url).query)["redirect_uri"][0])
            for _ in range(20):
                connection = http.client.HTTPConnection("127.0.0.1", target.port or 0)
                connection.connect()
                idle.append(connection)
            issuer.follow(url)

        threading.Thread(target=follow, daemon=True).start()

    login = sign_in(settings, visit, browser=False, wait_s=WAIT_S)

    assert login.name == "alice"
    for connection in idle:
        connection.close()


def test_nobody_waits_for_ever(settings: ClientSettings, issuer: LoginIssuer) -> None:
    with pytest.raises(DeadlineExceededError, match=r"within 0\.2 seconds") as caught:
        sign_in(settings, lambda _: None, browser=False, wait_s=0.2)

    assert f"http://127.0.0.1{issuer.redirect_path}," in caught.value.hint


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"authorization_endpoint": "http://127.0.0.1/authorize"},
        {"authorization_endpoint": None},
        {"token_endpoint": "http://127.0.0.1/token"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
    ],
)
def test_another_issuer_or_one_without_tls_is_refused(
    settings: ClientSettings, issuer: LoginIssuer, document: dict[str, Any]
) -> None:
    issuer.discovery = document

    error = refused(settings, issuer)

    assert isinstance(error, InvalidArgumentError)
    assert error.reason is Reason.SETTING_INVALID
    assert issuer.asked == []


def test_a_provider_that_nobody_vouches_for_is_not_talked_to(
    settings: ClientSettings, issuer: LoginIssuer, tmp_path: Path
) -> None:
    with running_login_issuer(tmp_path / "stranger") as stranger:
        strange = replace(settings, login_ca_file=stranger.ca_file)

        error = refused(strange, issuer)

    assert isinstance(error, UnavailableError)
    assert "certificate verify failed" in error.message
    assert issuer.asked == []


def test_authorities_that_cannot_be_read_are_told(
    settings: ClientSettings, issuer: LoginIssuer, tmp_path: Path
) -> None:
    (tmp_path / "no.crt").write_text("nothing")
    for name in ("no.crt", "missing.crt"):
        error = refused(replace(settings, login_ca_file=tmp_path / name), issuer)
        assert error.reason is Reason.SETTING_INVALID
        assert "login_ca_file" in error.hint


def test_a_provider_that_is_away_is_unavailable(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    away = replace(settings, login_issuer="https://127.0.0.1:1/realm")

    assert isinstance(refused(away, issuer), UnavailableError)


def test_settings_without_a_provider_say_what_to_set(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    error = refused(replace(settings, login_issuer=""), issuer)

    assert error.reason is Reason.SETTING_INVALID
    assert "login_issuer" in error.hint
