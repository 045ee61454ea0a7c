# SPDX-License-Identifier: Apache-2.0
"""What an ID token says of a person; whether it is true is the server's to check."""

import base64
import hmac
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.errors import Reason, UnauthenticatedError

#: What servers take; a provider that says more has to be told to say less.
MAX_TOKEN_BYTES: Final = 6144
#: How far the clocks of provider and client may be apart.
LEEWAY: Final = timedelta(seconds=60)
#: Header, claims and signature, none of them empty.
_SIGNED: Final = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class IdToken:
    """One person, as a provider described them at one time."""

    #: As it came; good for whoever has it.
    text: str = field(repr=False)
    #: What the provider calls the person; for people, never decides anything.
    name: str
    #: When the person last proved who they are.
    auth_time: datetime
    expire_time: datetime
    #: How they proved it, in the provider's words (RFC 8176).
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say to be the answer to one sign-in."""

    issuer: str
    client_id: str
    nonce: str
    #: The person must have proved who they are at this time or later.
    earliest_auth_time: datetime
    #: Whether a token without any nonce is refused.
    nonce_needed: bool = True


def read_id_token(text: str, expected: Expected, now: datetime) -> IdToken:
    """Check that a token answers our sign-in, and read it.

    Its signature is not looked at: it came over TLS from the issuer itself.

    Raises:
        UnauthenticatedError: It is malformed, for somebody else, or an answer to
            another sign-in (TOKEN_INVALID).

    Source:
        OpenID Connect Core 1.0, section 3.1.3.7: the steps, and the one left out.
    """
    claims = _claims_of(text)
    _check_parties(claims, expected)
    expire_time = _time(claims, "exp")
    auth_time = _time(claims, "auth_time")
    if expire_time <= now - LEEWAY:
        raise _bad(f"it has ended at {expire_time:%H:%M:%SZ}: is a clock wrong?")
    if auth_time > now + LEEWAY:
        raise _bad(f"it is of {auth_time:%H:%M:%SZ}, later than now")
    if auth_time < expected.earliest_auth_time - LEEWAY:
        raise _bad(
            f"the provider did not ask anew: the sign-in is of {auth_time:%H:%M:%SZ}"
        )
    methods = _words(claims.get("amr"))
    return IdToken(text, _name(claims), auth_time, expire_time, methods)


def _check_parties(claims: dict[str, object], expected: Expected) -> None:
    """Refuse what somebody else issued, or issued for somebody or something else."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != expected.issuer:
        raise _bad(f"it is of the issuer {claims.get('iss')!r}")
    if expected.client_id not in audiences:
        raise _bad(f"it is for {audience!r}, not for {expected.client_id!r}")
    if len(audiences) > 1 and claims.get("azp") != expected.client_id:
        raise _bad("it is for several parties, and not issued to us")
    nonce = str(claims.get("nonce", "" if expected.nonce_needed else expected.nonce))
    # JSON has halves of characters, too, which are no text.
    told = nonce.encode(errors="replace")
    if not hmac.compare_digest(told, expected.nonce.encode()):
        raise _bad("it answers another sign-in")


def _claims_of(text: str) -> dict[str, object]:
    signed = _SIGNED.fullmatch(text)
    if signed is None or len(text) > MAX_TOKEN_BYTES:
        raise _bad(f"it is no signed token of at most {MAX_TOKEN_BYTES} characters")
    try:
        payload = signed[1] + "=" * (-len(signed[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(payload))
    except (ValueError, RecursionError) as error:
        raise _bad("it cannot be read") from error
    if not isinstance(claims, dict):
        raise _bad("it cannot be read")
    return claims


def _time(claims: dict[str, object], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(f"it does not say {name}")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise _bad(f"its {name} is no time") from error


def _name(claims: dict[str, object]) -> str:
    for claim in ("preferred_username", "email", "sub"):
        value = claims.get(claim)
        if isinstance(value, str) and value:
            return value
    raise _bad("it names nobody")


def _words(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str))


def _bad(problem: str) -> UnauthenticatedError:
    message = f"the identity provider's token is not usable: {problem}"
    return UnauthenticatedError(
        message,
        reason=Reason.TOKEN_INVALID,
        hint="Try `strongroom login` again; if it lasts, ask who runs the provider.",
    )
