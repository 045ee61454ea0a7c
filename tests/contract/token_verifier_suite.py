# SPDX-License-Identifier: Apache-2.0
"""What every `TokenVerifier` must do; run in memory and on a real HTTPS issuer."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

import pytest

from strongroom.errors import Reason, UnauthenticatedError, UnavailableError
from strongroom_server.core.operators import LEEWAY
from strongroom_server.ports import TokenVerifier
from tests.support.clock import ManualClock

#: Makes a signed token of claims.
Issue = Callable[[Mapping[str, object]], str]


class Fail(Protocol):
    """Takes the provider away, or brings it back."""

    def __call__(self, *, failing: bool) -> None: ...


class TokenVerifierSuite:
    """Subclasses give fixtures `clock`, `verifier`, `issue`, `claims` and `fail`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    def test_a_good_token_names_a_person_and_how_they_signed_in(
        self,
        verifier: TokenVerifier,
        issue: Issue,
        claims: dict[str, Any],
        clock: ManualClock,
    ) -> None:
        token = issue(claims)
        clock.advance(61.5)

        operator = verifier.verify(token)

        assert (operator.name, operator.principal) == ("alice", "operator:alice")
        assert (operator.mfa, operator.amr) == (True, ("pwd", "otp", "mfa"))
        assert operator.auth_age_s(clock.now()) == 61
        verifier.check_current()

    def test_a_token_is_good_again_and_again_until_it_ends(
        self,
        verifier: TokenVerifier,
        issue: Issue,
        claims: dict[str, Any],
        clock: ManualClock,
    ) -> None:
        token = issue(claims)
        lives_s = claims["exp"] - clock.now().timestamp() + LEEWAY.total_seconds()
        clock.advance(lives_s - 1)
        assert verifier.verify(token) == verifier.verify(token)

        clock.advance(1)
        with pytest.raises(UnauthenticatedError) as caught:
            verifier.verify(token)

        assert caught.value.reason is Reason.TOKEN_EXPIRED

    @pytest.mark.parametrize(
        "change",
        [
            {"iss": "https://evil.example"},
            {"aud": "another"},
            {"auth_time": None},
            {"sub": "*"},
            {"iat": int((ManualClock().now() + timedelta(hours=1)).timestamp())},
        ],
        ids=str,
    )
    def test_what_a_token_claims_is_checked(
        self,
        verifier: TokenVerifier,
        issue: Issue,
        claims: dict[str, Any],
        change: dict[str, object],
    ) -> None:
        with pytest.raises(UnauthenticatedError) as caught:
            verifier.verify(issue({**claims, **change}))

        assert caught.value.reason is Reason.TOKEN_INVALID
        assert caught.value.hint

    @pytest.mark.parametrize(
        "text", ["", "a", "a.b", "a.b.c", "..", "é.é.é", "a.b.c.d"]
    )
    def test_what_nobody_issued_is_refused(
        self, verifier: TokenVerifier, text: str
    ) -> None:
        with pytest.raises(UnauthenticatedError) as caught:
            verifier.verify(text)

        assert caught.value.reason is Reason.TOKEN_INVALID

    def test_while_the_provider_is_away_nobody_is_let_in(
        self,
        verifier: TokenVerifier,
        issue: Issue,
        claims: dict[str, Any],
        fail: Fail,
        clock: ManualClock,
    ) -> None:
        token = issue(claims)
        fail(failing=True)

        with pytest.raises(UnavailableError) as caught:
            verifier.verify(token)
        with pytest.raises(UnavailableError):
            verifier.check_current()
        fail(failing=False)
        clock.advance(10)

        assert caught.value.reason is Reason.LOGIN_UNAVAILABLE
        assert verifier.verify(token).name == "alice"
        verifier.check_current()
