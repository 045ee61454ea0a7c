# SPDX-License-Identifier: Apache-2.0
"""Signing in: a browser at the provider, a code at the loopback, a token for it."""

import base64
import hashlib
import threading
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from strongroom import _system
from strongroom._login.issuer import Endpoints, Issuer, refused
from strongroom._login.logins import Login, save_login
from strongroom._login.loopback import Loopback
from strongroom._login.tokens import Expected, IdToken, read_id_token
from strongroom.config import ClientSettings
from strongroom.errors import (
    InvalidArgumentError,
    Reason,
    UnauthenticatedError,
)

#: How long a person may take.
WAIT_S: Final = 300.0
#: An older proof of who somebody is does not count: the provider asks anew.
_MAX_AGE: Final = timedelta(hours=12)
#: Some providers refuse less than a second; that it is not older is checked here.
_FRESH_MAX_AGE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one sign-in has of its own, so that no other answer fits it.

    Source:
        RFC 7636 (PKCE), S256; OpenID Connect Core 1.0, section 3.1.2.1: nonce.
    """

    state: str
    nonce: str
    verifier: str
    max_age: timedelta

    @property
    def challenge(self) -> str:
        """The verifier's SHA-256, as a provider wants it."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sign_in(
    settings: ClientSettings,
    tell: Callable[[str], None],
    *,
    fresh: bool = False,
    browser: bool = True,
    wait_s: float = WAIT_S,
) -> Login:
    """Have a person sign in at the provider of the settings, and keep the login.

    Args:
        settings: Name the provider and the client that it knows us as.
        tell: Is given the address that a browser has to open.
        fresh: Whether the person has to prove who they are now, even if they did
            so a while ago.
        browser: Whether to open a browser here.
        wait_s: How long the person may take.

    Raises:
        InvalidArgumentError: The settings name no provider (SETTING_INVALID).
        PermissionDeniedError: The provider refused.
        UnauthenticatedError: What it answered is not usable (TOKEN_INVALID).
        UnavailableError: It does not answer.
        DeadlineExceededError: Nobody signed in.
    """
    issuer = issuer_of(settings)
    endpoints = issuer.discover()
    asked = Asked(
        state=_system.new_secret(),
        nonce=_system.new_secret(),
        verifier=_system.new_secret(),
        max_age=_FRESH_MAX_AGE if fresh else _MAX_AGE,
    )
    begun = _system.now()
    with Loopback(asked.state) as loopback:
        url = authorization_url(settings, endpoints, asked, loopback.redirect_uri)
        tell(url)
        if browser:
            # A browser in the terminal would hold up the answer that it waits for.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        answer = loopback.wait(wait_s)
        code = _code_of(answer, settings.login_issuer)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": loopback.redirect_uri,
            "client_id": settings.login_client_id,
            "code_verifier": asked.verifier,
        }
        text = _exchange(issuer, endpoints, form)
    expected = Expected(
        settings.login_issuer,
        settings.login_client_id,
        asked.nonce,
        begun if fresh else begun - asked.max_age,
    )
    token = read_id_token(text, expected, _system.now())
    login = _login_of(settings, token)
    save_login(settings, login)
    return login


def issuer_of(settings: ClientSettings) -> Issuer:
    """Return the provider of the settings.

    Raises:
        InvalidArgumentError: They name none (SETTING_INVALID).
    """
    if not settings.login_issuer:
        where = settings.source or "the settings"
        message = f"{where} names no identity provider"
        raise InvalidArgumentError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="Set login_issuer and login_client_id in client.toml.",
            setting="login_issuer",
        )
    return Issuer(settings.login_issuer, settings.login_ca_file)


def authorization_url(
    settings: ClientSettings, endpoints: Endpoints, asked: Asked, redirect_uri: str
) -> str:
    """Return the address at which a person signs in for us."""
    query = {
        "response_type": "code",
        "client_id": settings.login_client_id,
        "redirect_uri": redirect_uri,
        "scope": settings.login_scopes,
        "state": asked.state,
        "nonce": asked.nonce,
        "code_challenge": asked.challenge,
        "code_challenge_method": "S256",
        # Without it a provider need not say when the person proved who they are.
        "max_age": str(int(asked.max_age.total_seconds())),
    }
    if asked.max_age == _FRESH_MAX_AGE:
        query["prompt"] = "login"
    joint = "&" if "?" in endpoints.authorization else "?"
    return f"{endpoints.authorization}{joint}{urlencode(query)}"


def _code_of(answer: Mapping[str, str], issuer: str) -> str:
    """Return the code in a redirect.

    Source:
        RFC 9207: a redirect that names its issuer must name ours.
    """
    if answer.get("iss", issuer) != issuer:
        raise _unusable(f"the redirect is of {answer['iss']!r}")
    if "error" in answer:
        raise refused(answer["error"], answer.get("error_description", ""), issuer)
    if not answer.get("code"):
        raise _unusable("the redirect has no code")
    return answer["code"]


def _exchange(issuer: Issuer, endpoints: Endpoints, form: Mapping[str, str]) -> str:
    answer = issuer.post(endpoints.token, form)
    if answer.error:
        raise refused(answer.error, answer.text("error_description"), issuer.url)
    if not answer.text("id_token"):
        raise _unusable("it gave no ID token")
    return answer.text("id_token")


def _login_of(settings: ClientSettings, token: IdToken) -> Login:
    return Login(
        endpoint=settings.endpoint,
        issuer=settings.login_issuer,
        name=token.name,
        auth_time=token.auth_time,
        expire_time=token.expire_time,
        methods=token.methods,
        token=token.text,
    )


def _unusable(problem: str) -> UnauthenticatedError:
    message = f"the identity provider's answer is not usable: {problem}"
    return UnauthenticatedError(
        message, reason=Reason.TOKEN_INVALID, hint="Try `strongroom login` again."
    )
