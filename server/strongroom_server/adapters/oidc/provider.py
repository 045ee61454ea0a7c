# SPDX-License-Identifier: Apache-2.0
"""The keys of an OpenID Connect provider: asked for in bounds, and remembered.

A provider that hangs holds up one call, and a few that wait for it: everybody else is
answered at once, so that it cannot take the server's threads from programs.
"""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.oidc.documents import fetch_document
from strongroom_server.adapters.oidc.jwks import Keys, parse_keys
from strongroom_server.bounded_http import told
from strongroom_server.ports import Clock

#: Keys are asked for again that often, and whenever a token names an unknown one;
#: for that no more often than the second number, whatever tokens name.
KEYS_AGE_S: Final = 600.0
UNKNOWN_KEY_AGE_S: Final = 30.0
#: After a failure nobody waits for the provider again for so long.
PAUSE_S: Final = 5.0
#: For both documents together.
DEADLINE_S: Final = 6.0
#: Calls that wait for one that asks, such as the first ones after a start.
MAX_WAITING: Final = 4

_DISCOVERY: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class _Known:
    keys: Keys
    since_s: float


class ProviderKeys:
    """The keys of one issuer. Safe to use from many threads."""

    def __init__(self, issuer: str, *, ca_file: Path | None, clock: Clock) -> None:
        """Read the authorities; ask the provider nothing yet.

        Raises:
            PreconditionError: `ca_file` holds no certificates (SETTING_INVALID).
        """
        self._issuer = issuer
        self._clock = clock
        self._tls = _tls(ca_file)
        self._asking = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._known: _Known | None = None
        self._problem = ""
        self._failed_s = 0.0

    def find(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        """Return a key of the issuer; None if it has no such key for that algorithm.

        Raises:
            UnavailableError: The keys, or newer ones, cannot be had
                (LOGIN_UNAVAILABLE).
        """
        name = (key_id, algorithm)
        return self._keys(KEYS_AGE_S).get(name) or self._keys(UNKNOWN_KEY_AGE_S).get(
            name
        )

    def check_current(self) -> None:
        """Check that the last attempt to get the keys worked; makes none.

        Raises:
            UnavailableError: It did not, and why (LOGIN_UNAVAILABLE).
        """
        if self._problem:
            raise self._away()

    def _keys(self, max_age_s: float) -> Keys:
        keys = self._remembered(max_age_s)
        if keys is not None:
            return keys
        with self._alone() as is_alone:
            keys = self._remembered(max_age_s)  # somebody else may have got them
            if keys is not None:
                return keys
            if not is_alone:
                raise self._away()
            now_s = self._clock.monotonic()
            if self._problem and now_s - self._failed_s < PAUSE_S:
                raise self._away()
            try:
                keys = self._fetch()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._problem = _told(error)
                self._failed_s = self._clock.monotonic()
                raise self._away() from error
            self._known, self._problem = _Known(keys, now_s), ""
            return keys

    def _remembered(self, max_age_s: float) -> Keys | None:
        known = self._known
        if known is None or self._clock.monotonic() - known.since_s >= max_age_s:
            return None
        return known.keys

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Tell whether the caller is the one that may ask the issuer now.

        While somebody else asks, a few wait for that; the others do not.
        """
        is_alone = self._asking.acquire(blocking=False)
        if not is_alone and self._waiting.acquire(blocking=False):
            try:
                is_alone = self._asking.acquire(timeout=DEADLINE_S)
            finally:
                self._waiting.release()
        try:
            yield is_alone
        finally:
            if is_alone:
                self._asking.release()

    def _away(self) -> UnavailableError:
        return UnavailableError(
            f"the identity provider {self._issuer} cannot be asked: "
            f"{self._problem or 'it has not answered yet'}",
            reason=Reason.LOGIN_UNAVAILABLE,
            hint="Try again later; without a login the call is the program's.",
            issuer=self._issuer,
        )

    def _fetch(self) -> Keys:
        begun_s = self._clock.monotonic()
        address = self._issuer.rstrip("/") + _DISCOVERY
        found = fetch_document(address, tls=self._tls, timeout_s=DEADLINE_S)
        if found.get("issuer") != self._issuer:
            message = "its discovery document is of another issuer"
            raise ValueError(message)
        left_s = begun_s + DEADLINE_S - self._clock.monotonic()
        address = str(found.get("jwks_uri"))
        return parse_keys(fetch_document(address, tls=self._tls, timeout_s=left_s))


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        message = f"operators.ca_file {ca_file} cannot be read as certificates"
        raise PreconditionError(
            message,
            reason=Reason.SETTING_INVALID,
            hint="It is PEM: the authority of the identity provider's certificate.",
            path=ca_file,
        ) from error


def _told(error: Exception) -> str:
    """Say what failed; what an answer said is not repeated."""
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "its answer is not JSON"
    return told(error)
