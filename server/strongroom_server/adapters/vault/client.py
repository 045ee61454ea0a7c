# SPDX-License-Identifier: Apache-2.0
"""Requests to Vault with a token that is kept alive.

The server logs in by AppRole. Its token is renewed by the first request after half
of its life; where Vault will not prolong it, or refuses a request with it, the
server logs in again, reading its secret id anew.
"""

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from strongroom.errors import PreconditionError, Reason
from strongroom_server.adapters.vault.failures import (
    Refusal,
    access_denied,
    is_denied,
    unavailable,
)
from strongroom_server.adapters.vault.settings import VaultSettings, read_secret
from strongroom_server.adapters.vault.transport import Call, VaultTransport
from strongroom_server.ports import Clock


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

        Args:
            method: GET or POST.
            mount: Where the engine is mounted.
            operation: What to do there; goes to the span.
            name: The key or role that it is done with; does not go to the span.
            body: What to send, as JSON.
            refused: Makes the error for a 400 (else KEK_ACCESS_DENIED).

        Raises:
            UnavailableError: Vault is sealed (KEY_SERVICE_SEALED), or cannot be
                reached, fails or is too slow (KEY_SERVICE_UNAVAILABLE).
            PreconditionError: Vault denies it (KEK_ACCESS_DENIED), or the key is
                not there (KEK_MISSING).
        """
        call = Call(method, mount, operation, name, body, refused or _refused)
        deadline = self._clock.monotonic() + self._settings.deadline_s
        token = self._usable_token(deadline)
        try:
            answer = self._transport.send(call, token.value, deadline)
        except PreconditionError as error:
            if not is_denied(error):
                raise
            # Revoked, expired early, or lost with Vault's storage: log in once more.
            token = self._token_after(token, deadline)
            answer = self._transport.send(call, token.value, deadline)
        return answer.get("data") or {}

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
            self._token = self._renewed(token, deadline) if still_good else None
            self._token = self._token or self._login(deadline)
            return self._token
        finally:
            self._login_lock.release()

    def _token_after(self, refused: _Token, deadline: float) -> _Token:
        """Return another token than one that was refused."""
        wait_s = max(0.0, deadline - self._clock.monotonic())
        if not self._login_lock.acquire(timeout=wait_s):
            raise unavailable("the login at Vault did not end in time")
        try:
            if self._token is None or self._token is refused:
                self._token = None
                self._token = self._login(deadline)
            return self._token
        finally:
            self._login_lock.release()

    def _renewed(self, token: _Token | None, deadline: float) -> _Token | None:
        """Return the token with a new life, or None if it can have none."""
        if token is None or not token.renewable:
            return None
        call = Call("POST", "auth/token", "renew-self", "", {}, _refused)
        try:
            renewed = self._token_of(self._transport.send(call, token.value, deadline))
        except PreconditionError as error:
            if error.reason is Reason.KEK_ACCESS_DENIED:
                return None
            raise
        # Near its maximal life a token is prolonged by less and less; compare with
        # what the login gave, or that would shrink unnoticed.
        if renewed.ttl_s <= token.ttl_s / 2:
            return None
        return replace(renewed, ttl_s=token.ttl_s)

    def _login(self, deadline: float) -> _Token:
        settings = self._settings
        body: dict[str, object] = {
            "role_id": read_secret(settings.role_id_file),
            "secret_id": read_secret(settings.secret_id_file),
        }
        mount = f"auth/{settings.approle_mount}"
        call = Call("POST", mount, "login", "", body, _login_refused)
        return self._token_of(self._transport.send(call, "", deadline))

    def _token_of(self, answer: dict[str, Any]) -> _Token:
        auth = answer.get("auth") or {}
        value, ttl_s = auth.get("client_token"), auth.get("lease_duration")
        if not isinstance(value, str) or not value or not isinstance(ttl_s, int):
            raise unavailable("Vault's answer to the login cannot be understood")
        now = self._clock.monotonic()
        # A lease of 0 is one that never ends.
        life_s = float(ttl_s) if ttl_s > 0 else float("inf")
        return _Token(
            value=value,
            ttl_s=life_s,
            renewable=bool(auth.get("renewable")),
            renew_time=now + life_s / 2,
            expire_time=now + life_s * 0.9,
        )


def _refused() -> PreconditionError:
    return access_denied("Vault refused the server's request")


def _login_refused() -> PreconditionError:
    return access_denied("Vault refused the server's role id or secret id")
