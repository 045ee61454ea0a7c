# SPDX-License-Identifier: Apache-2.0
"""Telling, without keys, whether a damaged pack was mended chunk by chunk.

A signed statement says how the damaged bytes looked when everything that is lost
of them was found elsewhere. That holds as long as those bytes have not gone on
rotting, and all that the statement names is there and whole.
"""

import hashlib

from strongroom.errors import IntegrityError
from strongroom_server.core import layout, stored_objects
from strongroom_server.core.mend_statement import MendStatement
from strongroom_server.ports import BlobNotFoundError
from strongroom_server.repository.repository import Repository


class MendedPacks:
    """Judges damaged packs by what was stated of them. Opens no key."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def is_mended(self, pack: str, data: bytes) -> bool:
        """Return whether nobody needs what is lost of a damaged pack.

        Args:
            pack: The pack's name.
            data: The bytes that lie under it.

        Raises:
            UnavailableError: S3 or Vault cannot be reached.
        """
        return self._is_mended(pack, data, {})

    def _is_mended(self, pack: str, data: bytes, judged: dict[str, bool]) -> bool:
        # While it is being judged, it speaks for nothing that stands for itself.
        judged[pack] = False
        found = hashlib.sha256(data).hexdigest()
        judged[pack] = any(
            statement.found == found and self._stands(statement, judged)
            for statement in self._repository.repairs.statements(pack)
        )
        return judged[pack]

    def _stands(self, statement: MendStatement, judged: dict[str, bool]) -> bool:
        return all(
            self._has_digest(key, digest) for key, digest in statement.records
        ) and all(
            self._is_whole(pack, version_id, judged)
            for pack, version_id in statement.packs
        )

    def _has_digest(self, key: str, digest: str) -> bool:
        """Return whether readers find exactly this record at a key."""
        limit = stored_objects.max_bytes(key)
        blobs = self._repository.blobs
        for item in blobs.first_versions(key):
            if item.key != key:
                break
            try:
                data = blobs.get(key, version_id=item.version_id, max_bytes=limit)
            except (BlobNotFoundError, IntegrityError):
                data = b""
            if hashlib.sha256(data).hexdigest() == digest:
                return True
            copies = self._repository.repairs.copies(key, max_bytes=limit)
            return any(hashlib.sha256(item).hexdigest() == digest for item in copies)
        return False

    def _is_whole(self, pack: str, version_id: str, judged: dict[str, bool]) -> bool:
        """Return whether a pack that stands for another is whole, or mended too."""
        if pack in judged:
            return judged[pack]
        key = layout.pack_key(pack)
        limit = stored_objects.max_bytes(key)
        store = self._repository.keyring.store
        try:
            data = self._repository.blobs.get(
                key, version_id=version_id, max_bytes=limit
            )
        except (BlobNotFoundError, IntegrityError):
            judged[pack] = False
            return False
        try:
            stored_objects.check_pack(data, pack, store)
        except IntegrityError:
            return self._is_copied(pack, judged) or self._is_mended(pack, data, judged)
        judged[pack] = True
        return True

    def _is_copied(self, pack: str, judged: dict[str, bool]) -> bool:
        """Return whether a damaged pack was mended by a verbatim copy."""
        key = layout.pack_key(pack)
        limit = stored_objects.max_bytes(key)
        for data in self._repository.repairs.copies(key, max_bytes=limit):
            try:
                stored_objects.check_pack(data, pack, self._repository.keyring.store)
            except IntegrityError:
                continue
            judged[pack] = True
            return True
        return False
