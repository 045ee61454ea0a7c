# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets for people: tokens, what they claim, keys of issuers, revocations."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from strongroom.errors import InvalidArgumentError, UnauthenticatedError
from strongroom_server.adapters.clock import SystemClock
from strongroom_server.adapters.oidc import OidcTokens
from strongroom_server.adapters.oidc.jwks import ALGORITHMS, parse_keys
from strongroom_server.core.operators import LoginRules, read_operator
from strongroom_server.core.revocation import parse_revocations
from strongroom_server.rpc.identity import IdentityRules, Peer
from strongroom_server.rpc.logins import AUTHORIZATION, Logins

_RULES: Final = LoginRules("https://login.test", "strongroom")
_NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
#: The generator of P-256: a public key that nobody has signed with.
_KEY: Final = jwt.PyJWK(
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
        "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
    },
    "ES256",
)


class _OneKey:
    """An issuer with the same key under every id."""

    def find(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        return _KEY if algorithm == "ES256" else None


def _logins() -> Logins:
    clock = SystemClock()
    tokens = OidcTokens(_RULES, ca_file=None, clock=clock)
    issuer: Any = _OneKey()
    tokens._keys = issuer
    return Logins(tokens, IdentityRules("test"), clock)


_LOGINS: Final = _logins()


def login_token(data: bytes) -> None:
    """Tokens as a call shows them; none is signed by that key."""
    shown = f"Bearer {data.decode('ascii', 'replace')}"
    try:
        _LOGINS.enter(Peer("spiffe://test/a", "", ""), [(AUTHORIZATION, shown)])
    except UnauthenticatedError:
        return
    message = "a token that nobody signed was taken"
    raise AssertionError(message)


def login_claims(data: bytes) -> None:
    """What a token claims, once its signature is known to be good."""
    with suppress(ValueError, RecursionError):
        claims = json.loads(data)
        if isinstance(claims, dict):
            with suppress(UnauthenticatedError):
                operator = read_operator(claims, _RULES, now=_NOW)
                assert operator.principal.isascii()


def published_keys(data: bytes) -> None:
    """The key set of an issuer."""
    with suppress(ValueError, RecursionError):
        document = json.loads(data)
        if isinstance(document, dict):
            found = parse_keys(document)
            assert all(algorithm in ALGORITHMS for _, algorithm in found)


def revocations(data: bytes) -> None:
    """Files of revocations; nobody is revoked by what they do not name."""
    with suppress(UnicodeDecodeError, InvalidArgumentError):
        assert not parse_revocations(data.decode()).name("operator:", "")
