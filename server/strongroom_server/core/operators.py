# SPDX-License-Identifier: Apache-2.0
"""People: what a login at the identity provider must say, and whom it names.

A person calls over a program's certificate and shows an OpenID Connect ID token
beside it. Whoever has checked the token's signature hands its claims to
`read_operator`; without a good signature they say nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.errors import Reason, UnauthenticatedError

#: What principals of people begin with; a SPIFFE id never does.
PREFIX: Final = "operator:"
#: A person's name, as assignments, policies and audit entries spell it.
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}"
#: How far the clocks of provider and server may be apart.
LEEWAY: Final = timedelta(seconds=30)
#: The method of authentication (RFC 8176) that says two factors. A key in hardware
#: that somebody touched, `hwk` and `user`, is one.
MFA_METHOD: Final = "mfa"

_NAME: Final = re.compile(rf"{NAME}\Z")
_MAX_METHODS: Final = 16
_MAX_METHOD_CHARS: Final = 32
_MAX_CHARS: Final = 256
#: Seconds since 1970 before the year 10000: what a `datetime` can hold.
_END_OF_TIME: Final = 253_402_300_800
_HINT: Final = "Sign in again: `strongroom login`."


@dataclass(frozen=True, slots=True)
class LoginRules:
    """Which logins are taken, and what in them counts.

    Attributes:
        issuer: Who must have issued them; compared as it is written.
        audience: The client id that they must be for.
        name_claim: The claim that holds the person's name.
        acr_values: Classes of authentication that are two factors.
        max_age: How long ago the person may have signed in at most.
    """

    issuer: str
    audience: str
    name_claim: str = "sub"
    acr_values: tuple[str, ...] = ("phr", "phrh")
    max_age: timedelta = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who has signed in.

    Attributes:
        name: Such as `alice`.
        auth_time: When they last proved who they are.
        mfa: Whether they did so with two factors.
        acr: The provider's class of that proof; may be "".
        amr: Its methods; may be none.
    """

    name: str
    auth_time: datetime
    mfa: bool = False
    acr: str = ""
    amr: tuple[str, ...] = ()

    @property
    def principal(self) -> str:
        """The person as a principal: `operator:alice`."""
        return PREFIX + self.name

    def auth_age_s(self, now: datetime) -> int:
        """Return the whole seconds since they last proved who they are."""
        return max(int((now - self.auth_time).total_seconds()), 0)


def is_operator(principal: str) -> bool:
    """Tell whether a principal is a person."""
    return principal.startswith(PREFIX)


def read_operator(
    claims: Mapping[str, object], rules: LoginRules, *, now: datetime
) -> Operator:
    """Return the person that an ID token names, after checking all it claims.

    Args:
        claims: Of a token whose signature was checked.
        rules: What is taken.
        now: The time.

    Raises:
        UnauthenticatedError: The token is not for us, or says too little
            (TOKEN_INVALID), or it or the login behind it has ended (TOKEN_EXPIRED).
    """
    _check_parties(claims, rules)
    _check_times(claims, now)
    auth_time = _time(claims, "auth_time")
    if auth_time > now + LEEWAY:
        raise invalid_token("its auth_time lies in the future")
    if now - auth_time > rules.max_age + LEEWAY:
        raise _ended(f"they signed in longer than {rules.max_age} ago")
    acr, amr = _text(claims, "acr"), _methods(claims)
    return Operator(
        name=_person(claims, rules.name_claim),
        auth_time=auth_time,
        mfa=acr in rules.acr_values or MFA_METHOD in amr,
        acr=acr,
        amr=amr,
    )


def invalid_token(why: str) -> UnauthenticatedError:
    """Return the refusal of a token; `why` quotes nothing of it that is secret."""
    return UnauthenticatedError(
        f"the login that the call shows is not good: {why}",
        reason=Reason.TOKEN_INVALID,
        hint=_HINT,
    )


def _ended(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        f"the login that the call shows has ended: {why}",
        reason=Reason.TOKEN_EXPIRED,
        hint=_HINT,
    )


def _check_parties(claims: Mapping[str, object], rules: LoginRules) -> None:
    if claims.get("iss") != rules.issuer:
        raise invalid_token("it is of another issuer")
    # Some providers say what a token is in a claim; others only in the header.
    if claims.get("typ", "ID") != "ID":
        raise invalid_token("it is no ID token")
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if rules.audience not in named:
        raise invalid_token("it is for another audience")
    authorized = claims.get("azp", None if len(named) > 1 else rules.audience)
    if authorized != rules.audience:
        raise invalid_token("it was issued to another client")


def _check_times(claims: Mapping[str, object], now: datetime) -> None:
    # What ends with the last year that there is has no later time.
    if now - LEEWAY >= _time(claims, "exp"):
        raise _ended("its time is over")
    if _time(claims, "iat") > now + LEEWAY:
        raise invalid_token("it was issued in the future")
    if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY:
        raise invalid_token("it is not valid yet")


def _time(claims: Mapping[str, object], claim: str) -> datetime:
    value = claims.get(claim)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        # Not a number is in no range.
        or not 0 <= value < _END_OF_TIME
    ):
        raise invalid_token(f"it has no good {claim}")
    return datetime.fromtimestamp(value, UTC)


def _person(claims: Mapping[str, object], claim: str) -> str:
    name = claims.get(claim)
    if not isinstance(name, str) or not _NAME.match(name):
        raise invalid_token(f"its claim {claim} is no name of a person")
    if claim == "email" and claims.get("email_verified") is not True:
        raise invalid_token("nobody has verified its email")
    return name


def _text(claims: Mapping[str, object], claim: str) -> str:
    value = claims.get(claim, "")
    if not _is_plain(value, _MAX_CHARS):
        raise invalid_token(f"its claim {claim} is no short text")
    return str(value)


def _methods(claims: Mapping[str, object]) -> tuple[str, ...]:
    value = claims.get("amr", [])
    if (
        not isinstance(value, list)
        or len(value) > _MAX_METHODS
        or not all(_is_plain(item, _MAX_METHOD_CHARS) for item in value)
    ):
        raise invalid_token("its claim amr is no short list of texts")
    return tuple(value)


def _is_plain(value: object, max_chars: int) -> bool:
    """Tell whether a value may stand in the audit log as it is."""
    return (
        isinstance(value, str)
        and len(value) <= max_chars
        and value.isascii()
        and value.isprintable()
    )
