# SPDX-License-Identifier: Apache-2.0
"""People behind a connection: the login that a call shows beside its certificate.

The certificate says which program calls, and is checked first. A call that shows a
login is the person's, with the person's rights and none of the program's; a login
that is not good refuses the call, whatever the certificate might do by itself.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from strongroom.errors import Reason, UnauthenticatedError
from strongroom_server.core.operators import invalid_token
from strongroom_server.ports import Clock, TokenVerifier
from strongroom_server.rpc.identity import IdentityRules, Peer, check_revoked

AUTHORIZATION: Final = "authorization"
#: gRPC refuses calls with more than 8 KiB of metadata in all.
MAX_TOKEN_CHARS: Final = 6144

#: Three parts of base64url, none of them empty: a signed token in compact form.
_BEARER: Final = re.compile(r"Bearer ([\w-]+\.[\w-]+\.[\w-]+)\Z", re.ASCII)


class Logins:
    """Finds out who the person is. Safe to use from many threads."""

    def __init__(
        self, tokens: TokenVerifier | None, rules: IdentityRules, clock: Clock
    ) -> None:
        self._tokens = tokens
        self._rules = rules
        self._clock = clock

    def enter(self, peer: Peer, metadata: Iterable[tuple[str, str | bytes]]) -> Peer:
        """Return the caller: the person, if the call shows a login, or `peer`.

        Raises:
            UnauthenticatedError: The login is not good (TOKEN_INVALID), has ended
                (TOKEN_EXPIRED), or is of somebody revoked (IDENTITY_REVOKED).
            UnavailableError: The identity provider cannot be asked
                (LOGIN_UNAVAILABLE).
        """
        shown = [value for key, value in metadata if key == AUTHORIZATION]
        if not shown:
            return peer
        if self._tokens is None:
            message = "the call shows a login, and this server takes none"
            raise UnauthenticatedError(
                message,
                reason=Reason.TOKEN_INVALID,
                hint="Set [operators] on the server, or end the login: "
                "`strongroom logout`.",
            )
        operator = self._tokens.verify(_only_token(shown))
        person = replace(
            peer,
            principal=operator.principal,
            operator=operator,
            auth_age_s=operator.auth_age_s(self._clock.now()),
        )
        check_revoked(person, self._rules)
        return person


def _only_token(shown: list[str | bytes]) -> str:
    if len(shown) > 1:
        raise invalid_token("the call shows more than one")
    (text,) = shown
    if len(text) > MAX_TOKEN_CHARS:
        raise invalid_token(f"it is longer than {MAX_TOKEN_CHARS} characters")
    found = _BEARER.match(text) if isinstance(text, str) else None
    if found is None:
        raise invalid_token("it is no signed bearer token")
    return found[1]
