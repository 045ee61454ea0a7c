# SPDX-License-Identifier: Apache-2.0
"""Signature version 4, in headers and in URLs, without botocore.

botocore takes nine times as long for each, and a call to the server may be little
more than one request to S3. Bodies are not part of a signature: see `put_new`.

Source:
    AWS, "Signature Version 4 for API requests", with its parts on headers and on
    query parameters.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Final
from urllib.parse import quote, urlsplit

from strongroom_server.adapters.s3.errors import unsuitable
from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.ports import Clock

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go.

    Attributes:
        is_tls: Whether it is `https`.
        hostname: To connect to.
        port: To connect to; None for the scheme's own.
        host: As requests name it.
        path: Put before all others; "" or a path without a last "/".
    """

    is_tls: bool
    hostname: str
    port: int | None
    host: str
    path: str

    @property
    def origin(self) -> str:
        """How URLs begin."""
        return f"{'https' if self.is_tls else 'http'}://{self.host}"


def parse_endpoint(url: str) -> Endpoint:
    """Return what a URL says.

    Raises:
        PreconditionError: It is none, or says more than where the store is
            (STORE_UNSUITABLE).
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise unsuitable("any call", f"its endpoint is no URL: {error}") from error
    suffix = _DEFAULT_PORTS.get(parts.scheme)
    if suffix is None or not parts.hostname or not url.isascii():
        raise unsuitable("any call", "its endpoint is no URL of http or https")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise unsuitable("any call", "its endpoint is more than host, port and path")
    return Endpoint(
        parts.scheme == "https",
        parts.hostname,
        port,
        parts.netloc.removesuffix(suffix),
        parts.path.rstrip("/"),
    )


class S3Signer:
    """Signs requests with the credential of the settings. Safe for many threads.

    Attributes:
        endpoint: Where requests go.

    Raises:
        PreconditionError: The endpoint is none (STORE_UNSUITABLE).
    """

    def __init__(self, settings: S3Settings, clock: Clock) -> None:
        self.endpoint = parse_endpoint(settings.endpoint)
        self._settings = settings
        self._clock = clock
        self._bucket = f"{self.endpoint.path}/{settings.bucket}"
        self._of_day = "", b""

    def path(self, key: str) -> str:
        """Return the path of an object, prefix and all; "" is the bucket itself."""
        return quote(f"{self._bucket}/{key}" if key else self._bucket, safe="/~")

    def signed(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
    ) -> dict[str, str]:
        """Return all headers of a request, those that sign it among them.

        Args:
            method: Of the request.
            path: As `path` returns it.
            query: As `query_of` returns it.
            headers: What else is said; names in lower case.
        """
        time = self._time()
        headed = {
            "host": self.endpoint.host,
            "x-amz-content-sha256": _UNSIGNED,
            "x-amz-date": time,
            **headers,
        }
        if self._settings.session_token:
            headed["x-amz-security-token"] = self._settings.session_token
        names = ";".join(sorted(headed))
        scope = self._scope(time)
        request = _canonical(method, path, query, headed)
        signature = self._signature(time, scope, request)
        headed["authorization"] = (
            f"{_ALGORITHM} Credential={self._settings.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headed

    def signed_url(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime_s: int,
    ) -> str:
        """Return the URL of a request with these parameters, and exactly so headed."""
        headed = {**headers, "host": self.endpoint.host}
        time = self._time()
        scope = self._scope(time)
        given = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self._settings.access_key}/{scope}",
            "X-Amz-Date": time,
            "X-Amz-Expires": str(lifetime_s),
            "X-Amz-SignedHeaders": ";".join(sorted(headed)),
            **params,
        }
        if self._settings.session_token:
            given["X-Amz-Security-Token"] = self._settings.session_token
        query = query_of(given)
        request = _canonical(method, path, query, headed)
        signature = self._signature(time, scope, request)
        return f"{self.endpoint.origin}{path}?{query}&X-Amz-Signature={signature}"

    def _time(self) -> str:
        return f"{self._clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}"

    def _scope(self, time: str) -> str:
        return f"{time[:8]}/{self._settings.region}/s3/aws4_request"

    def _signature(self, time: str, scope: str, request: str) -> str:
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{time}\n{scope}\n{digest}"
        return hmac.digest(self._key(scope), text.encode(), "sha256").hex()

    def _key(self, scope: str) -> bytes:
        """Return the key of a day, a region and a service."""
        kept, key = self._of_day
        if kept != scope:
            key = b"AWS4" + self._settings.secret_key.encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._of_day = scope, key
        return key


def query_of(params: Mapping[str, str]) -> str:
    """Return parameters as they are sent and signed."""
    return "&".join(f"{_quote(name)}={_quote(params[name])}" for name in sorted(params))


def _canonical(method: str, path: str, query: str, headed: Mapping[str, str]) -> str:
    names = sorted(headed)
    lines = "".join(f"{name}:{headed[name]}\n" for name in names)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{_UNSIGNED}"


def _quote(text: str) -> str:
    return quote(text, safe="~")
