# SPDX-License-Identifier: Apache-2.0
"""`BlobPresigner` on S3: signature version 4 in the URL."""

import base64
from collections.abc import Mapping
from typing import Final

from strongroom_server.adapters.s3.settings import S3Settings
from strongroom_server.adapters.s3.signing import S3Signer
from strongroom_server.ports import BlobPresigner, Clock, SignedPut

#: AWS refuses more.
MAX_LIFETIME_S: Final = 7 * 86_400


class S3Presigner:
    """Signs URLs with the credential of the settings. Safe for many threads.

    Raises:
        PreconditionError: The endpoint is none (STORE_UNSUITABLE).
    """

    def __init__(self, settings: S3Settings, clock: Clock) -> None:
        self._signer = S3Signer(settings, clock)
        self._prefix = settings.key_prefix

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
        lifetime_s = min(lifetime_s, MAX_LIFETIME_S)
        path = self._signer.path(self._prefix + key)
        return self._signer.signed_url(method, path, params, headers, lifetime_s)


_presigner: type[BlobPresigner] = S3Presigner
