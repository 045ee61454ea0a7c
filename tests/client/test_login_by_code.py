# SPDX-License-Identifier: Apache-2.0
"""Signing in on another device: codes, patience, and what is refused."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom._login.device import sign_in_by_code
from strongroom._login.logins import Login, load_login, login_file
from strongroom.config import ClientSettings
from strongroom.errors import (
    DeadlineExceededError,
    PermissionDeniedError,
    Reason,
    StrongroomError,
)
from tests.support.login_issuer import CLIENT_ID, LoginIssuer, running_login_issuer

PENDING = (400, {"error": "authorization_pending"})


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[LoginIssuer]:
    with running_login_issuer(tmp_path / "issuer") as running:
        running.device = {
            "device_code": "secret-of-the-device",
            "user_code": "WDJB-MJHT",
            "verification_uri": "https://id.example/device",
            "expires_in": 600,
            "interval": 0,
        }
        yield running


@pytest.fixture
def settings(issuer: LoginIssuer, tmp_path: Path) -> ClientSettings:
    return ClientSettings(
        endpoint="127.0.0.1:1",
        login_issuer=issuer.url,
        login_client_id=CLIENT_ID,
        login_ca_file=issuer.ca_file,
        login_folder=tmp_path / "logins",
    )


def token(issuer: LoginIssuer, **claims: object) -> tuple[int, dict[str, Any]]:
    issuer.claims = dict(claims)
    return 200, {"id_token": issuer.token("")}


def signed_in(settings: ClientSettings, *, fresh: bool = False) -> Login:
    return sign_in_by_code(settings, lambda *_: None, fresh=fresh, wait_s=10.0)


def refused(settings: ClientSettings, *, fresh: bool = False) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        signed_in(settings, fresh=fresh)
    assert not login_file(settings).exists()
    assert caught.value.hint
    return caught.value


def test_a_person_types_the_code_in_elsewhere(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.answers = [PENDING, PENDING, token(issuer, nonce=None)]
    told: list[tuple[str, str]] = []

    login = sign_in_by_code(settings, lambda *shown: told.append(shown), wait_s=10.0)

    assert told == [("https://id.example/device", "WDJB-MJHT")]
    assert load_login(settings) == login
    assert login.name == "alice"
    assert issuer.asked[0]["scope"] == "openid profile"
    assert int(issuer.asked[0]["max_age"]) > 3600
    assert len(issuer.forms) == 3
    assert {form["device_code"] for form in issuer.forms} == {"secret-of-the-device"}
    assert {form["grant_type"] for form in issuer.forms} == {
        "urn:ietf:params:oauth:grant-type:device_code"
    }


def test_a_provider_is_not_asked_more_often_than_it_likes(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    assert issuer.device is not None
    issuer.device["interval"] = 0.4
    issuer.answers = [PENDING, token(issuer, nonce=None)]
    begun = time.monotonic()

    signed_in(settings)

    assert time.monotonic() - begun >= 0.8


def test_a_provider_that_asks_for_patience_gets_it(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.answers = [(400, {"error": "slow_down"})]

    with pytest.raises(DeadlineExceededError):
        sign_in_by_code(settings, lambda *_: None, wait_s=2.0)

    assert len(issuer.forms) == 1, "the next would be five seconds later"


@pytest.mark.parametrize(
    "answers", [[(400, {"error": "expired_token"})], [PENDING] * 100]
)
def test_nobody_waits_for_ever(
    settings: ClientSettings,
    issuer: LoginIssuer,
    answers: list[tuple[int, dict[str, Any]]],
) -> None:
    assert issuer.device is not None
    issuer.device["expires_in"] = 1
    issuer.answers = answers

    assert isinstance(refused(settings), DeadlineExceededError)


def test_a_person_who_says_no_is_believed(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.answers = [(400, {"error": "access_denied"})]

    error = refused(settings)

    assert isinstance(error, PermissionDeniedError)
    assert "access_denied" in error.message


@pytest.mark.parametrize(
    "device", [{"error": "invalid_client"}, {}, {"user_code": "x"}, {"device_code": 7}]
)
def test_a_provider_that_gives_no_code_is_told(
    settings: ClientSettings, issuer: LoginIssuer, device: dict[str, Any]
) -> None:
    issuer.device = device

    assert isinstance(refused(settings), PermissionDeniedError)
    assert issuer.forms == []


def test_a_provider_without_this_way_says_so(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.device = None

    assert refused(settings).reason is Reason.SETTING_INVALID


@pytest.mark.parametrize(
    "claims", [{"nonce": "another"}, {"aud": "other"}, {"auth_time": None}]
)
def test_the_token_is_looked_at_as_ever(
    settings: ClientSettings, issuer: LoginIssuer, claims: dict[str, Any]
) -> None:
    issuer.answers = [token(issuer, **claims)]

    assert refused(settings).reason is Reason.TOKEN_INVALID


def test_a_fresh_login_is_fresh_here_too(
    settings: ClientSettings, issuer: LoginIssuer
) -> None:
    issuer.answers = [token(issuer, nonce=None, auth_time=int(time.time()) - 600)]

    assert "did not ask anew" in refused(settings, fresh=True).message
    assert issuer.asked[0]["prompt"] == "login"
