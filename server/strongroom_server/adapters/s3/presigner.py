# SPDX-License-Identifier: Apache-2.0
"""`BlobPresigner` on S3: signature version 4 in the URL, without botocore.

botocore takes nine times as long for each, and a version may have thousands of packs.

Source:
    AWS, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.ports import BlobPresigner, Clock, SignedPut

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: AWS refuses more.
MAX_LIFETIME_S: Final = 7 * 86_400
_DEFAULT_PORTS: Final = {"https": ":443", "http": ":80"}


class S3Presigner:
    """Signs URLs with the credential of the settings. Safe for many threads."""

    def __init__(self, settings: S3Settings, clock: Clock) -> None:
        parts = urlsplit(settings.endpoint)
        self._settings = settings
        self._clock = clock
        self._host = parts.netloc.removesuffix(_DEFAULT_PORTS.get(parts.scheme, ""))
        self._origin = f"{parts.scheme}://{self._host}"
        prefix = settings.prefix.strip("/")
        self._path = f"/{settings.bucket}/{prefix}/" if prefix else (
            f"/{settings.bucket}/"
        )  # fmt: skip

    def presign(self, key: str, *, version_id: str, lifetime_s: int) -> str:
        """See `BlobPresigner`. At most MAX_LIFETIME_S."""
        return self._signed("GET", key, {"versionId": version_id}, {}, lifetime_s)

    def presign_put(
        self, key: str, *, size_bytes: int, crc32: int, lifetime_s: int
    ) -> SignedPut:
        """See `BlobPresigner`. At most MAX_LIFETIME_S."""
        checksum = base64.b64encode(crc32.to_bytes(4, "big")).decode()
        headers = {
            "content-length": str(size_bytes),
            "if-none-match": "*",
            "x-amz-checksum-crc32": checksum,
        }
        return SignedPut(self._signed("PUT", key, {}, headers, lifetime_s), headers)

    def _signed(
        self,
        method: str,
        key: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime_s: int,
    ) -> str:
        """Return the URL of a request with these parameters, and exactly so headed."""
        headed = {**headers, "host": self._host}
        names = ";".join(sorted(headed))
        now = self._clock.now().astimezone(UTC)
        scope = f"{now:%Y%m%d}/{self._settings.region}/s3/aws4_request"
        given = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self._settings.access_key}/{scope}",
            "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": str(min(lifetime_s, MAX_LIFETIME_S)),
            "X-Amz-SignedHeaders": names,
            **params,
        }
        if self._settings.session_token:
            given["X-Amz-Security-Token"] = self._settings.session_token
        query = "&".join(
            f"{_quote(name)}={_quote(given[name])}" for name in sorted(given)
        )
        path = quote(self._path + key, safe="/~")
        lines = "".join(f"{name}:{headed[name]}\n" for name in sorted(headed))
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{given['X-Amz-Date']}\n{scope}\n{digest}"
        signature = hmac.new(self._key(now), text.encode(), "sha256").hexdigest()
        return f"{self._origin}{path}?{query}&X-Amz-Signature={signature}"

    def _key(self, now: datetime) -> bytes:
        key = b"AWS4" + self._settings.secret_key.encode()
        for part in (f"{now:%Y%m%d}", self._settings.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def _quote(text: str) -> str:
    return quote(text, safe="~")


_presigner: type[BlobPresigner] = S3Presigner
