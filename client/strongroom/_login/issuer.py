# SPDX-License-Identifier: Apache-2.0
"""An identity provider over HTTPS: what it offers, and codes exchanged for tokens."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from strongroom.config import NO_FILE, is_https
from strongroom.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    Reason,
    UnavailableError,
)

_TIMEOUT_S: Final = 15.0
_MAX_ANSWER_BYTES: Final = 256 * 1024
_DISCOVERY: Final = "/.well-known/openid-configuration"
_NAMES_ITSELF: Final = "authorization_response_iss_parameter_supported"
_OK: Final = 200
_SERVER_ERROR: Final = 500
_FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider takes what; all by HTTPS."""

    authorization: str
    token: str
    #: Empty if the provider has no device flow.
    device_authorization: str = ""
    #: Whether each redirect from the provider says whose it is (RFC 9207).
    names_itself: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said to a form: a JSON object, or an OAuth error."""

    status: int
    fields: Mapping[str, object]

    @property
    def error(self) -> str:
        """The OAuth error code; empty if it went well."""
        if self.status == _OK:
            return ""
        return str(self.fields.get("error", "")) or f"status {self.status}"

    def text(self, name: str) -> str:
        """Return a field that is text; empty if it is not."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""


class Issuer:
    """One provider, known by its URL and the authorities that vouch for it.

    Args:
        url: As its tokens name it, `https://…`.
        ca_file: PEM; the machine's own authorities if it is `NO_FILE`.
        timeout_s: For one exchange as a whole.
    """

    def __init__(
        self, url: str, ca_file: Path = NO_FILE, *, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self.url = url
        self._ca_file = ca_file
        self._timeout_s = timeout_s

    def discover(self) -> Endpoints:
        """Ask the provider what it offers.

        Raises:
            InvalidArgumentError: It is another provider, or says no `https` address
                (SETTING_INVALID).
            UnavailableError: No answer (TRANSPORT).

        Source:
            OpenID Connect Discovery 1.0, sections 4.1 to 4.3.
        """
        answer = self._request("GET", self.url.rstrip("/") + _DISCOVERY)
        if answer.status != _OK or answer.fields.get("issuer") != self.url:
            found = answer.fields.get("issuer", f"status {answer.status}")
            message = f"{self.url} is not an identity provider of that name: {found}"
            raise _bad_issuer(message)
        endpoints = Endpoints(
            answer.text("authorization_endpoint"),
            answer.text("token_endpoint"),
            answer.text("device_authorization_endpoint"),
            answer.fields.get(_NAMES_ITSELF) is True,
        )
        for url in (endpoints.authorization, endpoints.token):
            _check_https(url)
        if endpoints.device_authorization:
            _check_https(endpoints.device_authorization)
        return endpoints

    def post(self, url: str, form: Mapping[str, str]) -> Answer:
        """Send a form, and return the answer whatever it says.

        Raises:
            UnavailableError: No answer, or the provider failed (TRANSPORT).
        """
        return self._request("POST", url, urlencode(form))

    def _request(self, method: str, url: str, body: str | None = None) -> Answer:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = _FORM
        context = self._tls()
        try:
            connection = http.client.HTTPSConnection(
                parts.hostname or "",
                parts.port,
                timeout=self._timeout_s,
                context=context,
            )
            with contextlib.closing(connection), _deadline(connection, self._timeout_s):
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                content = response.read(_MAX_ANSWER_BYTES + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._away(f"{type(error).__name__}: {error}") from error
        if len(content) > _MAX_ANSWER_BYTES or response.status >= _SERVER_ERROR:
            raise self._away(f"it answers {response.status} to {parts.path}")
        return Answer(response.status, _fields(content))

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(
                cafile=None if self._ca_file == NO_FILE else str(self._ca_file)
            )
        except (OSError, ssl.SSLError) as error:
            message = f"the authorities in {self._ca_file} cannot be read"
            raise InvalidArgumentError(
                message,
                reason=Reason.SETTING_INVALID,
                hint="Correct login_ca_file in client.toml.",
                path=self._ca_file,
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _away(self, problem: str) -> UnavailableError:
        message = f"the identity provider {self.url} does not answer: {problem}"
        return UnavailableError(
            message,
            hint="Try again in a moment; check login_issuer and login_ca_file.",
            issuer=self.url,
        )


def refused(error: str, description: str, issuer: str) -> PermissionDeniedError:
    """Return what it means that a provider said no."""
    told = f"{error}: {description}" if description else error
    message = f"the identity provider refused the sign-in: {told[:300]}"
    return PermissionDeniedError(
        message, hint="Try `strongroom login` again.", issuer=issuer, error=error
    )


@contextlib.contextmanager
def _deadline(
    connection: http.client.HTTPSConnection, timeout_s: float
) -> Iterator[None]:
    """End an exchange that sends a little at a time for ever."""

    def cut() -> None:
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _fields(content: bytes) -> Mapping[str, object]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _check_https(url: str) -> None:
    if not is_https(url):
        message = f"the identity provider names {url!r}, which is not https"
        raise _bad_issuer(message)


def _bad_issuer(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        message,
        reason=Reason.SETTING_INVALID,
        hint="Correct login_issuer in client.toml.",
    )
