# SPDX-License-Identifier: Apache-2.0
"""`TokenVerifier` over OpenID Connect: signatures by PyJWT, claims by the core."""

import json
from pathlib import Path
from typing import Any, Final

import jwt
from jwt.api_jws import PyJWS

from strongroom_server.adapters.oidc.jwks import ALGORITHMS
from strongroom_server.adapters.oidc.provider import ProviderKeys
from strongroom_server.core.operators import (
    LoginRules,
    Operator,
    invalid_token,
    read_operator,
)
from strongroom_server.ports import Clock, TokenVerifier

#: Where a token may try to bring a key of its own, or rules that we do not know.
_REFUSED_HEADERS: Final = frozenset({"crit", "jku", "jwk", "x5c", "x5u"})
_MAX_ID_CHARS: Final = 256


class OidcTokens:
    """Checks ID tokens of one issuer. Safe to use from many threads.

    The issuer is asked for its keys with the first token, not before: people are
    turned away while it is down, programs are not.
    """

    def __init__(
        self, rules: LoginRules, *, ca_file: Path | None, clock: Clock
    ) -> None:
        """Read the authorities.

        Raises:
            PreconditionError: `ca_file` holds no certificates (SETTING_INVALID).
        """
        self._rules = rules
        self._clock = clock
        self._keys = ProviderKeys(rules.issuer, ca_file=ca_file, clock=clock)
        self._signatures = PyJWS(algorithms=list(ALGORITHMS))

    def verify(self, token: str) -> Operator:
        """Return the person that an ID token names.

        Raises:
            UnauthenticatedError: It is not good (TOKEN_INVALID), or has ended
                (TOKEN_EXPIRED).
            UnavailableError: The issuer's keys cannot be had (LOGIN_UNAVAILABLE).
        """
        claims = self._claims(token)
        return read_operator(claims, self._rules, now=self._clock.now())

    def check_current(self) -> None:
        """Check that the issuer answered when it was asked last; asks nobody.

        Raises:
            UnavailableError: It did not, and why (LOGIN_UNAVAILABLE).
        """
        self._keys.check_current()

    def _claims(self, token: str) -> dict[str, Any]:
        """Return what a token says, once its signature is known to be the issuer's."""
        try:
            header = self._signatures.get_unverified_header(token)
            key_id, algorithm = _signer(header)
            key = self._keys.find(key_id, algorithm)
            if key is None:
                raise invalid_token("it is signed by no key of the issuer")
            told = self._signatures.decode_complete(token, key, algorithms=[algorithm])
            claims = json.loads(told["payload"])
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise invalid_token("its form or its signature is wrong") from error
        if not isinstance(claims, dict):
            raise invalid_token("it holds no claims")
        return claims


def _signer(header: dict[str, Any]) -> tuple[str, str]:
    """Return which key and algorithm a token claims to be signed with."""
    if _REFUSED_HEADERS & header.keys():
        raise invalid_token("it brings a key, or rules, of its own")
    # An access token says that it is one (RFC 9068).
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise invalid_token("it is no ID token")
    key_id, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _MAX_ID_CHARS:
        raise invalid_token("it does not say which key signed it")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise invalid_token("it is not signed by an algorithm that is taken")
    return key_id, algorithm


_verifier: type[TokenVerifier] = OidcTokens
