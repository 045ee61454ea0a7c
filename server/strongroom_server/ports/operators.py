# SPDX-License-Identifier: Apache-2.0
"""The port of people's logins: whoever checks tokens at the identity provider."""

from typing import Protocol

from strongroom_server.core.operators import Operator


class TokenVerifier(Protocol):
    """Checks the logins that calls show. Safe to use from many threads."""

    def verify(self, token: str) -> Operator:
        """Return the person that an ID token names.

        Raises:
            UnauthenticatedError: It is not good (TOKEN_INVALID), or has ended
                (TOKEN_EXPIRED).
            UnavailableError: What is needed to tell cannot be had from the identity
                provider now (LOGIN_UNAVAILABLE).
        """
        ...

    def check_current(self) -> None:
        """Check that the provider answered when it was asked last; asks nobody.

        Raises:
            UnavailableError: It did not, and why (LOGIN_UNAVAILABLE).
        """
        ...
