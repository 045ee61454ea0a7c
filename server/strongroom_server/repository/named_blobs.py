# SPDX-License-Identifier: Apache-2.0
"""Storing objects whose key is their own digest: packs and manifests."""

from typing import Final

from strongroom.errors import IntegrityError, Reason, UnavailableError
from strongroom_server.ports import BlobExistsError, BlobNotFoundError, BlobStore

PUT_ATTEMPTS: Final = 3


def put_by_digest(blobs: BlobStore, key: str, data: bytes | bytearray) -> str:
    """Store bytes under a key that is their digest; return the version id.

    A lost answer is resolved by trying again: if the key exists then, an earlier
    attempt of ours was stored, and it is read back to make sure.

    Raises:
        UnavailableError: The store failed at every attempt.
        IntegrityError: Other bytes lie under the key (DIGEST_MISMATCH).
    """
    for attempt in range(PUT_ATTEMPTS):
        try:
            return blobs.put_new(key, data)
        except BlobExistsError as error:
            return _find_own(blobs, key, data, error)
        except UnavailableError:
            if attempt == PUT_ATTEMPTS - 1:
                raise
    raise AssertionError


def _find_own(
    blobs: BlobStore, key: str, data: bytes | bytearray, cause: BlobExistsError
) -> str:
    for item in blobs.first_versions(key):
        if item.key == key and item.size_bytes == len(data):
            try:
                found = blobs.get(key, version_id=item.version_id, max_bytes=len(data))
            except BlobNotFoundError:
                continue
            if found == data:
                return item.version_id
    raise IntegrityError(
        f"object {key} holds other bytes than its name says",
        reason=Reason.DIGEST_MISMATCH,
        hint="Somebody else writes to the bucket; see `strongroom doctor`.",
        key=key,
    ) from cause
