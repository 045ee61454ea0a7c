# SPDX-License-Identifier: Apache-2.0
"""Signing in: a browser at the provider, a code at the loopback, a token for it."""

import base64
import hashlib
import threading
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from strongroom import _system
from strongroom._login.issuer import Answer, Endpoints, Issuer, refused
from strongroom._login.logins import Login, save_login
from strongroom._login.loopback import Loopback, redirect_path
from strongroom._login.tokens import Expected, IdToken, read_id_token
from strongroom.config import ClientSettings
from strongroom.errors import (
    InvalidArgumentError,
    PreconditionError,
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

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    fresh: bool
    begun: datetime

    @property
    def max_age_s(self) -> int:
        """How long ago the person may have proved who they are."""
        max_age = _FRESH_MAX_AGE if self.fresh else _MAX_AGE
        return int(max_age.total_seconds())

    @property
    def challenge(self) -> str:
        """The verifier's SHA-256, as a provider wants it."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def query(self) -> dict[str, str]:
        """Return what is asked of the provider, whichever way the person signs in."""
        fields = {
            "nonce": self.nonce,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            # Without it a provider need not say when the person proved who they are.
            "max_age": str(self.max_age_s),
        }
        return {**fields, "prompt": "login"} if self.fresh else fields


def new_sign_in(*, fresh: bool) -> Asked:
    """Begin a sign-in that no answer fits but its own."""
    return Asked(
        state=_system.new_secret(),
        nonce=_system.new_secret(),
        verifier=_system.new_secret(),
        fresh=fresh,
        begun=_system.now(),
    )


def sign_in(
    settings: ClientSettings,
    tell: Callable[[str], object],
    *,
    fresh: bool = False,
    browser: bool = True,
    on_no_browser: Callable[[], bool] = lambda: True,
    wait_s: float = WAIT_S,
) -> Login:
    """Have a person sign in at the provider of the settings, and keep the login.

    Args:
        settings: Name the provider and the client that it knows us as.
        tell: Is given the address that a browser has to open.
        fresh: Whether the person has to prove who they are now, even if they did
            so a while ago.
        browser: Whether to open a browser here.
        on_no_browser: Called on a thread of its own if none could be opened, or it
            ended with an error; returns whether to go on waiting for somebody who
            opens the address elsewhere on this machine.
        wait_s: How long the person may take.

    Raises:
        InvalidArgumentError: The settings name no provider (SETTING_INVALID).
        PermissionDeniedError: The provider refused.
        UnauthenticatedError: What it answered is not usable (TOKEN_INVALID).
        UnavailableError: It does not answer.
        DeadlineExceededError: Nobody signed in.
        PreconditionError: No browser could be opened, and nobody waits
            (SETTING_INVALID).
    """
    issuer = issuer_of(settings)
    endpoints = issuer.discover()
    asked = new_sign_in(fresh=fresh)
    path = redirect_path(settings.login_issuer)
    with Loopback(asked.state, path) as loopback:
        url = authorization_url(settings, endpoints, asked, loopback.redirect_uri)
        tell(url)
        check = _browse(url, on_no_browser) if browser else lambda: None
        answer = loopback.wait(wait_s, check)
        code = _code_of(answer, settings.login_issuer, endpoints)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": loopback.redirect_uri,
            "client_id": settings.login_client_id,
            "code_verifier": asked.verifier,
        }
        given = issuer.post(endpoints.token, form)
    return keep_login(settings, asked, given)


def keep_login(
    settings: ClientSettings, asked: Asked, given: Answer, *, nonce_needed: bool = True
) -> Login:
    """Keep the login that the provider's answer to a sign-in gives.

    Args:
        settings: Whose provider it is.
        asked: The sign-in.
        given: What the provider's token endpoint said.
        nonce_needed: Whether the token must have the sign-in's nonce, or none.

    Raises:
        PermissionDeniedError: It is a refusal.
        UnauthenticatedError: Its token does not answer this sign-in (TOKEN_INVALID).
    """
    if given.error:
        description = given.text("error_description")
        raise refused(given.error, description, settings.login_issuer)
    if not given.text("id_token"):
        raise _unusable("it gave no ID token")
    now = _system.now()
    earliest = asked.begun if asked.fresh else asked.begun - _MAX_AGE
    expected = Expected(
        settings.login_issuer,
        settings.login_client_id,
        asked.nonce,
        earliest,
        nonce_needed=nonce_needed,
    )
    token = read_id_token(given.text("id_token"), expected, now)
    login = _login_of(settings, token)
    save_login(settings, login)
    return login


def _browse(url: str, on_no_browser: Callable[[], bool]) -> Callable[[], None]:
    """Open a browser on a thread; return what raises once waiting is in vain."""
    in_vain = threading.Event()

    def open_browser() -> None:
        if not _opened(url) and not on_no_browser():
            in_vain.set()

    def check() -> None:
        if in_vain.is_set():
            raise _no_browser()

    # A browser in the terminal would hold up the answer that it waits for.
    threading.Thread(target=open_browser, daemon=True).start()
    return check


def _opened(url: str) -> bool:
    """Open a browser; return False if there is none, or it ended with an error."""
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


def _no_browser() -> PreconditionError:
    return PreconditionError(
        "no browser could be opened here, or it ended with an error",
        reason=Reason.SETTING_INVALID,
        hint="`strongroom login --no-browser` waits until you open the address "
        "yourself; the environment's BROWSER names another browser.",
    )


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
        **asked.query(),
    }
    joint = "&" if "?" in endpoints.authorization else "?"
    return f"{endpoints.authorization}{joint}{urlencode(query)}"


def _code_of(answer: Mapping[str, str], issuer: str, endpoints: Endpoints) -> str:
    """Return the code in a redirect.

    Source:
        RFC 9207, section 2.4: a redirect that names its issuer must name ours, and
        one of a provider that always names itself must name it.
    """
    if endpoints.names_itself and "iss" not in answer:
        raise _unusable("the redirect does not say whose it is")
    if answer.get("iss", issuer) != issuer:
        raise _unusable(f"the redirect is of {answer['iss']!r}")
    if "error" in answer:
        raise refused(answer["error"], answer.get("error_description", ""), issuer)
    if not answer.get("code"):
        raise _unusable("the redirect has no code")
    return answer["code"]


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
