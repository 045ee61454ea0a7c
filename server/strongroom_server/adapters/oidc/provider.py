# SPDX-License-Identifier: Apache-2.0
"""What an OpenID Connect provider publishes: found over HTTPS, bounded, remembered."""

import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt

from strongroom.errors import PreconditionError, Reason, UnavailableError
from strongroom_server.adapters.oidc.jwks import Keys, parse_keys
from strongroom_server.ports import Clock

#: Keys are asked for again that often, and whenever a token names an unknown one;
#: for that no more often than the second number, whatever tokens name.
KEYS_AGE_S: Final = 600.0
UNKNOWN_KEY_AGE_S: Final = 30.0
#: After a failure nobody waits for the provider again for so long.
PAUSE_S: Final = 5.0
#: For both documents together; each step of the connection may take the second.
DEADLINE_S: Final = 6.0
STEP_S: Final = 3.0
MAX_BYTES: Final = 256 * 1024

_DISCOVERY: Final = "/.well-known/openid-configuration"
_READ_BYTES: Final = 16 * 1024


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
        self._lock = threading.Lock()
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
        known = self._known
        if known is not None and self._age_s(known) < max_age_s:
            return known.keys
        with self._lock:
            known = self._known
            if known is not None and self._age_s(known) < max_age_s:
                return known.keys  # somebody else has just got them
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

    def _age_s(self, known: _Known) -> float:
        return self._clock.monotonic() - known.since_s

    def _away(self) -> UnavailableError:
        return UnavailableError(
            f"the identity provider {self._issuer} cannot be asked: {self._problem}",
            reason=Reason.LOGIN_UNAVAILABLE,
            hint="Try again later; without a login the call is the program's.",
            issuer=self._issuer,
        )

    def _fetch(self) -> Keys:
        deadline_s = self._clock.monotonic() + DEADLINE_S
        found = self._get(self._issuer.rstrip("/") + _DISCOVERY, deadline_s)
        if found.get("issuer") != self._issuer:
            message = "its discovery document is of another issuer"
            raise ValueError(message)
        return parse_keys(self._get(str(found.get("jwks_uri")), deadline_s))

    def _get(self, url: str, deadline_s: float) -> Mapping[str, Any]:
        """Return a JSON object; a redirect, or anything but HTTPS, is an error."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            message = "it names an address that is not https"
            raise ValueError(message)
        connection = http.client.HTTPSConnection(
            parts.hostname,
            parts.port,
            timeout=min(STEP_S, self._left_s(deadline_s)),
            context=self._tls,
        )
        target = f"{parts.path or '/'}?{parts.query}".rstrip("?")
        with closing(connection):
            connection.request("GET", target, headers={"Accept": "application/json"})
            with connection.getresponse() as response:
                if response.status != http.client.OK:
                    message = f"it answered with status {response.status}"
                    raise ValueError(message)
                answer = self._read(response, deadline_s)
        try:
            document = json.loads(answer)
        except RecursionError as error:
            message = "its answer is nested too deeply"
            raise ValueError(message) from error
        if not isinstance(document, dict):
            message = "its answer is no JSON object"
            raise ValueError(message)  # noqa: TRY004 (of an answer, not of a program)
        return document

    def _read(self, response: http.client.HTTPResponse, deadline_s: float) -> bytes:
        parts: list[bytes] = []
        total = 0
        while part := response.read1(_READ_BYTES):
            self._left_s(deadline_s)
            total += len(part)
            if total > MAX_BYTES:
                message = f"its answer is longer than {MAX_BYTES} bytes"
                raise ValueError(message)
            parts.append(part)
        return b"".join(parts)

    def _left_s(self, deadline_s: float) -> float:
        left_s = deadline_s - self._clock.monotonic()
        if left_s <= 0:
            message = "it took too long"
            raise TimeoutError(message)
        return left_s


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
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good: {error.verify_message}"
        case TimeoutError():
            return "it took too long"
        case json.JSONDecodeError() | UnicodeDecodeError():
            return "its answer is not JSON"
        case ValueError():
            return str(error)
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return type(error).__name__
