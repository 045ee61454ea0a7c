# SPDX-License-Identifier: Apache-2.0
"""Signing in on another device: an address and a short code to type in there."""

import threading
from collections.abc import Callable
from typing import Final

from strongroom import _system
from strongroom._login.flow import WAIT_S, issuer_of, keep_login, new_sign_in
from strongroom._login.issuer import Answer, Issuer, refused
from strongroom._login.logins import Login
from strongroom.config import ClientSettings
from strongroom.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    Reason,
)

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
#: Between two questions whether the person is done, in seconds, unless the provider
#: says otherwise; and what is added each time it asks for patience.
_INTERVAL_S: Final = 5.0
_PATIENCE_S: Final = 5.0
_LEAST_INTERVAL_S: Final = 0.1
_PENDING: Final = "authorization_pending"
_SLOW_DOWN: Final = "slow_down"
_EXPIRED: Final = "expired_token"


def sign_in_by_code(
    settings: ClientSettings,
    tell: Callable[[str, str], None],
    *,
    fresh: bool = False,
    wait_s: float = WAIT_S,
) -> Login:
    """Have a person sign in on a device with a browser, and keep the login.

    Args:
        settings: Name the provider and the client that it knows us as.
        tell: Is given the address to open there, and the code to type in.
        fresh: Whether the person has to prove who they are now.
        wait_s: How long the person may take; the provider may allow less.

    Raises:
        StrongroomError: As `sign_in`; and the provider may offer no such way
            (SETTING_INVALID).

    Source:
        RFC 8628, sections 3.1 to 3.5.
    """
    issuer = issuer_of(settings)
    endpoints = issuer.discover()
    if not endpoints.device_authorization:
        raise _no_device_flow(settings.login_issuer)
    asked = new_sign_in(fresh=fresh)
    form = {
        "client_id": settings.login_client_id,
        "scope": settings.login_scopes,
        **asked.query(),
    }
    begun = issuer.post(endpoints.device_authorization, form)
    address, code, device_code = (
        begun.text(name) for name in ("verification_uri", "user_code", "device_code")
    )
    if begun.error or not (address and code and device_code):
        told = begun.text("error_description")
        raise refused(begun.error or "no code", told, settings.login_issuer)
    tell(address, code)
    question = {
        "grant_type": _GRANT,
        "device_code": device_code,
        "client_id": settings.login_client_id,
        "code_verifier": asked.verifier,
    }
    wait_s = min(wait_s, _seconds(begun, "expires_in", wait_s))
    interval_s = max(_seconds(begun, "interval", _INTERVAL_S), _LEAST_INTERVAL_S)
    given = _poll(issuer, endpoints.token, question, interval_s, wait_s)
    # The standard's request has no nonce; a provider that tells one tells ours.
    return keep_login(settings, asked, given, nonce_needed=False)


def _poll(
    issuer: Issuer,
    url: str,
    question: dict[str, str],
    interval_s: float,
    wait_s: float,
) -> Answer:
    """Ask until the person is done, never more often than the provider wants."""
    deadline = _system.monotonic_s() + wait_s
    pause = threading.Event()
    while _system.monotonic_s() + interval_s <= deadline:
        pause.wait(interval_s)
        given = issuer.post(url, question)
        if given.error == _SLOW_DOWN:
            interval_s += _PATIENCE_S
        elif given.error == _EXPIRED:
            break
        elif given.error != _PENDING:
            return given
    message = f"nobody signed in within {wait_s:g} seconds"
    raise DeadlineExceededError(message, hint="Run `strongroom login` again.")


def _seconds(answer: Answer, name: str, default: float) -> float:
    value = answer.fields.get(name, default)
    good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return float(str(value)) if good else default


def _no_device_flow(issuer: str) -> InvalidArgumentError:
    message = f"{issuer} has no way to sign in on another device"
    return InvalidArgumentError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Run `strongroom login` where there is a browser.",
    )
