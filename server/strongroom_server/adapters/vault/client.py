# SPDX-License-Identifier: Apache-2.0
"""Requests to Vault with a token that is kept alive.

The token is renewed, or replaced by another login, by the first request after half
of its life; where Vault refuses a request with it, the server logs in again. A
login that fails while the token still works costs nobody anything.
"""

import json
import logging
import threading
from dataclasses import dataclass, field, replace
from typing import Any, Final

from strongroom.errors import PreconditionError, Reason, StrongroomError
from strongroom_server.adapters.vault.failures import (
    Refusal,
    access_denied,
    is_denied,
    unavailable,
)
from strongroom_server.adapters.vault.logins import Grant, granted
from strongroom_server.adapters.vault.settings import VaultSettings
from strongroom_server.adapters.vault.transport import Call, VaultTransport
from strongroom_server.ports import Clock

_LOG: Final = logging.getLogger("strongroom_server.vault")

#: After a login that a refused request made necessary, none is made for so long: a
#: policy that denies something must not turn each request into a login.
RELOGIN_PAUSE_S: Final = 10.0
#: What Vault's JWT method forgives, too.
MAX_SKEW_S: Final = 60.0
#: After a failed attempt to replace a token that still works.
RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, the life that its login gave it, and monotonic times.

    From `renew_time` on it is renewed, from `expire_time` on given up.
    """

    value: str = field(repr=False)
    ttl_s: float
    renewable: bool
    renew_time: float
    expire_time: float


class VaultClient:
    """Authenticated requests to one Vault; safe to use from many threads.

    Logs in with the first request that is asked for.
    """

    def __init__(
        self, settings: VaultSettings, transport: VaultTransport, *, clock: Clock
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._token: _Token | None = None
        self._login_lock = threading.Lock()
        self._relogin_time = float("-inf")

    def request(
        self,
        method: str,
        mount: str,
        operation: str,
        *,
        name: str = "",
        body: dict[str, object] | None = None,
        refused: Refusal | None = None,
    ) -> dict[str, Any]:
        """Make one request and return the `data` of its answer, or {}.

        Arguments and errors are those of `exchange`.
        """
        answer = self.exchange(
            method, mount, operation, name=name, body=body, refused=refused
        )
        return answer.get("data") or {}

    def exchange(
        self,
        method: str,
        mount: str,
        operation: str,
        *,
        name: str = "",
        body: dict[str, object] | None = None,
        refused: Refusal | None = None,
    ) -> dict[str, Any]:
        """Make one request and return Vault's whole answer, or {}.

        Args:
            method: GET, POST or DELETE.
            mount: Where the engine is mounted.
            operation: What to do there; goes to the span.
            name: The key or role that it is done with; does not go to the span.
            body: What to send, as JSON.
            refused: Makes the error for a 400 (else KEK_ACCESS_DENIED).

        Raises:
            UnavailableError: Vault is sealed (KEY_SERVICE_SEALED), or cannot be
                reached, fails or is too slow (KEY_SERVICE_UNAVAILABLE).
            PreconditionError: Vault denies it or the login (KEK_ACCESS_DENIED), the
                key or its engine is not there (KEK_MISSING), or a file of the login
                cannot be used (SETTING_INVALID).
        """
        call = Call(method, mount, operation, name, body, refused or _refused)
        deadline = self._clock.monotonic() + self._settings.deadline_s
        token = self._usable_token(deadline)
        try:
            return self._transport.send(call, token.value, deadline)
        except PreconditionError as error:
            if not is_denied(error):
                raise
            # Revoked, expired early, or lost with Vault's storage: log in once more.
            another = self._token_after(token, deadline)
            if another is None:
                raise
            return self._transport.send(call, another.value, deadline)

    def check_clock(self) -> None:
        """Compare Vault's clock with ours, by the answer to an audited request.

        Raises:
            UnavailableError: They are too far apart (KEY_SERVICE_UNAVAILABLE);
                otherwise as `request`.
        """
        self.request("GET", "auth/token", "lookup-self")
        skew_s = self._transport.skew_s
        if skew_s is not None and abs(skew_s) > MAX_SKEW_S:
            side = "ahead of" if skew_s > 0 else "behind"
            message = (
                f"Vault's clock is {abs(skew_s):.0f} seconds {side} this server's:"
                " logins by JWT and certificates will fail"
            )
            raise unavailable(message, hint="Mend the clock that is wrong (NTP).")

    def _usable_token(self, deadline: float) -> _Token:
        """Return a token that is good for now; renew or log in if none is."""
        token = self._token
        now = self._clock.monotonic()
        if token is not None and now < token.renew_time:
            return token
        still_good = token is not None and now < token.expire_time
        # While a token still works, one thread renews it and the others go on.
        wait_s = 0.0 if still_good else max(0.0, deadline - now)
        if not self._login_lock.acquire(timeout=wait_s):
            if token is not None and still_good:
                return token
            raise unavailable("the login at Vault did not end in time")
        try:
            if self._token is not None and self._token is not token:
                return self._token
            if token is not None and still_good:
                # The request itself needs the other half of the time.
                half = now + (deadline - now) / 2
                self._token = self._prolonged(token, half)
            else:
                self._token = None
                self._token = self._login(deadline)
            return self._token
        finally:
            self._login_lock.release()

    def _token_after(self, refused: _Token, deadline: float) -> _Token | None:
        """Return another token than one that was refused.

        None if that token is the work of a moment ago: then it is not the token that
        Vault refuses, but what it asked for.
        """
        wait_s = max(0.0, deadline - self._clock.monotonic())
        if not self._login_lock.acquire(timeout=wait_s):
            raise unavailable("the login at Vault did not end in time")
        try:
            if self._token is not None and self._token is not refused:
                return self._token
            now = self._clock.monotonic()
            if now - self._relogin_time < RELOGIN_PAUSE_S:
                return None
            self._token = None
            self._token = self._login(deadline)
            self._relogin_time = now
            return self._token
        finally:
            self._login_lock.release()

    def _prolonged(self, token: _Token, deadline: float) -> _Token:
        """Return the token with a new life, another one, or the same for a while."""
        try:
            return self._renewed(token, deadline) or self._login(deadline)
        except StrongroomError as error:
            # Whoever needs Vault hears of its faults; this is for the faults of the
            # login alone, which would else be seen only when the token has ended.
            now = self._clock.monotonic()
            line = {
                "event": "vault_token_not_renewed",
                "reason": error.reason,
                "ends_in_s": round(token.expire_time - now),
            }
            _LOG.warning("%s", json.dumps(line))
            return replace(token, renew_time=now + RETRY_S)

    def _renewed(self, token: _Token, deadline: float) -> _Token | None:
        """Return the token with a new life, or None if it can have none."""
        if not token.renewable or not self._settings.login.prolongs:
            return None
        call = Call("POST", "auth/token", "renew-self", "", {}, _refused)
        try:
            answer = self._transport.send(call, token.value, deadline)
        except PreconditionError as error:
            if error.reason is Reason.KEK_ACCESS_DENIED:
                return None
            raise
        renewed = self._token_of(granted(answer))
        # Near its maximal life a token is prolonged by less and less; compare with
        # what the login gave, or that would shrink unnoticed.
        if renewed.ttl_s <= token.ttl_s / 2:
            return None
        return replace(renewed, ttl_s=token.ttl_s)

    def _login(self, deadline: float) -> _Token:
        login = self._settings.login
        request = login.request()
        call = Call(
            request.method,
            request.mount,
            request.operation,
            "",
            request.body,
            login.refused,
            login.refused,
            request.certificate,
        )
        return self._token_of(
            login.grant(self._transport.send(call, request.token, deadline))
        )

    def _token_of(self, grant: Grant) -> _Token:
        now = self._clock.monotonic()
        return _Token(
            value=grant.token,
            ttl_s=grant.ttl_s,
            renewable=grant.renewable,
            renew_time=now + grant.ttl_s / 2,
            expire_time=now + grant.ttl_s * 0.9,
        )


def _refused() -> PreconditionError:
    return access_denied("Vault refused the server's request")
