# SPDX-License-Identifier: Apache-2.0
"""`TokenVerifier` in memory: an identity provider that says what a test wants."""

from collections.abc import Mapping

from strongroom.errors import Reason, UnavailableError
from strongroom_server.core.operators import (
    LoginRules,
    Operator,
    invalid_token,
    read_operator,
)
from strongroom_server.ports import Clock, TokenVerifier


class MemoryLogins:
    """Believes the tokens that it issued itself. Safe to use from many threads."""

    def __init__(self, rules: LoginRules, *, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._issued: dict[str, Mapping[str, object]] = {}
        self._away = False

    def issue(self, claims: Mapping[str, object]) -> str:
        """Return a token for claims, good or bad."""
        token = f"memory.{len(self._issued)}.signed"
        self._issued[token] = dict(claims)
        return token

    def sign_in(self, name: str, *, age_s: int = 0, mfa: bool = True) -> str:
        """Return a good token of a person who signed in `age_s` seconds ago."""
        now_s = int(self._clock.now().timestamp())
        return self.issue(
            {
                "iss": self._rules.issuer,
                "aud": self._rules.audience,
                self._rules.name_claim: name,
                "iat": now_s,
                "exp": now_s + 3600,
                "auth_time": now_s - age_s,
                "amr": ["pwd", "otp", "mfa"] if mfa else ["pwd"],
            }
        )

    def fail(self, *, failing: bool) -> None:
        """Be away, or come back."""
        self._away = failing

    def verify(self, token: str) -> Operator:
        """Return the person that a token of ours names; errors as for the port."""
        self.check_current()
        claims = self._issued.get(token)
        if claims is None:
            raise invalid_token("its form or its signature is wrong")
        return read_operator(claims, self._rules, now=self._clock.now())

    def check_current(self) -> None:
        """Raise if the provider is away (LOGIN_UNAVAILABLE)."""
        if self._away:
            message = "the identity provider cannot be asked"
            raise UnavailableError(message, reason=Reason.LOGIN_UNAVAILABLE)


_verifier: type[TokenVerifier] = MemoryLogins
